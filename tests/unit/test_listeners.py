"""Which sockets of this node take what is sent to an input, by the kernel's tables."""

import contextlib
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "files"))

import logstash_ha_listeners as listeners  # type: ignore[import-not-found]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize(
    ("asked", "bound", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "::", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "::1", True),
        ("::1", "::", True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_a_socket_is_found_at_its_own_address_and_at_all_addresses(
    kind: socket.SocketKind, asked: str, bound: str, expected: bool
) -> None:
    """By the tables, and by whichever way the kernel answers."""
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with contextlib.closing(socket.socket(family, kind)) as listener:
        try:
            listener.bind((bound, 0))
        except OSError:
            pytest.skip("no IPv6 here")
        if kind == socket.SOCK_STREAM:
            listener.listen()
        protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
        port = listener.getsockname()[1]
        found = listeners.Listener(asked, protocol, port)
        assert found.in_table() is expected
        assert found.listens(listeners.Kernel()) is expected
        other = listeners.Listener(asked, "udp" if protocol == "tcp" else "tcp", port)
        assert not other.in_table()
    assert not found.in_table()
    probe = listeners.OwnPort(listeners.Kernel(), asked, protocol, port)
    probe.start()
    assert (probe.refused(), probe.certain) == (True, True)


def test_a_connection_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            with accepted:
                server.close()
                assert not listeners.Listener("127.0.0.1", "tcp", port).in_table()


@pytest.mark.parametrize(("files", "expected"), [({}, True), ({"tcp": ""}, False)])
def test_a_table_that_can_not_be_read_says_nothing_against_a_listener(
    files: dict[str, Any], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a kernel without IPv6, the one for it is missing."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(listeners, "TABLES", str(tmp_path))
    assert listeners.Listener("127.0.0.1", "tcp", 5514).in_table() is expected
