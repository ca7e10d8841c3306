"""Drills without a cluster: what they count, what they do to a node and undo, and what they tell."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gevent
import gevent.event
import pytest
from pyinfra.api import Host

import drills.run
from cluster import ClusterError
from drills import command
from drills.catalogue import DRILLS, STOP, Drill, find, needs, script
from drills.result import Loss, count
from drills.run import Outcome, Plan, heal_bound
from remote import lock
from tests.unit.clusters import make_cluster
from tests.unit.machine import SHELLS
from tests.until import until
from verification.delivery import choose_targets
from verification.events import Sent, Target
from verification.report import Problem, Report, Status

LOSS = Loss(
    sent=4, received={"stash1": 2, "stash2": 2}, lost=0, duplicated=0, reordered=0, gap=0, span=0, last=0
)


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ({"a": [1, 3, 5], "b": [2, 4, 6]}, (0, 0, 0, 0, 0, 0)),
        ({"a": [1, 3, 5], "b": [2]}, (2, 0, 0, 10, 30, 50)),
        ({"a": [1], "b": [5, 6]}, (3, 0, 0, 30, 30, 30)),
        ({"a": [1, 2, 3], "b": [3, 4, 5, 6]}, (0, 1, 0, 0, 0, 0)),
        ({"a": [3, 1, 2], "b": [4, 6, 5]}, (0, 0, 3, 0, 0, 0)),
        ({"a": [], "b": []}, (6, 0, 0, 60, 60, 50)),
    ],
    ids=["all", "a node silent", "all silent", "twice", "out of order", "none"],
)
def test_what_is_counted(arrived: dict[str, list[int]], expected: tuple[float, ...]) -> None:
    """Six events, a hundred a second: one is 10 ms."""
    loss = count(6, 100, arrived)
    assert (loss.lost, loss.duplicated, loss.reordered, loss.gap, loss.span, loss.last) == expected
    assert loss.received == {name: len(numbers) for name, numbers in arrived.items()}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder of programs that note what they are asked for in `log`; systemd-run really runs it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "pkill", "ip", "firewall-cmd", "date", "df", "fallocate", "rm", "nmcli"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/log\necho 0\n')
    (programs / "systemd-run").write_text(
        '#!/bin/sh\nwhile case $1 in --*) ;; *) false ;; esac; do shift; done\nexec "$@"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    return tmp_path


def started(node: Path, drill: Drill, shell: str) -> "subprocess.Popen[bytes]":
    cluster = make_cluster(node)
    text = script(drill, cluster, cluster.nodes[0], 9).replace("/bin/sh", shell)
    text = text.replace("systemd-run", "exec systemd-run")
    return subprocess.Popen(
        (shell, "-c", text),
        env={"PATH": f"{node}/bin:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


UNDONE = [drill for drill in DRILLS if drill.undo and drill.name != "port-stolen"]


def log(node: Path) -> list[str]:
    """What was asked for, but for what starts the unit."""
    path = node / "log"
    return (
        [line for line in path.read_text().splitlines() if "reset-failed" not in line]
        if path.exists()
        else []
    )


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("drill", UNDONE, ids=[drill.name for drill in UNDONE])
def test_it_is_undone_by_itself(node: Path, drill: Drill, shell: str) -> None:
    process = started(node, replace(drill, lasts=0), shell)
    assert process.wait(30) == 0
    lines = log(node)
    assert len(lines) >= 2
    last = {"logstash-slow": "systemctl", "link-down": "rm"}.get(drill.name, drill.undo.split()[0])
    assert lines[-1].split()[0] == last


def test_a_port_is_taken_before_logstash_starts(node: Path) -> None:
    """The program that takes it may be slow: Logstash starts when the port is seen to be taken, and not after a time."""
    (node / "bin/ss").write_text(
        f"#!/bin/sh\necho ss >>{node}/log\n[ $(grep -c ss {node}/log) -lt 4 ] || echo 'UNCONN 0 0 10.77.0.11:5514 *'\n"
    )
    (node / "bin/ss").chmod(0o755)
    thief = find("port-stolen").do.replace("{python} -c {thief}", "sleep 100")
    process = started(node, replace(find("port-stolen"), do=thief, lasts=0, until_seen=False), "sh")
    assert process.wait(30) == 0
    assert log(node) == ["systemctl stop logstash", "ss", "ss", "ss", "ss", "systemctl start logstash"]


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_undone_when_it_is_stopped(node: Path, shell: str) -> None:
    """By `systemctl stop`, which is SIGTERM."""
    process = started(node, find("logstash-hung"), shell)
    until(lambda: "systemctl kill -s STOP logstash" in log(node), 10, "Logstash stopped by the drill")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert log(node) == ["systemctl kill -s STOP logstash", "systemctl kill -s CONT logstash"]


def test_what_undoes_it_is_not_ended_with_it(tmp_path: Path) -> None:
    """As it would be where systemd signals all processes of the unit: also those that begin meanwhile."""
    cluster = make_cluster(tmp_path)
    for drill in DRILLS:
        assert " --property=KillMode=mixed " in script(drill, cluster, cluster.nodes[0], 7), drill.name


def test_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    for drill in DRILLS:
        text = script(drill, cluster, cluster.nodes[0], 7)
        for filled in (text, needs(drill, cluster, cluster.nodes[0], 7)):
            assert not re.search(r"\{(interface|python|thief|port)?\}", filled), drill.name
            assert subprocess.run(("sh", "-n", "-c", filled), check=False).returncode == 0


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("path", "connection", "error"),
    [
        ("virtual/net/eth0", "8ff4", ""),
        ("virtual/net/eth0", "", "NetworkManager does not manage its eth0"),
        ("pci0000:00/net/eth0", "8ff4", "its eth0 is not a VLAN, bond or bridge: only its driver could make it anew"),
    ],
)  # fmt: skip
def test_only_an_interface_that_can_be_made_anew_is(
    node: Path, shell: str, path: str, connection: str, error: str
) -> None:
    (node / "bin/readlink").write_text(f"#!/bin/sh\necho /sys/devices/{path}\n")
    (node / "bin/readlink").chmod(0o755)
    (node / "bin/nmcli").write_text(f"#!/bin/sh\necho {connection}\n")
    cluster = make_cluster(node)
    command = needs(find("interface-made-anew"), cluster, cluster.nodes[0], 9)
    done = subprocess.run(
        (shell, "-c", command),
        env={"PATH": f"{node}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0, done.stderr.strip()) == (bool(error), error)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_connection_that_is_taken_down_is_the_one_that_comes_back(node: Path, shell: str) -> None:
    """Its interface is gone by then, and could not be asked any more."""
    (node / "bin/nmcli").write_text(f'#!/bin/sh\necho "nmcli $*" >>{node}/log\n[ $1 != -g ] || echo 8ff4\n')
    process = started(node, replace(find("interface-made-anew"), lasts=0), shell)
    assert process.wait(30) == 0
    assert log(node) == [
        "nmcli -g GENERAL.CON-UUID device show eth0",
        "nmcli --wait 30 connection down 8ff4",
        "nmcli --wait 60 connection up 8ff4",
    ]


def test_an_unknown_drill() -> None:
    with pytest.raises(ClusterError, match="drill: 'fire' is none; choose from logstash-killed, "):
        find("fire")


HUNG = Problem(
    Status.WRONG, "health", "stash1", "udp is down: no whole answer within 3 s", "look there", "hung"
)
STOPPED = Problem(Status.WRONG, "keepalived", "stash1", "keepalived does not run", "start it")


@pytest.mark.parametrize(
    ("drill", "changes", "fault"),
    [
        ("logstash-killed", {"loss": replace(LOSS, lost=9)}, None),
        ("keepalived-killed", {"loss": replace(LOSS, lost=9)}, "9 events are lost, and none should be"),
        ("keepalived-killed", {"loss": replace(LOSS, duplicated=1)}, "1 events came twice"),
        ("logstash-killed", {"healed": None}, "the cluster is not whole 240 s later: run verify.py"),
        (
            "logstash-killed",
            {"healed": None, "bound": 660},
            "the cluster is not whole 660 s later: run verify.py",
        ),
        ("logstash-hung", {"seen": (HUNG,)}, None),
        ("link-down", {"loss": replace(LOSS, lost=9, last=7990.0)}, None),
        (
            "link-down",
            {"loss": replace(LOSS, lost=9, last=9400.0), "begun": 4.5},
            None,
        ),  # the node took its time
        (
            "link-down",
            {"loss": replace(LOSS, lost=9, last=13500.0)},
            "an event is lost 10.5 s after its start, and none should be after 5 s",
        ),
        ("keepalived-parent-killed", {"loss": replace(LOSS, lost=103, last=3200.0)}, None),
        (
            "keepalived-parent-killed",
            {"loss": replace(LOSS, lost=103, last=8100.0)},
            "an event is lost 5.1 s after its start, and none should be after 5 s",
        ),
        ("logstash-killed", {"loss": replace(LOSS, lost=9, last=13500.0)}, None),
        ("logstash-hung", {"seen": (STOPPED,)}, "verify.py did not report the reason 'hung'"),
    ],
)
def test_what_was_not_expected(drill: str, changes: dict[str, object], fault: str | None) -> None:
    outcome = Outcome(find(drill), "stash1", LOSS, (), 1.0)
    assert replace(outcome, **changes).faults == ([fault] if fault else [])  # type: ignore[arg-type]


def test_the_result_in_json() -> None:
    outcome = Outcome(find("rebooted"), "stash1", LOSS, (STOPPED, HUNG), 1.5)
    document = json.loads(json.dumps(command.document(outcome)))
    assert document["version"] == 1
    assert {key: document[key] for key in ("ok", "drill", "node", "seen", "reasons", "healed", "faults")} == {
        "ok": True,
        "drill": "rebooted",
        "node": "stash1",
        "seen": ["keepalived does not run", "udp is down: no whole answer within 3 s"],
        "reasons": ["hung"],
        "healed": 1.5,
        "faults": [],
    }
    assert document["loss"]["received"] == {"stash1": 2, "stash2": 2}


def test_without_a_name_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    shown = capsys.readouterr().out
    assert all(drill.name in shown for drill in DRILLS)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["fire"], "drill: 'fire' is none"),
        (["rebooted", "--rate", "0"], "--rate: 0 is out of range; choose 1 to 1000 events a second"),
        (["rebooted", "--inventory", "none.py"], "--inventory: none.py is not a file"),
    ],
)
def test_bad_arguments(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([*arguments, "--yes"]) == 2
    assert capsys.readouterr().err.startswith(f"verify: {error}")


def test_json_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["rebooted", "--json"])
    assert "give --yes" in capsys.readouterr().err


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[float, list[str]]]:
    """Watches a drill on a clock of its own until `reason` is reported at the second `at`: when it ends, and the commands."""

    def watch(drill: str, reason: str, at: float, **settings: Any) -> tuple[float, list[str]]:
        cluster = make_cluster(tmp_path, **settings)
        now, commands = [0.0], list[str]()

        def sleep(seconds: float) -> None:
            now[0] += seconds

        def inspect(file: str) -> Report:
            sleep(2)
            problems = (replace(HUNG, reason=reason),) if now[0] >= at else (STOPPED,)
            return cast(Report, SimpleNamespace(problems=problems))

        monkeypatch.setattr(drills.run, "time", SimpleNamespace(monotonic=lambda: now[0]))
        monkeypatch.setattr(gevent, "sleep", sleep)
        monkeypatch.setattr(drills.run, "_inspect", inspect)
        monkeypatch.setattr(drills.run, "_run", lambda host, command: commands.append(command))
        target = choose_targets(cluster, 1)[0]
        node = cluster.nodes[0]
        plan = Plan("inventory.py", find(drill), cluster, node, "MASTER", 9, target, "sender", 100)
        seen = drills.run._watch(plan, cast(Host, None), 0.0)
        assert (reason in {problem.reason for problem in seen}) == (now[0] >= at)
        return now[0], commands

    return watch


@pytest.mark.parametrize(("at", "end"), [(10, 10), (50, 50), (170, 170)])
def test_a_stolen_port_is_given_back_once_it_is_reported_however_long_logstash_takes_to_start(
    watched: Callable[..., tuple[float, list[str]]], at: float, end: float
) -> None:
    """A stand-in takes seconds, a JVM a minute or more."""
    assert watched("port-stolen", "bind_failed", at) == (end, [STOP])


def test_a_drill_ends_by_itself_in_the_end(watched: Callable[..., tuple[float, list[str]]]) -> None:
    assert watched("port-stolen", "bind_failed", 9999) == (60 + 180, [])
    assert watched("port-stolen", "bind_failed", 9999, start_timeout=600) == (60 + 600, [])
    assert watched("logstash-hung", "hung", 9999) == (30, [])


def test_a_logstash_hangs_for_its_time_also_when_that_is_reported(
    watched: Callable[..., tuple[float, list[str]]],
) -> None:
    assert watched("logstash-hung", "hung", 10) == (30, [])


@pytest.mark.parametrize(("starts", "seconds"), [(5, 33), (50, 53), (120, 123)])
def test_events_are_sent_until_the_cluster_is_whole_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: int, seconds: int
) -> None:
    """However long the killed Logstash takes to start; and for half a minute at least."""
    cluster = make_cluster(tmp_path)
    now, stopped = [0.0], gevent.event.Event()

    def send(sender: object, targets: list[Target], run: str, count: int, rate: float) -> dict[int, Sent]:
        assert count / rate >= 3 + 30 + 240, "it ends by itself, but not before the cluster may be whole"
        stopped.wait()
        return {targets[0].index: Sent(sent=int(now[0] * rate))}

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def inspect(file: str) -> Report:
        return cast(Report, SimpleNamespace(ok=now[0] >= 3 + starts))

    sending = gevent.spawn  # before gevent's clock is replaced
    host = SimpleNamespace(name="stash1", connected=True)
    inventory = SimpleNamespace(get_host=lambda name: host)
    counted: list[int] = []

    def count_events(plan: Plan, name: str, sent: int, positions: object) -> Loss:
        counted.append(sent)
        return LOSS

    monkeypatch.setattr(drills.run, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(drills.run, "gevent", SimpleNamespace(sleep=sleep, spawn=sending))
    monkeypatch.setattr(drills.run, "load_cluster", lambda file, name: (None, inventory, cluster))
    monkeypatch.setattr(drills.run, "connect_to_nodes", lambda *_: {})
    monkeypatch.setattr(lock, "take", lambda *_: None)
    monkeypatch.setattr(drills.run, "read", lambda *_, **__: {})
    monkeypatch.setattr(drills.run, "send_events", send)
    monkeypatch.setattr(drills.run, "stop_sending", lambda sender, run: stopped.set())
    monkeypatch.setattr(drills.run, "_run", lambda host, command: None)
    monkeypatch.setattr(drills.run, "_inspect", inspect)
    monkeypatch.setattr(drills.run, "_count", count_events)
    target, node = choose_targets(cluster, 1)[0], cluster.nodes[0]
    plan = Plan("inventory.py", find("logstash-killed"), cluster, node, "MASTER", 9, target, "sender", 100)
    outcome = drills.run.run(plan, lambda line: None)
    assert (outcome.healed, counted) == (starts, [seconds * 100])


def test_the_node_itself_ends_a_drill_that_is_not_ended(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, start_timeout=100)
    assert "sleep 160 & wait" in script(find("port-stolen"), cluster, cluster.nodes[0], 9)
    assert "sleep 30 & wait" in script(find("logstash-hung"), cluster, cluster.nodes[0], 9)


@pytest.mark.parametrize(("start_timeout", "bound"), [(30, 240), (180, 240), (600, 660)])
def test_a_logstash_that_may_start_slowly_has_the_time_for_it(
    tmp_path: Path, start_timeout: int, bound: int
) -> None:
    assert heal_bound(make_cluster(tmp_path, start_timeout=start_timeout)) == bound
