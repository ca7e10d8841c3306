"""A canary is watched for some time: its figures are compared with those of the other nodes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pyinfra.api import Host, State

from cluster import Cluster, Node
from desired.health_script import CHECK
from facts.drops import SocketDrops
from facts.events import EventCounts
from remote.commands import read
from remote.drain import connected_directors, desired_members, holders_of, present_members

STEP = 10.0
"""Seconds from one look at the pools to the next."""
LEAST_SHARE = 0.5
"""The least part of its peers' events, by weight, that a canary must take."""
LEAST_RATE = 1.0
"""Events a second below which nothing is to be learnt from them."""
IN_TURN = ("wrr", "rr")
"""The schedulers by which each node gets its part, whoever sends."""


@dataclass(frozen=True)
class Figures:
    """What a node has counted so far."""

    events: dict[str, int] | None
    """By input id, since its Logstash started; None where the API does not answer."""
    drops: int
    """Datagrams at full sockets since its boot."""


def watch(state: State, cluster: Cluster, node: Node, seconds: float) -> str:
    """Why the other nodes should not follow this one, as seen in so many seconds; nothing where they may."""
    directors = connected_directors(state, cluster)
    before = _figures(directors, cluster)
    begun = time.monotonic()
    away = 0
    while (rest := begun + seconds - time.monotonic()) > 0:
        time.sleep(min(STEP, rest))
        holders = holders_of(directors, cluster)
        gone = bool(holders) and not desired_members(cluster, node) <= present_members(holders, node)
        away = away + 1 if gone else 0
        if away > 1:
            return "it has left the pools again"
    return compare(cluster, node, before, _figures(directors, cluster), time.monotonic() - begun)


def _figures(directors: list[Host], cluster: Cluster) -> dict[str, Figures]:
    found = {}
    for director in directors:
        address = cluster.node(director.name).address
        events = read(director, EventCounts, address=address, script=CHECK)
        found[director.name] = Figures(events, read(director, SocketDrops) or 0)
    return found


def compare(
    cluster: Cluster, node: Node, before: dict[str, Figures], after: dict[str, Figures], seconds: float
) -> str:
    """Why a node does worse than the others, by the figures of all at two times; nothing where it does not."""
    own, own_before = after[node.name], before[node.name]
    if own.events is None or own_before.events is None:
        return "its Logstash does not answer"
    if any(count < own_before.events.get(id, 0) for id, count in own.events.items()):
        return "its Logstash has started again"
    drops = own.drops - own_before.drops
    peers = [name for name in after if name != node.name and name in before]
    most = max((after[name].drops - before[name].drops for name in peers), default=0)
    if drops > max(most, 0):
        return f"its sockets have dropped {drops} datagrams, and those of the others at most {most}"
    for server in cluster.virtual_servers:
        if server.protocol != "UDP" or server.input.scheduler not in IN_TURN or seconds <= 0:
            continue
        rates = {
            name: rate / server.input.weight_of(name)
            for name in after
            if server.input.weight_of(name)
            and (rate := _rate(before.get(name), after[name], server.input_id, seconds)) is not None
        }
        if node.name not in rates:
            continue
        others = [rate for name, rate in rates.items() if name != node.name]
        mean = sum(others) / len(others) if others else 0.0
        if mean >= LEAST_RATE and rates[node.name] < LEAST_SHARE * mean:
            return (
                f"{server.input_id} takes {rates[node.name]:.0f} events a second by its weight, "
                f"and on the others {mean:.0f}"
            )
    return ""


def _rate(before: Figures | None, after: Figures, input_id: str, seconds: float) -> float | None:
    if before is None or before.events is None or after.events is None:
        return None
    if input_id not in before.events or input_id not in after.events:
        return None
    return max(0, after.events[input_id] - before.events[input_id]) / seconds
