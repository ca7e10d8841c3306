"""How the nodes are read: the facts' commands, run by a shell here, and what is asked of which node."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api import FactBase, State

from cluster import Cluster
from facts.events import TAG, Arrived, End, Mark
from facts.health import Health
from facts.ipvs import VirtualServers
from facts.vrrp import Interfaces
from tests.unit.clusters import make_cluster
from verification import observe as module
from verification.observe import SETTLING, inspect, observe


def read(fact: FactBase[Any], search: str | None = None, **arguments: Any) -> Any:
    """A fact, read from this machine as pyinfra reads it: a nonzero exit status would fail the host."""
    done = subprocess.run(
        ["/bin/sh", "-c", str(fact.command(**arguments))],
        env={**os.environ, "PATH": search or os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return fact.process(lines) if lines else fact.default()


def test_interfaces() -> None:
    assert read(Interfaces(), vip="127.0.0.1") == ["lo"]
    assert read(Interfaces(), vip="203.0.113.9") == []


def test_interfaces_without_ip(tmp_path: Path) -> None:
    assert read(Interfaces(), search=str(tmp_path), vip="127.0.0.1") is None


def test_virtual_servers_without_ipvsadm(tmp_path: Path) -> None:
    assert read(VirtualServers(), search=str(tmp_path)) is None


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def health(tmp_path: Path, **changes: str) -> Any:
    """The fact with a script that says its arguments, for a user that exists."""
    program(tmp_path, "runuser", 'echo "$2" >>"$(dirname "$0")/users"; shift 3; exec "$@"')
    script = 'echo first; echo "$1 and $2"; test "$2" = udp-1'
    arguments = {
        "python": "/bin/sh",
        "script": program(tmp_path, "check", script),
        "user": "nobody",
        **changes,
    }
    path = f"{tmp_path}:{os.environ['PATH']}"
    return read(
        Health(), search=path, **arguments, addresses=["10.0.0.1", "10.0.0.2"], inputs=["udp-1", "udp-2"]
    )


def test_health(tmp_path: Path) -> None:
    """Each input at each address, as the user, with its exit status and its last line."""
    seen = health(tmp_path)
    assert seen["missing"] is None
    assert sorted(
        (each["address"], each["input"], each["status"], each["message"]) for each in seen["checks"]
    ) == [
        ("10.0.0.1", "udp-1", 0, "10.0.0.1 and udp-1"),
        ("10.0.0.1", "udp-2", 1, "10.0.0.1 and udp-2"),
        ("10.0.0.2", "udp-1", 0, "10.0.0.2 and udp-1"),
        ("10.0.0.2", "udp-2", 1, "10.0.0.2 and udp-2"),
    ]
    assert (tmp_path / "users").read_text().split() == ["nobody"] * 4


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"user": "nobody-at-all"}, "user nobody-at-all"),
        ({"script": "/nowhere/check"}, "/nowhere/check"),
        ({"python": "/nowhere/python"}, "/nowhere/python"),
    ],
)
def test_health_without_what_it_needs(tmp_path: Path, changes: dict[str, str], missing: str) -> None:
    assert health(tmp_path, **changes) == {"missing": missing, "checks": []}


def line(run: str, port: int, number: int) -> str:
    """An event as Logstash 8 writes it: the text is there twice."""
    text = f"{TAG} {run} {port} {number}"
    return json.dumps({"message": text, "event": {"original": text}, "host": {"ip": "10.77.0.101"}}) + "\n"


def arrived(file: Path, mark: Mark) -> Any:
    return read(Arrived(), path=str(file), mark=mark, run="5eed")


def test_events(tmp_path: Path) -> None:
    """Only this run's events count, only after the mark, and each line once."""
    file = tmp_path / "events.json"
    file.write_text(line("5eed", 5514, 1) + line("0ld", 5514, 2))
    mark = read(End(), path=str(file))
    assert mark["size"] == file.stat().st_size
    assert arrived(file, mark) == []
    with file.open("a") as stream:
        stream.write(line("5eed", 5514, 3) + line("0ther", 5514, 4) + '{"message": "more"}\n')
        stream.write(line("5eed", 5515, 5) + line("5eed", 5514, 3) + line("5eed", 5514, 6)[:20])
    assert arrived(file, mark) == [(5514, 3), (5515, 5), (5514, 3)]


def test_events_in_a_new_file(tmp_path: Path) -> None:
    """The output makes the file with its first event."""
    file = tmp_path / "events.json"
    mark = read(End(), path=str(file))
    assert mark == {"inode": 0, "size": 0}
    assert arrived(file, mark) == []
    file.write_text(line("5eed", 5514, 1))
    assert arrived(file, mark) == [(5514, 1)]


