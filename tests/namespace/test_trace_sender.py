"""The program that follows a sender's packets, on a loopback interface of its own; needs root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "files" / "trace_sender.py"
SEND = """
import socket, subprocess, sys, time
program = subprocess.Popen([sys.argv[1], sys.argv[2], sys.argv[3]])
family = socket.AF_INET6 if ":" in sys.argv[4] else socket.AF_INET
taker = socket.socket(family, socket.SOCK_DGRAM)
taker.bind((sys.argv[5], 5514))
sender = socket.socket(family, socket.SOCK_DGRAM)
sender.bind((sys.argv[4], 0))
while program.poll() is None:
    sender.sendto(b"x", (sys.argv[5], 5514))
    time.sleep(0.02)
sys.exit(program.returncode)
"""


def follow(source: str, destination: str, **changes: Any) -> dict[str, Any]:
    """What the program says while somebody sends from one address to another."""
    settings = {
        "sender": source,
        "seconds": 0.5,
        "settling": 0,
        "interfaces": ["lo", "gone0"],
        "ask": [],
        "files": ["/proc/net/udp", "/nowhere"],
        "commands": {"here": ["echo", "one\ntwo"], "nowhere": ["/nowhere"]},
        "lines": {"here": "tw", "/proc/net/udp": ":158A "},
        "once": {"once": ["echo", "said"]},
        **changes,
    }
    script = 'ip link set lo up; ip addr add fd77::1/128 dev lo nodad 2>/dev/null; exec "$@"'
    words = [
        sys.executable,
        "-c",
        SEND,
        sys.executable,
        str(PROGRAM),
        json.dumps(settings),
        source,
        destination,
    ]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_senders_packets_are_counted_by_where_they_go() -> None:
    document = follow("127.0.0.2", "127.0.0.3")
    # Loopback shows each packet twice, as it goes out and as it comes in.
    counts = {(each[0], *each[4:7]): each[7] for each in document["frames"]}
    assert counts.keys() == {("in", 17, "127.0.0.3", 5514), ("out", 17, "127.0.0.3", 5514)}
    assert min(counts.values()) >= 5
    assert document["missed"] == 0
    assert list(document["errors"]) == ["gone0"]
    assert document["macs"] == {"lo": "00:00:00:00:00:00"}


def test_packets_of_others_are_not_counted() -> None:
    assert follow("127.0.0.2", "127.0.0.3", sender="127.0.0.4")["frames"] == []


def test_ipv6_is_followed_too() -> None:
    document = follow("::1", "fd77::1")
    if not document["frames"]:
        pytest.skip("this machine has no IPv6")
    assert ["in", 17, "fd77::1", 5514] in [[each[0], *each[4:7]] for each in document["frames"]]


def test_counters_are_read_before_and_after() -> None:
    document = follow("127.0.0.2", "127.0.0.3")
    for moment in ("before", "after"):
        assert document[moment]["commands"] == {"here": "two\n", "nowhere": None}
        assert document[moment]["files"]["/nowhere"] is None
    # What waits in the socket that nobody reads has grown.
    (line,) = document["after"]["files"]["/proc/net/udp"].splitlines()
    assert int(line.split()[4].partition(":")[2], 16) > 0
    assert document["once"] == {"once": "said\n"}
