"""A real Logstash's answers over time (`tests/samples/series`), and the health service's judgement of them.

The service's own code runs, on a clock of the test's: only the clock, the API's answer, the kernel's list of sockets and the
probes of ports are those of the recording. So nothing waits, and each run gives the same verdicts.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from bisect import bisect_right
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1] / "files"))

import logstash_ha_health as service  # type: ignore[import-not-found]
import logstash_ha_listeners as listeners  # type: ignore[import-not-found]

script: Any = service.script
FOLDER = Path(__file__).with_name("samples") / "series"
NODE, OTHER = "192.0.2.11", "192.0.2.12"
"""The node that was recorded, and one where all is well: without it, the last input would stay in the pool."""
INTERVAL, TIMEOUT, LOOK = 0.5, 2.0, 0.1
"""Seconds between two polls, for an answer, and between two looks at the kernel's list of sockets."""
VERSION = "8.19.18"


@dataclass(frozen=True)
class Series:
    """A recording: its polls in the order of time, as `tests/samples/series/README.md` explains them."""

    name: str
    polls: list[dict[str, Any]]
    marks: list[tuple[float, str]]
    """What was done, and when."""

    def at(self, seconds: float) -> dict[str, Any]:
        """The poll that was the last one at this time."""
        return self.polls[max(0, bisect_right(self.polls, seconds, key=lambda poll: float(poll["t"])) - 1)]

    def open(self, protocol: str, port: int, seconds: float) -> bool:
        """Whether something listened at this port then."""
        return bool(self.at(seconds)[protocol][str(port)] in ("silent", "ok"))


def load(name: str) -> Series:
    """The recording of this name."""
    lines = gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()).splitlines()
    entries = sorted((json.loads(line) for line in lines), key=lambda entry: float(entry["t"]))
    marks = [(entry["t"], entry["mark"]) for entry in entries if "mark" in entry]
    return Series(name, [entry for entry in entries if "status" in entry], marks)


def answer(poll: dict[str, Any]) -> bytes:
    """The HTTP answer of a poll, with the members that were recorded."""
    pipelines = {name: _pipeline(recorded) for name, recorded in poll["pipelines"].items()}
    body = json.dumps({"version": VERSION, "status": poll["top"], "pipelines": pipelines}).encode()
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%s" % (poll["status"], len(body), body)


def _pipeline(recorded: dict[str, Any]) -> dict[str, Any]:
    inputs = []
    for id, name, out, *errors in recorded["inputs"]:
        plugin = {"id": id, "name": name, "events": None if out is None else {"out": out}}
        inputs.append(plugin | ({"errors": errors[0]} if errors else {}))
    members = {key: recorded[key] for key in ("events", "flow", "queue", "reloads") if key in recorded}
    return members | {"plugins": {"inputs": inputs}} | ({"hash": "0"} if recorded["hash"] else {})


@dataclass(frozen=True)
class Turn:
    """A change of the verdict on an input."""

    seconds: float
    state: str
    """`up`, `down` or `slow`."""
    reason: str | None
    """Of a verdict that is not `up`."""


@dataclass
class Verdicts:
    """What the service made of a series."""

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    """By input id; the first turn is the verdict that it began with."""
    journal: list[str] = field(default_factory=list)
    changes: int = 0
    """How often the `reasons` file was written."""


class _OverError(Exception):
    """The recording ends here."""


