"""A drill from its start to its result: events are sent all the while, and the cluster is verified before, during and after."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from pyinfra.api import Host

from cluster import Cluster, ClusterError, Node
from desired import logstash
from drills.catalogue import STOP, Drill, duration, needs, script
from drills.result import Loss, count
from facts.events import ArrivedEvents, FileEnds, FilePosition
from remote import lock
from remote.commands import CommandFailed, read
from remote.commands import run as run_command
from remote.connect import connect_to_nodes
from remote.inventory import find_sender, load_cluster
from remote.together import for_each
from verification.delivery import choose_targets, send_events, stop_sending, wait_for_events
from verification.events import Arrived, Target
from verification.inspection import inspect
from verification.observe import release
from verification.report import Problem, Report

LEAD = 3
"""Seconds of events before the drill."""
TAIL = 30
"""Seconds of events after it is undone, or more: until the cluster is whole again."""
HEAL = 240
"""Seconds within which the cluster must be whole again, or some more than its Logstash may take to start."""
RATE = 100
"""Events a second, unless the user chooses another rate."""
MAX_RATE = 1000

Progress = Callable[[str], None]
"""Shows a line on how far the drill is."""


@dataclass(frozen=True)
class Outcome:
    """What a drill has shown."""

    drill: Drill
    node: str
    loss: Loss
    seen: tuple[Problem, ...]
    """What verify.py reported meanwhile, each problem once."""
    healed: float | None
    """Seconds from the drill's end until verify.py found nothing wrong; None when it did not within `bound` s."""
    bound: int = HEAL
    begun: float = LEAD
    """Seconds of events until the node had been told to fail: more than `LEAD` where it takes long to answer."""

    @property
    def faults(self) -> list[str]:
        """What was not as expected."""
        faults = []
        if self.healed is None:
            faults.append(f"the cluster is not whole {self.bound} s later: run verify.py")
        if self.drill.lossless and self.loss.lost:
            faults.append(f"{self.loss.lost} events are lost, and none should be")
        if self.drill.settles and self.loss.last > (self.begun + self.drill.settles) * 1000:
            faults.append(
                f"an event is lost {self.loss.last / 1000 - self.begun:.1f} s after its start, and none should be "
                f"after {self.drill.settles} s"
            )
        if self.loss.duplicated:
            faults.append(f"{self.loss.duplicated} events came twice")
        if self.drill.sees and self.drill.sees not in {problem.reason for problem in self.seen}:
            faults.append(f"verify.py did not report the reason {self.drill.sees!r}")
        return faults


@dataclass(frozen=True)
class Plan:
    """A drill on a node of a cluster that is whole."""

    file: str
    drill: Drill
    cluster: Cluster
    node: Node
    role: str
    el: int
    target: Target
    sender: str
    rate: float
    cluster_name: str | None = None
    """Which of the inventory's clusters it is; None where it has one."""

    @property
    def lasts(self) -> int:
        """Seconds after which it is undone, unless it ends before."""
        return duration(self.drill, self.cluster)

    @property
    def seconds(self) -> int:
        """How long events are sent at most: the sender ends by itself then."""
        return LEAD + self.lasts + heal_bound(self.cluster) + TAIL


def prepare(
    file: str,
    drill: Drill,
    on: str | None,
    sender_name: str | None,
    rate: float,
    cluster_name: str | None = None,
) -> Plan:
    """What is to be done where. Raises `ClusterError` when the cluster is not whole, or can't be drilled."""
    if not 1 <= rate <= MAX_RATE:
        raise ClusterError(f"--rate: {rate:g} is out of range; choose 1 to {MAX_RATE} events a second")
    state, inventory, cluster = load_cluster(file, cluster_name)
    sender = find_sender(inventory, cluster, sender_name)
    targets = [
        target for target in choose_targets(cluster, 1) if target.numbered and target.server.protocol == "UDP"
    ]
    if not targets:
        raise ClusterError(
            "drill: no UDP input's events can be told apart, as they go to pipelines of yours; "
            "drill a cluster without them"
        )
    node = cluster.node(on) if on else None
    reasons = connect_to_nodes(state, inventory, cluster, sender)
    report = inspect(state, cluster, reasons)
    if not report.ok:
        raise ClusterError(f"drill: the cluster is not whole ({report.problems[0].what}); run verify.py")
    (holder,) = report.vips[str(targets[0].server.vip)].holders
    node = node or cluster.node(holder)
    el = release(inventory.get_host(node.name))
    assert el, "a cluster that is whole has no other systems"
    if drill.needs:
        _run(inventory.get_host(node.name), needs(drill, cluster, node, el))
    role = "MASTER" if node.name == holder else "BACKUP"
    return Plan(file, drill, cluster, node, role, el, targets[0], sender.name, rate, cluster_name)


