"""Rolling restarts, on simulated nodes whose time passes only while the deploy waits."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
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

from cluster import Cluster, Node, RealServer
from desired.paths import fingerprint
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
class SimulatedNode:
    """A node: director and real server."""

    node: Node
    up: set[str] = field(default_factory=lambda: set(UP))
    """Its units that run."""
    new: set[str] = field(default_factory=set)
    """Its units that have read their new files."""
    holds_vip: bool = False
    """Whether it holds the VIP."""
    flags: set[str] = field(default_factory=set)
    """The addresses of the nodes whose drain flags it has."""
    pool: set[str] = field(default_factory=set)
    """The names of the nodes in its pools."""
    maintenance: set[str] = field(default_factory=set)
    """The addresses of the nodes that it knows to be in maintenance."""
    sick: bool = False
    """Whether its Logstash runs without its inputs."""
    has: str = "old"
    """The input ids that its Logstash has: the old or the new ones."""
    asks: str = "old"
    """The input ids that its keepalived checks on all nodes: the old or the new ones."""
    weight: tuple[int, float] | None = None
    """The weight of its Logstash in all pools, and until when it has that one."""
    frozen: bool = False
    """Whether its keepalived no longer follows any health check."""
    breaks: dict[str, Exception | str] = field(default_factory=dict)
    """By a text in a command: what that command fails with, or how its connection does."""


class SimulatedCluster:
    """A cluster of such nodes, and the events of a deploy on it."""

    renamed = False
    """Whether the new files have other input ids than the old ones."""

    def __init__(self, cluster: Cluster, master: str = "") -> None:
        self.cluster = cluster
        self.members = {
            node.name: SimulatedNode(node, holds_vip=node.name == master) for node in cluster.nodes
        }
        self.events: list[str] = []
        self.scripts: list[str] = []
        self.timeouts: dict[str, int] = {}
        """Seconds that the activation of each unit may take."""
        self.now = 0.0
        self.state: State
        self.log: list[str] = []
        self.unreachable = ""
        for member in self.members.values():
            self.check(member)

    # The clock of the deploy

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for member in self.members.values():
            self.check(member)

    def check(self, director: SimulatedNode) -> None:
        """Let its keepalived check all nodes."""
        if not director.frozen and "keepalived" in director.up:
            director.pool = {
                name
                for name, member in self.members.items()
                if "logstash" in member.up
                and not member.sick
                and member.has == director.asks
                and str(member.node.address) not in director.flags | director.maintenance
            }
        own = str(director.node.address)
        heirs = [name for name, each in self.members.items() if name != director.node.name and self.fit(each)]
        if director.holds_vip and own in director.maintenance:
            director.holds_vip = False
            if heirs:
                self.members[heirs[0]].holds_vip = True

    def fit(self, member: SimulatedNode) -> bool:
        """Whether its keepalived can hold the VIP."""
        return "keepalived" in member.up and str(member.node.address) not in member.maintenance

    # What the deploy does

    def run(self, name: str, command: str, stdin: str | None) -> list[str]:
        """The output of a command on a node; raises what the command fails with."""
        member = self.members[name]
        for text, end in member.breaks.items():
            if text in command:
                raise end if isinstance(end, Exception) else Refused(end)
        if match := re.search(r"(\.new|rm -f) /var/lib/logstash-ha/maintenance/([\d.]+)", command):
            (member.maintenance.discard if match[1] == "rm -f" else member.maintenance.add)(match[2])
            self.events.append(f"{name}: {'back' if match[1] == 'rm -f' else 'away'} {match[2]}")
            return []
        if "ip -o addr" in command:
            return [*(["2: eth0 inet 10.77.0.10/32"] if member.holds_vip else []), "end 10.77.0.10"]
        if "ipvsadm -ln" in command:
            return self.pools(member)
        if "for file in /var/lib/logstash-ha/maintenance/" in command:
            note = '{"by": "alice@laptop", "since": 1795788120, "until": null}'
            return [f"1795788180 {address} {note}" for address in sorted(member.maintenance)]
        if "systemctl show" in command and "keepalived.service" in command and "logstash" not in command:
            active = "active" if "keepalived" in member.up else "inactive"
            return [
                "Id=keepalived.service",
                "UnitFileState=enabled",
                f"ActiveState={active}",
                "NeedDaemonReload=no",
            ]
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

    def activate(self, member: SimulatedNode, unit: str, stdin: str | None) -> list[str]:
        (file,) = (file for file in FILES if file.read_by == unit)
        assert stdin == f"{file.sha256}  {file.path}"
        self.events.append(f"{member.node.name}: {unit}{self.taking(member)}")
        member.up.add(unit)
        member.new.add(unit)
        if self.renamed and unit == "logstash":
            member.has = "new"
        if self.renamed and unit == "keepalived":
            member.asks = "new"
        if unit == "logstash":  # it was down, and is checked again
            for director in self.members.values():
                director.pool.discard(member.node.name)
        return []

    def taking(self, member: SimulatedNode) -> str:
        """Whether events go to the node at this moment, as a part of an event's text."""
        holders = [holder for holder in self.members.values() if holder.holds_vip]
        return " under load" if any(member.node.name in holder.pool for holder in holders) else ""

    def weight(self, real: RealServer) -> int:
        weight, until = self.members[real.node.name].weight or (0, 0.0)
        return weight if self.now < until else real.weight

    def pools(self, director: SimulatedNode) -> list[str]:
        lines = ["IP Virtual Server version 1.2.1 (size=4096)", "", ""]
        for server in self.cluster.virtual_servers:
            lines.append(f"{server.protocol}  {socket_name(server.vip, server.port)} wrr ops")
            lines += [
                f"  -> {socket_name(real.address, real.port)}  Masq  {self.weight(real)}  0  0"
                for real in server.real_servers
                if real.node.name in director.pool
            ]
        return lines

    def units(self, member: SimulatedNode) -> list[str]:
        shows, packages, sums, fingerprints = [], [], [], []
        for file in FILES:
            unit = file.read_by
            active = "active" if unit in member.up else "inactive"
            read = [f"{file.sha256}  {file.path}"] if unit in member.new else []
            shows += [
                f"Id={unit}.service",
                "UnitFileState=enabled",
                f"ActiveState={active}",
                "NeedDaemonReload=no",
                "",
            ]
            packages.append(f"{unit}-1")
            sums += read
            fingerprints += [f"{fingerprint(unit)}:{line}" for line in ([f"{unit}-1", *read] if read else [])]
        return [*shows, "--", "--", *packages, "--", *sums, "--", "--", *fingerprints]

    def restart(self, *stages: bool) -> None:
        """Run the operation for the BACKUPs, and then for the MASTER."""
        self.run_operations(
            activation.rolling_restart,
            [{"units": UNITS, "files": FILES, "masters": masters} for masters in stages or (False, True)],
        )

    def run_operations(self, operation: Any, arguments: list[dict[str, Any]]) -> None:
        """Run it with each of these arguments, on all nodes that have not failed, one by one."""
        for kwargs in arguments:
            add_op(self.state, operation, cluster=self.cluster, name=f"{kwargs}", _serial=True, **kwargs)
        with suppress(PyinfraError):  # no hosts remain
            run_ops(self.state)

    @property
    def failed(self) -> list[str]:
        return sorted(host.name for host in self.state.failed_hosts)


