"""What became of the events of a test: which were lost, which came twice, and what to do about it. Pure."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from cluster import Cluster, ClusterError
from verification.events import Arrived, Sent, Target, label, name_of, no_text
from verification.finding import words
from verification.report import Delivery, InputDelivery, Problem, Report, Status
from verification.spread import judge_spread

NO_ROUTE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The errors of a sender that has no address of the VIP's family."""

_FIX_ABOVE = "fix what is above"


def tally(
    cluster: Cluster,
    report: Report,
    run: str,
    sender: str,
    targets: list[Target],
    sent: dict[int, Sent],
    arrived: dict[str, Arrived],
) -> Delivery:
    """What became of the events that were sent, by target index, from those that arrived, by node name.

    Raises `ClusterError` when nothing was sent to a target, and the sender gives no reason.
    """
    deliveries = []
    problems = _untested(cluster, targets)
    for group in _groups(targets):
        results = [sent[target.index] for target in group]
        failures = [
            problem for target in group for problem in _send_failure(sender, target, sent[target.index])
        ]
        problems += failures
        if not sum(result.sent for result in results):
            if not failures:
                raise ClusterError(f"{sender}: sent nothing to {label(group)}; look at it and try again")
            continue
        numbers = {name: _numbers(group[0], arrived.get(name, Arrived())) for name in report.nodes}
        delivery = _count(report, group, results, arrived, numbers)
        deliveries.append(delivery)
        source = next((result.source for result in results if result.source), None)
        problems += _faults(cluster, report, group, delivery, source, numbers)
    if any(delivery.lost for delivery in deliveries):
        problems += [
            Problem(Status.UNKNOWN, "send", name, "its events could not be read", "lost events may be there")
            for name in report.nodes
            if name not in arrived
        ]
    return Delivery(run, sender, tuple(deliveries), tuple(problems))


def _groups(targets: Iterable[Target]) -> list[list[Target]]:
    """What is counted together: a virtual server alone, or with the API all those of one input."""
    groups: dict[tuple[str, int | None], list[Target]] = {}
    for target in targets:
        key = (name_of(target), target.index if target.numbered else None)
        groups.setdefault(key, []).append(target)
    return list(groups.values())


def _numbers(target: Target, arrived: Arrived) -> Counter[int]:
    """The numbers of the target's events on one node, each as often as it came."""
    return Counter(number for index, number in arrived.events if index == target.index)


def _count(
    report: Report,
    group: list[Target],
    results: list[Sent],
    arrived: dict[str, Arrived],
    numbers: dict[str, Counter[int]],
) -> InputDelivery:
    first = group[0]
    delivery = InputDelivery(
        input=name_of(first),
        vips=tuple(str(target.server.vip) for target in group),
        counted="events" if first.numbered else "api",
        sent=sum(result.sent for result in results),
        refused=sum(result.refused for result in results),
        received={},
        lost=0,
        duplicated=None,
    )
    if not first.numbered:
        received = {
            name: arrived.get(name, Arrived()).counts.get(first.server.input_id, 0) for name in report.nodes
        }
        return replace(delivery, received=received, lost=max(0, delivery.sent - sum(received.values())))
    copies = sum(numbers.values(), Counter())
    return replace(
        delivery,
        received={name: found.total() for name, found in numbers.items()},
        lost=max(0, delivery.sent - len(copies)),
        duplicated=copies.total() - len(copies),
    )


def _untested(cluster: Cluster, targets: list[Target]) -> list[Problem]:
    """The inputs that no text can be sent to, each once."""
    tested = {target.index for target in targets}
    return [
        _warning(
            f"{server.input_id} was not tested: {no_text(server)}",
            "look for events of your own devices",
        )
        for index, server in enumerate(cluster.virtual_servers)
        if index not in tested and server.vip == cluster.vips[0]
    ]


def _send_failure(sender: str, target: Target, result: Sent) -> list[Problem]:
    """Why the sending to a target ended early, if it did."""
    if result.error is None:
        return []
    vip = target.server.vip
    if result.errno in NO_ROUTE and vip.version == 6:
        return [
            _warning(
                f"{vip} was not tested: {sender} has no IPv6 ({result.error.lower()})",
                "send --from a host that has",
            )
        ]
    if result.errno in NO_ROUTE:
        do = f"send --from a host that can reach {vip}"
    elif result.error.startswith("TLS: "):
        do = "has each node the certificate of the inventory, and nobody else the port? Run the deploy again"
    elif result.source is None:
        do = f"{_FIX_ABOVE}: a firewall refuses or drops, or nobody listens"
    else:
        do = "did a node go down meanwhile? Verify again"
    return [_wrong(f"{label([target])}: {result.error} after {result.sent} events", do)]


def _faults(
    cluster: Cluster,
    report: Report,
    group: list[Target],
    delivery: InputDelivery,
    source: str | None,
    numbers: dict[str, Counter[int]],
) -> list[Problem]:
    """What is wrong with what arrived; the spread is judged where nothing else is wrong."""
    problems = []
    if delivery.lost:
        what, do = _loss(cluster, report, group, delivery, source)
        problems.append(_wrong(f"{label(group)}: {what}", do))
    if delivery.duplicated:
        problems.append(
            _wrong(
                f"{label(group)}: {delivery.duplicated} of {delivery.sent} events came twice",
                "does one node alone hold the VIP, and one output alone write the events?",
            )
        )
    if group[0].numbered and not problems:
        problems += judge_spread(report, group[0], numbers)
    return problems


def _loss(
    cluster: Cluster, report: Report, group: list[Target], delivery: InputDelivery, source: str | None
) -> tuple[str, str]:
    """A loss and its remedy, in words: the first of its possible causes."""
    server = group[0].server
    what = f"{delivery.lost} of {delivery.sent} events are lost"
    senders = cluster.senders_of(server.input, server.vip)
    if source and not any(ip_address(source) in network for network in senders):
        return (
            f"{what}; {source} is not among its senders",
            "send --from another host, or add the address to `senders` in inventory.py and deploy",
        )
    if delivery.refused:
        return (
            f"{what}; {words(delivery.vips)} refused {delivery.refused}",
            f"{_FIX_ABOVE}: a firewall refuses, or nobody listens",
        )
    if delivery.lost < delivery.sent and server.protocol == "UDP":
        return what, "send slower, with --rate; if it stays: `nstat -az UdpRcvbufErrors` on the nodes"
    if not report.ok:
        return what, _FIX_ABOVE
    log = "/var/log/logstash/logstash-plain.log"
    return (
        what,
        f"`tcpdump -ni {_interface(cluster)} port {server.input.target_port}` on the nodes shows if they come; "
        f"Logstash's own log: {log}",
    )


def _interface(cluster: Cluster) -> str:
    """Where to see a node's packets: its interface, if that is the same on all nodes, and the only one."""
    names = {name for node in cluster.nodes for name in cluster.interfaces_of(node)}
    return names.pop() if len(names) == 1 else "any"


def _wrong(what: str, do: str) -> Problem:
    return Problem(Status.WRONG, "send", None, what, do)


def _warning(what: str, do: str) -> Problem:
    return Problem(Status.WARNING, "send", None, what, do)
