"""What goes on in a cluster, beside whether it is as it should be: the events that nodes take now, and what has changed lately."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pyinfra.api import State

from cluster import Cluster, Node
from desired.health_script import CHECK
from facts.events import EventCounts
from facts.journal import Changes, JournalLine
from remote.commands import read
from remote.together import for_each

MEASURE = 2.0
"""Seconds over which events are counted."""
SAME = 10.0
"""Seconds within which the same line on several nodes is of one change."""
SHOWN = 100
"""Changes that are shown at most, the last ones."""


@dataclass(frozen=True)
class Change:
    """A line of the journals."""

    time: float
    """When the first node wrote it, in seconds of the epoch."""
    text: str
    nodes: tuple[str, ...]
    """Those that wrote it, by name."""


@dataclass(frozen=True)
class Activity:
    """What goes on."""

    rates: dict[str, float]
    """Events a second that each node's Logstash takes, by the node's name; one that is missing is not known."""
    changes: tuple[Change, ...]
    """In the order of time."""
    left_out: int = 0
    """How many changes came before these."""

    def share(self, name: str) -> float | None:
        """Which part of all events a node takes; None where that is not known, or nothing is sent."""
        total = sum(self.rates.values())
        return self.rates[name] / total if name in self.rates and total else None


def rates(
    before: dict[str, dict[str, int]], after: dict[str, dict[str, int]], seconds: float
) -> dict[str, float]:
    """Events a second by node, from what each input has counted. A node whose Logstash has started anew meanwhile has none."""
    found = {}
    for name, counts in after.items():
        grown = [count - before.get(name, {}).get(id, count + 1) for id, count in counts.items()]
        if grown and min(grown) >= 0:
            found[name] = sum(grown) / seconds
    return found


def history(journals: dict[str, list[JournalLine]]) -> tuple[Change, ...]:
    """What the nodes' journals say, in the order of time. Each director says the same of a node: that is one change."""
    lines = [(line["time"], line["text"], name) for name, found in journals.items() for line in found]
    lines.sort(key=lambda line: line[0])  # journals have whole seconds: within one, each keeps its own order
    changes: list[Change] = []
    latest: dict[str, int] = {}
    for moment, text, name in lines:
        place = latest.get(text)
        if place is not None and moment - changes[place].time <= SAME and name not in changes[place].nodes:
            known = changes[place]
            changes[place] = Change(known.time, text, (*known.nodes, name))
        else:
            latest[text] = len(changes)
            changes.append(Change(moment, text, (name,)))
    return tuple(changes)


def look(state: State, cluster: Cluster) -> Activity:
    """What goes on, as the nodes that can be reached say; it takes some seconds."""
    nodes = [node for node in cluster.nodes if state.inventory.get_host(node.name).connected]

    def count(node: Node) -> dict[str, int]:
        host = state.inventory.get_host(node.name)
        return read(host, EventCounts, address=node.address, script=CHECK) or {}

    def counts() -> tuple[float, dict[str, dict[str, int]]]:
        found = for_each(count, nodes)
        return time.monotonic(), {node.name: each for node, each in zip(nodes, found, strict=True)}

    start, before = counts()
    journals = for_each(lambda node: read(state.inventory.get_host(node.name), Changes) or [], nodes)
    time.sleep(max(0, start + MEASURE - time.monotonic()))
    end, after = counts()
    changes = history({node.name: each for node, each in zip(nodes, journals, strict=True)})
    return Activity(rates(before, after, end - start), changes[-SHOWN:], max(0, len(changes) - SHOWN))
