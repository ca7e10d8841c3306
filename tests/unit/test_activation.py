"""How a cluster takes up its new files: on simulated nodes, whose time passes only while the deploy waits."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyinfra
import pyinfra.api.inventory
import pytest
from paramiko import SSHException
from pyinfra import logger
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from cluster import Cluster, Node
from desired.textfile import TextFile
from desired.unit import Unit
from facts.ipvs import socket_name
from operations import activation
from operations.services import PackageChange
from remote import drain
from tests.unit.clusters import make_cluster

UNITS = [Unit("logstash", probe="true", idle="true"), Unit("keepalived", probe="true")]
FILES = [TextFile("/etc/k", "new\n", read_by="keepalived"), TextFile("/etc/l", "new\n", read_by="logstash")]
UP = {"keepalived", "logstash"}


@dataclass
class Member:
    """A node as it is: director and real server."""

    node: Node
    up: set[str] = field(default_factory=lambda: set(UP))
    """Its units that run, with their files before the deploy."""
    new: set[str] = field(default_factory=set)
    """Its units that have read their new files."""
    holds: bool = False
    """Whether it has the VIP."""
    flags: set[str] = field(default_factory=set)
    """The addresses of nodes that it is told to leave out."""
    pool: set[str] = field(default_factory=set)
    """The names of the nodes in its pools."""
    sick: bool = False
    """Whether its Logstash runs, but without its inputs."""
    has: str = "old"
    """The ids of its Logstash's inputs."""
    asks: str = "old"
    """The ids that its keepalived asks all nodes for."""
    deaf: bool = False
    """Whether its keepalived follows nothing any more."""
    breaks: dict[str, Exception | str] = field(default_factory=dict)
    """What a command with this text ends in."""


class World:
    """A cluster, and what happens in it."""

    renamed = False
    """Whether the new files have other ids than the old ones."""

    def __init__(self, cluster: Cluster, master: str = "") -> None:
        self.cluster = cluster
        self.members = {node.name: Member(node, holds=node.name == master) for node in cluster.nodes}
        self.events: list[str] = []
        self.scripts: list[str] = []
        self.now = 0.0
        self.state: State
        self.log: list[str] = []
        self.unplugged = ""
        for member in self.members.values():
            self.check(member)

    # The clock of the deploy

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for member in self.members.values():
            self.check(member)

    def check(self, director: Member) -> None:
        """Its keepalived asks all nodes for their health."""
        if not director.deaf and "keepalived" in director.up:
            director.pool = {
                name
                for name, member in self.members.items()
                if "logstash" in member.up
                and not member.sick
                and member.has == director.asks
                and str(member.node.address) not in director.flags
            }

    # What the deploy does

    def run(self, name: str, command: str, stdin: str | None) -> list[str]:
        """What a node answers; raises what it breaks with."""
        member = self.members[name]
        for text, end in member.breaks.items():
            if text in command:
                raise end if isinstance(end, Exception) else Refused(end)
        if "ip -o addr" in command:
            return [*(["2: eth0 inet 10.77.0.10/32"] if member.holds else []), "end 10.77.0.10"]
        if "ipvsadm -ln" in command:
            return self.pools(member)
        if "systemctl show" in command:
            return self.units(member)
        if match := re.search(r"(touch|rm -f) /etc/keepalived/drained/(\S+)", command):
            if match[1] == "touch":
                member.flags.add(match[2])
            else:
                member.flags.discard(match[2])
            self.events.append(f"{name}: {match[1].split()[0]} {match[2]}")
            return []
        if match := re.search(r"systemctl is-active (\w+)", command):
            self.scripts.append(command)
            return self.activate(member, match[1], stdin)
        if "systemctl disable --now" in command:
            self.events.append(f"{name}: stopped{self.taking(member)}")
            member.up.clear()
            return []
        raise AssertionError(command)

    def activate(self, member: Member, unit: str, stdin: str | None) -> list[str]:
        (file,) = (file for file in FILES if file.read_by == unit)
        assert stdin == f"{file.sha256}  {file.path}"
        self.events.append(f"{member.node.name}: {unit}{self.taking(member)}")
        member.up.add(unit)
        member.new.add(unit)
        if self.renamed and unit == "logstash":
            member.has = "new"
        if self.renamed and unit == "keepalived":
            member.asks = "new"
        if unit == "logstash":  # it was away, and is asked again
            for director in self.members.values():
                director.pool.discard(member.node.name)
        return []

    def taking(self, member: Member) -> str:
        """Whether events go to the node at this moment."""
        holders = [each for each in self.members.values() if each.holds]
        return " under load" if any(member.node.name in each.pool for each in holders) else ""

    def pools(self, director: Member) -> list[str]:
        lines = ["IP Virtual Server version 1.2.1 (size=4096)", "", ""]
        for server in self.cluster.virtual_servers:
            lines.append(f"{server.protocol}  {socket_name(server.vip, server.port)} rr ops")
            lines += [
                f"  -> {socket_name(real.address, real.port)}  Masq  {real.weight}  0  0"
                for real in server.real_servers
                if real.node.name in director.pool
            ]
        return lines

    def units(self, member: Member) -> list[str]:
        lines = []
        for file in FILES:
            unit = file.read_by
            active = "active" if unit in member.up else "inactive"
            sums = [f"{file.sha256}  {file.path}"] if unit in member.new else []
            show = [
                f"Id={unit}.service",
                "UnitFileState=enabled",
                f"ActiveState={active}",
                "NeedDaemonReload=no",
            ]
            marker = [f"{unit}-1", *sums] if sums else []
            lines += [f"== {unit}", *show, "--", *marker, "--", f"{unit}-1", "--", *sums, "--"]
        return lines

    def roll(self, *stages: bool) -> None:
        """Run the operation for the BACKUPs, and then for the MASTER."""
        self.run_operations(
            activation.rolling_restart,
            [{"units": UNITS, "files": FILES, "masters": masters} for masters in stages or (False, True)],
        )

    def run_operations(self, operation: Any, arguments: list[dict[str, Any]]) -> None:
        """Run it with each of these arguments, on all nodes that have not failed, one by one."""
        for each in arguments:
            add_op(self.state, operation, cluster=self.cluster, name=f"{each}", _serial=True, **each)
        with suppress(PyinfraError):  # no hosts remain
            run_ops(self.state)

    @property
    def failed(self) -> list[str]:
        return sorted(host.name for host in self.state.failed_hosts)