def run(plan: Plan, progress: Progress) -> Outcome:
    """The drill. Whatever ends it, also Ctrl-C, it is undone. Raises `ClusterError` when it can't begin."""
    state, inventory, cluster = load_cluster(plan.file, plan.cluster_name)
    sender = inventory.get_host(plan.sender)
    connect_to_nodes(state, inventory, cluster, sender)
    lock.take(state, cluster)
    host = inventory.get_host(plan.node.name)
    name, paths = secrets.token_hex(4), [logstash.events_file(plan.target.server.input.pipeline)]
    positions = {
        node.name: read(inventory.get_host(node.name), FileEnds, paths=paths) or {} for node in cluster.nodes
    }
    spawned = time.monotonic()
    sending = gevent.spawn(send_events, sender, [plan.target], name, int(plan.seconds * plan.rate), plan.rate)
    gevent.sleep(LEAD)
    progress(f"{plan.node.name} {plan.drill.what}")
    started = time.monotonic()
    try:
        _run(host, script(plan.drill, cluster, plan.node, plan.el))
        begun = time.monotonic() - spawned
        seen = _watch(plan, host, started)
        ended = time.monotonic()
    except BaseException:
        sending.kill()
        progress(f"{plan.node.name}: undoing it")
        _undo(plan, name)
        raise
    progress("waiting for the cluster to be whole again")
    bound = heal_bound(cluster)
    healed = _wait_until_whole(plan, bound)
    gevent.sleep(max(0, ended + TAIL - time.monotonic()))
    stop_sending(sender, name)
    sent = sending.get()[plan.target.index].sent
    progress("counting the events")
    loss = _count(plan, name, sent, positions)
    return Outcome(plan.drill, plan.node.name, loss, seen, healed, bound, begun)


def _run(host: Host, command: str) -> None:
    """Run a command on a node. Raises `ClusterError` when it fails."""
    try:
        run_command(host, command, timeout=30)
    except CommandFailed as failure:
        raise ClusterError(f"drill: {host.name}: {failure}") from None


def _undo(plan: Plan, name: str) -> None:
    """End the drill on the node now, and the sending; what can't be reached ends by itself."""
    state, inventory, cluster = load_cluster(plan.file, plan.cluster_name)
    sender = inventory.get_host(plan.sender)
    connect_to_nodes(state, inventory, cluster, sender)
    host = inventory.get_host(plan.node.name)
    if host.connected:
        _run(host, STOP)
    stop_sending(sender, name)


def _inspect(plan: Plan) -> Report:
    state, inventory, cluster = load_cluster(plan.file, plan.cluster_name)
    return inspect(state, cluster, connect_to_nodes(state, inventory, cluster))


def _watch(plan: Plan, host: Host, started: float) -> tuple[Problem, ...]:
    """What verify.py reports while the drill lasts, until it reports what it should. That may end the drill."""
    seen: dict[Problem, None] = {}
    while plan.drill.sees and time.monotonic() < started + plan.lasts:
        seen |= dict.fromkeys(_inspect(plan).problems)
        if plan.drill.sees in {problem.reason for problem in seen}:
            if plan.drill.until_seen:
                _run(host, STOP)
                return tuple(seen)
            break
    gevent.sleep(max(0, started + plan.lasts - time.monotonic()))
    return tuple(seen)


def heal_bound(cluster: Cluster) -> int:
    """Seconds within which this cluster must be whole again."""
    return max(HEAL, cluster.start_timeout + 60)


def _wait_until_whole(plan: Plan, bound: int) -> float | None:
    """Seconds until the cluster is whole again by itself; None where it is not within `bound` s."""
    start = time.monotonic()
    while time.monotonic() < start + bound:
        try:
            if _inspect(plan).ok:
                return time.monotonic() - start
        except ClusterError:  # no node can be reached
            pass
        gevent.sleep(1)
    return None


def _count(plan: Plan, name: str, sent: int, positions: dict[str, dict[str, FilePosition]]) -> Loss:
    """The events that have arrived, once no more come."""
    state, inventory, cluster = load_cluster(plan.file, plan.cluster_name)
    connect_to_nodes(state, inventory, cluster)

    def read_arrived(node: Node) -> Arrived:
        host = inventory.get_host(node.name)
        return Arrived(events=read(host, ArrivedEvents, positions=positions[node.name], run=name) or [])

    def collect() -> dict[str, Arrived]:
        names = (node.name for node in cluster.nodes)
        return dict(zip(names, for_each(read_arrived, cluster.nodes), strict=True))

    found = wait_for_events(
        collect,
        lambda arrived: len({event for node in arrived.values() for event in node.events}) >= sent,
    )
    return count(
        sent, plan.rate, {name: [number for _, number in arrived.events] for name, arrived in found.items()}
    )
