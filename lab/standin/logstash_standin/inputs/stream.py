"""The base of inputs that take TCP connections, with TLS or without: a thread serves each connection."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from ..options import Option, extend
from ..plugin import Context
from ..version import Version
from .base import Input, java_address
from .tls import OLD, STANDARD, TlsNames, make_context, names_of

Sender = tuple[str, int]
"""A sender's address, in Java's notation, and its port."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake."""
_FAREWELL = 1.0
"""Seconds for the end of a TLS connection."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 seconds: closing a socket sends a reset (socket(7))."""


class Stream(Input):
    """An input that takes TCP connections. `accept` serves them until `stop` has been called."""

    RESETS: ClassVar[bool] = False
    """Whether closing a connection resets it."""

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self.tls: ssl.SSLContext | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def converse(self, connection: socket.socket, sender: Sender) -> None:
        """Serve a connection until it ends, or `stop` has been called. An `OSError` ends it, too."""
        raise NotImplementedError

    def bind(self, host: str, port: int) -> socket.socket:
        """A socket that listens. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server(
            (host, port),
            family=family,
            backlog=1024,
            dualstack_ipv6=family == socket.AF_INET6,  # as Java does
        )

    def accept(self, listener: socket.socket) -> None:
        """Take connections until `stop` has been called, and then end those that are there."""
        threads: set[threading.Thread] = set()
        while self.wait_readable(listener.fileno()):
            try:
                connection, address = listener.accept()
            except OSError:  # it was gone before it was accepted
                continue
            if self.RESETS:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sender = (java_address(address[0]), address[1])
            with self._lock:
                self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection, sender))
            thread.start()
            threads = {*filter(threading.Thread.is_alive, threads), thread}
        listener.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
        for thread in threads:
            thread.join()

    def _serve(self, connection: socket.socket, sender: Sender) -> None:
        """Serve one connection in a thread of its own."""
        stream = connection
        try:
            if self.tls is not None:
                connection.settimeout(HANDSHAKE_TIMEOUT)
                with self._lock:
                    self._connections.discard(connection)  # it is detached
                    stream = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                    self._connections.add(stream)
                stream.do_handshake()
                stream.settimeout(None)
        except OSError as error:
            self._refuse(sender, error)
        else:
            try:
                self.converse(stream, sender)
            except OSError:
                pass
            except Exception as error:  # what cannot be decoded ends its own connection only
                self.log.error(
                    "An error occurred, closing connection",
                    client=f"{sender[0]}:{sender[1]}",
                    exception=error,
                )
            with contextlib.suppress(OSError, ValueError):
                if isinstance(stream, ssl.SSLSocket) and not self.stopping.is_set():
                    stream.settimeout(_FAREWELL)
                    stream.unwrap()
        with self._lock:
            self._connections -= {connection, stream}
            stream.close()

    def _refuse(self, sender: Sender, error: OSError) -> None:
        """Log a TLS handshake that has failed: a client without a certificate, or one that speaks no TLS or is gone."""
        if not self.stopping.is_set():
            reason = (
                getattr(error, "reason", None) or "Connection closed while SSL/TLS handshake was in progress"
            )
            self.log.error(
                f"[remote: {sender[0]}:{sender[1]}] Handling exception: javax.net.ssl.SSLHandshakeException: {reason}"
            )


class SecuredStream(Stream):
    """One with an option `port`, which can have TLS."""

    STANDARD_TLS: ClassVar[TlsNames] = STANDARD
    OLD_TLS: ClassVar[TlsNames] = OLD
    OPTIONS = extend(Input.OPTIONS, host=Option("string", "0.0.0.0"), port=Option("number", required=True))

    @classmethod
    def accepted(cls, version: Version) -> Mapping[str, Option]:
        options = dict(cls.OPTIONS)
        for names in reversed(names_of(version, cls.STANDARD_TLS, cls.OLD_TLS)):
            options |= names.options
        return options

    @property
    def address(self) -> str:
        """Where it listens, as the log names it."""
        return f"{self.options['host']}:{self.options['port']}"

    def register(self) -> None:
        for names in names_of(self.context.version, self.STANDARD_TLS, self.OLD_TLS):
            self.tls = self.tls or make_context(self.options, names)
