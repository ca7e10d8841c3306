"""The tcp input: a server in which each line of a connection is an event."""

import os
import selectors
import socket
from collections.abc import Mapping
from typing import Any

from ..codecs import Codec
from ..errors import ConfigurationError
from ..event import Event
from ..options import Option, extend
from ..plugin import Context
from .base import Input, java_address

EARLY_BIND = (9, 3, 5)
"""The first version whose tcp input (7.0.8) binds before the pipeline starts, and fails the start."""

_LINE_CODECS = {"plain": "line", "json": "json_lines"}


def _line_codec(codec: Any) -> Any:
    """The `codec` option with the codec for lines in place of the one for datagrams, as in the real input."""
    if isinstance(codec, str):
        return _LINE_CODECS.get(codec, codec)
    name, options = codec
    return [_LINE_CODECS.get(name, name), options]


class Tcp(Input):
    """Before 9.3.5, an input whose port is taken stays listed and never binds, as in the real one."""

    NAME = "tcp"
    OPTIONS = extend(
        Input.OPTIONS,
        codec=Option("codec", "line"),
        host=Option("string", "0.0.0.0"),
        port=Option("number", required=True),
        dns_reverse_lookup_enabled=Option("boolean", True),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__({**options, "codec": _line_codec(options["codec"])}, id, context)
        self._listener: socket.socket | None = None
        self._failed = False
        self._address = f"{options['host']}:{options['port']}"

    def register(self) -> None:
        if self.context.version >= EARLY_BIND:
            self.log.info("Binding tcp input listener", address=self._address, ssl_enabled=False)
            try:
                self._listener = self._bind()
            except OSError as error:
                raise ConfigurationError(
                    f"could not bind to {self._address}; {os.strerror(error.errno or 0)}"
                ) from None

    def run(self) -> None:
        self.log.info("Starting tcp input listener", address=self._address, ssl_enabled=False)
        if self._listener is None:
            if self._failed:
                # The real one's event loop was closed at the first failure, so every further attempt fails.
                raise RuntimeError("event executor terminated")
            self._failed = True
            self._listener = self._bind()
        self._serve(self._listener)

    def close(self) -> None:
        super().close()
        if self._listener is not None:
            self._listener.close()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.options["host"] else socket.AF_INET
        return socket.create_server(
            (self.options["host"], self.options["port"]),
            family=family,
            backlog=1024,
            dualstack_ipv6=family == socket.AF_INET6,  # as Java does
        )

    def _serve(self, listener: socket.socket) -> None:
        codecs: dict[socket.socket, Codec] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._stop_event, selectors.EVENT_READ)
            while not self.stopping.is_set():
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        connection, _ = listener.accept()
                        codecs[connection] = self.codec.copy()
                        selector.register(connection, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket) and not self._read(key.fileobj, codecs):
                        selector.unregister(key.fileobj)
        listener.close()
        for connection in list(codecs):
            self._close_connection(connection, codecs)

    def _read(self, connection: socket.socket, codecs: dict[socket.socket, Codec]) -> bool:
        """Receive from a connection. False when it has ended."""
        try:
            data = connection.recv(65536)
            sender = connection.getpeername()
        except OSError:
            data = b""
        if not data:
            self._close_connection(connection, codecs)
            return False
        self.push([self._with_sender(event, sender) for event in codecs[connection].decode(data)])
        return True

    def _close_connection(self, connection: socket.socket, codecs: dict[socket.socket, Codec]) -> None:
        self.push(codecs.pop(connection).flush())
        connection.close()

    def _with_sender(self, event: Event, sender: tuple[str, int]) -> Event:
        ip, port = java_address(sender[0]), sender[1]
        source = "[@metadata][input][tcp][source]"
        fields = {f"{source}[ip]": ip, f"{source}[port]": port}
        if not self.context.ecs:
            fields = {"host": self._host_name(ip), "port": port, "[@metadata][ip_address]": ip}
        for name, value in fields.items():
            if event.get(name) is None:
                event.set(name, value)
        return event

    def _host_name(self, ip: str) -> str:
        if not self.options["dns_reverse_lookup_enabled"]:
            return ip
        try:
            return socket.gethostbyaddr(ip)[0]
        except OSError:
            return ip
