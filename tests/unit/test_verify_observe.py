"""How the nodes are read: the facts' commands, run by a shell here, and what is asked of which node."""

import json
import os
import subprocess
import sys
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api import Config, FactBase, State

from cluster import Cluster
from facts.batch import BatchFacts, split
from facts.events import TAG, ArrivedEvents, EventCounts, FileEnds, FilePosition, parse_counts
from facts.health import HealthChecks
from facts.heartbeat import FileAge
from facts.ipvs import VirtualServers
from facts.users import User
from facts.vrrp import LoopbackAddresses, VipInterfaces
from remote import commands
from tests.certificates import Authority
from tests.series import answer, load
from tests.unit.clusters import make_cluster
from verification import inspection
from verification.inspection import PATIENCE, SETTLING, inspect
from verification.observe import Observation, observe

ROOT = Path(__file__).parents[2]


def read(fact: FactBase[Any], search: str | None = None, **arguments: Any) -> Any:
    """A fact, read from this machine as pyinfra reads it: a nonzero exit status would fail the host."""
    done = subprocess.run(
        ["/bin/sh", "-c", str(fact.command(**arguments))],
        env={**os.environ, "PATH": search or os.environ["PATH"]},
        input="more\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return fact.process(lines) if lines else fact.default()


def test_the_loopback_interface_does_not_hold_a_vip() -> None:
    """The loopback interface does not count."""
    assert read(VipInterfaces(), vips=["127.0.0.1", "203.0.113.9"]) == {"127.0.0.1": [], "203.0.113.9": []}


def test_the_addresses_on_loopback_are_read() -> None:
    assert "127.0.0.1" in read(LoopbackAddresses())


def test_without_the_program_ip_addresses_are_unknown(tmp_path: Path) -> None:
    assert read(VipInterfaces(), search=str(tmp_path), vips=["127.0.0.1"]) is None
    assert read(LoopbackAddresses(), search=str(tmp_path)) is None


def test_a_files_age_is_read_by_the_machines_own_clock(tmp_path: Path) -> None:
    file = tmp_path / "it's fresh"
    assert read(FileAge(), path=str(file)) is None
    file.touch()
    assert read(FileAge(), path=str(file)) in (0, 1, 2)
    modified = file.stat().st_mtime
    os.utime(file, (modified - 60, modified - 60))
    assert 60 <= read(FileAge(), path=str(file)) <= 62
    os.utime(file, (modified + 60, modified + 60))
    assert -60 <= read(FileAge(), path=str(file)) <= -58


class Words(FactBase[list[str]]):
    """What it is told to print, and whether it sees more on its standard input."""

    default = list

    def command(self, words: list[str]) -> str:
        return f"PATH=/nowhere:$PATH; x=1; printf '%s\\n' {' '.join(words)} $y; cat; exit 3"

    def process(self, output: list[str]) -> list[str]:
        return output


def test_the_facts_of_a_batch_do_not_see_each_other() -> None:
    """Each fact gets its own lines, though one before it has ended their shell."""
    facts = {
        "one": (Words, {"words": ["a", "b"]}),
        "none": (LoopbackAddresses, {}),
        "two": (Words, {"words": ["c"]}),
        "silent": (User, {"user": "nobody-at-all"}),
    }
    seen = read(BatchFacts(), facts=facts)
    assert (seen["one"], seen["two"], seen["silent"]) == (["a", "b"], ["c"], None)
    assert "127.0.0.1" in seen["none"]


def test_the_output_of_a_batch_is_parted_at_its_headings() -> None:
    assert split(["noise", "=== fact a", "x", "", "=== fact b"]) == {"a": ["x", ""], "b": []}


def test_without_ipvsadm_virtual_servers_are_unknown(tmp_path: Path) -> None:
    assert read(VirtualServers(), search=str(tmp_path)) is None


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


# It gives each address its verdict only while the other is asked, too.
CHECK = """\
from __future__ import unicode_literals
import json, os, threading
lock, asked, both = threading.Lock(), [], threading.Event()
def main(arguments):
    option, address, first, second = arguments
    with lock:
        asked.append(address)
        if len(asked) == 2:
            both.set()
    both.wait(10)
    if both.is_set() and option == "--json":
        verdict = {"input": first, "address": address, "state": "up", "message": "in pipeline main"}
        os.write(1, (json.dumps(verdict) + "\\n").encode("ascii"))
    raise ValueError("broke at " + second)
"""


def health(tmp_path: Path, **changes: str) -> Any:
    """The fact with a script that has a verdict on its first input only, for a user that exists."""
    program(tmp_path, "runuser", 'echo "$2" >>"$(dirname "$0")/users"; shift 3; exec "$@"')
    (tmp_path / "check.py").write_text(CHECK)
    arguments = {
        "python": sys.executable,
        "script": str(tmp_path / "check.py"),
        "user": "nobody",
        "reasons": str(tmp_path / "reasons"),
        **changes,
    }
    path = f"{tmp_path}:{os.environ['PATH']}"
    return read(
        HealthChecks(),
        search=path,
        **arguments,
        addresses=["10.0.0.1", "10.0.0.2"],
        inputs=["udp-1", "udp-2"],
    )


def test_the_health_script_runs_once_for_all_addresses_as_its_user(tmp_path: Path) -> None:
    """An input that it has no verdict on is down, for its last words."""
    seen = health(tmp_path)
    assert seen["missing"] is None
    assert sorted(tuple(check.values()) for check in seen["checks"]) == [
        ("10.0.0.1", "udp-1", "up", None, "in pipeline main"),
        ("10.0.0.1", "udp-2", "down", "script_failed", "ValueError: broke at udp-2"),
        ("10.0.0.2", "udp-1", "up", None, "in pipeline main"),
        ("10.0.0.2", "udp-2", "down", "script_failed", "ValueError: broke at udp-2"),
    ]
    assert (tmp_path / "users").read_text().split() == ["nobody"]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"user": "nobody-at-all"}, "user nobody-at-all"),
        ({"script": "/nowhere/check"}, "/nowhere/check"),
        ({"python": "/nowhere/python"}, "/nowhere/python"),
    ],
)
def test_what_the_health_script_lacks_is_named(tmp_path: Path, changes: dict[str, str], missing: str) -> None:
    assert health(tmp_path, **changes) == {"missing": missing, "checks": []}


