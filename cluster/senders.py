"""Who may send to which input at which VIP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.types import Address, Network

if TYPE_CHECKING:
    from cluster.model import Cluster, Input


def senders_at(cluster: Cluster, input: Input, vip: Address) -> tuple[Network, ...]:
    """The senders of an input at a VIP: its own, the VIP's, those that are in both where both have some, or else the
    cluster's."""
    of_vip = cluster.virtual_address(vip).senders
    if input.senders is None:
        return cluster.senders if of_vip is None else of_vip
    if of_vip is None:
        return input.senders
    both = (_common(one, other) for one in input.senders for other in of_vip)
    return tuple(dict.fromkeys(network for network in both if network is not None))


def _common(one: Network, other: Network) -> Network | None:
    """The part of two networks that is in both: the smaller one, or nothing."""
    if one.version != other.version or not one.overlaps(other):
        return None
    return max(one, other, key=lambda network: network.prefixlen)
