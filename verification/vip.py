"""Who holds each VIP, and whether it should. Pure: it reads nothing."""

from __future__ import annotations

from cluster import Cluster, Node, VrrpInstance
from verification.finding import DEPLOY, Finding, Judged, Observations, row_of, runs, unread, words
from verification.maintenance import notes
from verification.observe import Observation
from verification.report import Problem, Status, VipReport


def vip(cluster: Cluster, observations: Observations, instance: VrrpInstance) -> Judged:
    """Who holds a VIP: one node, on the right interface, and the one that should while it is up."""
    vip = str(instance.vip)
    holders = holding(observations, vip)
    direct = "dr" in cluster.forwardings

    def judge_node(node: Node, seen: Observation) -> Finding:
        own, prefix = cluster.vip_interface(instance.vip, node), cluster.vip_prefix(instance.vip)
        if seen.held is None or seen.loopback is None:
            return unread("the addresses", "ip addr")
        interfaces = seen.held.get(vip, [])
        text = "holds it" if interfaces else "-"
        if interfaces not in ([], [own]):
            what = f"holds {vip} on {words(interfaces)}, not on {own} alone"
            others = [interface for interface in interfaces if interface != own]
            remove = words(f"`ip addr del {vip}/{prefix} dev {other}`" for other in others)
            return Finding(
                Status.WRONG, "elsewhere", what, f"take it away there: {remove}; keepalived adds it"
            )
        if direct and vip not in seen.loopback:
            what = f"lacks {vip} on lo: with direct routing, it drops the events that the director sends it"
            return Finding(Status.WRONG, text, what, "`systemctl restart logstash-ha-vip`")
        if not direct and vip in seen.loopback:
            what = f"has {vip} on lo, and answers for it though it may not hold it"
            return Finding(
                Status.WRONG, text, what, f"`ip addr del {vip}/{instance.vip.max_prefixlen} dev lo`"
            )
        return Finding(Status.OK if len(holders) < 2 or not interfaces else Status.WRONG, text)

    row, problems = row_of(cluster, observations, "vip", judge_node, vip=vip)
    if len(holders) > 1:
        what = f"{words(holders)} all hold {vip}: whom an event reaches is chance (split brain)"
        ip = "ip6" if instance.vip.version == 6 else "ip"
        sameness = "and password" if cluster.vrrp == 2 else "and version"
        node = cluster.node(holders[0])
        adverts, own = cluster.vrrp_interface(instance.vip, node), cluster.vip_interface(instance.vip, node)
        do = (
            f"let VRRP (IP protocol 112) pass between them, with one virtual_router_id {sameness}: "
            f"{DEPLOY}, then `tcpdump -ni {adverts} {ip} proto 112`. Where it was put there by hand: "
            f"`ip addr del {vip}/{cluster.vip_prefix(instance.vip)} dev {own}` there"
        )
        problems.append(Problem(Status.WRONG, "vip", None, what, do))
    # With nodes left out, any of them may hold it.
    if not holders and not any(seen.left_out for seen in observations.values()):
        reached = all(seen.unreachable is None for seen in observations.values())
        who = "no node" if reached else "no node that could be looked at"
        do = "start keepalived on the nodes; its last words: `journalctl -u keepalived`"
        problems.append(Problem(Status.WRONG, "vip", None, f"{who} holds {vip}: all events are lost", do))
    if len(holders) == 1:
        problems += _preferred(cluster, observations, instance, holders[0])
    return row, problems


def _preferred(
    cluster: Cluster, observations: Observations, instance: VrrpInstance, holder: str
) -> list[Problem]:
    """A VIP that is not where its priorities put it, though keepalived runs there."""
    first, *others = sorted(instance.priorities, key=lambda node: -instance.priorities[node])
    clear = all(instance.priorities[other] < instance.priorities[first] for other in others)
    if not (clear and instance.preempt and holder != first and runs(observations[first], "keepalived")):
        return []
    if first in notes(cluster, observations):
        return []
    what = f"{holder} holds {instance.vip}, which {first} should take while it is up"
    return [Problem(Status.WARNING, "vip", first, what, f"`journalctl -u keepalived` on {first} tells why")]


def parted(cluster: Cluster, vips: dict[str, VipReport]) -> list[Problem]:
    """An IPv4 and an IPv6 VIP that belong together, on different nodes."""
    pairs: dict[int, list[str]] = {}
    for instance in cluster.vrrp_instances:
        pairs.setdefault(instance.virtual_router_id, []).append(str(instance.vip))
    problems = []
    for pair in pairs.values():
        holders = [vips[vip].holders for vip in pair]
        if len(set(holders)) > 1 and all(len(names) == 1 for names in holders):
            places = words(f"{vip} is on {names[0]}" for vip, names in zip(pair, holders, strict=True))
            do = f"{DEPLOY}; if it stays: `journalctl -u keepalived` there"
            problems.append(Problem(Status.WRONG, "vip", None, f"{places}: the pair belongs on one node", do))
    return problems


def holding(observations: Observations, vip: str) -> tuple[str, ...]:
    """The nodes that carry this VIP."""
    return tuple(name for name, seen in observations.items() if (seen.held or {}).get(vip))