def line(run: str, port: int, number: int) -> str:
    """An event as Logstash 8 writes it: the text is there twice."""
    text = f"{TAG} {run} {port} {number}"
    return json.dumps({"message": text, "event": {"original": text}, "host": {"ip": "10.77.0.101"}}) + "\n"


def end(*files: Path) -> Any:
    return read(FileEnds(), paths=[str(file) for file in files])


def arrived(positions: dict[str, FilePosition]) -> Any:
    return read(ArrivedEvents(), positions=positions, run="5eed")


def test_only_this_runs_events_count_and_only_new_ones(tmp_path: Path) -> None:
    """Only this run's events count, only after the mark, and each line once."""
    file = tmp_path / "events.json"
    file.write_text(line("5eed", 0, 1) + line("0ld", 0, 2))
    positions = end(file)
    assert positions == {str(file): {"inode": file.stat().st_ino, "size": file.stat().st_size}}
    assert arrived(positions) == []
    with file.open("a") as stream:
        stream.write(line("5eed", 0, 3) + line("0ther", 0, 4) + '{"message": "more"}\n')
        stream.write(line("5eed", 1, 5) + line("5eed", 0, 3) + line("5eed", 0, 6)[:20])
    assert arrived(positions) == [(0, 3), (1, 5), (0, 3)]


def test_the_events_of_several_pipelines_are_read_from_each_file(tmp_path: Path) -> None:
    """Each file is read after its own mark; one that is not there is none."""
    files = [tmp_path / "events.json", tmp_path / "events-it's.json", tmp_path / "none.json"]
    files[0].write_text(line("5eed", 0, 1))
    files[1].write_text(line("5eed", 1, 1) * 2)
    positions = end(*files)
    assert positions[str(files[2])] == {"inode": 0, "size": 0}
    for file in files[:2]:
        with file.open("a") as stream:
            stream.write(line("5eed", 2, 7))
    assert arrived(positions) == [(2, 7), (2, 7)]


