"""The beats input and its twin elastic_agent: a server of the Lumberjack protocol, version 2.

After github.com/logstash-plugins/logstash-input-beats (BeatsParser, BeatsHandler): a window is acknowledged as a whole, by its
last sequence number; 0 says every few seconds that the server is still at work with one.
"""

import io
import json
import os
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import IO, Any

from ..errors import ConfigurationError
from ..event import Event
from ..options import Option, extend
from .stream import SecuredStream, Sender

_ACK = b"2A"
_NUMBER = struct.Struct(">I")


class _ProtocolError(Exception):
    """What came is not Lumberjack."""


class Beats(SecuredStream):
    """While its port is taken it tries again every second, and the API counts no error."""

    NAME = "beats"
    RESETS = True
    OPTIONS = extend(
        SecuredStream.OPTIONS,
        client_inactivity_timeout=Option("number", 60),
        ssl_handshake_timeout=Option("number", 10000),
        executor_threads=Option("number", os.cpu_count()),
        enrich=Option("array"),
        include_codec_tag=Option("boolean", True),
        add_hostname=Option("boolean", False),
    )

    def register(self) -> None:
        super().register()
        if self.codec.NAME == "multiline":
            raise ConfigurationError("Multiline codec with beats input is not supported.")
        self.metrics.gauges |= {"current_connections": 0, "peak_connections": 0}
        self.log.info("Starting input listener", address=self.address)

    def run(self) -> None:
        listener = self.bind(self.options["host"], self.options["port"])
        self.log.info(f"Starting server on port: {self.options['port']}")
        self.accept(listener)

    def converse(self, connection: socket.socket, sender: Sender) -> None:
        connection.settimeout(self.options["client_inactivity_timeout"] or None)
        self._count_connection(1)
        keepalive = _Keepalive(connection, self.context.delays.keepalive)
        try:
            with connection.makefile("rb") as stream:
                for batch in _batches(stream):
                    if self.stopping.is_set():
                        break  # without an acknowledgement: the client sends it again, to another node
                    keepalive.begin()
                    self.push([self._event(data, sender) for _, data in batch])
                    keepalive.end(batch[-1][0] if batch else 0)
        except (_ProtocolError, ValueError, zlib.error) as error:
            self.log.info(f"[remote: {sender[0]}:{sender[1]}] Handling exception: {error}")
        finally:
            keepalive.close()
            self._count_connection(-1)

    def _count_connection(self, change: int) -> None:
        with self._lock:
            gauges = self.metrics.gauges
            gauges["current_connections"] += change
            gauges["peak_connections"] = max(gauges["peak_connections"], gauges["current_connections"])

    def _event(self, data: dict[str, Any], sender: Sender) -> Event:
        message = data.pop("message", None)
        metadata = data.pop("@metadata", {})
        if message is None:
            event, tag = self.context.event_factory.new_event(data), "beats_input_raw_event"
        else:
            (event,) = self.codec.decode(str(message).encode())
            event.fields |= data
            tag = f"beats_input_codec_{self.codec.NAME}_applied"
        event.metadata |= metadata
        event.set(
            "[@metadata][input][beats][host][ip]" if self.context.ecs else "[@metadata][ip_address]",
            sender[0],
        )
        event.tag(tag)
        return event


class ElasticAgent(Beats):
    NAME = "elastic_agent"


class _Keepalive:
    """Says on a connection that its batch is still being processed, as long as that is so."""

    def __init__(self, connection: socket.socket, interval: float) -> None:
        self._connection, self._interval = connection, interval
        self._busy = False
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self) -> None:
        """A batch is being processed from now on; nobody reads from the connection meanwhile."""
        self._busy = True

    def end(self, sequence: int) -> None:
        """Acknowledge it."""
        with self._lock:
            self._busy = False
            self._connection.sendall(_ACK + _NUMBER.pack(sequence))

    def close(self) -> None:
        """The connection has ended."""
        with self._lock:
            self._busy = False
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(self._interval):
            with self._lock:
                try:
                    if self._busy:
                        self._connection.sendall(_ACK + _NUMBER.pack(0))
                except OSError:
                    return


def _batches(stream: IO[bytes]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """The windows that come over a connection: each event's sequence number and its fields."""
    size = 0
    batch: list[tuple[int, dict[str, Any]]] = []
    for kind, number, data in _frames(stream):
        if kind == b"W":
            size, batch = number, []
            if size == 0:
                yield []
        else:
            batch.append((number, data))
            if len(batch) >= size:
                yield batch
                batch = []


def _frames(stream: IO[bytes]) -> Iterator[tuple[bytes, int, Any]]:
    """Windows with their sizes, and events with their sequence numbers, those of compressed frames among them."""
    while head := stream.read(2):
        version, kind = head[:1], head[1:]
        if version != b"2" or kind not in (b"W", b"J", b"C"):
            raise _ProtocolError(
                f"org.logstash.beats.InvalidFrameProtocolException: Invalid version of beats protocol: {head[0]}"
                if version != b"2"
                else f"org.logstash.beats.InvalidFrameProtocolException: Invalid Frame Type, received: {head[-1]}"
            )
        number = _number(stream)
        if kind == b"C":
            yield from _frames(io.BytesIO(zlib.decompress(_exactly(stream, number))))
        elif kind == b"J":
            data = json.loads(_exactly(stream, _number(stream)))
            yield kind, number, data if isinstance(data, dict) else {}
        else:
            yield kind, number, None


def _number(stream: IO[bytes]) -> int:
    number: int = _NUMBER.unpack(_exactly(stream, _NUMBER.size))[0]
    return number


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ConnectionResetError("the connection ended within a frame")
    return data
