"""The tcp input: a server in which each line of a connection is an event."""

import os
import socket
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from ..event import Event
from ..options import Option, extend
from ..plugin import Context
from .stream import SecuredStream, Sender
from .tls import OLD_TCP, STANDARD_TCP

EARLY_BIND = (9, 3, 5)
"""The first version whose tcp input (7.0.8) binds before the pipeline starts, and fails the start."""

_LINE_CODECS = {"plain": "line", "json": "json_lines"}


def _line_codec(codec: Any) -> Any:
    """The `codec` option with the codec for lines in place of the one for datagrams, as in the real input."""
    if isinstance(codec, str):
        return _LINE_CODECS.get(codec, codec)
    name, options = codec
    return [_LINE_CODECS.get(name, name), options]


class Tcp(SecuredStream):
    """Before 9.3.5, an input whose port is taken stays listed and never binds, as in the real one."""

    NAME = "tcp"
    STANDARD_TLS = STANDARD_TCP
    OLD_TLS = OLD_TCP
    OPTIONS = extend(
        SecuredStream.OPTIONS,
        codec=Option("codec", "line"),
        dns_reverse_lookup_enabled=Option("boolean", True),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__({**options, "codec": _line_codec(options["codec"])}, id, context)
        self._listener: socket.socket | None = None
        self._failed = False

    def register(self) -> None:
        super().register()
        if self.context.version >= EARLY_BIND:
            self.log.info("Binding tcp input listener", address=self.address, ssl_enabled=bool(self.tls))
            try:
                self._listener = self.bind(self.options["host"], self.options["port"])
            except OSError as error:
                raise ConfigurationError(
                    f"could not bind to {self.address}; {os.strerror(error.errno or 0)}"
                ) from None

    def run(self) -> None:
        self.log.info("Starting tcp input listener", address=self.address, ssl_enabled=bool(self.tls))
        if self._listener is None:
            if self._failed:
                # The real one's event loop was closed at the first failure, so every further attempt fails.
                raise RuntimeError("event executor terminated")
            self._failed = True
            self._listener = self.bind(self.options["host"], self.options["port"])
        self.accept(self._listener)

    def close(self) -> None:
        super().close()
        if self._listener is not None:
            self._listener.close()

    def converse(self, connection: socket.socket, sender: Sender) -> None:
        codec = self.codec.copy()
        connection.settimeout(codec.auto_flush)
        try:
            while not self.stopping.is_set():
                try:
                    if not (data := connection.recv(65536)):
                        break
                    events = codec.decode(data)
                except TimeoutError:
                    events = codec.flush()
                self.push([self._with_sender(event, sender) for event in events])
        finally:
            self.push([self._with_sender(event, sender) for event in codec.flush()])

    def _with_sender(self, event: Event, sender: Sender) -> Event:
        ip, port = sender
        source = "[@metadata][input][tcp][source]"
        fields: dict[str, Any] = {f"{source}[ip]": ip, f"{source}[port]": port}
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
