"""patch.py: what is asked for, its shell commands, the order of the nodes, and where it stops."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops

from cluster import ClusterError
from desired.patch import (
    HELD,
    Pending,
    Request,
    back_command,
    needs_reboot,
    parse_pending,
    pending_command,
    request,
    upgrade_command,
)
from desired.unit import Unit
from facts.drops import parse_drops
from operations import patch
from remote import patch as patching
from remote import soak
from remote.commands import CommandFailed
from remote.soak import Figures, compare
from tests.unit.clusters import make_cluster
from tests.unit.machine import SHELLS, ShellMachine
from tests.unit.test_activation import Make, SimulatedCluster, make  # noqa: F401  a fixture


def test_what_is_asked_for(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    assert request({}, cluster) == Request(hold=tuple(sorted(HELD)))
    assert request({"packages": "kernel,logstash"}, cluster).hold == ("keepalived",)
    asked = request({"hold": "none", "reboot": "always", "canary": "stash2", "soak": 0.5}, cluster)
    assert asked == Request((), (), "always", "stash2", 0.5)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"package": "vim"}, "package: not known; --data can be packages, hold, reboot, canary, soak"),
        ({"packages": "vim;reboot"}, "packages: 'vim;reboot' is not the name of a package; write packages=all, or names with commas between"),
        ({"packages": "vim", "hold": "vim"}, "hold: vim is among packages, too; leave it out of one of them"),
        ({"reboot": "yes"}, "reboot: yes is not one of needed, always, never; write reboot=needed"),
        ({"canary": "stash9"}, "canary: stash9 is not a node; name one of stash1, stash2"),
        ({"soak": 5}, "soak: there is no canary to watch; add canary=stash1, or leave soak out"),
        ({"canary": "stash1", "soak": "long"}, "soak: long is not a number from 0 to 1440; write soak=2"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused_with_its_mend(
    data: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError) as refused:
        request(data, make_cluster(tmp_path))
    assert str(refused.value) == says


def test_a_version_of_the_inventory_is_not_patched_away(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, version="8.19.17", logstash=8)
    with pytest.raises(
        ClusterError, match=r"^hold: inventory.py has version 8\.19\.17 of Logstash; change it there"
    ):
        request({"hold": "keepalived"}, cluster)
    assert "logstash" in request({}, cluster).hold


@pytest.fixture(params=SHELLS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> ShellMachine:
    machine = ShellMachine(tmp_path, request.param)
    machine.program("uname", "echo 5.14.0-503.el9.x86_64")
    machine.program("rpm", "echo 1795788120 5.14.0-503.el9.x86_64; echo package kernel is not installed")
    return machine


UPDATES = """
kernel-core.x86_64        5.14.0-570.el9        baseos
openssl.x86_64            1:3.2.2-6.el9         baseos
"""


@pytest.mark.parametrize("el", [7, 9])
def test_what_there_is_to_do(machine: ShellMachine, el: int) -> None:
    manager = "yum" if el == 7 else "dnf"
    machine.program(manager, f"echo \"$*\" >>{machine.root}/log; echo '{UPDATES}'; exit 100")
    pending = parse_pending(machine.sh(pending_command(el, Request())).stdout.splitlines())
    assert (pending.updates, pending.reboot) == (2, False)
    assert (machine.root / "log").read_text().split() == [
        "--quiet", "--assumeyes", "--exclude=logstash", "--exclude=keepalived", "check-update",
    ]  # fmt: skip
    machine.program("rpm", "echo 1795788120 5.14.0-503.el9.x86_64; echo 1795788999 5.14.0-570.el9.x86_64")
    machine.program(manager, "exit 0")
    pending = parse_pending(machine.sh(pending_command(el, Request())).stdout.splitlines())
    assert (pending.updates, pending.reboot) == (0, True)
    machine.program("needs-restarting", '[ "$*" = -r ] && exit 0')
    assert parse_pending(machine.sh(pending_command(el, Request())).stdout.splitlines()).reboot is False
    machine.program("needs-restarting", "exit 1")
    assert parse_pending(machine.sh(pending_command(el, Request())).stdout.splitlines()).reboot is True
    machine.program(manager, "echo no repository answers >&2; exit 1")
    done = machine.sh(pending_command(el, Request()))
    assert (done.returncode, done.stderr) == (1, "no repository answers\n")


def test_a_service_restarts_where_its_package_has_changed(machine: ShellMachine) -> None:
    machine.program("rpm", f"cat {machine.root}/version")
    machine.program("dnf", f'echo "$*" >>{machine.root}/log; echo 2 >{machine.root}/version')
    machine.program("systemctl", f'echo "systemctl $*" >>{machine.root}/log')
    for expected in (["daemon-reload", "restart logstash keepalived"], []):
        (machine.root / "log").write_text("")
        if expected:
            (machine.root / "version").write_text("1\n")
        assert machine.sh(upgrade_command(9, Request(("vim",), ()))).returncode == 0
        first, *rest = (machine.root / "log").read_text().splitlines()
        assert first == "--quiet --assumeyes upgrade vim"
        assert [line.removeprefix("systemctl ") for line in rest] == expected


def test_a_node_is_back_when_each_unit_does_its_work(machine: ShellMachine) -> None:
    machine.write("/var/lib/logstash-ha/logstash.sha256", "logstash-1\nab  /etc/l\n")
    machine.program("rpm", "echo logstash-2")
    ready = machine.root / "ready"
    machine.program("sleep", f"touch {ready}")
    assert machine.sh(back_command([Unit("logstash", f"test -e {ready}")])).returncode == 0
    assert machine.path("/var/lib/logstash-ha/logstash.sha256").read_text() == "logstash-2\nab  /etc/l\n"
    done = machine.sh(back_command([Unit("keepalived", "echo it is failed; false", bound=-121)]))
    assert (done.returncode, done.stderr) == (1, "keepalived does not come up: it is failed\n")


def test_a_reboot_is_made_once_in_a_run(tmp_path: Path) -> None:
    always, needed, never = (Request(reboot=word) for word in ("always", "needed", "never"))
    assert needs_reboot(always, Pending(0, False, booted=10), begun=20)
    assert not needs_reboot(always, Pending(0, False, booted=30), begun=20)
    assert needs_reboot(needed, Pending(0, True, 30), 20)
    assert not needs_reboot(needed, Pending(0, False, 10), 20)
    assert not needs_reboot(never, Pending(0, True, 10), 20)


@dataclass
class Patching:
    """A simulated cluster whose machines have updates."""

    simulation: SimulatedCluster
    pending: set[str]
    breaks: set[str] = field(default_factory=set)
    """Those that do not come back."""
    events: list[str] = field(default_factory=list)

    def run(self, host: Host, command: str, *_: Any, **__: Any) -> list[str]:
        if "updates" in command:
            return [f"updates {int(host.name in self.pending)}", "reboot no", "booted 0"]
        away = [n for n, m in self.simulation.members.items() if str(m.node.address) in m.maintenance]
        vip = [name for name, member in self.simulation.members.items() if member.holds_vip]
        if " upgrade" in command:
            assert away == [host.name]
            assert vip != [host.name]
            self.pending.discard(host.name)
            self.events.append(host.name)
        elif host.name in self.breaks:
            raise CommandFailed([f"logstash does not come up on {host.name}"])
        return []


@pytest.fixture
def patched(make: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Patching]:  # noqa: F811
    def prepare(nodes: int = 3, master: str = "stash2", **arguments: Any) -> Patching:
        simulation = make(nodes=nodes, master=master)
        world = Patching(simulation, set(simulation.members), **arguments)
        monkeypatch.setattr(patching, "run", world.run)
        monkeypatch.setattr(patching, "read_machine", lambda _: {"nftables": True})
        return world

    return prepare


def go(world: Patching, asked: Request | None = None) -> None:
    """Run it as patch.py does."""
    asked = asked or Request()
    simulation = world.simulation
    common = {"cluster": simulation.cluster, "asked": asked, "_serial": True}
    if asked.canary:
        add_op(simulation.state, patch.patched, el=9, only=asked.canary, name="canary", **common)
        add_op(simulation.state, patch.soaked, name="soak", el=9, **common)
    for masters in (False, True):
        add_op(simulation.state, patch.patched, el=9, masters=masters, name=f"masters {masters}", **common)
    with suppress(PyinfraError):  # no hosts remain
        run_ops(simulation.state)


def test_the_master_comes_last_and_all_are_back(patched: Callable[..., Patching]) -> None:
    world = patched()
    go(world)
    assert sorted(world.events) == ["stash1", "stash2", "stash3"]
    assert world.events[-1] == "stash2"
    assert world.simulation.failed == []
    for member in world.simulation.members.values():
        assert (member.maintenance, member.pool) == (set(), set(world.simulation.members))


def test_it_stops_at_the_first_that_does_not_come_back_and_goes_on_there(
    patched: Callable[..., Patching],
) -> None:
    world = patched(breaks={"stash1", "stash3"})
    go(world)
    (out,) = world.events
    member = world.simulation.members[out]
    assert world.simulation.failed == ["stash1", "stash2", "stash3"]
    assert all(each.maintenance == {str(member.node.address)} for each in world.simulation.members.values())
    assert world.simulation.members["stash2"].pool == set(world.simulation.members) - {out}
    assert any("left as it was" in line and out in line for line in world.simulation.log)


def test_nothing_is_done_where_there_is_nothing_to_do(patched: Callable[..., Patching]) -> None:
    world = patched()
    world.pending.clear()
    go(world)
    assert (world.events, world.simulation.events, world.simulation.failed) == ([], [], [])


def test_a_node_that_gets_no_events_stops_the_run_though_there_is_nothing_to_do_on_it(
    patched: Callable[..., Patching],
) -> None:
    world = patched()
    world.pending = {"stash2"}
    world.simulation.members["stash1"].sick = world.simulation.members["stash3"].sick = True
    world.simulation.sleep(0)
    go(world)
    assert world.events == []
    assert any("it gets no events" in line for line in world.simulation.log)


def test_what_an_operator_has_in_maintenance_stays_there(patched: Callable[..., Patching]) -> None:
    world = patched()
    own = str(world.simulation.members["stash1"].node.address)
    for member in world.simulation.members.values():
        member.maintenance.add(own)
    world.simulation.sleep(0)
    world.pending = {"stash1"}
    go(world)
    assert world.events == ["stash1"]
    assert all(own in member.maintenance for member in world.simulation.members.values())


def test_a_canary_that_does_worse_stops_the_others(
    patched: Callable[..., Patching], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = patched()
    monkeypatch.setattr(soak, "watch", lambda *_: "it has left the pools again")
    go(world, Request(canary="stash3", soak=1))
    assert world.events == ["stash3"]
    own = str(world.simulation.members["stash3"].node.address)
    assert all(member.maintenance == {own} for member in world.simulation.members.values())
    assert any("it has left the pools again: it is out" in line for line in world.simulation.log)


def test_a_canary_that_does_well_is_followed_by_the_others(
    patched: Callable[..., Patching], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = patched()
    seconds: list[float] = []

    def watch(state: State, cluster: Any, node: Any, wait: float) -> str:
        seconds.append(wait)
        assert world.events == ["stash3"]
        return ""

    monkeypatch.setattr(soak, "watch", watch)
    go(world, Request(canary="stash3", soak=1))
    assert (world.events, seconds) == (["stash3", "stash1", "stash2"], [60])


GOOD = {"stash1": Figures({"udp-5514": 1000}, 3), "stash2": Figures({"udp-5514": 5000}, 0)}


@pytest.mark.parametrize(
    ("own", "peer", "says"),
    [
        (Figures({"udp-5514": 2000}, 3), Figures({"udp-5514": 6000}, 0), ""),
        (Figures({"udp-5514": 1600}, 9), Figures({"udp-5514": 6000}, 7), ""),
        (Figures({"udp-5514": 1400}, 3), Figures({"udp-5514": 6000}, 0), "udp-5514 takes 40 events a second by its weight, and on the others 100"),
        (Figures({"udp-5514": 2000}, 4), Figures({"udp-5514": 6000}, 0), "its sockets have dropped 1 datagrams, and those of the others at most 0"),
        (Figures({"udp-5514": 10}, 3), Figures({"udp-5514": 6000}, 0), "its Logstash has started again"),
        (Figures(None, 3), Figures({"udp-5514": 6000}, 0), "its Logstash does not answer"),
        (Figures({"udp-5514": 1000}, 3), Figures({"udp-5514": 5005}, 0), ""),  # too few to tell
    ],
)  # fmt: skip
def test_a_canary_is_compared_with_its_peers(own: Figures, peer: Figures, says: str, tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    after = {"stash1": own, "stash2": peer}
    assert re.sub(r"\s+", " ", compare(cluster, cluster.nodes[0], GOOD, after, 10)) == says


def test_drops_of_both_families_count() -> None:
    lines = [
        "Udp: InDatagrams RcvbufErrors",
        "Udp: 10 3",
        "UdpLite: InDatagrams",
        "UdpLite: 0",
        "Udp6RcvbufErrors 	4",
    ]
    assert parse_drops(lines) == 7
