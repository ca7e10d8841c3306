"""What rules of others do to the cluster's packets, on one node. Pure: it reads nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from cluster import API_PORT, Cluster, Node
from desired.packets import Rule, keeps_out, opens_api, parse_iptables, parse_rich, port_rule
from facts.firewalld import RulesState, ZoneState
from verification.exposed import openness
from verification.finding import Finding
from verification.observe import Observation
from verification.report import Status


def decide(cluster: Cluster, node: Node, seen: Observation, others: list[str]) -> Finding | None:
    """What is wrong with the rules of others, the worst first; `others` are those in firewalld.

    A rule that names its senders may be meant: it is a warning. One that decides on packets of everyone is wrong.
    """
    found = list(_rules(seen, others))
    denying = [(text, rule, remove) for text, rule, remove in found if keeps_out(cluster, node, rule)]
    for text, rule, remove in sorted(denying, key=lambda each: not each[1].for_everyone):
        if rule.for_everyone:
            what = f"a rule of others keeps out what this node needs: {text}"
            return Finding(Status.WRONG, "", what, remove)
        if text not in others:  # firewalld's are reported by its own check
            what = f"a rule of others may keep out what this node needs: {text}"
            return Finding(Status.WARNING, "", what, f"leave it, if somebody means it; otherwise {remove}")
    for text, rule, remove in found:
        if opens_api(cluster, node, rule):
            what = f"everyone can reach Logstash's API, port {API_PORT}, by a rule of others: {text}"
            return Finding(Status.WARNING, "", what, f"{remove}: {openness(cluster)}")
    return None


def removal(rule: str, state: RulesState) -> str:
    """The commands that remove a rule of others from firewalld, where it is."""
    if rule.startswith("rule"):
        change = f"--zone={state['zone']} --remove-rich-rule={shlex.quote(rule)}"
    else:
        change = f"--direct --remove-rule {rule}"
    options = [option for side, option in _SIDES.items() if rule in state[side]]  # type: ignore[literal-required]
    return " and ".join(f"`firewall-cmd{option} {change}`" for option in options)


_SIDES = {"runtime": "", "permanent": " --permanent"}


def _rules(seen: Observation, others: list[str]) -> Iterator[tuple[str, Rule, str]]:
    """Each rule of others that could be read: as it is written, what it does, and the command that removes it."""
    for text in seen.chains or []:
        if rule := parse_iptables(text):
            family, table, _, specification = text.split(" ", 3)
            program = "ip6tables" if family == "ipv6" else "iptables"
            yield (
                f"{program} -t {table} -A {specification}",
                rule,
                f"`{program} -t {table} -D {specification}`",
            )
    if seen.firewall is None or seen.zones is None:
        return
    for text in others:
        if rule := parse_rich(text) if text.startswith("rule") else parse_iptables(text):
            yield text, rule, removal(text, seen.firewall)
    for zone, state in seen.zones.items():
        yield from _openings(zone, state)


def _openings(zone: str, state: ZoneState) -> Iterator[tuple[str, Rule, str]]:
    """What a zone opens beside its rich rules, as rules."""
    for side, option in _SIDES.items():
        openings = state[side]  # type: ignore[literal-required]
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
            yield text, Rule("ACCEPT"), remove
