"""What a verification says: rows of a table, what arrived of a test, and what is wrong with what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from desired import health
from desired.maintenance import Note

_SETTLES = {"health", "ipvs", "vip", health.UNIT}
"""The checks of what the cluster repairs by itself; systemd starts the health service again."""
_STAYS = {"disabled", "frozen", "changed"}
"""The cells of what stays as it is until somebody does something."""


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
    """One check on each node, by name; a node that was left out has no cell.

    `input` is the id of Logstash's input and `vip` the address, where the check is of one; of a virtual server `input` is
    the name, which has the protocol where one input takes both.
    """

    check: str
    input: str | None
    vip: str | None
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Problem:
    """What is wrong and what to do, in words. `node` is None where it concerns the whole cluster."""

    status: Status
    check: str
    node: str | None
    what: str
    do: str
    reason: str | None = None
    """For programs: a word of the health script's `REASONS`, where an input's verdict is the problem."""


@dataclass(frozen=True)
class VipReport:
    """Which nodes hold one VIP, and get the events that are sent to it."""

    holders: tuple[str, ...]
    """The nodes that hold it: one, when all is well."""
    pool: dict[str, tuple[str, ...]]
    """By virtual server (`VirtualServer.name`, as a rule the input's id): the nodes that its holder spreads events over."""


@dataclass(frozen=True)
class Report:
    """The verdict on a cluster. Causes come before what follows from them."""

    nodes: tuple[str, ...]
    vips: dict[str, VipReport]
    """By address."""
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    left_out: tuple[str, ...] = ()
    """The nodes that were not looked at, because the run is for others: nothing here is about them."""
    maintenance: dict[str, Note] = field(default_factory=dict)
    """The nodes in maintenance, by name. What is wrong on them is a warning."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and all could be read."""
        cells = [cell.status for row in self.rows for cell in row.cells.values()]
        return {*cells, *(problem.status for problem in self.problems)} <= {Status.OK, Status.WARNING}

    @property
    def may_settle(self) -> bool:
        """Whether all that is wrong may be over in a moment: a slow answer, a service that is just starting, or
        keepalived following a change."""
        wrong = {problem.check for problem in self.problems if problem.status is not Status.WARNING}
        stays = any(cell.text in _STAYS for row in self.rows for cell in row.cells.values())
        return bool(wrong) and wrong <= _SETTLES and not stays


@dataclass(frozen=True)
class InputDelivery:
    """What became of the events that were sent to one input."""

    input: str
    vips: tuple[str, ...]
    """Where they were sent; all VIPs together where Logstash's API counted."""
    counted: str
    """`events`: each one was found in the output's file. `api`: Logstash counted what its input took, from all
    senders; `duplicated` is then None."""
    sent: int
    refused: int
    received: dict[str, int]
    """By node name."""
    lost: int
    """Events that never came."""
    duplicated: int | None
    """Copies beyond the first of each event."""


@dataclass(frozen=True)
class Delivery:
    """What became of all events of a test."""

    run: str
    sender: str
    inputs: tuple[InputDelivery, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every event came, and came once."""
        return all(problem.status is Status.WARNING for problem in self.problems)
