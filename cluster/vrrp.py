"""Who holds which VIP: the cluster's VRRP instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.types import Address

if TYPE_CHECKING:
    from cluster.model import Cluster, Node


@dataclass(frozen=True)
class VrrpInstance:
    """One VIP and who is to hold it (keepalived.conf(5), VRRP instance)."""

    name: str
    vip: Address
    virtual_router_id: int
    state: str
    """The state that a node starts in, `MASTER` or `BACKUP`."""
    priorities: dict[str, int]
    """By node's name."""
    preempt: bool
    """Whether a higher priority takes the VIP from a MASTER that works."""


def vrrp_instances(cluster: Cluster) -> tuple[VrrpInstance, ...]:
    """One for each VIP. In VRRP 2 all priorities are the recipe's 100, unless they are given. Where there are
    several VIPs of a family, each node in turn comes first for one of them."""
    ranked = any(node.priority for node in cluster.nodes)
    instances = []
    for version in cluster.families:
        vips = [vip for vip in cluster.vips if vip.version == version]
        several = len(vips) > 1
        preempt = cluster.preempt
        if preempt is None:
            preempt = several or ranked or cluster.vrrp == 2
        given = ranked or (cluster.vrrp == 2 and not several)
        count = len(cluster.nodes)
        for index, vip in enumerate(vips):
            priorities = {
                node.name: _given(node) if given else _descending((position - index) % count, count)
                for position, node in enumerate(cluster.nodes)
            }
            equal = len(set(priorities.values())) == 1
            instances.append(
                VrrpInstance(
                    name=f"VI_{index + 1}" if version == 4 else f"VI6_{index + 1}",
                    vip=vip,
                    virtual_router_id=cluster.virtual_router_id + index,
                    state="MASTER" if equal and preempt else "BACKUP",
                    priorities=priorities,
                    preempt=preempt,
                )
            )
    return tuple(instances)


def vrrp_pairs(instances: tuple[VrrpInstance, ...]) -> tuple[tuple[VrrpInstance, VrrpInstance], ...]:
    """The instances of an IPv4 and an IPv6 VIP that belong on one node."""
    by_family = [
        [instance for instance in instances if instance.vip.version == version] for version in (4, 6)
    ]
    return tuple(zip(*by_family, strict=False))


def _given(node: Node) -> int:
    return node.priority or 100


def _descending(rank: int, count: int) -> int:
    """The priority of the node that is the `rank`th of `count` to become MASTER, from 0: as high as can be, as a BACKUP
    waits the longer, the lower its priority is; and apart, so that two nodes don't take over at once."""
    return max(1, 254 - rank * max(1, min(10, 253 // count)))
