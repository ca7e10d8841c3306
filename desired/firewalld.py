"""What the firewall must accept and translate, as firewalld's own rules (the recipe's step 9).

Rules are strings in firewalld's own spelling: a rich rule begins with `rule`, a direct rule with `ipv4` or
`ipv6`. The rules that the deploy adds are in the record, as `rich ZONE RULE` or `direct RULE`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from ipaddress import ip_network

from cluster import API_PORT, Address, Cluster, Network, Node
from desired.translation import translations
from facts.firewalld import RulesState

SYNC_PORT = 8848
"""UDP port of IPVS's connection synchronization (ipvsadm(8), --start-daemon)."""
_LINK_LOCAL = ip_network("fe80::/10")


def rules(cluster: Cluster, node: Node) -> list[str]:
    """What this node accepts, as rich rules (the recipe's step 9).

    VRRP from each node; the API and the inputs' ports at the node's own address from each node, since each
    node checks all of them; each virtual server from each sender of its input. How an event then reaches a
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
    # The health services ask each other at the UDP port of the same number.
    accepted += [_port(peer.at(version), node.address, API_PORT, "udp") for peer in cluster.peers(node)]
    for server in cluster.virtual_servers:
        version, protocol = server.vip.version, server.protocol.lower()
        (real,) = (real for real in server.real_servers if real.node == node)
        senders = [sender for sender in cluster.senders_of(server.input) if sender.version == version]
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
        f" -p tcp -d {each.destination} --dport {each.port}"
        f" -j {'CT --notrack' if each.source is None else f'SNAT --to-source {each.source}'}"
        for each in translations(cluster, node)
    ]


def _vrrp_sources(cluster: Cluster, version: int) -> Iterable[Address | Network]:
    """Where adverts come from: with IPv6 multicast, from link-local addresses (RFC 5798, section 5.1.2.1)."""
    if version == 6 and cluster.transport == "multicast":
        return [_LINK_LOCAL]
    return [member.at(version) for member in cluster.nodes]


def _accept(source: Address | Network, element: str) -> str:
    return f"rule {_from(source)} {element} accept"


@cache
def _from(source: Address | Network) -> str:
    network = ip_network(source)
    single = network.prefixlen == network.max_prefixlen
    address = network.network_address if single else network
    return f'family="ipv{network.version}" source address="{address}"'


def _port(source: Address | Network, destination: Address, port: int, protocol: str) -> str:
    return _accept(source, f'destination address="{destination}" port port="{port}" protocol="{protocol}"')


def desired_rules(cluster: Cluster, node: Node, own_table: bool) -> list[str]:
    """All of this node's rules in firewalld, rich and direct. With a table of our own there are no direct ones."""
    return rules(cluster, node) + ([] if own_table else direct_rules(cluster, node))


def missing(rules: list[str], present: RulesState) -> dict[str, list[str]]:
    """The rules that firewalld does not have, by configuration: `runtime` and `permanent`."""
    configurations = {"runtime": set(present["runtime"]), "permanent": set(present["permanent"])}
    return {name: [rule for rule in rules if rule not in has] for name, has in configurations.items()}


def unmanaged(rules: list[str], present: RulesState, record: dict[str, list[str]]) -> list[str]:
    """The rules that are neither desired nor in the record: others have put them there."""
    ours = {*rules, *record.get("direct", []), *(value.split(" ", 1)[1] for value in record.get("rich", []))}
    return [rule for rule in dict.fromkeys(present["permanent"] + present["runtime"]) if rule not in ours]
