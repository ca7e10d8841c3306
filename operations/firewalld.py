"""The cluster's rules in firewalld."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from ipaddress import IPv4Network

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import API_PORT, Cluster, Node
from facts.firewalld import RichRules


def rules(cluster: Cluster, node: Node) -> list[str]:
    """What this node accepts, as rich rules in firewalld's own spelling (the recipe's step 9).

    VRRP from each node; the API at the node's own address from each node, as each checks all; each
    input's port from each sender, at the node's own address and at the VIP.
    """
    nodes = [member.address for member in cluster.nodes]
    senders = [_source(sender) for sender in cluster.senders]
    return [
        *(f'rule family="ipv4" source address="{source}" protocol value="vrrp" accept' for source in nodes),
        *(_port(source, node.address, API_PORT, "tcp") for source in nodes),
        *(
            _port(source, destination, input.port, "udp")
            for input in cluster.inputs
            for source in senders
            for destination in (node.address, cluster.vip)
        ),
    ]


def _source(sender: IPv4Network) -> str:
    return str(sender.network_address if sender.prefixlen == 32 else sender)


def _port(source: object, destination: object, port: int, protocol: str) -> str:
    return (
        f'rule family="ipv4" source address="{source}" destination address="{destination}"'
        f' port port="{port}" protocol="{protocol}" accept'
    )


@operation()
def rich_rules(interface: str, rules: list[str]) -> Generator[StringCommand]:
    """These rules in the zone of `interface`, both in force now and kept for the next start.

    They are added to each side as it needs them, so firewalld is never reloaded.
    """
    present = host.get_fact(RichRules, interface=interface)
    if present is None:
        yield StringCommand("firewall-cmd --state")  # says that it does not run, and fails
        return
    lacking = {"--permanent ": present["permanent"], "": present["runtime"]}
    for side, there in lacking.items():
        add = [f"--add-rich-rule={shlex.quote(rule)}" for rule in rules if rule not in there]
        if add:
            yield StringCommand(f"firewall-cmd {side}--zone={present['zone']} {' '.join(add)}")
    if all(rule in there for rule in rules for there in lacking.values()):
        host.noop(f"all rules are in zone {present['zone']}")