class Refused(Exception):
    """A command that fails, with its message."""


class SimulatedConnector(FakeConnector):
    """pyinfra's connection to a simulated node."""

    simulation: SimulatedCluster

    def connect(self) -> None:
        if self.host.name == self.simulation.unreachable:
            raise ConnectError("no route")

    def run_shell_command(self, command: Any, *_: Any, **arguments: Any) -> tuple[bool, CommandOutput]:
        if match := re.search(r"was=\$\(systemctl is-active (\S+)\)", str(command)):
            self.simulation.timeouts[match[1]] = arguments["_timeout"]
        try:
            lines = self.simulation.run(self.host.name, str(command), arguments.get("_stdin"))
        except Refused as refused:
            return False, CommandOutput([OutputLine("stderr", str(refused))])
        return True, CommandOutput([OutputLine("stdout", line) for line in lines])


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SimulatedCluster]]:
    """Makes a simulated cluster and connects to its nodes."""
    monkeypatch.setattr(
        pyinfra.api.inventory, "get_execution_connectors", lambda: {"ssh": SimulatedConnector}
    )
    log: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: log.append(record.getMessage()))
    logger.addHandler(handler)

    def make(
        nodes: int = 2, master: str = "", limit: str = "", unreachable: str = "", **settings: Any
    ) -> SimulatedCluster:
        simulation = SimulatedCluster(make_cluster(tmp_path, nodes, **settings), master)
        simulation.unreachable, simulation.log = unreachable, log
        monkeypatch.setattr(SimulatedConnector, "simulation", simulation, raising=False)
        monkeypatch.setattr(drain, "time", simulation)
        simulation.state = State(Inventory((list(simulation.members), {})), Config(), check_for_changes=False)
        if limit:
            simulation.state.limit_hosts = [simulation.state.inventory.get_host(limit)]
        connect_all(simulation.state)
        return simulation

    yield make
    logger.removeHandler(handler)


