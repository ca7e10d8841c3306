"""What rich rules can't express: the directors' address as the source, and connections that are not tracked.

What a node, as a director, forwards to a peer with `snat` gets this node's address as its source, so that the
replies come back through it. UDP gets it also where the director is the real server itself: with one-packet scheduling the
kernel tracks a sender's datagrams as one connection, whose source is translated as that of its first one was. For that,
IPVS's connections are tracked; but a TCP connection with `dr` must not be
tracked then: a director never sees its replies, and the firewall would drop everything after the first packet as
invalid.

An nftables table of our own does both on Enterprise Linux 8 and later. Direct rules of firewalld do it where the
kernel has no nftables for it: they need modules that Enterprise Linux 10 does not install, and a direct rule that
can't be loaded makes firewalld fall back to its stock rules at its next start.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster import Address, Cluster, Node

FIRST_TABLE = 8
"""The first Enterprise Linux whose kernel translates addresses by nftables beside iptables."""


@dataclass(frozen=True)
class Translation:
    """What is done to packets to this address and port."""

    destination: Address
    port: int
    source: Address | None
    """Their new source when they leave; None: they are not tracked when they come in."""
    protocol: str = "tcp"
    """`tcp` or `udp`."""
    vip: Address | None = None
    """The VIP that they were sent to, where they stay on this node."""


def translations(cluster: Cluster, node: Node) -> list[Translation]:
    """What this node translates, each thing once."""
    if "snat" not in cluster.forwardings:
        return []
    found = []
    for server in cluster.virtual_servers:
        if server.forwarding == "snat":
            source = node.at(server.vip.version)  # `masquerade` might take the VIP
            protocol = server.protocol.lower()
            found += [
                Translation(
                    real.address, real.port, source, protocol, server.vip if real.node == node else None
                )
                for real in server.real_servers
                if real.node != node or protocol == "udp"
            ]
        elif server.forwarding == "dr" and server.protocol == "TCP":
            found.append(Translation(server.vip, server.port, None))
    return list(dict.fromkeys(found))


def own_table(cluster: Cluster, el: int, has_nftables: bool) -> bool:
    """Whether a table of our own translates on a node with Enterprise Linux `el`; otherwise direct rules do.

    `has_nftables`: whether the machine has the program and the kernel modules for it (`MachineState`).
    """
    return "snat" in cluster.forwardings and el >= FIRST_TABLE and has_nftables
