"""A drill from its start to its result: events flow all the while, and verify.py looks before, during and after."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.pool import Group
from pyinfra.api import Host

from cluster import Cluster, ClusterError, Node
from desired import logstash
from drills.catalogue import STOP, Drill, script
from drills.result import Loss, count
from facts.events import ArrivedEvents, FileEnds, FilePosition
from remote import reach
from remote.commands import CommandFailed, read
from remote.commands import run as run_command
from verification import send
from verification.inspection import inspect
from verification.observe import release
from verification.report import Report

LEAD = 3
"""Seconds of events before the drill."""
TAIL = 30
"""Seconds of events after it is undone."""
HEAL = 240
"""Seconds after which a cluster that is not whole again is given up."""
RATE = 100
MAX_RATE = 1000

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a drill has shown."""

    drill: Drill
    node: str
    loss: Loss
    seen: tuple[str, ...]
    """What verify.py found wrong meanwhile."""
    healed: float | None
    """Seconds from the drill's end until verify.py found nothing wrong; None when that did not come."""

    @property
    def faults(self) -> list[str]:
        """What was expected otherwise."""
        faults = []
        if self.healed is None:
            faults.append(f"the cluster is not whole {HEAL} s later: run verify.py")
        if self.drill.lossless and self.loss.lost:
            faults.append(f"{self.loss.lost} events are lost, and none should be")
        if self.drill.settles and self.loss.last > (LEAD + self.drill.settles) * 1000:
            faults.append(
                f"an event is lost {self.loss.last / 1000 - LEAD:.1f} s after its begin, and none should be "
                f"after {self.drill.settles} s"
            )
        if self.loss.duplicated:
            faults.append(f"{self.loss.duplicated} events came twice")
        if self.drill.sees and not any(self.drill.sees in what for what in self.seen):
            faults.append(f"verify.py did not tell {self.drill.sees!r}")
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
    target: send.Target
    sender: str
    rate: float

    @property
    def seconds(self) -> int:
        """How long events are sent."""
        return LEAD + self.drill.lasts + TAIL


def prepare(file: str, drill: Drill, on: str | None, sender_name: str | None, rate: float) -> Plan:
    """What is to be done where. Raises `ClusterError` when the cluster is not whole, or can't be drilled."""
    if not 1 <= rate <= MAX_RATE:
        raise ClusterError(f"--rate: {rate:g} is out of range; choose 1 to {MAX_RATE} events a second")
    state, inventory, cluster = reach.load(file)
    sender = reach.sender_of(inventory, cluster, sender_name)
    targets = [each for each in send.targets(cluster, 1) if each.numbered and each.server.protocol == "UDP"]
    if not targets:
        raise ClusterError(
            "drill: no UDP input's events can be told apart, as they go to pipelines of yours; "
            "drill a cluster without them"
        )
    node = cluster.node(on) if on else None
    reasons = reach.connect_to_nodes(state, inventory, cluster, sender)
    report = inspect(state, cluster, reasons)
    if not report.ok:
        raise ClusterError(f"drill: the cluster is not whole ({report.problems[0].what}); run verify.py")
    (holder,) = report.vips[str(targets[0].server.vip)].holders
    node = node or cluster.node(holder)
    el = release(inventory.get_host(node.name))
    assert el, "a cluster that is whole has no other systems"
    role = "MASTER" if node.name == holder else "BACKUP"
    return Plan(file, drill, cluster, node, role, el, targets[0], sender.name, rate)


def run(plan: Plan, tell: Tell) -> Outcome:
    """The drill. Whatever ends it, also Ctrl-C, it is undone. Raises `ClusterError` when it can't begin."""
    state, inventory, cluster = reach.load(plan.file)
    sender = inventory.get_host(plan.sender)
    reach.connect_to_nodes(state, inventory, cluster, sender)
    host = inventory.get_host(plan.node.name)
    name, paths = secrets.token_hex(4), [logstash.events_file(plan.target.server.input.pipeline)]
    positions = {
        node.name: read(inventory.get_host(node.name), FileEnds, paths=paths) or {} for node in cluster.nodes
    }
    sending = gevent.spawn(send.send, sender, [plan.target], name, int(plan.seconds * plan.rate), plan.rate)
    gevent.sleep(LEAD)
    tell(f"{plan.node.name} {plan.drill.what}")
    started = time.monotonic()
    try:
        _run(host, script(plan.drill, cluster, plan.node, plan.el))
        seen = _watch(plan, started, tell)
    except BaseException:
        sending.kill()
        tell(f"{plan.node.name}: undoing it")
        _undo(plan, name)
        raise
    tell("waiting for the cluster to be whole again")
    healed = _heal(plan)
    sending.get()
    tell("counting the events")
    return Outcome(plan.drill, plan.node.name, _count(plan, name, positions), seen, healed)


def _run(host: Host, command: str) -> None:
    """A command on a node that must succeed. Raises `ClusterError`."""
    try:
        run_command(host, command, timeout=30)
    except CommandFailed as failure:
        raise ClusterError(f"drill: {host.name}: {failure}") from None


def _undo(plan: Plan, name: str) -> None:
    """End it on the node now, if that can be reached, and what is sent; else they end by themselves."""
    state, inventory, cluster = reach.load(plan.file)
    sender = inventory.get_host(plan.sender)
    reach.connect_to_nodes(state, inventory, cluster, sender)
    host = inventory.get_host(plan.node.name)
    if host.connected:
        _run(host, STOP)
    send.stop(sender, name)


def _look(file: str) -> Report:
    state, inventory, cluster = reach.load(file)
    return inspect(state, cluster, reach.connect_to_nodes(state, inventory, cluster))


def _watch(plan: Plan, started: float, tell: Tell) -> tuple[str, ...]:
    """What verify.py tells while the drill lasts, until it tells what it should."""
    seen: dict[str, None] = {}
    while plan.drill.sees and time.monotonic() < started + plan.drill.lasts:
        seen |= dict.fromkeys(problem.what for problem in _look(plan.file).problems)
        if any(plan.drill.sees in what for what in seen):
            break
    gevent.sleep(max(0, started + plan.drill.lasts - time.monotonic()))
    return tuple(seen)


def _heal(plan: Plan) -> float | None:
    """Seconds until the cluster is whole, with no hand laid on."""
    start = time.monotonic()
    while time.monotonic() < start + HEAL:
        try:
            if _look(plan.file).ok:
                return time.monotonic() - start
        except ClusterError:  # no node can be reached
            pass
        gevent.sleep(1)
    return None


def _count(plan: Plan, name: str, positions: dict[str, dict[str, FilePosition]]) -> Loss:
    """The events that have arrived, once no more come."""
    state, inventory, cluster = reach.load(plan.file)
    reach.connect_to_nodes(state, inventory, cluster)

    def look() -> dict[str, send.Seen]:
        def arrived(node: Node) -> send.Seen:
            found = read(
                inventory.get_host(node.name), ArrivedEvents, positions=positions[node.name], run=name
            )
            return send.Seen(events=found or [])

        return dict(
            zip((node.name for node in cluster.nodes), Group().map(arrived, cluster.nodes), strict=True)
        )

    sent = int(plan.seconds * plan.rate)
    found = send.wait(
        look, lambda seen: len({event for each in seen.values() for event in each.events}) >= sent
    )
    return count(
        sent, plan.rate, {node: [number for _, number in seen.events] for node, seen in found.items()}
    )
