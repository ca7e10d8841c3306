"""Firewall rules of others, and what they do to the packets that the cluster needs. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network

from cluster import API_PORT, Address, Cluster, Network, Node, VirtualServer
from desired.firewalld import SYNC_PORT

Bound = Sequence[Network] | None
"""The networks that a zone of firewalld is for, where its sources decide; None where an interface does."""
EVERYONE: dict[int, Network] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
DENY = {"DROP", "REJECT", "DNAT", "REDIRECT"}
"""What keeps a packet from its destination (iptables-extensions(8))."""
_PROTOCOLS = {"112": "vrrp", "6": "tcp", "17": "udp", "all": None, "0": None}
_NOTHING_OF_OURS = {"--ctstate", "--state", "--tcp-flags", "--match-set"}
"""Conditions by which a rule picks single packets or senders: what is usual for hardening, and keeps no event out."""
_HARMLESS = {"-m", "--comment", "--reject-with", "--to-ports", "--to-destination"}
_RICH = re.compile(
    r'rule(?: priority="[^"]*")?(?: family="ipv(?P<family>[46])")?'
    r'(?: source (?P<source_not>NOT )?address="(?P<source>[^"]*)")?'
    r'(?: destination (?P<destination_not>NOT )?address="(?P<destination>[^"]*)")?'
    r'(?: port port="(?P<port>[^"]*)" protocol="(?P<port_protocol>[^"]*)"| protocol value="(?P<protocol>[^"]*)")?'
    r"(?: log\b.*?| audit\b.*?)?"
    r" (?P<verdict>accept|drop|reject)(?: .*)?"
)


@dataclass(frozen=True)
class Rule:
    """A rule that accepts or denies packets. None and an empty tuple stand for all."""

    verdict: str
    """`ACCEPT`, or what else iptables does with the packets."""
    version: int | None = None
    source: IPv4Network | IPv6Network | None = None
    """The addresses of others; `destination` has those of the node, also where it sends."""
    destination: IPv4Network | IPv6Network | None = None
    protocol: str | None = None
    ports: tuple[range, ...] = ()
    interface: str | None = None
    narrow: bool = False
    """Whether it has conditions that are not known here."""

    @property
    def for_everyone(self) -> bool:
        """Whether it decides on packets of all senders."""
        return not self.narrow and (self.source is None or self.source.prefixlen == 0)


def parse_rich(text: str) -> Rule | None:
    """A rich rule (firewalld.richlanguage(5)); None for one that neither accepts nor denies a protocol or a port."""
    match = _RICH.fullmatch(text)
    if not match:
        return None
    try:
        return Rule(
            verdict=match["verdict"].upper(),
            version=int(match["family"]) if match["family"] else None,
            source=_network(match["source"]),
            destination=_network(match["destination"]),
            protocol=_protocol(match["port_protocol"] or match["protocol"]),
            ports=_ports(match["port"]),
            narrow=bool(match["source_not"] or match["destination_not"]),
        )
    except ValueError:  # an ipset, a MAC address
        return None


def parse_iptables(text: str) -> Rule | None:
    """A direct rule, or a rule in a chain of the kernel: `FAMILY TABLE`, and what iptables-save(8) writes.

    None for one that decides nothing, that picks single packets, or that is for what the machine forwards; and for one that
    accepts what the machine sends, or what has yet to pass the table `filter`: it opens nothing.
    """
    family, table, *words = shlex.split(text)
    chain = words.pop(words.index("-A") + 1 if "-A" in words else 0)
    if "-j" not in words[:-1] or _NOTHING_OF_OURS & set(words) or chain == "FORWARD":
        return None
    if words[words.index("-j") + 1] == "ACCEPT" and (table != "filter" or chain.startswith("OUTPUT")):
        return None
    here, there = ("-s", "-d") if chain in ("OUTPUT", "POSTROUTING") else ("-d", "-s")
    options: dict[str, str] = {}
    narrow = "!" in words
    index = 1  # after `-A`, or a direct rule's priority
    while index < len(words):
        name, value = words[index], words[index + 1] if index + 1 < len(words) else ""
        if name.startswith("-") and not value.startswith("-"):
            options[name] = value
            index += 1
        elif name.startswith("-"):
            options[name] = ""
        index += 1
    known = {"-s", "-d", "-i", "-o", "-p", "-j", "--dport", "--dports", *_HARMLESS}
    try:
        return Rule(
            verdict=options["-j"],
            version=int(family[-1]) if family in ("ipv4", "ipv6") else None,
            source=_network(options.get(there)),
            destination=_network(options.get(here)),
            protocol=_protocol(options.get("-p")),
            ports=_ports(options.get("--dport") or options.get("--dports")),
            interface=options.get("-i") or options.get("-o"),
            narrow=narrow or not set(options) <= known,
        )
    except ValueError:
        return None


def keeps_out(cluster: Cluster, node: Node, rule: Rule | None, bound: Bound = None) -> bool:
    """Whether a rule denies or diverts packets that this node needs from other nodes or from senders.

    + bound: the networks that the rule's zone is for; everyone, if None
    """
    if rule and bound is not None and rule.source is None:
        return any(keeps_out(cluster, node, replace(rule, source=network)) for network in bound)
    return bool(
        rule
        and rule.verdict in DENY
        and rule.interface in (None, *cluster.interfaces_of(node))
        and rule.version in (None, *cluster.families)
        and _overlaps(rule.source, _sources(cluster))
        and _overlaps(rule.destination, [*node.addresses, *cluster.sources_of(node), *cluster.vips])
        and any(_covers(rule, protocol, port) for protocol, port in _needed(cluster, node))
    )


def opens_api(cluster: Cluster, node: Node, rule: Rule | None, bound: Bound = None) -> Network | None:
    """The first network that a rule lets reach Logstash's API, of those that it is for: neither nodes nor monitors.

    + bound: the networks that the rule's zone is for; everyone, if None
    """
    allowed = [*(member.at(node.address.version) for member in cluster.nodes), *cluster.monitors]
    return _lets_in(cluster, node, rule, bound, node.address, API_PORT, "tcp", allowed)


def opens_input(
    cluster: Cluster, node: Node, rule: Rule | None, bound: Bound = None
) -> tuple[Network, VirtualServer] | None:
    """The first network that a rule lets send to an input, of those that it is for: neither nodes nor senders of it."""
    nodes = [address for member in cluster.nodes for address in member.addresses]
    for server in cluster.virtual_servers:
        allowed = [*nodes, *cluster.senders_of(server.input, server.vip)]
        at = [(real.address, real.port) for real in server.real_servers if real.node == node]
        for address, port in [(server.vip, server.port), *at]:
            protocol = server.protocol.lower()
            if network := _lets_in(cluster, node, rule, bound, address, port, protocol, allowed):
                return network, server
    return None


def _lets_in(
    cluster: Cluster,
    node: Node,
    rule: Rule | None,
    bound: Bound,
    address: Address,
    port: int,
    protocol: str,
    allowed: Iterable[Address | Network],
) -> Network | None:
    """The first network, of those that a rule accepts at this address and port, that is not wholly inside an allowed one."""
    version = address.version
    if (
        rule is None
        or rule.verdict != "ACCEPT"
        or not rule.for_everyone
        or rule.interface not in (None, *cluster.interfaces_of(node))
        or rule.version not in (None, version)
        or not _overlaps(rule.destination, [address])
        or not _covers(rule, protocol, port)
    ):
        return None
    networks = [ip_network(one) for one in allowed]
    candidates = [EVERYONE[version]] if bound is None else bound
    return next(
        (
            one
            for one in candidates
            if one.version == version
            and not any(one.version == each.version and _inside(one, each) for each in networks)
        ),
        None,
    )


def _inside(network: Network, other: Network) -> bool:
    """Whether a network is wholly inside another one of its family."""
    return int(other.network_address) <= int(network.network_address) and int(
        network.broadcast_address
    ) <= int(other.broadcast_address)


def port_rule(text: str, verdict: str = "ACCEPT") -> Rule:
    """A zone's open port, such as `9600-9700 tcp`."""
    port, _, protocol = text.partition(" ")
    return Rule(verdict, protocol=protocol, ports=_ports(port))