class Refused(Exception):
    """A command that fails, and what it says."""


class Simulated(FakeConnector):
    """The way to a simulated node."""

    world: World

    def connect(self) -> None:
        if self.host.name == self.world.unplugged:
            raise ConnectError("no route")

    def run_shell_command(self, command: Any, *_: Any, **arguments: Any) -> tuple[bool, CommandOutput]:
        try:
            lines = self.world.run(self.host.name, str(command), arguments.get("_stdin"))
        except Refused as refused:
            return False, CommandOutput([OutputLine("stderr", str(refused))])
        return True, CommandOutput([OutputLine("stdout", line) for line in lines])


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Makes a cluster's world and connects to it."""
    monkeypatch.setattr(pyinfra.api.inventory, "get_execution_connectors", lambda: {"ssh": Simulated})
    log: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: log.append(record.getMessage()))
    logger.addHandler(handler)

    def make(
        nodes: int = 2, master: str = "", limit: str = "", unplugged: str = "", **settings: Any
    ) -> World:
        world = World(make_cluster(tmp_path, nodes, **settings), master)
        world.unplugged, world.log = unplugged, log
        monkeypatch.setattr(Simulated, "world", world, raising=False)
        monkeypatch.setattr(drain, "time", world)
        world.state = State(Inventory((list(world.members), {})), Config(), check_for_changes=False)
        if limit:
            world.state.limit_hosts = [world.state.inventory.get_host(limit)]
        connect_all(world.state)
        return world

    yield make
    logger.removeHandler(handler)


Make = Callable[..., World]


def order(world: World, unit: str) -> list[str]:
    """The nodes on which this unit was activated."""
    return [event.split(":")[0] for event in world.events if event.partition(": ")[2].startswith(unit)]


def test_a_fresh_cluster_comes_up_node_by_node(make: Make) -> None:
    """Nothing runs yet, and nobody need be drained."""
    world = make()
    for member in world.members.values():
        member.up.clear()
        member.pool.clear()
    world.roll()
    first, second = order(world, "logstash")
    assert {first, second} == {"stash1", "stash2"}
    assert world.events == [
        f"{first}: logstash",
        f"{first}: keepalived",
        f"{second}: logstash",
        f"{second}: keepalived",
    ]
    assert world.failed == []


