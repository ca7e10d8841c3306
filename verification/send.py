"""The recipe's last test (step 12): numbered events go to the VIP; each must arrive once, spread evenly."""

from __future__ import annotations

import secrets
import shlex
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from gevent.pool import Group
from paramiko import SSHException
from pyinfra.api import Host, State, StringCommand

from cluster import Cluster, ClusterError, Input
from facts.events import TAG, Arrived, End
from operations.logstash import EVENTS
from verification.judge import Problem, Report, Status
from verification.observe import read

MAX_EVENTS = 100_000
"""For each input."""
MAX_RATE = 10_000
"""Datagrams a second."""
MAX_SECONDS = 600
"""That the sending may take."""

SETTLED = 3.0
"""Seconds without a new event until none is thought to come twice: the file output flushes every 2 s."""
QUIET = 8.0
"""Seconds without a new event after which missing ones are given up."""
LIMIT = 60.0
"""Seconds after which the waiting ends, whatever still comes."""
_POLL = 0.5

_SENDER = Path(__file__).parents[1] / "files" / "send_events.py"
_PYTHONS = "python3 /usr/libexec/platform-python python python2"

Events = list[tuple[int, int]]
"""Port and number of each event, as often as it came."""


class Sent(NamedTuple):
    """What the sender says: datagrams sent, those the network refused, and the address they came from."""

    sent: int
    refused: int
    source: str


@dataclass(frozen=True)
class InputDelivery:
    """What became of one input's events. `lost` never came; `duplicated` counts every copy too many."""

    sent: int
    received: dict[str, int]
    lost: int
    duplicated: int


