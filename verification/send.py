"""The recipe's last test (step 12): numbered events go to the VIPs; each must arrive once, spread as it is meant."""

from __future__ import annotations

import errno
import json
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from gevent.pool import Group
from paramiko import SSHException
from pyinfra.api import Host, State, StringCommand

from cluster import Cluster, ClusterError, Node, VirtualServer
from desired import logstash
from facts.events import TAG, ArrivedEvents, EventCounts, FileEnds, FilePosition
from remote.commands import read
from verification import spread
from verification.finding import words
from verification.report import Problem, Report, Status

MAX_EVENTS = 100_000
"""For each virtual server."""
MAX_RATE = 10_000
"""Events a second."""
MAX_SECONDS = 600
"""That the sending may take."""

SETTLED = 3.0
"""Seconds without a new event until none is thought to come twice: the file output flushes every 2 s."""
QUIET = 8.0
"""Seconds without a new event after which missing ones are given up."""
LIMIT = 60.0
"""Seconds after which the waiting ends, whatever still comes."""
_POLL = 0.5

TEXT_CODECS = (None, "plain", "line", "json", "json_lines")
"""What makes an event of a line of text; the others may drop it."""
NO_ROUTE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What a sender's system says where it has no address of that family."""

_SENDER = Path(__file__).parents[1] / "files" / "send_events.py"
_PYTHONS = "python3 /usr/libexec/platform-python python python2"


@dataclass(frozen=True)
class Target:
    """A virtual server that events are sent to. `place` is its number in the cluster's list of them."""

    place: int
    server: VirtualServer
    flows: int
    """Sockets that the events take turns over: IPVS picks a node for each, or for each event with `ops`."""
    numbered: bool
    """Whether the events can be told apart where they arrive: in a file of the deploy's own output."""


class Sent(NamedTuple):
    """What the sender says of a target; `files/send_events.py` tells the fields."""

    sent: int
    refused: int = 0
    source: str | None = None
    error: str | None = None
    errno: int | None = None