@pytest.mark.parametrize("master", ["stash1", "stash2", "stash3"])
def test_backups_come_first_and_each_is_drained_on_every_director(make: Make, master: str) -> None:
    world = make(nodes=3, master=master)
    world.roll()
    assert order(world, "logstash")[-1] == order(world, "keepalived")[-1] == master
    assert sorted(order(world, "logstash")) == ["stash1", "stash2", "stash3"]
    for name, member in world.members.items():
        around = [event for event in world.events if event.endswith(str(member.node.address))]
        assert around == [
            *(f"{each}: touch {member.node.address}" for each in world.members),
            *(f"{each}: rm {member.node.address}" for each in world.members),
        ]
        assert (
            world.events.index(around[2])
            < world.events.index(f"{name}: logstash")
            < world.events.index(around[3])
        )
        assert member.flags == set()
        assert member.pool == set(world.members)
    assert world.failed == []
    assert not [line for line in world.log if "lost" in line]


def test_nothing_is_done_twice(make: Make) -> None:
    world = make(master="stash2")
    for member in world.members.values():
        member.new = set(UP)
    world.roll()
    assert world.events == []


def test_only_the_unit_that_is_due_is_touched(make: Make) -> None:
    """keepalived takes no events, and needs no drain."""
    world = make(master="stash2")
    for member in world.members.values():
        member.new.add("logstash")
    world.roll()
    assert [event.removesuffix(" under load") for event in world.events] == [
        "stash1: keepalived",
        "stash2: keepalived",
    ]


def test_an_update_is_due_node_by_node(make: Make) -> None:
    world = make(master="stash2")
    for member in world.members.values():
        member.new = set(UP)

    def change() -> PackageChange | None:
        done = pyinfra.host.name in order(world, "logstash")
        return None if done else PackageChange(install="echo newer", revert="echo older")

    world.run_operations(
        activation.rolling_restart,
        [
            {"units": UNITS, "files": FILES, "masters": masters, "package_changes": {"logstash": change}}
            for masters in (False, True)
        ],
    )
    assert order(world, "logstash") == ["stash1", "stash2"]
    assert order(world, "keepalived") == []
    assert "stash1: logstash" in world.events  # drained
    assert all("echo newer" in script and "echo older" in script for script in world.scripts)


def test_the_next_node_waits_until_the_first_is_back(make: Make) -> None:
    world = make(master="stash2")
    master = world.members["stash2"]
    world.roll(False)
    assert master.pool == {"stash1", "stash2"}
    assert world.now < drain.DRAIN_BOUND


@pytest.mark.parametrize("master", ["stash1", "stash2"])
@pytest.mark.parametrize("unit", UP)
def test_a_node_that_does_not_come_up_stops_all_others(make: Make, master: str, unit: str) -> None:
    world = make(master=master)
    backup = "stash1" if master == "stash2" else "stash2"
    world.members[backup].breaks = {f"systemctl is-active {unit}": "it does not come up: port taken"}
    world.roll()
    assert backup in world.failed
    assert master not in order(world, "keepalived") + order(world, "logstash")
    assert not any(member.flags for member in world.members.values())
    assert any(backup in line and "port taken" in line for line in world.log)
    assert any(master in line and f"because {backup} has failed" in line for line in world.log)


def test_of_two_backups_the_second_stays_as_it_was(make: Make) -> None:
    """Both are in one serial operation, at whose end pyinfra counts who failed."""
    world = make(nodes=3, master="stash3")
    for name in ("stash1", "stash2"):
        world.members[name].breaks = {"systemctl is-active logstash": "port taken"}
    world.roll(False)
    assert len([line for line in world.log if line.endswith("port taken")]) == 1


def test_a_node_that_failed_before_stops_all(make: Make) -> None:
    world = make(nodes=3, master="stash3")
    world.state.fail_hosts({world.state.inventory.get_host("stash1")})
    world.roll()
    assert world.events == []
    assert any("left as it was, because stash1 has failed" in line for line in world.log)


def test_the_master_that_does_not_come_up_is_told(make: Make) -> None:
    world = make(master="stash2")
    world.members["stash2"].breaks = {"systemctl is-active logstash": "no"}
    world.roll()
    assert order(world, "logstash") == ["stash1"]
    assert world.failed == ["stash2"]
    assert not any(member.flags for member in world.members.values())


def test_a_node_that_is_alone_is_not_drained(make: Make) -> None:
    """Events that come meanwhile are lost either way, and draining would only take longer."""
    world = make(master="stash1")
    world.members["stash2"].new = set(UP)
    world.members["stash2"].sick = True
    world.sleep(1)
    world.roll()
    assert world.events == ["stash1: keepalived under load", "stash1: logstash under load"]
    assert any("stash1 alone takes UDP 10.77.0.10:5514" in line for line in world.log)
    assert world.now < 20
    assert world.failed == []


