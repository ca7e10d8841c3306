"""How a check of the cluster comes to a row of the report and its problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cluster import Cluster, Node
from facts.services import UnitCondition
from verification.observe import Observation
from verification.report import Cell, Problem, Row, Status

DEPLOY = "run the deploy again"

Observations = dict[str, Observation]
"""What was seen on each of the cluster's nodes, by name."""
Judged = tuple[Row, list[Problem]]


@dataclass(frozen=True)
class Finding:
    """A cell, and the words of its problem where there is one to report."""

    status: Status
    text: str
    what: str = ""
    do: str = ""


def row_of(
    cluster: Cluster,
    observations: Observations,
    check: str,
    judge_node: Callable[[Node, Observation], Finding],
    input: str | None = None,
    vip: str | None = None,
) -> Judged:
    """The row and the problems of a check that needs one node's observation at a time.

    On a node that was not reached everything but `ssh` is unknown; a node that was left out has no cell.
    """
    cells: dict[str, Cell] = {}
    problems: list[Problem] = []
    for node in cluster.nodes:
        seen = observations[node.name]
        if seen.left_out:
            continue
        unknown = seen.unreachable and check != "ssh"
        found = Finding(Status.UNKNOWN, "?") if unknown else judge_node(node, seen)
        cells[node.name] = Cell(found.status, found.text)
        if found.what:
            problems.append(Problem(found.status, check, node.name, found.what, found.do))
    return Row(check, input, vip, cells), problems


def unread(what: str, command: str) -> Finding:
    """The finding on what could not be read: that is not a success."""
    return Finding(Status.UNKNOWN, "?", f"{what} could not be read", f"look by hand: `{command}`")


def runs(seen: Observation, unit: str) -> bool:
    """Whether this service was seen to run, and not to be frozen."""
    active = bool(seen.services and unit in seen.services and seen.services[unit]["active"])
    return active and not condition(seen, unit)["frozen"]


def condition(seen: Observation, unit: str) -> UnitCondition:
    """What else was seen of this unit."""
    unknown = UnitCondition(masked=False, frozen=False, drop_ins=[])
    return (seen.conditions or {}).get(unit, unknown)


def words(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def several(things: list[str]) -> str:
    """The first, and how many more there are."""
    return things[0] if len(things) == 1 else f"{things[0]}, and {len(things) - 1} more"
