"""Draining: no director sends events to a node while its services restart or stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyinfra import logger
from pyinfra.api import Host, State

from cluster import Cluster, Node
from desired.paths import DRAINED
from facts.ipvs import DrainFlags, VirtualServers, VirtualServerState, host_of, socket_name
from facts.vrrp import VipInterfaces
from remote import session
from remote.commands import read, succeeds
from remote.snapshot import Change
from remote.together import for_each

DRAIN_BOUND = 15.0
"""Seconds for keepalived to follow a health check: `delay_loop`, `misc_timeout` and some more."""

WARM_BOUND = 60.0
"""Seconds for a node that has just started to get its full weight (the health service's slow start)."""

PoolMember = tuple[str, str, str]
"""A real server in a virtual server's pool: the protocol, and the addresses of both, with their ports."""


def connected_directors(state: State, cluster: Cluster) -> list[Host]:
    """The cluster's nodes that can be reached, also those that this run is not limited to."""
    members = [state.inventory.get_host(node.name) for node in cluster.nodes]
    for member in members:
        if not member.connected and member not in state.failed_hosts:
            member.connect(show_errors=False)
            session.prepare(member)
    return [member for member in members if member.connected and member not in state.failed_hosts]


def desired_members(cluster: Cluster, node: Node) -> set[PoolMember]:
    """The pools that the node should be in."""
    return {
        (server.protocol, socket_name(server.vip, server.port), socket_name(real.address, real.port))
        for server in cluster.virtual_servers
        for real in server.real_servers
        if real.node == node and real.weight
    }


def pools(directors: list[Host], *nodes: Node) -> dict[Host, set[PoolMember]]:
    """The pools that any of these nodes is in, by director."""
    addresses = {str(address) for node in nodes for address in node.addresses}
    return {
        director: {
            (server["protocol"], server["address"], real["address"])
            for server in servers
            for real in server["real_servers"]
            if real["weight"] and host_of(real["address"]) in addresses
        }
        for director, servers in zip(directors, _tables(directors), strict=True)
    }


def present_members(directors: list[Host], *nodes: Node) -> set[PoolMember]:
    """The pools that any of these nodes is in, on any of these directors."""
    return set().union(*pools(directors, *nodes).values())


def _tables(directors: list[Host]) -> list[list[VirtualServerState]]:
    """Each director's virtual servers, read side by side."""
    return for_each(lambda director: read(director, VirtualServers) or [], directors)


def comes_back_slowly(directors: list[Host], cluster: Cluster, node: Node) -> bool:
    """Whether another node has less than its weight on any of these directors, where one has its full weight."""
    tables = _tables(directors)
    for server in cluster.virtual_servers:
        desired = {socket_name(real.address, real.port): real for real in server.real_servers}
        for found in (found for table in tables for found in table):
            if (found["protocol"], found["address"]) != (
                server.protocol,
                socket_name(server.vip, server.port),
            ):
                continue
            known = [
                (desired[real["address"]], real["weight"])
                for real in found["real_servers"]
                if real["address"] in desired
            ]
            if any(weight == real.weight for real, weight in known) and any(
                real.node != node and 0 < weight < real.weight for real, weight in known
            ):
                return True
    return False


def holders_of(directors: list[Host], cluster: Cluster) -> list[Host]:
    """Those that hold a VIP now."""
    held = for_each(lambda director: holds_a_vip(director, cluster), directors)
    return [director for director, holds in zip(directors, held, strict=True) if holds]


def holds_a_vip(director: Host, cluster: Cluster) -> bool:
    """Whether this node holds a VIP now."""
    return any((read(director, VipInterfaces, vips=[str(vip) for vip in cluster.vips]) or {}).values())


def depending(cluster: Cluster, holders: list[Host], node: Node, members: set[PoolMember]) -> list[str]:
    """The virtual servers of these pools whose events no other node takes, by their protocols and addresses."""
    others = {member[:2] for member in present_members(holders, *cluster.peers(node))}
    return sorted({f"{protocol} {vip}" for protocol, vip, _ in members if (protocol, vip) not in others})


@contextmanager
def drained(cluster: Cluster, directors: list[Host], node: Node) -> Iterator[None]:
    """Keep the node out of all directors' pools meanwhile. A drain flag expires by itself after 5 minutes."""
    holders = holders_of(directors, cluster)
    members = present_members(holders, node)
    if not wait_until(lambda: not depending(cluster, holders, node, members), DRAIN_BOUND):
        servers = ", ".join(depending(cluster, holders, node, members))
        logger.warning(f"{node.name} alone takes {servers}: what is sent there while it restarts is lost")
        members = set()
    if not members:
        yield
        return
    # What this one takes now, a cold Logstash would have to take.
    wait_until(lambda: not comes_back_slowly(holders, cluster, node), WARM_BOUND)
    flag = f"{DRAINED}/{node.address}"
    try:
        mark = Change(f"install -d -m 755 {DRAINED} && touch {flag}", touches=[DrainFlags])
        for_each(lambda director: succeeds(director, mark), directors)
        if not wait_until(lambda: not present_members(holders, node), DRAIN_BOUND):
            logger.warning(f"{node.name} is still in a pool after {DRAIN_BOUND:.0f} s: events may be lost")
        yield
    finally:
        unmark = Change(f"rm -f {flag}", touches=[DrainFlags])
        for_each(lambda director: succeeds(director, unmark), directors)


def wait_until(condition: Callable[[], bool], bound: float) -> bool:
    """Whether the condition became true within the bound, in seconds."""
    end = time.monotonic() + bound
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
