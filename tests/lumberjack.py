"""A small Lumberjack client, version 2: the protocol by which Beats send to Logstash, for tests.

After github.com/elastic/logstash-forwarder, PROTOCOL.md, and github.com/elastic/go-lumber. A window is a batch of events that are
acknowledged together: `2W` and their number, then the events, each with its sequence number from 1 on, as JSON (`2J`), or all of
them compressed in one frame (`2C`). The server answers `2A` and the highest sequence number that it has taken; 0, or a part of
the window, says that it is still at work. Numbers are of 32 bits, big-endian.
"""

from __future__ import annotations

import io
import json
import socket
import ssl
import struct
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

VERSION = b"2"
WINDOW, EVENT, COMPRESSED, ACK = b"W", b"J", b"C", b"A"
Event = Mapping[str, Any]


class LumberjackError(Exception):
    """What came is no answer by the protocol, or the connection has ended."""


def window_frame(size: int) -> bytes:
    """Says how many events will be acknowledged together."""
    return VERSION + WINDOW + struct.pack(">I", size)


def event_frame(sequence: int, event: Event) -> bytes:
    """An event."""
    payload = json.dumps(event).encode()
    return VERSION + EVENT + struct.pack(">II", sequence, len(payload)) + payload


def compressed_frame(frames: bytes) -> bytes:
    """Other frames, compressed."""
    payload = zlib.compress(frames)
    return VERSION + COMPRESSED + struct.pack(">I", len(payload)) + payload


def ack_frame(sequence: int) -> bytes:
    """The server's answer: all events up to this one have been taken."""
    return VERSION + ACK + struct.pack(">I", sequence)


def frames(connection: socket.socket) -> Generator[tuple[bytes, int, Any]]:
    """What comes over a connection, as a server or a client sees it: the kind, a number, and an event where there is one.

    The number is a window's size, an event's sequence number or that of an acknowledgement. Ends with the connection, and
    raises `LumberjackError` where that ends within a frame, or what comes is no frame.
    """
    with connection.makefile("rb") as stream:
        yield from _frames(stream)


def _frames(stream: Any) -> Iterator[tuple[bytes, int, Any]]:
    while head := stream.read(2):
        kind = head[1:]
        if head[:1] != VERSION or kind not in (WINDOW, EVENT, COMPRESSED, ACK):
            raise LumberjackError(f"not a frame: {head!r}")
        (number,) = struct.unpack(">I", _exactly(stream, 4))
        if kind == COMPRESSED:
            yield from _frames(io.BytesIO(zlib.decompress(_exactly(stream, number))))
        elif kind == EVENT:
            (length,) = struct.unpack(">I", _exactly(stream, 4))
            yield kind, number, json.loads(_exactly(stream, length))
        else:
            yield kind, number, None


def _exactly(stream: Any, count: int) -> bytes:
    data: bytes = stream.read(count)
    if len(data) < count:
        raise LumberjackError(f"the connection ended within a frame: {len(data)} of {count} bytes came")
    return data


class Client:
    """A connection of a Beat's. It is kept until `close`, as Beats keep theirs."""

    def __init__(
        self,
        address: str,
        port: int,
        timeout: float = 10,
        context: ssl.SSLContext | None = None,
        name: str = "",
    ) -> None:
        """With a `context` it speaks TLS, with a server that must have this name."""
        self.connection = socket.create_connection((address, port), timeout)
        if context:
            self.connection = context.wrap_socket(self.connection, server_hostname=name or address)
        self.answers = frames(self.connection)
        self.acknowledged = 0
        """Events that the server has taken, over all windows."""

    def send(self, events: Sequence[Event], compressed: bool = True) -> None:
        """Send a window, without waiting for its acknowledgement."""
        batch = b"".join(event_frame(sequence, event) for sequence, event in enumerate(events, 1))
        self.connection.sendall(
            window_frame(len(events)) + (compressed_frame(batch) if compressed else batch)
        )

    def wait(self, size: int) -> Iterator[int]:
        """The acknowledgements of a window of this size, up to the last one. Raises `LumberjackError`, `OSError`."""
        before = self.acknowledged
        for kind, sequence, _ in self.answers:
            if kind != ACK or sequence > size:
                raise LumberjackError(f"not an acknowledgement of {size} events: {kind!r} {sequence}")
            self.acknowledged = max(self.acknowledged, before + sequence)
            yield sequence
            if sequence == size:
                return
        raise LumberjackError(
            f"the connection ended: {self.acknowledged - before} of {size} events are acknowledged"
        )

    def publish(self, events: Sequence[Event], compressed: bool = True) -> list[int]:
        """Send a window and wait until all of it is acknowledged; the acknowledgements that came."""
        self.send(events, compressed)
        return list(self.wait(len(events)))

    def close(self) -> None:
        """End the connection."""
        self.answers.close()  # which reads from it
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def publish_all(
    addresses: Iterable[tuple[str, int]], events: Sequence[Event], window: int, **options: Any
) -> list[str]:
    """Publish all events in windows, as a Beat does: where a connection ends, connect anew, to the next of the addresses, and
    send again what is not acknowledged. The faults on the way; raises the last of them where no address is left.
    """
    faults: list[str] = []
    done = 0
    for address, port in addresses:
        try:
            with Client(address, port, **options) as client:
                while done < len(events):
                    batch = events[done : done + window]
                    before = client.acknowledged
                    try:
                        client.publish(batch)
                    finally:
                        done += client.acknowledged - before
                return faults
        except (OSError, LumberjackError) as error:
            faults.append(str(error))
    raise LumberjackError(f"{len(events) - done} of {len(events)} events are left: {faults[-1:]}")