def test_a_new_file_is_read_from_its_start(tmp_path: Path) -> None:
    """The output makes the file with its first event."""
    file = tmp_path / "events.json"
    positions = end(file)
    assert arrived(positions) == []
    file.write_text(line("5eed", 0, 1))
    assert arrived(positions) == [(0, 1)]


def test_a_file_that_was_rotated_or_emptied_is_read_from_its_start(tmp_path: Path) -> None:
    """A new file, or one that was emptied, is read from its start."""
    file = tmp_path / "events.json"
    file.write_text(line("0ld", 0, 1) * 3)
    positions = end(file)
    file.rename(tmp_path / "events.json.1")
    file.write_text(line("5eed", 0, 1) * 4)
    assert arrived(positions) == [(0, 1)] * 4
    positions = end(file)
    with file.open("r+") as stream:
        stream.truncate()
        stream.write(line("5eed", 0, 2))
    assert arrived(positions) == [(0, 2)]


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_event_counts_are_those_that_the_health_script_gets(tmp_path: Path, address: str) -> None:
    """A real Logstash's answer, asked for at the node's own address, by the Python that is there."""
    sample = ROOT / "tests" / "samples" / "7.17.29.08-tcp-port-freed.pipelines.200.json"
    program(tmp_path, "python3", f'echo "$@" >{tmp_path}/arguments; cat {sample}')
    asked = {"address": ip_address(address), "script": "/etc/keepalived/check.py"}
    search = f"{tmp_path}:{os.environ['PATH']}"
    assert read(EventCounts(), search=search, **asked) == {"tcp-5514": 0, "udp-5514": 0}
    assert (tmp_path / "arguments").read_text() == f"/etc/keepalived/check.py --stats {address}\n"


def test_without_an_answer_event_counts_are_unknown(tmp_path: Path) -> None:
    program(tmp_path, "python3", "echo it wants TLS, and is asked without; exit 1")
    search = f"{tmp_path}:{os.environ['PATH']}"
    asked = {"address": ip_address("10.0.0.1"), "script": "/etc/keepalived/check.py"}
    assert read(EventCounts(), search=search, **asked) is None


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("start-3-inputs", [set(), {"udp-5514", "tcp-5514", "udp-5515"}]),
        ("crash-one-of-two", [{"main", "p2"}, {"p2"}, {"main", "p2"}]),
    ],
)
def test_an_input_without_events_yet_hides_no_other(name: str, counted: list[set[str]]) -> None:
    """While a pipeline starts, members of a real Logstash's answer are null."""
    polls = [poll for poll in load(name).polls if poll["status"] == 200]
    counts = [parse_counts([answer(poll).decode().partition("\r\n\r\n")[2]]) for poll in polls]
    assert None not in counts
    assert [ids for ids, _ in groupby(set(each or ()) for each in counts)] == counted


class Nodes:
    """A pyinfra state whose hosts answer each fact from `facts`, and keep what they were asked."""

    def __init__(self, **facts: Any) -> None:
        self.facts = {
            "Machine": {"os": {"VERSION_ID": "8.10"}, "root": "yes", "nftables": True},
            "UnitStates": {
                name: {"service": f"{name}'s state", "condition": f"{name}'s condition"}
                for name in ("logstash", "keepalived", "firewalld")
            },
            **facts,
        }
        self.asked: dict[str, dict[str, Any]] = {}
        self.inventory = self
        self.connected = True
        self.data: dict[str, Any] = {}
        self.connector = None
        self.state = self
        self.config = Config()

    def get_host(self, name: str) -> "Nodes":
        return self

    def get_fact(
        self, state: object, host: object, fact: type[FactBase[Any]], *, kwargs: Any, **_: Any
    ) -> Any:
        arguments = {name: value for name, value in kwargs.items() if not name.startswith("_")}
        fact().command(**arguments)  # they must fit
        self.asked[fact.__name__] = kwargs
        if fact is BatchFacts:
            return {
                name: self.facts.get(fact.__name__, fact.__name__)
                for name, (fact, _) in arguments["facts"].items()
            }
        return self.facts.get(fact.__name__, fact.__name__)


