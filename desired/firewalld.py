"""What the firewall must accept and translate, as firewalld's own rules (the recipe's step 9).

Rules are strings in firewalld's own spelling: a rich rule begins with `rule`, a direct rule with `ipv4` or
`ipv6`. The rules that the deploy adds are in the record, as `rich ZONE RULE` or `direct RULE`, and its ipsets as
`ipset NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from typing import Any

from cluster import API_PORT, Address, Cluster, Network, Node, VirtualServer
from desired.translation import translations
from facts.firewalld import FirewallState, SetState

SYNC_PORT = 8848
"""UDP port of IPVS's connection synchronization (ipvsadm(8), --start-daemon)."""
MANY_SENDERS = 16
"""So many senders of an input, of one family, get a rule each; more of them get an ipset.

firewalld takes a rule in some 10 ms at runtime, and in 100 ms and more in the permanent configuration, the more rules
the zone has (docs/recipe.md has the figures); but it makes an ipset only when it starts or reloads.
"""
_LINK_LOCAL = ip_network("fe80::/10")
_FROM = re.compile(r'source (address|ipset)="([^"]+)"')
_DENYING = ("DROP", "%%REJECT%%")
"""Targets of zones that deny on purpose."""


def rules(cluster: Cluster, node: Node) -> list[str]:
    """What this node accepts, as rich rules (the recipe's step 9).

    VRRP from each node; the API and the inputs' ports at the node's own address from each node, since each
    node checks all of them; the API from each monitor, too; each virtual server from each sender of its input. How an event then reaches a
    node depends on the forwarding: with `nat` the sender's address stays and the destination becomes the
    node's, with `snat` the source becomes the director's as well, with `dr` both stay, and the directors
    synchronize their connections.
    """
    accepted = [
        _accept(source, 'protocol value="vrrp"')
        for version in cluster.families
        for source in _vrrp_sources(cluster, version)
    ]
    version = node.address.version
    accepted += [_port(member.at(version), node.address, API_PORT, "tcp") for member in cluster.nodes]
    accepted += [_port(monitor, node.address, API_PORT, "tcp") for monitor in cluster.remote_monitors]
    # The health services ask each other at the UDP port of the same number.
    accepted += [_port(peer.at(version), node.address, API_PORT, "udp") for peer in cluster.peers(node)]
    for server in cluster.virtual_servers:
        version, protocol = server.vip.version, server.protocol.lower()
        (real,) = (real for real in server.real_servers if real.node == node)
        senders = _senders(cluster, server)
        for sender in senders:
            if server.forwarding == "nat":
                accepted.append(_port(sender, real.address, real.port, protocol))
            accepted.append(_port(sender, server.vip, server.port, protocol))
        if server.forwarding == "snat" or version == node.address.version:
            directors = [peer.at(version) for peer in cluster.peers(node)]
            accepted += [_port(director, real.address, real.port, protocol) for director in directors]
    if "dr" in cluster.forwardings:
        # The kernel's multicast group is an IPv4 one; without IPv4, keepalived sets a link-local IPv6 one.
        sources = [member.at(4) for member in cluster.nodes] if 4 in cluster.families else [_LINK_LOCAL]
        accepted += [_accept(source, f'port port="{SYNC_PORT}" protocol="udp"') for source in sources]
    return list(dict.fromkeys(accepted))


def direct_rules(cluster: Cluster, node: Node) -> list[str]:
    """What this node translates, as direct rules (firewalld.direct(5)), where no table of our own does it."""
    return [
        f"ipv{each.destination.version} {'raw PREROUTING' if each.source is None else 'nat POSTROUTING'} 0"
        f" -p {each.protocol} -d {each.destination} --dport {each.port}"
        f" -j {'CT --notrack' if each.source is None else f'SNAT --to-source {each.source}'}"
        for each in translations(cluster, node)
        if each.vip is None  # UDP needs a table of our own (`desired.requirements`)
    ]