def test_a_peer_that_comes_back_in_time_is_waited_for(make: Make) -> None:
    world = make(master="stash1")
    world.members["stash2"].new = set(UP)
    world.members["stash2"].pool.clear()
    world.members["stash1"].pool = {"stash1"}
    world.roll()
    assert world.events[-3:] == ["stash1: logstash", "stash1: rm 10.77.0.11", "stash2: rm 10.77.0.11"]


def test_a_peer_of_weight_0_takes_nothing(make: Make) -> None:
    """IPVS sends it no events, though it is in the pool."""
    world = make(
        master="stash2", inputs=[{"id": "a", "port": 5514, "scheduler": "wrr", "weights": {"stash2": 0}}]
    )
    world.roll(False)
    assert any("stash1 alone takes UDP 10.77.0.10:5514" in line for line in world.log)


def test_a_master_that_follows_no_health_check_is_waited_for_no_longer_than_the_bound(make: Make) -> None:
    world = make(master="stash2")
    for member in world.members.values():
        member.new = {"keepalived"}
    world.members["stash2"].deaf = True
    world.roll(False)
    assert any(f"stash1 is still in a pool after {drain.DRAIN_BOUND:.0f} s" in line for line in world.log)
    assert "stash1: logstash under load" in world.events
    assert not any(member.flags for member in world.members.values())
    # It dropped the node while Logstash was away, and does not take it back.
    assert world.failed == ["stash1"]
    assert any("not in the pools of stash2 after 30 s" in line for line in world.log)
    assert drain.DRAIN_BOUND + activation.RETURN_BOUND <= world.now <= 60


@pytest.mark.parametrize(
    "error", [SSHException("EOF"), TimeoutError(), ConnectionResetError("reset by peer")]
)
def test_a_connection_that_breaks_fails_the_node(make: Make, error: Exception) -> None:
    world = make(master="stash2")
    world.members["stash1"].breaks = {"systemctl is-active logstash": error}
    world.roll()
    assert world.failed[0] == "stash1"
    assert any(
        "stash1" in line and f"the connection broke: {str(error) or 'no reason is given'}" in line
        for line in world.log
    )
    assert order(world, "logstash") == []
    assert world.members["stash2"].flags == set()


def test_a_director_that_can_not_be_told_is_no_reason_to_stop(make: Make) -> None:
    world = make(nodes=3, master="stash3")
    world.members["stash2"].new = set(UP)
    world.members["stash2"].breaks = {"/drained/": SSHException("EOF"), "ipvsadm": SSHException("EOF")}
    world.roll(False)
    assert "stash1: logstash" in world.events
    assert world.members["stash3"].flags == set()


@pytest.mark.parametrize("nodes", [2, 3])
def test_new_ids_of_the_inputs_are_no_failure(make: Make, nodes: int) -> None:
    """The MASTER asks for the old ones until its turn comes, and then it is the others that it sends events to."""
    world = make(nodes=nodes, master=f"stash{nodes}")
    world.renamed = True
    world.roll()
    assert world.failed == []
    assert sorted(order(world, "logstash")) == sorted(world.members)
    assert all(member.pool == set(world.members) for member in world.members.values())


def test_directors_that_this_run_is_not_for_are_told_too(make: Make) -> None:
    world = make(master="stash2", limit="stash1")
    world.roll()
    assert order(world, "logstash") == order(world, "keepalived") == ["stash1"]
    assert "stash1: logstash" in world.events
    assert "stash2: touch 10.77.0.11" in world.events
    assert world.members["stash2"].flags == set()


def test_a_director_that_is_away_is_left_out(make: Make) -> None:
    world = make(nodes=3, master="stash3", limit="stash1", unplugged="stash2")
    world.roll()
    assert "stash1: logstash" in world.events
    assert world.failed == []


def test_what_nobody_expected_stops_the_others_too(make: Make) -> None:
    """Such as an answer that no fact understands."""
    world = make(nodes=3, master="stash3")
    for name in ("stash1", "stash2"):
        world.members[name].breaks = {"systemctl is-active": ValueError("what is this?")}
    world.roll(False)
    assert len([line for line in world.log if "what is this?" in line and "Traceback" not in line]) == 1
    assert order(world, "logstash") == order(world, "keepalived") == []


def test_a_node_that_leaves_is_drained_first(make: Make) -> None:
    world = make(master="stash2")
    world.run_operations(activation.retired, [{"units": ["keepalived", "logstash"]}])
    stopped = [event for event in world.events if "stopped" in event]
    assert len(stopped) == 2
    assert stopped[0].split(": ")[1] == "stopped"
    assert not any(member.flags for member in world.members.values())
