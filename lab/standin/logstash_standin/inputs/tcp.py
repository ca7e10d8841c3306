"""The tcp input: a server of many connections, a line an event."""

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
from .base import Input, written

EARLY_BIND = (9, 3, 5)
"""The first Logstash whose tcp input (7.0.8) binds before the pipeline runs, and fails that if it can't."""


_STREAMING = {"plain": "line", "json": "json_lines"}


def _streaming(codec: Any) -> Any:
    """A `codec` option for a stream: the real input too takes the one for lines in place of these."""
    if isinstance(codec, str):
        return _STREAMING.get(codec, codec)
    name, options = codec
    return [_STREAMING.get(name, name), options]


class Tcp(Input):
    """Before 9.3.5 a port that is taken leaves the input listed and never bound again, as in the real one."""

    NAME = "tcp"
    OPTIONS = extend(
        Input.OPTIONS,
        codec=Option("codec", "line"),
        host=Option("string", "0.0.0.0"),
        port=Option("number", required=True),
        dns_reverse_lookup_enabled=Option("boolean", True),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__({**options, "codec": _streaming(options["codec"])}, id, context)
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
                # Its event loop was closed with the first failure: now it fails for ever.
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
            dualstack_ipv6=family == socket.AF_INET6,  # as Java's sockets
        )

    def _serve(self, listener: socket.socket) -> None:
        codecs: dict[socket.socket, Codec] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
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
            self._end(connection, codecs)

    def _read(self, connection: socket.socket, codecs: dict[socket.socket, Codec]) -> bool:
        """Take in what a connection has sent; false when it has ended."""
        try:
            data = connection.recv(65536)
            sender = connection.getpeername()
        except OSError:
            data = b""
        if not data:
            self._end(connection, codecs)
            return False
        self.push([self._from(event, sender) for event in codecs[connection].decode(data)])
        return True

    def _end(self, connection: socket.socket, codecs: dict[socket.socket, Codec]) -> None:
        self.push(codecs.pop(connection).flush())
        connection.close()

    def _from(self, event: Event, sender: tuple[str, int]) -> Event:
        ip, port = written(sender[0]), sender[1]
        source = "[@metadata][input][tcp][source]"
        fields = {f"{source}[ip]": ip, f"{source}[port]": port}
        if not self.context.ecs:
            fields = {"host": self._name(ip), "port": port, "[@metadata][ip_address]": ip}
        for name, value in fields.items():
            if event.get(name) is None:
                event.set(name, value)
        return event

    def _name(self, ip: str) -> str:
        if not self.options["dns_reverse_lookup_enabled"]:
            return ip
        try:
            return socket.gethostbyaddr(ip)[0]
        except OSError:
            return ip
