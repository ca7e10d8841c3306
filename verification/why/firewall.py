"""Whether the rules on a node let a sender's packets in, and who has made the rule that does not. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from cluster import Address
from desired.packets import parse_rich
from facts.firewalld import FirewallState
from verification.finding import DEPLOY
from verification.why.ruleset import Denial, Packet

_ZONE = re.compile(r"(?:filter_)?IN_(?P<zone>.+?)(?:_(?:pre|log|deny|allow|post))?")
_SIDES: dict[str, Literal["runtime", "permanent"]] = {"": "runtime", " --permanent": "permanent"}


@dataclass(frozen=True)
class Denied:
    """A rule that keeps a packet out: what it is, and how to mend it."""

    what: str
    do: str


def explain(denial: Denial, packet: Packet, present: FirewallState | None) -> Denied:
    """What has denied the packet, in the words of the program that made the rule. `present` is firewalld's, where it runs."""
    table, chain, rule = denial.table, denial.chain, denial.rule
    if present and _is_firewallds(denial):
        return _of_firewalld(denial, packet, present)
    place = f"{table.family} {table.name} {chain.name}"
    if rule is None:
        what = f"the policy of {table.program}'s chain {place} drops what none of its rules accepts"
        return Denied(what, f"add a rule that accepts {_spelled(packet)} there, or take the table out of use")
    if table.program == "nft":
        what = f"a rule of others in nftables' table {table.family} {table.name}, chain {chain.name}: {rule.text}"
        return Denied(what, f"`nft delete rule {place} handle {rule.handle}`, and where it comes from")
    program = "ip6tables" if table.family == "ip6" else "iptables"
    what = f"a rule of others: {program} -t {table.name} -A {chain.name} {rule.text}"
    return Denied(
        what, f"`{program} -t {table.name} -D {chain.name} {rule.text}`, and where it is made at boot"
    )


def _is_firewallds(denial: Denial) -> bool:
    """Whether firewalld has made the rule: in its table of nftables, in a chain of its own of iptables, or after its chains
    in a built-in one."""
    table, chain, rule = denial.table, denial.chain, denial.rule
    if table.program == "nft":
        return table.name == "firewalld"
    zones = any("_ZONES" in each.target for each in chain.rules)
    return not chain.hook or (zones and rule is not None and chain.rules[-1] == rule)


def _of_firewalld(denial: Denial, packet: Packet, present: FirewallState) -> Denied:
    zone = _zone(denial, packet, present)
    own = zone == present["zone"]
    state = None if own else present["source_zones"].get(zone)
    rules = present if own else state
    sides = {side: (rules[name] if rules else None) or [] for side, name in _SIDES.items()}
    for text in dict.fromkeys(text for rules in sides.values() for text in rules):
        if _denies(text, packet, present):
            if text.startswith("rule"):
                change = f"--zone={zone} --remove-rich-rule={shlex.quote(text)}"
            else:
                change = f"--direct --remove-rule {text}"
            commands = [f"`firewall-cmd{side} {change}`" for side, rules in sides.items() if text in rules]
            return Denied(f"firewalld's zone {zone} has a rule that denies: {text}", " and ".join(commands))
    if state is not None:
        bound = next((source for source in state["sources"] if _has(source, packet, present)), None)
        if bound:
            what = (
                f"{packet.source} is bound to firewalld's zone {zone} by its source {bound}, and that zone "
                f"does not accept {_spelled(packet)}"
            )
            change = f"--zone={zone} --remove-source={bound}"
            return Denied(
                what, f"`firewall-cmd {change}` and `firewall-cmd --permanent {change}`, or {DEPLOY}"
            )
    if denial.rule and denial.chain.name.endswith(("_deny", "_pre", "_direct")):
        what = f"firewalld's zone {zone} has a rule that denies: {denial.rule.text}"
        return Denied(
            what,
            f"`firewall-cmd --zone={zone} --list-all` and `firewall-cmd --direct --get-all-rules` show it",
        )
    return Denied(f"firewalld's zone {zone} has no rule that accepts {_spelled(packet)}", DEPLOY)


def _zone(denial: Denial, packet: Packet, present: FirewallState) -> str:
    """The zone that has decided: by the chain's name, or by the sources of zones where that has none."""
    match = _ZONE.fullmatch(denial.chain.name)
    names = [present["zone"], *present["source_zones"]]
    if match and match["zone"] in names:
        return match["zone"]
    for name, zone in present["source_zones"].items():
        if any(_has(source, packet, present) for source in zone["sources"]):
            return name
    return present["zone"]


def _has(source: str, packet: Packet, present: FirewallState) -> bool:
    """Whether a zone's source has the sender: an address, a network, a MAC address, or an ipset whose entries are known."""
    if source.startswith("ipset:"):
        known = present["sets"].get(source.removeprefix("ipset:"))
        entries = known["runtime"] if known else None
        return entries is None or any(_has(entry, packet, present) for entry in entries)
    try:
        return packet.source in ip_network(source, strict=False)
    except ValueError:
        return packet.mac is not None and source.lower() == packet.mac


def _denies(text: str, packet: Packet, present: FirewallState) -> bool:
    """Whether a rich or a direct rule in firewalld's spelling denies the packet."""
    if not text.startswith("rule"):
        words = shlex.split(text)
        return words[-1:] in (["DROP"], ["REJECT"]) and str(packet.port) in words
    named = re.search(r' source ipset="([^"]+)"', text)
    if named:
        if not _has(f"ipset:{named[1]}", packet, present):
            return False
        text = text.replace(named[0], "")
    rule = parse_rich(text)
    return bool(
        rule
        and rule.verdict != "ACCEPT"
        and not rule.narrow
        and rule.version in (None, packet.source.version)
        and (rule.source is None or packet.source in rule.source)
        and (rule.destination is None or packet.destination in rule.destination)
        and rule.protocol in (None, packet.protocol)
        and (not rule.ports or any(packet.port in ports for ports in rule.ports))
    )


def _spelled(packet: Packet) -> str:
    return f"{packet.protocol.upper()} from {packet.source} to {_socket(packet.destination, packet.port)}"


def _socket(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