Make = Callable[..., SimulatedCluster]


def order(simulation: SimulatedCluster, unit: str) -> list[str]:
    """The nodes on which this unit was activated."""
    return [event.split(":")[0] for event in simulation.events if event.partition(": ")[2].startswith(unit)]


def test_a_fresh_cluster_comes_up_node_by_node(make: Make) -> None:
    """Nothing runs yet, so no node needs to be drained."""
    simulation = make()
    for member in simulation.members.values():
        member.up.clear()
        member.pool.clear()
    simulation.restart()
    first, second = order(simulation, "logstash")
    assert {first, second} == {"stash1", "stash2"}
    assert simulation.events == [
        f"{first}: logstash",
        f"{first}: keepalived",
        f"{second}: logstash",
        f"{second}: keepalived",
    ]
    assert simulation.failed == []


@pytest.mark.parametrize("master", ["stash1", "stash2", "stash3"])
def test_backups_come_first_and_each_is_drained_on_every_director(make: Make, master: str) -> None:
    simulation = make(nodes=3, master=master)
    simulation.restart()
    assert order(simulation, "logstash")[-1] == order(simulation, "keepalived")[-1] == master
    assert sorted(order(simulation, "logstash")) == ["stash1", "stash2", "stash3"]
    for name, member in simulation.members.items():
        around = [event for event in simulation.events if event.endswith(str(member.node.address))]
        assert around == [
            *(f"{director}: touch {member.node.address}" for director in simulation.members),
            *(f"{director}: rm {member.node.address}" for director in simulation.members),
        ]
        assert (
            simulation.events.index(around[2])
            < simulation.events.index(f"{name}: logstash")
            < simulation.events.index(around[3])
        )
        assert member.flags == set()
        assert member.pool == set(simulation.members)
    assert simulation.failed == []
    assert not [line for line in simulation.log if "lost" in line]


def test_a_second_run_touches_nothing(make: Make) -> None:
    simulation = make(master="stash2")
    for member in simulation.members.values():
        member.new = set(UP)
    simulation.restart()
    assert simulation.events == []


def test_only_a_unit_that_needs_a_restart_is_touched(make: Make) -> None:
    """keepalived takes no events, and needs no drain."""
    simulation = make(master="stash2")
    for member in simulation.members.values():
        member.new.add("logstash")
    simulation.restart()
    assert [event.removesuffix(" under load") for event in simulation.events] == [
        "stash1: keepalived",
        "stash2: keepalived",
    ]


def test_a_package_is_updated_node_by_node(make: Make) -> None:
    simulation = make(master="stash2")
    for member in simulation.members.values():
        member.new = set(UP)

    def change() -> PackageChange | None:
        done = pyinfra.host.name in order(simulation, "logstash")
        return None if done else PackageChange(install="echo newer", revert="echo older")

    simulation.run_operations(
        activation.rolling_restart,
        [
            {"units": UNITS, "files": FILES, "masters": masters, "package_changes": {"logstash": change}}
            for masters in (False, True)
        ],
    )
    assert order(simulation, "logstash") == ["stash1", "stash2"]
    assert order(simulation, "keepalived") == []
    assert "stash1: logstash" in simulation.events  # drained
    assert all("echo newer" in script and "echo older" in script for script in simulation.scripts)


def test_the_next_node_waits_until_the_first_is_back(make: Make) -> None:
    simulation = make(master="stash2")
    master = simulation.members["stash2"]
    simulation.restart(False)
    assert master.pool == {"stash1", "stash2"}
    assert simulation.now < drain.DRAIN_BOUND


@pytest.mark.parametrize("master", ["stash1", "stash2"])
@pytest.mark.parametrize("unit", sorted(UP))
def test_a_node_that_does_not_come_up_stops_all_others(make: Make, master: str, unit: str) -> None:
    simulation = make(master=master)
    backup = "stash1" if master == "stash2" else "stash2"
    simulation.members[backup].breaks = {f"systemctl is-active {unit}": "it does not come up: port taken"}
    simulation.restart()
    assert backup in simulation.failed
    assert master not in order(simulation, "keepalived") + order(simulation, "logstash")
    assert not any(member.flags for member in simulation.members.values())
    assert any(backup in line and "port taken" in line for line in simulation.log)
    assert any(master in line and f"because {backup} has failed" in line for line in simulation.log)


