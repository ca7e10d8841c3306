"""The gelf input: JSON objects in datagrams, which can be compressed and come in chunks, and over TCP, each with a NUL at its end."""

import contextlib
import json
import socket
import threading
import time
import zlib

from ..event import Event, timestamp
from ..options import Option, extend
from .base import Input
from .datagrams import bind_datagrams, receive
from .stream import Sender, Stream

MAX_DATAGRAM = 8192
_CHUNK = b"\x1e\x0f"
"""How a chunk begins; the message's id (8 bytes), the chunk's number from 0 on and how many there are follow."""
_MAX_CHUNKS = 128
_PATIENCE = 5.0
"""Seconds within which all chunks of a message must come."""
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class Gelf(Stream):
    """While one of its ports is taken, it tries to bind both of them every second, and the API counts no error."""

    NAME = "gelf"
    OPTIONS = extend(
        Input.OPTIONS,
        host=Option("string", "0.0.0.0"),
        port=Option("number", 12201),
        port_tcp=Option("number"),
        port_udp=Option("number"),
        use_tcp=Option("boolean", False),
        use_udp=Option("boolean", True),
        remap=Option("boolean", True),
        strip_leading_underscore=Option("boolean", True),
    )

    def run(self) -> None:
        host = self.options["host"]
        ports = {
            name: self.options[f"port_{name}"] or self.options["port"]
            for name in ("tcp", "udp")
            if self.options[f"use_{name}"]
        }
        with contextlib.ExitStack() as sockets:
            listeners = {}
            for name, port in ports.items():
                self.log.info(f"Starting gelf listener ({name}) ...", address=f"{host}:{port}")
                bind = self.bind if name == "tcp" else bind_datagrams
                listeners[name] = sockets.enter_context(bind(host, port))
            serve = {"tcp": self.accept, "udp": self._receive}
            threads = [threading.Thread(target=serve[name], args=(each,)) for name, each in listeners.items()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _receive(self, listener: socket.socket) -> None:
        chunks = Chunks()

        def take(datagram: bytes, address: str) -> None:
            try:
                message = chunks.add(datagram)
            except (ValueError, zlib.error) as error:
                self.log.warn("Gelfd failed to parse a message skipping", exception=error, backtrace=[])
            else:
                if message is not None:
                    self.push([self._event(message, address)])

        receive(self, listener, MAX_DATAGRAM, take)

    def converse(self, connection: socket.socket, sender: Sender) -> None:
        rest = b""
        while not self.stopping.is_set() and (data := connection.recv(65536)):
            *messages, rest = (rest + data).split(b"\0")
            self.push([self._event(message, sender[0]) for message in messages])
        if rest:
            self.push([self._event(rest, sender[0])])

    def _event(self, message: bytes, address: str) -> Event:
        text = message.decode("utf-8", errors="backslashreplace")
        try:
            fields = json.loads(text)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            event = self.context.event_factory.new_event({"message": text})
            event.tag("_jsonparsefailure")
            return event
        if isinstance(fields.get("timestamp"), int | float):
            precise = self.context.event_factory.precise
            fields["@timestamp"] = timestamp(int(fields.pop("timestamp") * 10**9), precise=precise)
        if self.options["remap"]:
            if fields.get("full_message"):
                fields["message"] = fields.pop("full_message")
                if fields.get("short_message") == fields["message"]:
                    del fields["short_message"]
            elif fields.get("short_message"):
                fields["message"] = fields.pop("short_message")
        if self.options["strip_leading_underscore"]:
            fields = {name.removeprefix("_"): value for name, value in fields.items()}
        return self.context.event_factory.new_event({**fields, "source_host": address})


class Chunks:
    """Messages whose chunks have come in part."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[float, dict[int, bytes]]] = {}

    def add(self, datagram: bytes) -> bytes | None:
        """The message that a datagram has or completes; None where more of it must come. Raises `ValueError`, `zlib.error`."""
        if datagram.startswith(_CHUNK):
            if len(datagram) < 12:
                raise ValueError("a chunk without its head")
            id, number, count = datagram[2:10], datagram[10], datagram[11]
            if not number < count <= _MAX_CHUNKS:
                raise ValueError(f"chunk {number} of {count}")
            now = time.monotonic()
            self._waiting = {key: item for key, item in self._waiting.items() if now < item[0] + _PATIENCE}
            _, chunks = self._waiting.setdefault(id, (now, {}))
            chunks[number] = datagram[12:]
            if len(chunks) < count:
                return None
            del self._waiting[id]
            datagram = b"".join(chunks[number] for number in range(count))
        if datagram.startswith((b"\x1f\x8b", b"\x78")):
            return zlib.decompress(datagram, _GZIP_OR_ZLIB)
        if not datagram.startswith(b"{"):
            raise ValueError("Message seems to be neither compressed nor JSON")
        return datagram
