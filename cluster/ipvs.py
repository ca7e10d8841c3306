"""What IPVS does with events: the cluster's virtual servers and their real servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.types import Address

if TYPE_CHECKING:
    from cluster.model import Cluster, Input, Node


@dataclass(frozen=True)
class RealServer:
    """A node in a virtual server's pool."""

    node: Node
    address: Address
    port: int
    weight: int
    """As IPVS has it while the node gets its whole share."""
    step: int
    """What is one percent of it; 0 where its weight never changes."""


@dataclass(frozen=True)
class VirtualServer:
    """How IPVS treats one input's events of one protocol at one VIP (ipvsadm(8))."""

    vip: Address
    port: int
    protocol: str
    """`UDP` or `TCP`."""
    input: Input
    input_id: str
    """The `id` of the Logstash input that takes the events."""
    name: str
    """Its own among those of its VIP: the input's id, with the protocol where one input takes both: `syslog udp`."""
    ops: bool
    forwarding: str
    """`nat`, `snat` or `dr`."""
    real_servers: tuple[RealServer, ...]


def virtual_servers(cluster: Cluster) -> tuple[VirtualServer, ...]:
    """One for each input, protocol and VIP, in this order."""
    return tuple(
        VirtualServer(
            vip=vip,
            port=input.port,
            protocol=protocol.upper(),
            input=input,
            input_id=input.plugin_id(protocol),
            name=input.server_name(protocol),
            ops=input.one_packet(protocol),
            forwarding=input.forwards(protocol),
            real_servers=tuple(
                RealServer(node, node.at(vip.version), input.target_port, *_weights(input, node))
                for node in cluster.nodes
            ),
        )
        for input in cluster.inputs
        for protocol in input.protocols
        for vip in cluster.vips
    )


def _weights(input: Input, node: Node) -> tuple[int, int]:
    """`weight` and `step` of a real server."""
    weight = input.weight_of(node.name)
    return (100 * weight, weight) if input.percent_steps else (weight, 0)