def sender_sets(cluster: Cluster) -> dict[str, list[str]]:
    """By name: the entries of each ipset that the rules need, of the type `hash:net`.

    A set has the same name whoever is in it, so that a change of senders is a change of entries: these firewalld
    changes without a reload. Inputs with the same senders share the set of the first one of them.
    """
    sets = {}
    for server in cluster.virtual_servers:
        if name := _set_name(cluster, server):
            sets[name] = [_spelled(sender) for sender in _distinct(cluster, server)]
    return sets


def fact_arguments(cluster: Cluster, node: Node) -> dict[str, Any]:
    """The arguments of `Firewall` for this node."""
    own, *others = cluster.interfaces_of(node)
    return {"interface": own, "others": others, "sets": list(sender_sets(cluster))}


def uses_set(rule: str, names: Iterable[str]) -> bool:
    """Whether a rule names one of these ipsets."""
    return any(f'source ipset="{name}"' in rule for name in names)


def set_family(name: str) -> str:
    """The option `family` of a set: `inet` or `inet6` (ipset(8))."""
    return "inet6" if name.endswith("ipv6") else "inet"


def _senders(cluster: Cluster, server: VirtualServer) -> list[Address | Network | str]:
    """The sources of a virtual server's events: each of its senders, or the ipset that has them all."""
    if name := _set_name(cluster, server):
        return [name]
    senders = cluster.senders_of(server.input, server.vip)
    return [sender for sender in senders if sender.version == server.vip.version]


def _set_name(cluster: Cluster, server: VirtualServer) -> str | None:
    """The name of the ipset with a virtual server's senders, at most 31 characters; None for few senders."""
    version = server.vip.version
    senders = _distinct(cluster, server)
    if len(senders) <= MANY_SENDERS:
        return None
    if senders == _distinct_networks(cluster.senders, version):
        return f"logstash-ha-ipv{version}"
    first = next(
        other
        for other in cluster.virtual_servers
        if other.vip.version == version and _distinct(cluster, other) == senders
    )
    protocols = first.input.protocols
    protocol = protocols[0] if len(protocols) == 1 else "both"
    # Which VIP it is matters only where this VIP has senders of its own.
    of_vip = cluster.virtual_address(first.vip).senders is not None
    number = f"-{cluster.vips.index(first.vip) + 1}" if of_vip else ""
    return f"logstash-ha-{first.port}-{protocol}{number}-ipv{version}"


def _distinct(cluster: Cluster, server: VirtualServer) -> tuple[Network, ...]:
    return _distinct_networks(cluster.senders_of(server.input, server.vip), server.vip.version)


@cache
def _distinct_networks(networks: tuple[Network, ...], version: int) -> tuple[Network, ...]:
    """Those of a family, without networks inside others: an nftables set takes no entries that overlap."""
    distinct: list[Network] = []
    family = [network for network in networks if network.version == version]
    for network in sorted(family, key=lambda network: (int(network.network_address), network.prefixlen)):
        if not distinct or network.broadcast_address > distinct[-1].broadcast_address:  # type: ignore[operator]
            distinct.append(network)
    return tuple(distinct)


def _vrrp_sources(cluster: Cluster, version: int) -> Iterable[Address | Network]:
    """Where adverts come from: with IPv6 multicast, from link-local addresses (RFC 5798, section 5.1.2.1)."""
    if version == 6 and cluster.transport == "multicast":
        return [_LINK_LOCAL]
    sources = [
        cluster.vrrp_source(vip, member)
        for member in cluster.nodes
        for vip in cluster.vips
        if vip.version == version
    ]
    return list(dict.fromkeys(sources))


def _accept(source: Address | Network, element: str) -> str:
    return f"rule {_from(source)} {element} accept"


@cache
def _from(source: Address | Network) -> str:
    return f'family="ipv{source.version}" source address="{_spelled(source)}"'


def _spelled(source: Address | Network) -> str:
    network = ip_network(source)
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address if single else network)


