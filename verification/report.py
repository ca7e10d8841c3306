"""What a verification says: rows of a table, and what is wrong with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Of a cell or a problem. The verdict is good with `ok` and `warning` only."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cell:
    """One check on one node, in a word or two."""

    status: Status
    text: str


@dataclass(frozen=True)
class Row:
    """One check on each node, by name.

    `input` is the id of Logstash's input and `vip` the address, where the check is of one.
    """

    check: str
    input: str | None
    vip: str | None
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Problem:
    """What is wrong and what to do, in words. `node` is None where it is the whole cluster's."""

    status: Status
    check: str
    node: str | None
    what: str
    do: str


@dataclass(frozen=True)
class VipReport:
    """Who has to do with one VIP."""

    holders: tuple[str, ...]
    """The nodes that hold it: one, when all is well."""
    pool: dict[str, tuple[str, ...]]
    """By input id: the nodes that its holder spreads events over."""


@dataclass(frozen=True)
class Report:
    """The verdict on a cluster, from the ground up: causes come before what follows from them."""

    nodes: tuple[str, ...]
    vips: dict[str, VipReport]
    """By address."""
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and nothing could not be read."""
        cells = [cell.status for row in self.rows for cell in row.cells.values()]
        return {*cells, *(problem.status for problem in self.problems)} <= {Status.OK, Status.WARNING}

    @property
    def may_settle(self) -> bool:
        """Whether all that is wrong may be over in a moment: a slow answer, keepalived following a change."""
        wrong = {problem.check for problem in self.problems if problem.status is not Status.WARNING}
        return bool(wrong) and wrong <= {"health", "ipvs", "vip"}