def test_events_after_a_rotation(tmp_path: Path) -> None:
    """A new file, or one that was emptied, is read from its start."""
    file = tmp_path / "events.json"
    file.write_text(line("0ld", 5514, 1) * 3)
    mark = read(End(), path=str(file))
    file.rename(tmp_path / "events.json.1")
    file.write_text(line("5eed", 5514, 1) * 4)
    assert arrived(file, mark) == [(5514, 1)] * 4
    mark = read(End(), path=str(file))
    with file.open("r+") as stream:
        stream.truncate()
        stream.write(line("5eed", 5514, 2))
    assert arrived(file, mark) == [(5514, 2)]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


class Nodes:
    """A pyinfra state whose hosts answer each fact from `facts`, and keep what they were asked."""

    def __init__(self, **facts: Any) -> None:
        self.facts = {
            "Machine": {"os": {"VERSION_ID": "8.10"}, "root": "yes", "interfaces": {}, "firewalld": "active"},
            "Health": {"missing": None, "checks": []},
            **facts,
        }
        self.asked: dict[str, dict[str, Any]] = {}
        self.inventory = self
        self.connected = True
        self.data: dict[str, Any] = {}
        self.connector = None
        self.state = self

    def get_host(self, name: str) -> "Nodes":
        return self

    def get_fact(
        self, state: object, host: object, fact: type[FactBase[Any]], *, kwargs: Any, **_: Any
    ) -> Any:
        arguments = {name: value for name, value in kwargs.items() if not name.startswith("_")}
        fact().command(**arguments)  # they must fit
        self.asked[fact.__name__] = kwargs
        return self.facts.get(fact.__name__, fact.__name__)


def test_observe(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part of an observation comes from its own fact."""
    nodes = Nodes()
    monkeypatch.setattr(module, "get_fact", nodes.get_fact)
    seen = observe(cast(State, nodes), cluster, {})
    assert list(seen) == ["stash1", "stash2"]
    assert vars(seen["stash1"]) == {
        "unreachable": None,
        "services": "Services",
        "sysctl": "Sysctl",
        "selinux": "Boolean",
        "firewall": "RichRules",
        "health": nodes.facts["Health"],
        "virtual_servers": "VirtualServers",
        "interfaces": "Interfaces",
    }
    assert nodes.asked["Health"]["python"] == "/usr/libexec/platform-python"
    assert nodes.asked["Health"]["addresses"] == ["10.77.0.11", "10.77.0.12"]
    assert nodes.asked["Machine"]["_sudo"] is False
    assert all(kwargs["_timeout"] <= 60 for kwargs in nodes.asked.values())


def test_observe_without_sudo(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked as root: pyinfra would ask the user for a password."""
    machine = {"os": {}, "root": "sudo: a password is required", "interfaces": {}, "firewalld": ""}
    nodes = Nodes(Machine=machine)
    monkeypatch.setattr(module, "get_fact", nodes.get_fact)
    seen = observe(cast(State, nodes), cluster, {})
    assert seen["stash1"].unreachable == "no sudo (sudo: a password is required)"
    assert list(nodes.asked) == ["Machine"]


def test_observe_an_unknown_system(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(Machine={"os": {"VERSION_ID": "12"}, "root": "yes", "interfaces": {}, "firewalld": ""})
    monkeypatch.setattr(module, "get_fact", nodes.get_fact)
    assert observe(cast(State, nodes), cluster, {})["stash1"].health is None


def test_observe_an_unreachable_node(cluster: Cluster) -> None:
    nodes = Nodes()
    nodes.connected = False
    seen = observe(cast(State, nodes), cluster, {"stash1": "timed out"})
    assert [each.unreachable for each in seen.values()] == ["timed out", "no connection by ssh"]


class Time:
    """A clock that sleeping moves, and what a cluster is found to be as it goes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settled: float) -> None:
        self.now, self.settled = 0.0, settled
        monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(module, "observe", lambda *_: {})
        monkeypatch.setattr(module, "judge", lambda *_: self.report())

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def report(self) -> SimpleNamespace:
        return SimpleNamespace(may_settle=self.now < self.settled)


@pytest.mark.parametrize(("settled", "end"), [(0, 0), (4, 4), (1000, SETTLING + 1)])
def test_inspect_gives_keepalived_its_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, settled: float, end: float
) -> None:
    """It looks again until a report can't settle any more, or the time is over."""
    time = Time(monkeypatch, settled)
    report = inspect(cast(State, None), cluster, {})
    assert time.now == end
    assert report.may_settle is (settled > end)
