"""Checks across the clusters of one inventory. Each raises `ClusterError` with both clusters' names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

from cluster.errors import ClusterError

if TYPE_CHECKING:
    from cluster.model import Cluster
    from cluster.types import Address, Network


def check_clusters(clusters: Mapping[str, Cluster]) -> None:
    """Raise `ClusterError` where two clusters have something in common that each needs for itself."""
    for (one, first), (other, second) in combinations(clusters.items(), 2):
        _check_nodes(one, first, other, second)
        _check_addresses(one, first, other, second)
        _check_routers(one, first, other, second)


def _check_nodes(one: str, first: Cluster, other: str, second: Cluster) -> None:
    names = {node.name.lower() for node in first.nodes}
    for node in second.nodes:
        if node.name.lower() in names:
            raise ClusterError(
                f"{other}: nodes: {node.name} is a node of {one}, too; a machine belongs to one cluster, so name another one"
            )


def _check_addresses(one: str, first: Cluster, other: str, second: Cluster) -> None:
    def of(cluster: Cluster) -> dict[Address, tuple[str, str]]:
        """By address: the setting that has it, and whose it is."""
        vips = dict.fromkeys(cluster.vips, ("vip", "a VIP"))
        sources = {node.name: cluster.sources_of(node) for node in cluster.nodes}
        return {
            **vips,
            **{address: ("vip", name) for name, addresses in sources.items() for address in addresses},
            **{address: ("nodes", node.name) for node in cluster.nodes for address in node.addresses},
        }

    theirs = of(first)
    for address, (field, whose) in of(second).items():
        if address in theirs:
            _, owner = theirs[address]
            raise ClusterError(
                f"{other}: {field}: {address} of {whose} is the address of {owner} in {one}, too; give each its own"
            )


def _routers(cluster: Cluster) -> dict[tuple[int, int], list[Network]]:
    """By VRRP's number and the address family: the networks that its adverts are in."""
    found: dict[tuple[int, int], list[Network]] = {}
    for instance in cluster.vrrp_instances:
        networks = found.setdefault((instance.virtual_router_id, instance.vip.version), [])
        networks += {
            cluster.network_of(cluster.vrrp_source(instance.vip, node)): None for node in cluster.nodes
        }
    return found


def _check_routers(one: str, first: Cluster, other: str, second: Cluster) -> None:
    theirs, ours = _routers(first), _routers(second)
    for (number, version), networks in ours.items():
        for network in networks:
            if any(
                network.version == each.version and network.overlaps(each)
                for each in theirs.get((number, version), [])
            ):
                free = _free(set(theirs), ours)
                raise ClusterError(
                    f"{other}: virtual_router_id: {number} is also {one}'s in the network {network}, and a router's number must be "
                    f"its own there; write virtual_router_id={free} in {other}"
                )


def _free(theirs: set[tuple[int, int]], ours: dict[tuple[int, int], list[Network]]) -> int:
    """The first number from which on there is room for all of ours."""
    taken = {number for number, _ in theirs}
    count = len({number for number, _ in ours})
    return next(first for first in range(1, 256) if taken.isdisjoint(range(first, first + count)))
