"""The tests' own Lumberjack client, against a small server: windows, acknowledgements, and what a Beat does when its node goes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.lumberjack import (
    EVENT,
    WINDOW,
    Client,
    LumberjackError,
    ack_frame,
    compressed_frame,
    event_frame,
    frames,
    publish_all,
    window_frame,
)

EVENTS = [{"message": f"line {number}", "@metadata": {"beat": "filebeat"}} for number in range(1, 11)]
Acks = Callable[[int, int], list[int]]


def at_the_end(number: int, size: int) -> list[int]:
    """The acknowledgements after an event, where a window is acknowledged as a whole."""
    return [size] if number == size else []


class Server:
    """As the beats input is one: it takes windows, and acknowledges them as `acks` says. After `limit` events it is gone."""

    def __init__(self, acks: Acks = at_the_end, tls: ssl.SSLContext | None = None, limit: int = 1000) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.acks, self.tls, self.limit = acks, tls, limit
        self.events: list[Any] = []
        self.windows: list[int] = []
        self.connections = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                with contextlib.suppress(OSError, LumberjackError), connection:
                    self.take(self.tls.wrap_socket(connection, server_side=True) if self.tls else connection)

    def take(self, connection: socket.socket) -> None:
        with connection:
            size = 0
            for kind, number, event in frames(connection):
                if kind == WINDOW:
                    size = number
                    self.windows.append(size)
                    continue
                assert kind == EVENT
                self.events.append(event)
                for sequence in self.acks(number, size):
                    connection.sendall(ack_frame(sequence))
                if len(self.events) >= self.limit:
                    self.listener.close()
                    return


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them."""
    servers: list[Server] = []

    def start(*arguments: Any, **options: Any) -> Server:
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.listener.close()


def test_the_frames_are_those_of_the_protocol() -> None:
    """Byte by byte."""
    assert window_frame(2) == b"2W\0\0\0\2"
    assert event_frame(1, {"a": 1}) == b'2J\0\0\0\1\0\0\0\x08{"a": 1}'
    assert ack_frame(258) == b"2A\0\0\1\2"
    assert compressed_frame(b"")[:2] == b"2C"


@pytest.mark.parametrize("compressed", [True, False])
def test_each_window_is_acknowledged_over_one_connection(
    serve: Callable[..., Server], compressed: bool
) -> None:
    server = serve()
    with Client(*server.address) as client:
        assert client.publish(EVENTS[:4], compressed) == [4]
        assert client.publish(EVENTS[4:], compressed) == [6]
        assert client.acknowledged == 10
    assert (server.events, server.windows, server.connections) == (EVENTS, [4, 6], 1)


def test_parts_of_a_window_may_be_acknowledged_and_a_busy_server_says_that_it_lives(
    serve: Callable[..., Server],
) -> None:
    """By an acknowledgement of 0, as the beats input does every 5 s while its queue is full."""
    server = serve(lambda number, size: [0, number])
    with Client(*server.address) as client:
        assert client.publish(EVENTS[:3]) == [0, 1, 0, 2, 0, 3]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "the connection ended: 0 of 3 events are acknowledged"),
        (ack_frame(2), "the connection ended: 2 of 3 events are acknowledged"),
        (ack_frame(4), "not an acknowledgement of 3 events: b'A' 4"),
        (window_frame(1), "not an acknowledgement of 3 events: b'W' 1"),
        (b"HTTP/1.1 400", "not a frame: b'HT'"),
        (b"2A\0", "the connection ended within a frame: 1 of 4 bytes came"),
    ],
)
def test_what_is_no_acknowledgement_is_a_fault(answer: bytes, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_once() -> None:
            connection, _ = listener.accept()
            with connection:
                size = 3
                for kind, number, _ in frames(connection):
                    if kind == EVENT and number == size:
                        connection.sendall(answer)
                        return

        thread = threading.Thread(target=serve_once)
        thread.start()
        with Client(*listener.getsockname()) as client, pytest.raises(LumberjackError) as error:
            client.publish(EVENTS[:3])
        assert str(error.value) == why
        thread.join(10)


def test_a_beat_whose_node_goes_sends_again_what_was_not_acknowledged(serve: Callable[..., Server]) -> None:
    """To the next node: nothing is lost, and only the unacknowledged part of a window comes twice."""
    first, second = serve(lambda number, size: [number] if number in (1, size) else [], limit=7), serve()
    faults = publish_all([first.address, second.address], EVENTS, window=5)
    assert len(faults) == 1
    assert first.events == EVENTS[:7]
    assert second.events == EVENTS[5:] or second.events == EVENTS[6:]


def test_events_that_no_node_takes_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(LumberjackError, match=r"^10 of 10 events are left: \['\[Errno 111\]"):
        publish_all([address], EVENTS, window=5)


def contexts(folder: Path, clients: bool) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, which wants a certificate of its `clients`, and a client's."""
    authority = Authority(folder)
    made = authority.issue("logs", "logs.example.com")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made["certificate"], made["key"])
    client = ssl.create_default_context(cafile=str(authority.ca_file))
    if clients:
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(authority.ca_file)
        own = authority.issue("beat", "beat.example.com")
        client.load_cert_chain(own["certificate"], own["key"])
    return server, client


@pytest.mark.parametrize("clients", [False, True])
def test_a_beat_may_speak_tls(serve: Callable[..., Server], clients: bool, tmp_path: Path) -> None:
    """And have a certificate of its own."""
    server_context, client_context = contexts(tmp_path, clients)
    server = serve(tls=server_context)
    with Client(*server.address, context=client_context, name="logs.example.com") as client:
        assert client.publish(EVENTS) == [10]
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(*server.address, context=client_context, name="other.example.com")


def test_a_beat_without_the_certificate_that_it_needs_sends_nothing(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server_context, _ = contexts(tmp_path, clients=True)
    server = serve(tls=server_context)
    bare = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with pytest.raises((OSError, LumberjackError)):
        publish_all([server.address], EVENTS, window=10, context=bare, name="logs.example.com")
    assert server.events == []