def test_of_two_failing_backups_the_second_one_stays_as_it_was(make: Make) -> None:
    """Both are in one serial operation, at whose end pyinfra counts who failed."""
    simulation = make(nodes=3, master="stash3")
    for name in ("stash1", "stash2"):
        simulation.members[name].breaks = {"systemctl is-active logstash": "port taken"}
    simulation.restart(False)
    assert len([line for line in simulation.log if line.endswith("port taken")]) == 1


def test_a_node_that_failed_earlier_in_the_run_stops_all_others(make: Make) -> None:
    simulation = make(nodes=3, master="stash3")
    simulation.state.fail_hosts({simulation.state.inventory.get_host("stash1")})
    simulation.restart()
    assert simulation.events == []
    assert any("left as it was, because stash1 has failed" in line for line in simulation.log)


def test_a_node_that_fails_stops_its_own_cluster_only(make: Make) -> None:
    """Another cluster of the same inventory goes on."""
    simulation = make(master="stash2")
    activation._stopped_at[simulation.state] = {("flow1", "flow2"): "flow1"}
    simulation.restart()
    assert simulation.failed == []
    assert order(simulation, "logstash") == ["stash1", "stash2"]
    simulation = make(master="stash2")
    activation._stopped_at[simulation.state] = {("stash1", "stash2"): "stash1"}
    simulation.restart()
    assert any("left as it was, because stash1 has failed" in line for line in simulation.log)


