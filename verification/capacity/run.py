"""Sends events faster and faster until the first one is lost."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pyinfra.api import Host

from cluster import Cluster, ClusterError, Node
from desired import logstash
from facts.events import ArrivedEvents, FileEnds, FilePosition
from remote.commands import CommandFailed, read, run
from remote.connect import connect_to_nodes
from remote.inventory import find_sender, load_cluster
from remote.together import for_each
from verification.capacity.result import Capacity, Moment, Step, places, rates
from verification.delivery import choose_targets, python_command, send_events, stop_sending, wait_for_events
from verification.events import Arrived, Target
from verification.inspection import inspect
from verification.why.trace import SETTLING, parse_counters, settings

FIRST = 500.0
"""Events a second to begin with."""
MOST = 10_000.0
"""The highest rate, unless the user chooses another one."""
LIMIT = 50_000.0
"""The highest that can be chosen."""
SECONDS = 5.0
"""How long each rate is sent."""
MAX_SECONDS = 60.0
_PROGRAM = Path(__file__).parents[2] / "files" / "trace_sender.py"
_TIMEOUT = 40


@dataclass(frozen=True)
class Plan:
    """A ramp on a cluster that is whole."""

    cluster: Cluster
    target: Target
    master: str
    sender: Host
    hosts: dict[Node, Host]
    rates: list[float]
    seconds: float

    @property
    def events(self) -> int:
        """How many are sent at most."""
        return round(sum(rate * self.seconds for rate in self.rates))


def prepare(
    file: str,
    input: str | None,
    sender_name: str | None,
    most: float,
    seconds: float,
    cluster_name: str | None = None,
) -> Plan:
    """What is to be sent to whom, in this one of several clusters in the inventory. Raises `ClusterError` when the cluster is not whole, or can't be measured."""
    if not FIRST <= most <= LIMIT:
        raise ClusterError(f"--most: {most:g} is out of range; choose {FIRST:g} to {LIMIT:g} events a second")
    if not 1 <= seconds <= MAX_SECONDS:
        raise ClusterError(f"--seconds: {seconds:g} is out of range; choose 1 to {MAX_SECONDS:g}")
    state, inventory, cluster = load_cluster(file, cluster_name)
    sender = find_sender(inventory, cluster, sender_name)
    target = _target(cluster, input)
    reasons = connect_to_nodes(state, inventory, cluster, sender)
    report = inspect(state, cluster, reasons)
    if not report.ok:
        raise ClusterError(f"capacity: the cluster is not whole ({report.problems[0].what}); run verify.py")
    (master,) = report.vips[str(target.server.vip)].holders
    hosts = {node: inventory.get_host(node.name) for node in cluster.nodes}
    return Plan(cluster, target, master, sender, hosts, rates(FIRST, most), seconds)


def _target(cluster: Cluster, input: str | None) -> Target:
    """The first virtual server over UDP that text can be sent to, of this input where one is named. Raises `ClusterError`."""
    for target in choose_targets(cluster, 1):
        ids = (target.server.input_id, target.server.input.id)
        if target.server.protocol == "UDP" and target.numbered and input in (None, *ids):
            return target
    known = ", ".join(dict.fromkeys(each.id for each in cluster.inputs))
    raise ClusterError(
        f"capacity: {input or f'none of {known}'} can't be measured: only an input that takes lines of text by UDP, whose events "
        "the deploy's own output writes, can; name such an input (over TCP none is lost, since senders wait)"
    )


def ramp(plan: Plan, progress: Callable[[Step], None]) -> Capacity:
    """Send at each rate until events are lost, or the sender can't keep pace. Raises `ClusterError`."""
    steps: list[Step] = []
    before = _count(plan, SETTLING)
    for rate in plan.rates:
        step, before = _step(plan, rate, before)
        steps.append(step)
        progress(step)
        if step.lost or not step.paced:
            break
    return Capacity(plan.sender.name, plan.target.server.input_id, str(plan.target.server.vip), tuple(steps))


def _step(plan: Plan, rate: float, before: Moment) -> tuple[Step, Moment]:
    """Send at one rate and count. The counters afterwards are those before the next one."""
    name = secrets.token_hex(4)
    path = logstash.events_file(plan.target.server.input.pipeline)
    positions: dict[Node, dict[str, FilePosition]] = {
        node: read(host, FileEnds, paths=[path]) or {} for node, host in plan.hosts.items()
    }
    try:
        result = send_events(plan.sender, [plan.target], name, round(rate * plan.seconds), rate)[
            plan.target.index
        ]
    except BaseException:
        stop_sending(plan.sender, name)
        raise
    if result.error or not result.sent:
        raise ClusterError(
            f"{plan.sender.name}: can't send: {result.error or 'nothing was sent'}; run verify.py why --send"
        )
    at_end = _count(plan, 0)

    def collect() -> dict[str, Arrived]:
        found = for_each(lambda item: _arrived(*item, positions, name), plan.hosts.items())
        return dict(found)

    arrived = wait_for_events(
        collect, lambda found: sum(len({*node.events}) for node in found.values()) >= result.sent
    )
    after = _count(plan, SETTLING)
    received = {node: len({*found.events}) for node, found in arrived.items()}
    server = plan.target.server
    lost_at = places(plan.cluster, server, before, after, result.sent, sum(received.values()))
    port = server.protocol, server.input.target_port
    waiting = {
        node: sum(state.queue for state in counters.sockets.get(port, []))
        for node, counters in at_end.counters.items()
    }
    return Step(rate, result.sent, result.seconds, received, lost_at, waiting), after


def _arrived(
    node: Node, host: Host, positions: dict[Node, dict[str, FilePosition]], name: str
) -> tuple[str, Arrived]:
    return node.name, Arrived(events=read(host, ArrivedEvents, positions=positions[node], run=name) or [])


def _count(plan: Plan, settling: float) -> Moment:
    """What all nodes have counted, `settling` seconds from now. Raises `ClusterError` where one does not say."""

    def count(item: tuple[Node, Host]) -> Any:
        node, host = item
        asked = settings(plan.cluster, node, ip_address("0.0.0.0"), 0)
        asked |= {"settling": settling, "interfaces": [], "ask": [], "once": {}}
        try:
            lines = run(host, python_command(_PROGRAM, json.dumps(asked)), timeout=_TIMEOUT)
            return node.name, parse_counters(json.loads("\n".join(lines))["after"])
        except (CommandFailed, ValueError) as error:
            return node.name, error

    found = dict(for_each(count, plan.hosts.items()))
    for name, counters in found.items():
        if isinstance(counters, Exception):
            raise ClusterError(f"{name}: could not be counted on ({counters}); run verify.py")
    return Moment(found, plan.master)