@dataclass(frozen=True)
class Delivery:
    """What became of all events of a run."""

    run: str
    sender: str
    source: str
    refused: int
    inputs: dict[str, InputDelivery]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every event came, and came once."""
        return all(problem.status is Status.WARNING for problem in self.problems)


def check_size(count: int, rate: float, inputs: int) -> None:
    """Raise `ClusterError` when a test would be too big or take too long."""
    if not 1 <= count <= MAX_EVENTS:
        raise ClusterError(f"--send: {count} is out of range; choose 1 to {MAX_EVENTS} events")
    if not 0 < rate <= MAX_RATE:
        raise ClusterError(f"--rate: {rate:g} is out of range; choose up to {MAX_RATE} datagrams a second")
    if count * inputs / rate > MAX_SECONDS:
        raise ClusterError(
            f"--rate: {count} events for each input would take over {MAX_SECONDS} s at {rate:g} a second; "
            f"choose {count * inputs // MAX_SECONDS + 1} or more, or send fewer"
        )


def deliver(
    state: State, cluster: Cluster, report: Report, sender: Host, count: int, rate: float
) -> Delivery:
    """Send `count` events to each input at `rate` datagrams a second, and wait for them on the nodes.

    Raises `ClusterError` when the sender can't send.
    """
    run = secrets.token_hex(4)
    hosts = [host for node in cluster.nodes if (host := state.inventory.get_host(node.name)).connected]
    ends = Group().map(lambda host: read(host, End, path=EVENTS), hosts)
    marks = {host: end for host, end in zip(hosts, ends, strict=True) if end is not None}

    def look() -> dict[str, Events]:
        found = Group().map(lambda host: read(host, Arrived, path=EVENTS, mark=marks[host], run=run), marks)
        return {host.name: events or [] for host, events in zip(marks, found, strict=True)}

    sent = _send(sender, cluster, run, count, rate)
    arrived = wait(look, count * len(cluster.inputs))
    return tally(cluster, report, run, sender.name, sent, arrived)


def _send(sender: Host, cluster: Cluster, run: str, count: int, rate: float) -> Sent:
    ports = [str(input.port) for input in cluster.inputs]
    arguments = [_SENDER.read_text(), f"{TAG} {run}", str(count), f"{rate:g}", str(cluster.vip), *ports]
    command = (
        f"for python in {_PYTHONS}; do"
        f" ! command -v $python >/dev/null || exec $python -c {shlex.join(arguments)}; done;"
        " echo no Python there >&2; exit 1"
    )
    seconds = count * len(ports) / rate + 15
    try:
        done, output = sender.run_shell_command(StringCommand(command), _timeout=round(seconds))
    except (OSError, SSHException) as error:
        raise ClusterError(
            f"{sender.name}: sending broke off ({error or 'no end'}); look at it and try again"
        ) from None
    if not done:
        why = output.stderr_lines[-1] if output.stderr_lines else "it says nothing"
        raise ClusterError(f"{sender.name}: can't send: {why}; choose another sender with --from")
    number, refused, source = output.stdout_lines[-1].split()
    return Sent(int(number), int(refused), source)


def wait(
    look: Callable[[], dict[str, Events]],
    expected: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Events]:
    """What `look` finds once all expected events are there and no more come, or none have come for long."""
    start = grown = clock()
    count = 0
    while True:
        arrived = look()
        now = clock()
        events = [event for found in arrived.values() for event in found]
        if len(events) > count:
            count, grown = len(events), now
        patience = SETTLED if len(set(events)) >= expected else QUIET
        if now - grown >= patience or now - start >= LIMIT:
            return arrived
        sleep(_POLL)


def tally(
    cluster: Cluster, report: Report, run: str, sender: str, sent: Sent, arrived: dict[str, Events]
) -> Delivery:
    """What became of the events that were sent, from those that arrived on each node."""
    inputs = {}
    problems: list[Problem] = []
    for input in cluster.inputs:
        by_node = {
            name: Counter(n for port, n in arrived.get(name, []) if port == input.port)
            for name in report.nodes
        }
        copies = sum(by_node.values(), Counter())
        count = sent.sent // len(cluster.inputs)
        result = InputDelivery(
            sent=count,
            received={name: found.total() for name, found in by_node.items()},
            lost=count - len(copies),
            duplicated=copies.total() - len(copies),
        )
        inputs[input.id] = result
        problems += _faults(cluster, report, input, sent, result)
    if any(result.lost for result in inputs.values()):
        problems += [
            Problem(Status.UNKNOWN, "send", name, f"{EVENTS} could not be read", "lost events may be there")
            for name in report.nodes
            if name not in arrived
        ]
    return Delivery(run, sender, sent.source, sent.refused, inputs, tuple(problems))


def _faults(
    cluster: Cluster, report: Report, input: Input, sent: Sent, result: InputDelivery
) -> list[Problem]:
    def wrong(what: str, do: str, node: str | None = None) -> Problem:
        return Problem(Status.WRONG, "send", node, f"{input.id}: {what}", do)

    problems = []
    if result.lost:
        problems.append(wrong(*_loss(cluster, report, sent, result)))
    if result.duplicated:
        problems.append(
            wrong(
                f"{result.duplicated} of {result.sent} events came twice",
                "does one node alone hold the VIP, and one output alone write the events?",
            )
        )
    takers = report.pool[input.id]
    for name in takers:
        if result.received[name] == 0 and result.lost == 0 and result.sent >= len(takers):
            problems.append(wrong("got none of the events, though it is in the pool", "verify again", name))
    if takers and result.lost == result.duplicated == 0 and all(result.received[name] for name in takers):
        share = result.sent // len(takers)
        if not all(result.received[name] - share in (0, 1) for name in takers):
            spread = ", ".join(f"{name} {result.received[name]}" for name in takers)
            problems.append(
                Problem(
                    Status.WARNING,
                    "send",
                    None,
                    f"{input.id}: spread unevenly: {spread}",
                    "nothing, where other devices send too: their events take turns with these",
                )
            )
    return problems


def _loss(cluster: Cluster, report: Report, sent: Sent, result: InputDelivery) -> tuple[str, str]:
    """A loss and its mend, in words."""
    what = f"{result.lost} of {result.sent} events are lost"
    if not any(IPv4Address(sent.source) in network for network in cluster.senders):
        return (
            f"{what}; {sent.source} is not among the senders",
            "send --from another host, or add the address to `senders` in inventory.py and deploy",
        )
    if sent.refused:
        return (
            f"{what}; {report.vip} refused {sent.refused}",
            "mend what is above: a firewall refuses, or nobody listens",
        )
    if result.lost < result.sent:
        return what, "send slower, with --rate; if it stays: `nstat -az UdpRcvbufErrors` on the nodes"
    if not report.ok:
        return what, "mend what is above"
    return (
        what,
        f"`tcpdump -ni {cluster.interface} udp` on the nodes shows if they come; Logstash writes {EVENTS}",
    )