def test_certificates_are_read_where_an_input_has_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    tls = {**authority.issue("logs", "10.77.0.10"), "ca": str(authority.ca_file)}
    inputs = [{"id": "a", "port": 5044, "plugin": "beats", "tls": tls}, {"id": "b", "port": 5514}]
    nodes = Nodes()
    monkeypatch.setattr(commands, "get_fact", nodes.get_fact)
    seen = observe(cast(State, nodes), make_cluster(tmp_path, inputs=inputs), {})
    assert vars(seen["stash1"])["certificates"] == "Certificates"
    assert nodes.asked["BatchFacts"]["facts"]["certificates"][1] == {
        "paths": ["/etc/logstash/tls/a.crt", "/etc/logstash/tls/a.ca"]
    }


def test_every_part_of_an_observation_comes_from_its_own_fact(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part of an observation comes from its own fact."""
    nodes = Nodes()
    monkeypatch.setattr(commands, "get_fact", nodes.get_fact)
    seen = observe(cast(State, nodes), cluster, {})
    assert list(seen) == ["stash1", "stash2"]
    assert vars(seen["stash1"]) == {
        "left_out": False,
        "no_sudo": "",
        "unreachable": None,
        "el": 8,
        "own_table": False,
        "services": {
            "logstash": "logstash's state",
            "keepalived": "keepalived's state",
            "firewalld": "firewalld's state",
        },
        "units": {
            name: {"service": f"{name}'s state", "condition": f"{name}'s condition"}
            for name in ("logstash", "keepalived")
        },
        "conditions": {name: f"{name}'s condition" for name in ("logstash", "keepalived", "firewalld")},
        "pipeline_files": "MatchingFiles",
        "heartbeat": "FileAge",
        "peers": "HeardPeers",
        "maintenance": "Maintenance",
        "sysctl": "Sysctl",
        "selinux": "SELinux",
        "firewall": "Firewall",
        "table": None,
        "chains": "OwnChains",
        "record": "Record",
        "others": "Others",
        "health": "HealthChecks",
        "raised": "RaisedVerdicts",
        "virtual_servers": "VirtualServers",
        "held": "VipInterfaces",
        "loopback": "LoopbackAddresses",
        "certificates": None,
        "advert_sockets": "AdvertSockets",
    }
    assert nodes.asked["Machine"]["_sudo"] is False
    assert list(nodes.asked) == ["Machine", "BatchFacts"]
    facts = nodes.asked["BatchFacts"]["facts"]
    assert facts["health"][1]["python"] == "/usr/libexec/platform-python"
    assert facts["health"][1]["addresses"] == ["10.77.0.11", "10.77.0.12"]
    assert facts["firewall"][1] == {"interface": "eth0", "others": [], "sets": []}
    assert facts["chains"][1] == {"families": [4]}
    assert facts["pipeline_files"][1] == {"patterns": ["/etc/logstash/conf.d/*.conf"]}
    assert facts["raised"][1] == {
        "paths": ["/run/keepalived-health/10.77.0.11/udp-5514", "/run/keepalived-health/10.77.0.12/udp-5514"]
    }
    assert facts["heartbeat"][1] == {"path": "/run/keepalived-health/reasons"}
    assert {unit: set(paths) for unit, paths in facts["units"][1]["units"].items()} == {
        "firewalld": set(),
        "logstash-ha-health": {
            "/etc/keepalived/check_logstash_input.py",
            "/etc/keepalived/.check_logstash_input.py.staged",
            "/etc/keepalived/logstash_ha_api.py",
            "/etc/keepalived/.logstash_ha_api.py.staged",
            "/etc/keepalived/logstash_ha_channel.py",
            "/etc/keepalived/.logstash_ha_channel.py.staged",
            "/etc/keepalived/logstash_ha_flags.py",
            "/etc/keepalived/.logstash_ha_flags.py.staged",
            "/etc/keepalived/logstash_ha_links.py",
            "/etc/keepalived/.logstash_ha_links.py.staged",
            "/etc/keepalived/logstash_ha_listeners.py",
            "/etc/keepalived/.logstash_ha_listeners.py.staged",
            "/etc/keepalived/logstash_ha_metrics.py",
            "/etc/keepalived/.logstash_ha_metrics.py.staged",
            "/etc/keepalived/logstash_ha_peers.py",
            "/etc/keepalived/.logstash_ha_peers.py.staged",
            "/etc/keepalived/logstash_ha_slow_start.py",
            "/etc/keepalived/.logstash_ha_slow_start.py.staged",
            "/etc/keepalived/logstash_ha_health.py",
            "/etc/keepalived/.logstash_ha_health.py.staged",
            "/etc/keepalived/logstash_ha_health.json",
            "/etc/keepalived/.logstash_ha_health.json.staged",
            "/etc/systemd/system/logstash-ha-health.service",
            "/etc/systemd/system/.logstash-ha-health.service.staged",
            "/etc/keepalived/logstash_ha_reload.py",
            "/etc/keepalived/.logstash_ha_reload.py.staged",
            "/etc/systemd/system/logstash-ha-reload.path",
            "/etc/systemd/system/.logstash-ha-reload.path.staged",
            "/etc/systemd/system/logstash-ha-reload.service",
            "/etc/systemd/system/.logstash-ha-reload.service.staged",
        },
        "logstash-ha-leave": {
            "/etc/systemd/system/logstash-ha-leave.service",
            "/etc/systemd/system/.logstash-ha-leave.service.staged",
        },
        "logstash": {
            "/etc/logstash/logstash.yml",
            "/etc/logstash/.logstash.yml.staged",
            "/etc/logstash/conf.d/logstash-ha.conf",
            "/etc/logstash/conf.d/.logstash-ha.conf.staged",
            "/etc/systemd/system/logstash.service.d/logstash-ha.conf",
            "/etc/systemd/system/logstash.service.d/.logstash-ha.conf.staged",
        },
        "keepalived": {"/etc/keepalived/keepalived.conf", "/etc/keepalived/.keepalived.conf.staged"},
        "logstash-ha-firewall": {
            "/etc/systemd/system/logstash-ha-firewall.service",
            "/etc/systemd/system/.logstash-ha-firewall.service.staged",
        },
    }
    assert all(kwargs["_timeout"] <= 90 for kwargs in nodes.asked.values())


def test_what_a_cluster_does_not_use_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ids for an input of both protocols; no firewalld, no question."""
    nodes = Nodes()
    monkeypatch.setattr(commands, "get_fact", nodes.get_fact)
    both = {"id": "a", "port": 5514, "protocol": "both"}
    observe(cast(State, nodes), make_cluster(tmp_path, inputs=[both]), {})
    assert nodes.asked["BatchFacts"]["facts"]["health"][1]["inputs"] == ["a-udp", "a-tcp"]
    # TCP has its source translated.
    assert nodes.asked["BatchFacts"]["facts"]["table"][1] == {"table": "logstash_ha", "families": ["ip"]}
    assert "logstash-ha-nftables" in nodes.asked["BatchFacts"]["facts"]["units"][1]["units"]
    cluster = make_cluster(tmp_path, firewall="none", inputs=[{**both, "forwarding": "dr"}])
    observe(cast(State, nodes), cluster, {})
    facts = nodes.asked["BatchFacts"]["facts"]
    assert not {"firewall", "table", "chains"} & set(facts)
    assert set(facts["units"][1]["units"]) == {
        "logstash-ha-vip",
        "logstash-ha-health",
        "logstash",
        "logstash-ha-leave",
        "keepalived",
    }
    assert facts["units"][1]["units"]["logstash-ha-vip"]


def test_without_sudo_nothing_is_read_as_root(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked as root: pyinfra would ask the user for a password."""
    machine = {"os": {}, "root": "sudo: a password is required"}
    nodes = Nodes(Machine=machine)
    monkeypatch.setattr(commands, "get_fact", nodes.get_fact)
    seen = observe(cast(State, nodes), cluster, {})
    assert seen["stash1"].unreachable == "no sudo (sudo: a password is required)"
    assert list(nodes.asked) == ["Machine"]


def test_an_unknown_system_has_no_health_script_and_no_units(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no health script, and no files of the deploy's."""
    nodes = Nodes(Machine={"os": {"VERSION_ID": "12"}, "root": "yes"})
    monkeypatch.setattr(commands, "get_fact", nodes.get_fact)
    seen = observe(cast(State, nodes), cluster, {})["stash1"]
    assert (seen.el, seen.health, seen.units) == (None, None, None)
    assert list(seen.services or {}) == ["logstash", "keepalived", "firewalld"]


def test_a_machine_is_read_once_in_a_run_unless_something_is_wrong_with_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where sudo asks for a password, the next look asks again, since somebody may have changed that."""
    nodes = Nodes(Machine={"os": {}, "root": "sudo: a password is required"})
    monkeypatch.setattr(commands, "get_fact", nodes.get_fact)
    observe(cast(State, nodes), cluster, {})
    nodes.facts["Machine"] = {"os": {"VERSION_ID": "9.6"}, "root": "yes", "nftables": True}
    assert observe(cast(State, nodes), cluster, {})["stash1"].el == 9
    nodes.asked.clear()
    assert observe(cast(State, nodes), cluster, {})["stash1"].el == 9
    assert list(nodes.asked) == ["BatchFacts"]


def test_health_checks_that_take_too_long_leave_the_rest(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes()
    monkeypatch.setattr(
        commands,
        "get_fact",
        lambda *args, kwargs, **more: (
            None if "health" in kwargs.get("facts", {}) else nodes.get_fact(*args, kwargs=kwargs, **more)
        ),
    )
    seen = observe(cast(State, nodes), cluster, {})["stash1"]
    assert (seen.health, str(seen.sysctl)) == (None, "Sysctl")


def test_an_unreachable_node_is_observed_with_the_reason(cluster: Cluster) -> None:
    nodes = Nodes()
    nodes.connected = False
    seen = observe(cast(State, nodes), cluster, {"stash1": "timed out"})
    assert [observation.unreachable for observation in seen.values()] == ["timed out", "no connection by ssh"]


def test_a_node_that_is_left_out_is_not_asked(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes()
    monkeypatch.setattr(commands, "get_fact", nodes.get_fact)
    seen = observe(cast(State, nodes), cluster, {}, ["stash1", "stash2"])
    assert nodes.asked == {}
    assert set(seen.values()) == {Observation(left_out=True)}


class Time:
    """A clock that sleeping moves, and what a cluster is found to be as it goes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settled: float, look: float = 0) -> None:
        self.now, self.settled = 0.0, settled
        monkeypatch.setattr(inspection, "time", self)
        monkeypatch.setattr(inspection, "observe", lambda *_: self.sleep(look))
        monkeypatch.setattr(inspection, "judge", lambda *_: self.report())

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def report(self) -> SimpleNamespace:
        return SimpleNamespace(may_settle=self.now < self.settled)


def test_a_cluster_is_not_waited_for_longer_than_asked(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """verify.py answers within 10 s; what a deploy has changed gets longer."""
    time = Time(monkeypatch, settled=1000)
    inspect(cast(State, None), cluster, {}, settling=PATIENCE)
    assert time.now == PATIENCE + 1


@pytest.mark.parametrize(("look", "end"), [(0.5, 5), (1, 5), (1.5, 4), (3, 3), (20, 20)])
def test_no_look_is_begun_that_would_end_too_late(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, look: float, end: float
) -> None:
    """A busy machine takes long to look at; `PATIENCE` is exceeded by the pause between two looks at most."""
    time = Time(monkeypatch, settled=1000, look=look)
    inspect(cast(State, None), cluster, {}, settling=PATIENCE)
    assert time.now == end


@pytest.mark.parametrize(("settled", "end"), [(0, 0), (4, 4), (1000, SETTLING + 1)])
def test_a_cluster_is_inspected_again_until_it_has_settled(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, settled: float, end: float
) -> None:
    """It looks again until a report can't settle any more, or the time is over."""
    time = Time(monkeypatch, settled)
    report = inspect(cast(State, None), cluster, {})
    assert time.now == end
    assert report.may_settle is (settled > end)