@dataclass
class Seen:
    """What has arrived on a node: target and number of each event as often as it came, and counts by input id."""

    events: list[tuple[int, int]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class InputDelivery:
    """What became of one input's events. `lost` never came; `duplicated` counts every copy too many."""

    input: str
    vips: tuple[str, ...]
    """Where they were sent; all VIPs together where Logstash's API counted."""
    counted: str
    """`events`: each one was found in the output's file. `api`: Logstash counted what its input took, from all
    senders; `duplicated` is then None."""
    sent: int
    refused: int
    received: dict[str, int]
    lost: int
    duplicated: int | None


@dataclass(frozen=True)
class Delivery:
    """What became of all events of a run."""

    run: str
    sender: str
    inputs: tuple[InputDelivery, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every event came, and came once."""
        return all(problem.status is Status.WARNING for problem in self.problems)


def check_size(count: int, rate: float, targets: int) -> None:
    """Raise `ClusterError` when a test would be too big or take too long."""
    if not 1 <= count <= MAX_EVENTS:
        raise ClusterError(f"--send: {count} is out of range; choose 1 to {MAX_EVENTS} events")
    if not 0 < rate <= MAX_RATE:
        raise ClusterError(f"--rate: {rate:g} is out of range; choose up to {MAX_RATE} events a second")
    if count * targets / rate > MAX_SECONDS:
        raise ClusterError(
            f"--rate: {count} events for each of {targets} virtual servers would take over {MAX_SECONDS} s at "
            f"{rate:g} a second; choose {count * targets // MAX_SECONDS + 1} or more, or send fewer"
        )


def targets(cluster: Cluster, count: int) -> list[Target]:
    """The virtual servers that text can be sent to, with what the sender must know of them."""
    return [
        Target(
            place=place,
            server=server,
            flows=1 if server.ops else min(count, 2 * len(cluster.nodes)),
            numbered=server.input.pipeline not in cluster.pipeline_files,
        )
        for place, server in enumerate(cluster.virtual_servers)
        if server.input.codec in TEXT_CODECS
    ]


def deliver(
    state: State, cluster: Cluster, report: Report, sender: Host, count: int, rate: float
) -> Delivery:
    """Send `count` events to each virtual server at `rate` events a second, and wait for them on the nodes.

    Raises `ClusterError` when the sender can't send.
    """
    run = secrets.token_hex(4)
    aims = targets(cluster, count)
    hosts = {node: host for node in cluster.nodes if (host := state.inventory.get_host(node.name)).connected}
    paths = sorted({logstash.events_file(aim.server.input.pipeline) for aim in aims if aim.numbered})
    by_api = any(not aim.numbered for aim in aims)

    def each(look: Callable[[Node], Seen | None]) -> dict[str, Seen]:
        found = zip(hosts, Group().map(look, hosts), strict=True)
        return {node.name: seen for node, seen in found if seen is not None}

    positions: dict[Node, dict[str, FilePosition]] = {}
    before: dict[Node, dict[str, int]] = {}

    def mark(node: Node) -> None:
        positions[node] = read(hosts[node], FileEnds, paths=paths) if paths else {}
        before[node] = (read(hosts[node], EventCounts, address=node.address) or {}) if by_api else {}

    def look(node: Node) -> Seen | None:
        seen = Seen()
        if positions[node]:
            events = read(hosts[node], ArrivedEvents, positions=positions[node], run=run)
            if events is None:
                return None
            seen.events = events
        if by_api:
            counts = read(hosts[node], EventCounts, address=node.address) or {}
            seen.counts = {id: number - before[node].get(id, 0) for id, number in counts.items()}
        return seen

    Group().map(mark, hosts)
    sent = send(sender, aims, run, count, rate)
    arrived = wait(lambda: each(look), lambda found: _all_came(aims, sent, found))
    return tally(cluster, report, run, sender.name, aims, sent, arrived)


def script(path: Path, *arguments: str) -> str:
    """A command that runs a script of this project, with whatever Python the sender has."""
    text = shlex.join([path.read_text(), *arguments])
    return (
        f"for python in {_PYTHONS}; do"
        f" ! command -v $python >/dev/null || exec $python -c {text}; done;"
        " echo no Python there >&2; exit 1"
    )


def send(sender: Host, aims: list[Target], run: str, count: int, rate: float) -> dict[int, Sent]:
    """What the sender says, by target."""
    places = [
        (aim.place, aim.server.protocol.lower(), str(aim.server.vip), aim.server.port, aim.flows)
        for aim in aims
    ]
    command = script(_SENDER, f"{TAG} {run}", str(count), f"{rate:g}", json.dumps(places))
    seconds = count * len(aims) / rate + 15 + 6 * len(aims)
    try:
        done, output = sender.run_shell_command(StringCommand(command), _timeout=round(seconds))
    except (OSError, SSHException) as error:
        raise ClusterError(
            f"{sender.name}: sending broke off ({error or 'no end'}); look at it and try again"
        ) from None
    if not done:
        why = output.stderr_lines[-1] if output.stderr_lines else "it says nothing"
        raise ClusterError(f"{sender.name}: can't send: {why}; choose another sender with --from")
    said = [Sent(**json.loads(line)) for line in output.stdout_lines if line.startswith("{")]
    return {aim.place: each for aim, each in zip(aims, said, strict=True)}


def stop(sender: Host, run: str) -> None:
    """Nothing more is sent of this run."""
    # The brackets: the pattern is not to match the shell that it is in.
    sender.run_shell_command(StringCommand(f"pkill -f '[{TAG[0]}]{TAG[1:]} {run} '"), _timeout=30)


def _all_came(aims: list[Target], sent: dict[int, Sent], arrived: dict[str, Seen]) -> bool:
    came = {event for seen in arrived.values() for event in seen.events}
    expected = sum(sent[aim.place].sent for aim in aims if aim.numbered)
    counted = Counter[str]()
    for aim in aims:
        if not aim.numbered:
            counted[aim.server.input_id] += sent[aim.place].sent
    return len(came) >= expected and all(
        sum(seen.counts.get(id, 0) for seen in arrived.values()) >= number for id, number in counted.items()
    )


def wait(
    look: Callable[[], dict[str, Seen]],
    enough: Callable[[dict[str, Seen]], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Seen]:
    """What `look` finds once it is enough and no more comes, or nothing has come for long."""
    start = grown = clock()
    count = 0
    while True:
        arrived = look()
        now = clock()
        total = sum(len(seen.events) + sum(seen.counts.values()) for seen in arrived.values())
        if total > count:
            count, grown = total, now
        patience = SETTLED if enough(arrived) else QUIET
        if now - grown >= patience or now - start >= LIMIT:
            return arrived
        sleep(_POLL)


def tally(
    cluster: Cluster,
    report: Report,
    run: str,
    sender: str,
    aims: list[Target],
    sent: dict[int, Sent],
    arrived: dict[str, Seen],
) -> Delivery:
    """What became of the events that were sent, from those that arrived on each node."""
    deliveries = []
    problems = _not_tested(cluster, aims)
    for group in _groups(aims):
        said = [sent[aim.place] for aim in group]
        trouble = [problem for aim in group for problem in _trouble(sender, aim, sent[aim.place])]
        problems += trouble
        if not sum(each.sent for each in said):
            if not trouble:
                raise ClusterError(f"{sender}: sent nothing to {_label(group)}; look at it and try again")
            continue
        numbers = {name: _numbers(group[0], arrived.get(name, Seen())) for name in report.nodes}
        result = _count(report, group, said, arrived, numbers)
        deliveries.append(result)
        source = next((each.source for each in said if each.source), None)
        problems += _faults(cluster, report, group, result, source, numbers)
    if any(result.lost for result in deliveries):
        problems += [
            Problem(Status.UNKNOWN, "send", name, "its events could not be read", "lost events may be there")
            for name in report.nodes
            if name not in arrived
        ]
    return Delivery(run, sender, tuple(deliveries), tuple(problems))


def _groups(aims: Iterable[Target]) -> list[list[Target]]:
    """What is counted together: a virtual server alone, or with the API all those of one input."""
    groups: dict[tuple[str, int | None], list[Target]] = {}
    for aim in aims:
        groups.setdefault((aim.server.input_id, aim.place if aim.numbered else None), []).append(aim)
    return list(groups.values())


def _label(group: list[Target]) -> str:
    return f"{group[0].server.input_id} at {words(str(aim.server.vip) for aim in group)}"


def _count(
    report: Report,
    group: list[Target],
    said: list[Sent],
    arrived: dict[str, Seen],
    numbers: dict[str, Counter[int]],
) -> InputDelivery:
    aim = group[0]
    result = InputDelivery(
        input=aim.server.input_id,
        vips=tuple(str(aim.server.vip) for aim in group),
        counted="events" if aim.numbered else "api",
        sent=sum(each.sent for each in said),
        refused=sum(each.refused for each in said),
        received={},
        lost=0,
        duplicated=None,
    )
    if not aim.numbered:
        received = {
            name: arrived.get(name, Seen()).counts.get(aim.server.input_id, 0) for name in report.nodes
        }
        return replace(result, received=received, lost=max(0, result.sent - sum(received.values())))
    copies = sum(numbers.values(), Counter())
    return replace(
        result,
        received={name: found.total() for name, found in numbers.items()},
        lost=max(0, result.sent - len(copies)),
        duplicated=copies.total() - len(copies),
    )


def _numbers(aim: Target, seen: Seen) -> Counter[int]:
    return Counter(number for place, number in seen.events if place == aim.place)


def _wrong(what: str, do: str, node: str | None = None) -> Problem:
    return Problem(Status.WRONG, "send", node, what, do)


def _warning(what: str, do: str) -> Problem:
    return Problem(Status.WARNING, "send", None, what, do)


def _not_tested(cluster: Cluster, aims: list[Target]) -> list[Problem]:
    tested = {aim.place for aim in aims}
    return [
        _warning(
            f"{server.input_id} was not tested: its codec {server.input.codec} does not take lines of text",
            "look for events of your own devices",
        )
        for place, server in enumerate(cluster.virtual_servers)
        if place not in tested and server.vip == cluster.vips[0]
    ]


def _trouble(sender: str, aim: Target, sent: Sent) -> list[Problem]:
    """Why the sending to a target broke off, if it did."""
    if sent.error is None:
        return []
    version = aim.server.vip.version
    if sent.errno in NO_ROUTE and version == 6:
        return [
            _warning(
                f"{aim.server.vip} was not tested: {sender} has no IPv6 ({sent.error.lower()})",
                "send --from a host that has",
            )
        ]
    if sent.errno in NO_ROUTE:
        do = f"send --from a host that can reach {aim.server.vip}"
    elif sent.source is None:
        do = "mend what is above: a firewall refuses or drops, or nobody listens"
    else:
        do = "did a node go down meanwhile? Verify again"
    return [_wrong(f"{_label([aim])}: {sent.error} after {sent.sent} events", do)]


def _faults(
    cluster: Cluster,
    report: Report,
    group: list[Target],
    result: InputDelivery,
    source: str | None,
    numbers: dict[str, Counter[int]],
) -> list[Problem]:
    label = _label(group)
    problems = []
    if result.lost:
        what, do = _loss(cluster, report, group, result, source)
        problems.append(_wrong(f"{label}: {what}", do))
    if result.duplicated:
        problems.append(
            _wrong(
                f"{label}: {result.duplicated} of {result.sent} events came twice",
                "does one node alone hold the VIP, and one output alone write the events?",
            )
        )
    if group[0].numbered and not problems:
        problems += _spread(report, group[0], result, numbers)
    return problems


def _spread(
    report: Report, aim: Target, result: InputDelivery, numbers: dict[str, Counter[int]]
) -> list[Problem]:
    """What differs from how the virtual server's scheduler spreads events over the nodes of its pool."""
    server, label = aim.server, _label([aim])
    pool = report.vips[str(server.vip)].pool[server.input_id]
    shares = ", ".join(f"{name} {result.received[name]}" for name in pool)
    if server.input.scheduler in spread.STICKY:
        if sum(1 for count in result.received.values() if count) > 1:
            what = f"{label}: one sender's events came to several nodes ({shares})"
            return [
                _wrong(what, f"{server.input.scheduler} parts them only when the pool changes: verify again")
            ]
        return []
    if server.input.scheduler not in spread.TURNS:
        return []
    # What IPVS picks a node for: an event, or with connections all that a socket sends.
    units = {
        name: len({number % aim.flows for number in found}) if aim.flows > 1 else found.total()
        for name, found in numbers.items()
    }
    weights = {real.node.name: real.weight for real in server.real_servers if real.node.name in pool}
    bounds = spread.bounds(weights, sum(units.values()))
    none = [name for name, (low, _) in bounds.items() if low and not units[name]]
    if none:
        what = f"{label}: got none of the events, though it is in the pool"
        return [_wrong(what, "verify again", name) for name in none]
    if any(not low <= units[name] <= high for name, (low, high) in bounds.items()):
        do = "nothing, where other devices send too: their events take turns with these"
        return [_warning(f"{label}: spread unevenly: {shares}", do)]
    return []


def _loss(
    cluster: Cluster, report: Report, group: list[Target], result: InputDelivery, source: str | None
) -> tuple[str, str]:
    """A loss and its mend, in words."""
    server = group[0].server
    what = f"{result.lost} of {result.sent} events are lost"
    senders = cluster.senders_of(server.input)
    if source and not any(ip_address(source) in network for network in senders):
        return (
            f"{what}; {source} is not among its senders",
            "send --from another host, or add the address to `senders` in inventory.py and deploy",
        )
    if result.refused:
        return (
            f"{what}; {words(result.vips)} refused {result.refused}",
            "mend what is above: a firewall refuses, or nobody listens",
        )
    if result.lost < result.sent and server.protocol == "UDP":
        return what, "send slower, with --rate; if it stays: `nstat -az UdpRcvbufErrors` on the nodes"
    if not report.ok:
        return what, "mend what is above"
    log = "/var/log/logstash/logstash-plain.log"
    return (
        what,
        f"`tcpdump -ni {cluster.interface} port {server.input.target_port}` on the nodes shows if they come; "
        f"Logstash's words: {log}",
    )