def _port(source: Address | Network | str, destination: Address, port: int, protocol: str) -> str:
    """Accept a source, or those in an ipset of that name, at a port."""
    element = f'destination address="{destination}" port port="{port}" protocol="{protocol}"'
    if isinstance(source, str):
        return f'rule family="ipv{destination.version}" source ipset="{source}" {element} accept'
    return _accept(source, element)


def desired_rules(cluster: Cluster, node: Node, own_table: bool) -> list[str]:
    """All of this node's rules in firewalld, rich and direct. With a table of our own there are no direct ones."""
    return rules(cluster, node) + ([] if own_table else direct_rules(cluster, node))


def placed_rules(
    cluster: Cluster, node: Node, present: FirewallState, own_table: bool
) -> dict[str, list[str]]:
    """This node's rules by zone: where packets that they accept may come in.

    The zones of the cluster's interfaces get all of them: what is forwarded comes in at the one with the node's own
    address, whatever the VIP's is. Direct rules have no zone. A source that is bound to another zone meets that zone's rules only, so
    each rule whose source may overlap with it is there, too. A zone that accepts everything needs none, and one that denies
    everything does so on purpose (`denied_sources`).
    """
    placed = {present["zone"]: desired_rules(cluster, node, own_table)}
    sets = sender_sets(cluster)
    for name, zone in present["source_zones"].items():
        if name in present["zones"]:
            placed[name] = rules(cluster, node)
        elif zone["target"] == "default":
            found = [rule for rule in rules(cluster, node) if _may_meet(rule, zone["sources"], sets)]
            placed |= {name: found} if found else {}
    return placed


def _may_meet(rule: str, sources: list[str], sets: dict[str, list[str]]) -> bool:
    """Whether a packet that this rule accepts may come from one of a zone's sources."""
    kind, value = _FROM.findall(rule)[0]
    accepted = [_network(text) for text in (sets[value] if kind == "ipset" else [value])]
    for source in map(bound_network, sources):
        # Anybody may be behind a MAC address or in an ipset, and the next day somebody else.
        if source is None or any(source.version == one.version and source.overlaps(one) for one in accepted):
            return True
    return False


@cache
def _network(text: str) -> Network:
    return ip_network(text)


@cache
def bound_network(source: str) -> Network | None:
    """The network of a zone's source; None for a MAC address or an ipset."""
    try:
        return ip_network(source, strict=False)
    except ValueError:
        return None


@dataclass(frozen=True)
class Denied:
    """A source of the cluster's that is bound to a zone which denies everything."""

    source: str
    zone: str
    bound: str
    """The zone's source that it is in."""

    @property
    def what(self) -> str:
        """What is wrong, in words."""
        return f"{self.source} is bound to firewalld's zone {self.zone}, which denies all that comes from {self.bound}"

    @property
    def do(self) -> str:
        """What to do about it."""
        unbind = f"firewall-cmd {{}}--zone={self.zone} --remove-source={self.bound}"
        return f"`{unbind.format('')}` and `{unbind.format('--permanent ')}`, or take {self.source} out of inventory.py"


def denied_sources(cluster: Cluster, present: FirewallState) -> list[Denied]:
    """The nodes and senders that are wholly inside a source of a zone that denies everything.

    Where only a part of a sender's network is, or an ipset decides, somebody denies that part on purpose.
    """
    inputs = [sender for input in cluster.inputs for sender in cluster.all_senders_of(input)]
    own = [address for node in cluster.nodes for address in (*node.addresses, *cluster.sources_of(node))]
    ours = dict.fromkeys([*own, *inputs])
    zones = [(name, zone) for name, zone in present["source_zones"].items() if zone["target"] in _DENYING]
    bound = [(name, text, bound_network(text)) for name, zone in zones for text in zone["sources"]]
    return [
        Denied(_spelled(source), name, text)
        for source in ours
        for name, text, network in bound
        if network is not None and network.version == source.version
        if int(network.network_address) <= int(_network(str(source)).network_address)
        and int(_network(str(source)).broadcast_address) <= int(network.broadcast_address)
    ]