def test_a_connection_outlasts_all_waits_for_a_slow_start(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the unit's end and its start, and for both again with the old files."""
    monkeypatch.setattr(f"{__name__}.UNITS", [replace(UNITS[0], bound=3600), *UNITS[1:]])
    simulation = make()
    simulation.restart()
    assert simulation.timeouts == {"logstash": 600 + 4 * 3600, "keepalived": 600 + 4 * 30}


def test_a_master_that_does_not_come_up_is_reported_as_failed(make: Make) -> None:
    simulation = make(master="stash2")
    simulation.members["stash2"].breaks = {"systemctl is-active logstash": "no"}
    simulation.restart()
    assert order(simulation, "logstash") == ["stash1"]
    assert simulation.failed == ["stash2"]
    assert not any(member.flags for member in simulation.members.values())


def test_a_node_that_takes_all_events_alone_is_not_drained(make: Make) -> None:
    """Events that come meanwhile are lost either way, and draining would only take longer."""
    simulation = make(master="stash1")
    simulation.members["stash2"].new = set(UP)
    simulation.members["stash2"].sick = True
    simulation.sleep(1)
    simulation.restart()
    assert simulation.events == ["stash1: keepalived under load", "stash1: logstash under load"]
    assert any("stash1 alone takes UDP 10.77.0.10:5514" in line for line in simulation.log)
    assert simulation.now < 20
    assert simulation.failed == []


def test_a_peer_that_comes_back_in_time_is_waited_for(make: Make) -> None:
    simulation = make(master="stash1")
    simulation.members["stash2"].new = set(UP)
    simulation.members["stash2"].pool.clear()
    simulation.members["stash1"].pool = {"stash1"}
    simulation.restart()
    assert simulation.events[-3:] == ["stash1: logstash", "stash1: rm 10.77.0.11", "stash2: rm 10.77.0.11"]


@pytest.mark.parametrize(
    ("weights", "waits"),
    [({"stash2": 20}, True), ({"stash1": 1, "stash2": 1}, False), ({"stash1": 20}, False)],
    ids=["it comes back slowly", "an older deploy's weights", "the node itself does"],
)
def test_a_peer_that_comes_back_slowly_gets_its_full_weight_first(
    make: Make, weights: dict[str, int], waits: bool
) -> None:
    """Before it takes the events of the node that is drained."""
    simulation = make(master="stash1")
    simulation.members["stash2"].new = set(UP)
    for name, weight in weights.items():
        simulation.members[name].weight = (weight, 40.0)
    simulation.restart()
    assert simulation.events[-3:] == ["stash1: logstash", "stash1: rm 10.77.0.11", "stash2: rm 10.77.0.11"]
    assert (simulation.now > 40) is waits
    assert simulation.failed == []


def test_a_node_is_drained_though_a_peer_never_gets_its_full_weight(make: Make) -> None:
    simulation = make(master="stash1")
    simulation.members["stash2"].new = set(UP)
    simulation.members["stash2"].weight = (50, 1000.0)
    simulation.restart()
    assert simulation.events[-3:] == ["stash1: logstash", "stash1: rm 10.77.0.11", "stash2: rm 10.77.0.11"]
    assert 60 < simulation.now < 120


def test_a_peer_of_weight_0_takes_nothing(make: Make) -> None:
    """IPVS sends it no events, though it is in the pool."""
    simulation = make(
        master="stash2", inputs=[{"id": "a", "port": 5514, "scheduler": "wrr", "weights": {"stash2": 0}}]
    )
    simulation.restart(False)
    assert any("stash1 alone takes UDP 10.77.0.10:5514" in line for line in simulation.log)


def test_a_master_that_follows_no_health_check_is_waited_for_no_longer_than_the_bound(make: Make) -> None:
    simulation = make(master="stash2")
    for member in simulation.members.values():
        member.new = {"keepalived"}
    simulation.members["stash2"].frozen = True
    simulation.restart(False)
    assert any(
        f"stash1 is still in a pool after {drain.DRAIN_BOUND:.0f} s" in line for line in simulation.log
    )
    assert "stash1: logstash under load" in simulation.events
    assert not any(member.flags for member in simulation.members.values())
    # It dropped the node while Logstash was away, and does not take it back.
    assert simulation.failed == ["stash1"]
    assert any("not in the pools of stash2 after 30 s" in line for line in simulation.log)
    assert drain.DRAIN_BOUND + activation.RETURN_BOUND <= simulation.now <= 60


@pytest.mark.parametrize(
    "error", [SSHException("EOF"), TimeoutError(), ConnectionResetError("reset by peer")]
)
def test_a_connection_that_breaks_fails_the_node(make: Make, error: Exception) -> None:
    simulation = make(master="stash2")
    simulation.members["stash1"].breaks = {"systemctl is-active logstash": error}
    simulation.restart()
    assert simulation.failed[0] == "stash1"
    assert any(
        "stash1" in line and f"the connection broke: {str(error) or 'no reason is given'}" in line
        for line in simulation.log
    )
    assert order(simulation, "logstash") == []
    assert simulation.members["stash2"].flags == set()


def test_a_director_that_can_not_be_reached_any_more_does_not_stop_the_run(make: Make) -> None:
    simulation = make(nodes=3, master="stash3")
    simulation.members["stash2"].new = set(UP)
    simulation.members["stash2"].breaks = {"/drained/": SSHException("EOF"), "ipvsadm": SSHException("EOF")}
    simulation.restart(False)
    assert "stash1: logstash" in simulation.events
    assert simulation.members["stash3"].flags == set()


@pytest.mark.parametrize("nodes", [2, 3])
def test_new_input_ids_do_not_fail_the_run(make: Make, nodes: int) -> None:
    """The MASTER asks for the old ones until its turn comes, and then it is the others that it sends events to."""
    simulation = make(nodes=nodes, master=f"stash{nodes}")
    simulation.renamed = True
    simulation.restart()
    assert simulation.failed == []
    assert sorted(order(simulation, "logstash")) == sorted(simulation.members)
    assert all(member.pool == set(simulation.members) for member in simulation.members.values())


def test_directors_outside_the_limit_get_drain_flags_too(make: Make) -> None:
    simulation = make(master="stash2", limit="stash1")
    simulation.restart()
    assert order(simulation, "logstash") == order(simulation, "keepalived") == ["stash1"]
    assert "stash1: logstash" in simulation.events
    assert "stash2: touch 10.77.0.11" in simulation.events
    assert simulation.members["stash2"].flags == set()


def test_an_unreachable_director_does_not_stop_the_run(make: Make) -> None:
    simulation = make(nodes=3, master="stash3", limit="stash1", unreachable="stash2")
    simulation.restart()
    assert "stash1: logstash" in simulation.events
    assert simulation.failed == []


def test_an_unexpected_error_stops_the_other_nodes_too(make: Make) -> None:
    """Such as an answer that no fact understands."""
    simulation = make(nodes=3, master="stash3")
    for name in ("stash1", "stash2"):
        simulation.members[name].breaks = {"systemctl is-active": ValueError("what is this?")}
    simulation.restart(False)
    assert len([line for line in simulation.log if "what is this?" in line and "Traceback" not in line]) == 1
    assert order(simulation, "logstash") == order(simulation, "keepalived") == []


def test_a_node_that_leaves_is_drained_first(make: Make) -> None:
    simulation = make(master="stash2")
    simulation.run_operations(activation.retired, [{"units": ["keepalived", "logstash"]}])
    stopped = [event for event in simulation.events if "stopped" in event]
    assert len(stopped) == 2
    assert stopped[0].split(": ")[1] == "stopped"
    assert not any(member.flags for member in simulation.members.values())
