"""What rules of others do to the cluster's packets, on one node. Pure: it reads nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from cluster import API_PORT, Cluster, Network, Node
from desired.firewalld import bound_network
from desired.packets import (
    Rule,
    keeps_out,
    opens_api,
    opens_input,
    parse_iptables,
    parse_rich,
    port_rule,
)
from facts.firewalld import FirewallState, ZoneOpenings, ZoneState
from verification.exposed import openness
from verification.finding import Finding
from verification.observe import Observation
from verification.report import Status


@dataclass(frozen=True)
class _Found:
    """A rule of others: as it is written, what it does, and the commands that remove it."""

    text: str
    rule: Rule
    remove: str
    bound: tuple[Network, ...] | None = None
    """The networks that its zone is for; everyone, if None."""

    @property
    def for_everyone(self) -> bool:
        """Whether it decides on packets of all senders."""
        return self.bound is None and self.rule.for_everyone


def decide(cluster: Cluster, node: Node, seen: Observation, others: dict[str, list[str]]) -> Finding | None:
    """What is wrong with the rules of others, the worst first; `others` are those in firewalld, by zone.

    A rule that names its senders may be meant: it is a warning. One that decides on packets of everyone is wrong.
    """
    found = list(_rules(seen, others))
    own = others[seen.firewall["zone"]] if seen.firewall else []
    denying = [each for each in found if keeps_out(cluster, node, each.rule, each.bound)]
    for each in sorted(denying, key=lambda each: not each.for_everyone):
        if each.for_everyone:
            what = f"a rule of others keeps out what this node needs: {each.text}"
            return Finding(Status.WRONG, "", what, each.remove)
        if each.text not in own:  # those of the interface's zone are reported by its own check
            what = f"a rule of others may keep out what this node needs: {each.text}"
            return Finding(
                Status.WARNING, "", what, f"leave it, if somebody means it; otherwise {each.remove}"
            )
    for each in found:
        if network := opens_api(cluster, node, each.rule, each.bound):
            what = f"{_who(each, network)} can reach Logstash's API, port {API_PORT}, by a rule of others: {each.text}"
            add = "" if each.for_everyone else f", or add {network} to `monitors` in the inventory"
            return Finding(Status.WARNING, "", what, f"{each.remove}{add}: {openness(cluster)}")
    for each in found:
        if opened := opens_input(cluster, node, each.rule, each.bound):
            network, server = opened
            what = f"{_who(each, network)} can send to {server.input_id}, by a rule of others: {each.text}"
            return Finding(
                Status.WARNING, "", what, f"{each.remove}, or add {network} to `senders` in the inventory"
            )
    return None


def _who(found: _Found, network: Network) -> str:
    return "everyone" if found.for_everyone else f"all of {network}"


def removal(rule: str, state: FirewallState, zone: str) -> str:
    """The commands that remove a rule of others from this zone of firewalld, or a direct rule, where it is."""
    if rule.startswith("rule"):
        change = f"--zone={zone} --remove-rich-rule={shlex.quote(rule)}"
    else:
        change = f"--direct --remove-rule {rule}"
    has = state if zone == state["zone"] else state["source_zones"][zone]
    options = [option for side, option in _SIDES.items() if rule in (has[side] or [])]  # type: ignore[literal-required]
    return " and ".join(f"`firewall-cmd{option} {change}`" for option in options)


_SIDES = {"runtime": "", "permanent": " --permanent"}


def _rules(seen: Observation, others: dict[str, list[str]]) -> Iterator[_Found]:
    """Each rule of others that could be read."""
    # firewalld with its nftables backend puts direct rules there, and would do so again.
    direct = [
        (text.split()[:3], parse_iptables(text))
        for texts in others.values()
        for text in texts
        if not text.startswith("rule")
    ]
    for text in seen.chains or []:
        rule = parse_iptables(text)
        if rule and (text.replace(" -A ", " ", 1).split()[:3], rule) not in direct:
            family, table, _, specification = text.split(" ", 3)
            program = "ip6tables" if family == "ipv6" else "iptables"
            yield _Found(
                f"{program} -t {table} -A {specification}",
                rule,
                f"`{program} -t {table} -D {specification}`",
            )
    if seen.firewall is None:
        return
    for zone, texts in others.items():
        own = zone == seen.firewall["zone"]
        for text in texts:
            if rule := parse_rich(text) if text.startswith("rule") else parse_iptables(text):
                where = "" if own else f" in zone {zone}"
                remove = removal(text, seen.firewall, zone)
                yield _Found(f"{text}{where}", rule, remove, _networks(_sources(zone, seen.firewall)))
    for zone, state in seen.firewall["openings"].items():
        sources = _sources(zone, seen.firewall)
        for text, rule, remove in _openings(zone, state, sources):
            yield _Found(text, rule, remove, _networks(sources))


def _sources(zone: str, state: FirewallState) -> list[str] | None:
    """What is bound to a zone which no interface of the cluster's is in; None for the zone of one."""
    if zone in state["zones"] or zone not in state["source_zones"]:
        return None
    return state["source_zones"][zone]["sources"]


def _networks(sources: list[str] | None) -> tuple[Network, ...] | None:
    """The networks among what is bound to a zone; None where an interface decides.

    MAC addresses and ipsets are left out, as they are in rich rules: whoever binds them means single machines.
    """
    if sources is None:
        return None
    return tuple(network for source in sources if (network := bound_network(source)))


def _openings(zone: str, state: ZoneState, sources: list[str] | None) -> Iterator[tuple[str, Rule, str]]:
    """What a zone opens beside its rich rules, as rules; for `sources`, see `_sources`."""
    for side, option in _SIDES.items():
        openings: ZoneOpenings | None = state[side]  # type: ignore[literal-required]
        if openings is None:
            continue
        command = f"firewall-cmd{option} --zone={zone}"
        for port in openings["ports"]:
            number, protocol = port.split(" ")
            yield (
                f"port {number}/{protocol} in zone {zone}",
                port_rule(port),
                f"`{command} --remove-port={number}/{protocol}`",
            )
        for protocol in openings["protocols"]:
            text = f"protocol {protocol} in zone {zone}"
            yield text, Rule("ACCEPT", protocol=protocol), f"`{command} --remove-protocol={protocol}`"
        for forward in openings["forwards"]:
            number, protocol, _, target = forward.split(" ")
            address, colon, to = target.rpartition(":")
            if not colon and not target.isdigit():
                address, to = target, ""
            value = f"port={number}:proto={protocol}:toport={to}:toaddr={address}"
            yield (
                f"port {forward} in zone {zone}",
                port_rule(f"{number} {protocol}", "DNAT"),
                f"`{command} --remove-forward-port={value}`",
            )
        if openings["target"] == "ACCEPT":
            text = f"zone {zone} accepts everything"
            remove = f"`firewall-cmd --permanent --zone={zone} --set-target=default && firewall-cmd --reload`"
            if sources is not None:  # it accepts on purpose; what is bound to it may be too much
                unbind = " ".join(f"--remove-source={one}" for one in sources)
                remove = f"`firewall-cmd --zone={zone} {unbind}` and `firewall-cmd --permanent --zone={zone} {unbind}`"
            yield text, Rule("ACCEPT"), remove