class _Wait:
    """In place of the event on which a poller waits: the time passes at once."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.raised = False

    def clear(self) -> None:
        self.raised = False

    def set(self) -> None:
        self.raised = True

    def wait(self, seconds: float) -> bool:
        self.replay.record()
        self.replay.wait(seconds, lambda: self.raised)
        return self.raised


class Replay:
    """The service on the recorded node itself or, without `own`, on one that hears nothing of that node's service."""

    def __init__(
        self, series: Series, inputs: dict[str, tuple[str, int]], *, own: bool, up: bool, reason: str = ""
    ) -> None:
        """`up` is the verdict that the service begins with, and `reason` what its `reasons` file says then."""
        self.series = series
        self.inputs = inputs
        self.own = own
        self.up = up
        self.reason = reason
        self.now = series.polls[0]["t"]
        self.result = Verdicts()
        self._ports: Any = None
        self._requests: dict[bytes, tuple[str, int]] = {}

    def run(self) -> Verdicts:
        """The verdicts from the recording's begin to its end."""
        replay = self

        class Probe:
            """In place of a probe of a port."""

            certain = False

            def __init__(self, ip: str, protocol: str, port: int) -> None:
                self.target = (protocol, port)

            def start(self) -> None:
                """The answer is in the recording."""

            def refused(self) -> bool:
                return not replay.series.open(*self.target, replay.now)

        with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            for module, name, instead in (
                (script, "clock", lambda: self.now),
                (script, "PortProbe", Probe),
                (script, "request_stats", self._request_stats),
                (script, "print_line", lambda line, to=1: self.result.journal.append(line)),
                (listeners.Kernel, "find", lambda kernel, request: self._find(request)),
                (listeners.Listener, "in_table", lambda listener: self._find(listener.request)),
                (script, "check_drained", lambda ip: None),
            ):
                stack.enter_context(patch.object(module, name, instead))
            poller = self._poller(Path(folder))
            try:
                poller.run()
            except _OverError:
                return self.result
        raise AssertionError("the poller has ended by itself")

    def _poller(self, folder: Path) -> Any:
        nodes: dict[str, dict[str, Any]] = {}
        for address in (NODE, OTHER):
            nodes[address] = {}
            for id, (protocol, port) in self.inputs.items():
                file = folder / f"{address} {id}"
                file.write_text("" if self.up or address == OTHER else "1\n")
                sockets = [{"protocol": protocol, "port": port, "probe": True}]
                nodes[address][id] = {"sockets": sockets, "verdict": str(file)}
                nodes[address][id] |= {"reduction": None, "weight": 1, "holds": 26214}
        listed = [
            {"input": id, "address": NODE, "state": "down", "reason": self.reason, "message": "as before"}
            for id in self.inputs
            if self.reason
        ]
        (folder / "reasons").write_text("".join(f"{json.dumps(verdict)}\n" for verdict in listed))
        reasons = service.ReasonsFile(str(folder / "reasons"))
        write = reasons._write

        def count_and_write() -> None:
            self.result.changes += 1
            write()

        reasons._write = count_and_write
        settings = {
            "interval": INTERVAL,
            "timeout": TIMEOUT,
            "own": NODE if self.own else OTHER,
            "nodes": nodes,
        }
        verdicts = service.Verdicts(reasons, service.slow_start.Cold(1000, 12))
        access = service.api.AccessFiles("", "")
        poller, _ = (service.NodePoller(settings, address, verdicts, access, None) for address in nodes)
        poller.due = _Wait(self)
        self.states = poller.states
        if self.own:
            self._ports = service.peers.OwnPorts(NODE, nodes[NODE], poller)
            self._requests = {
                listener.request: self.inputs[id]
                for id, of_input in self._ports.listeners.items()
                for listener in of_input
            }
        return poller

    def _request_stats(self, ip: str, timeout: float, access: Any) -> bytes:
        poll = self.series.at(self.now)
        if poll["status"] is not None:
            self.wait(poll["ms"] / 1000)
            return answer(poll)
        if poll["why"] == "refused":
            raise script.DefinitelyDown("refused", "connection refused")
        self.wait(timeout)
        raise script.Down("hung", "no whole answer")

    def _find(self, request: bytes) -> bool:
        return self.series.open(*self._requests[request], self.now)

    def wait(self, seconds: float, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Lets so much time pass, in which the kernel's list of sockets is looked at again and again."""
        end = self.now + seconds
        while self.now < end and not interrupted():
            self.now = min(self.now + LOOK, end)
            if self._ports is not None:
                self._ports.look()
            self.record()
            if self.now > self.series.polls[-1]["t"]:
                raise _OverError

    def record(self) -> None:
        """Takes down what has changed."""
        for id, state in self.states.items():
            now = "down" if not state.up else "slow" if state.slowness.slow else "up"
            turns = self.result.turns.setdefault(id, [])
            if not turns or turns[-1].state != now:
                reason = state.listed["reason"] if state.listed else None
                turns.append(Turn(round(self.now, 2), now, reason))