def _covers(rule: Rule, protocol: str, port: int | None) -> bool:
    if rule.protocol not in (None, protocol):
        return False
    return not rule.ports or (port is not None and any(port in ports for ports in rule.ports))


def _needed(cluster: Cluster, node: Node) -> Iterable[tuple[str, int | None]]:
    """The protocols and ports that must reach a node."""
    yield "vrrp", None
    yield "tcp", API_PORT
    yield "udp", API_PORT
    for server in cluster.virtual_servers:
        yield server.protocol.lower(), server.port
        for real in server.real_servers:
            if real.node == node:
                yield server.protocol.lower(), real.port
    if "dr" in cluster.forwardings:
        yield "udp", SYNC_PORT


def _sources(cluster: Cluster) -> list[Address | Network]:
    senders = [sender for input in cluster.inputs for sender in cluster.all_senders_of(input)]
    own = [address for node in cluster.nodes for address in (*node.addresses, *cluster.sources_of(node))]
    return [*own, *senders]


def _overlaps(network: IPv4Network | IPv6Network | None, others: Iterable[Address | Network]) -> bool:
    """Whether any of these addresses and networks has a part in this network; None has all."""
    if network is None:
        return True
    first, last = network.network_address, network.broadcast_address
    for other in map(ip_network, others):
        if other.version == network.version and not (
            int(other.broadcast_address) < int(first) or int(last) < int(other.network_address)
        ):
            return True
    return False


def _network(text: str | None) -> IPv4Network | IPv6Network | None:
    return ip_network(text, strict=False) if text else None


def _protocol(text: str | None) -> str | None:
    return _PROTOCOLS.get(text, text) if text else None


def _ports(text: str | None) -> tuple[range, ...]:
    """Of `514`, `5000-6000`, `5000:6000` or `514,5000:6000`. Raises ValueError for names."""
    parts = [re.split("[-:]", part) for part in (text or "").split(",") if part]
    return tuple(range(int(part[0] or 0), int(part[-1] or 65535) + 1) for part in parts)