def missing(placed: dict[str, list[str]], present: FirewallState) -> dict[str, dict[str, list[str]]]:
    """The rules that firewalld does not have, by configuration, `runtime` and `permanent`, and by zone."""
    return {
        configuration: {
            zone: lack
            for zone, rules in placed.items()
            if (has := _present(present, zone)[configuration]) is not None
            if (lack := [rule for rule in rules if rule not in has])
        }
        for configuration in ("runtime", "permanent")
    }


def _present(present: FirewallState, zone: str) -> dict[str, set[str] | None]:
    """The rules in a zone, by configuration; None where that does not have the zone."""
    state = present if zone == present["zone"] else present["source_zones"][zone]
    both = {"permanent": state["permanent"], "runtime": state["runtime"]}
    return {name: None if rules is None else set(rules) for name, rules in both.items()}


def unmanaged(
    placed: dict[str, list[str]], present: FirewallState, record: dict[str, list[str]]
) -> dict[str, list[str]]:
    """By zone, the interface's own first: the rules that are neither desired nor in the record, so that others have put them
    there."""
    ours = _recorded(record)
    return {
        zone: [rule for rule in rules if rule not in ours]
        for zone, rules in _undesired(placed, present).items()
    }


def obsolete(
    placed: dict[str, list[str]], present: FirewallState, record: dict[str, list[str]]
) -> dict[str, list[str]]:
    """By zone: the rules of an earlier deploy that are no longer desired there."""
    ours, recorded = _recorded(record), {*record.get("rich", [])}
    found = {
        zone: [
            rule
            for rule in rules
            if (rule in ours if zone == present["zone"] else f"{zone} {rule}" in recorded)
        ]
        for zone, rules in _undesired(placed, present).items()
    }
    return {zone: rules for zone, rules in found.items() if rules}


def _undesired(placed: dict[str, list[str]], present: FirewallState) -> dict[str, list[str]]:
    """By zone, the interface's own first: the rules in either configuration that are not desired there."""
    found = {}
    for name, zone in {present["zone"]: present, **present["source_zones"]}.items():
        desired = {*placed.get(name, [])}
        rules = dict.fromkeys([*(zone["permanent"] or []), *(zone["runtime"] or [])])
        found[name] = [rule for rule in rules if rule not in desired]
    return found


def _recorded(record: dict[str, list[str]]) -> set[str]:
    """The rules that a deploy has put into firewalld, into whatever zone."""
    return {*record.get("direct", []), *(value.split(" ", 1)[1] for value in record.get("rich", []))}


@dataclass(frozen=True)
class SetChange:
    """What an ipset has too little and too much of, in one configuration."""

    missing: list[str]
    extra: list[str]

    @property
    def in_the_way(self) -> list[str]:
        """Those too much that overlap with missing ones, which an nftables set does not take beside them."""
        new = [_network(entry) for entry in self.missing]
        return [entry for entry in self.extra if any(_network(entry).overlaps(one) for one in new)]


def set_changes(cluster: Cluster, present: FirewallState) -> dict[str, dict[str, SetChange | None]]:
    """By set and configuration, what differs from the desired entries; None where firewalld does not have the set."""
    return {
        name: {
            "permanent": _set_change(entries, present["sets"].get(name, ABSENT_SET)["permanent"]),
            "runtime": _set_change(entries, present["sets"].get(name, ABSENT_SET)["runtime"]),
        }
        for name, entries in sender_sets(cluster).items()
    }


ABSENT_SET = SetState(runtime=None, permanent=None)


def _set_change(entries: list[str], present: list[str] | None) -> SetChange | None:
    if present is None:
        return None
    return SetChange(
        missing=[entry for entry in entries if entry not in set(present)],
        extra=[entry for entry in present if entry not in set(entries)],
    )
