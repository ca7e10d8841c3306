"""What a run costs this machine and the guests, and how that becomes a table. Only `cost_of` measures; the rest is arithmetic."""

from __future__ import annotations

import math
import re
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

T = TypeVar("T")

_CLOCK_TICKS = 100
"""Of a second, in /proc/stat (proc(5), USER_HZ)."""


@dataclass(frozen=True)
class GuestUse:
    """What a guest has used since its boot; of several guests, or between two moments, the mean or the difference."""

    cpu: float
    """Seconds of CPU."""
    processes: float
    """Processes and threads that were started."""
    commands: float
    """Commands that were run over ssh."""

    def __sub__(self, earlier: GuestUse) -> GuestUse:
        return GuestUse(
            self.cpu - earlier.cpu, self.processes - earlier.processes, self.commands - earlier.commands
        )


@dataclass(frozen=True)
class Cost:
    """What one run cost."""

    wall: float
    """Seconds from its start to its end."""
    cpu: float
    """Seconds of CPU on this machine, as the controller."""
    guest: GuestUse | None = None
    """The mean of all guests, where there are guests."""

    @property
    def figures(self) -> tuple[float, ...]:
        """All of it, in the order of the table's columns."""
        return (self.wall, self.cpu, *(astuple(self.guest) if self.guest else ()))


Pair = tuple[Cost, Cost]
"""What a run of the deploy has cost, and the run of Ansible after it."""


def parse_guest_use(output: str) -> GuestUse:
    """A guest's /proc/stat (proc(5)), with a line `commands COUNT` before or after it. Time that was idle does not count."""
    values = dict(re.findall(r"^(cpu|processes|commands)\s+(.*)$", output, re.MULTILINE))
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, values["cpu"].split())
    return GuestUse(
        cpu=(user + nice + system + irq + softirq) / _CLOCK_TICKS,
        processes=int(values["processes"]),
        commands=int(values["commands"]),
    )


def mean(uses: Sequence[GuestUse]) -> GuestUse:
    """The mean of several guests."""
    return GuestUse(*(statistics.fmean(column) for column in zip(*map(astuple, uses), strict=True)))


def parse_deploy_changes(output: str) -> int:
    """How many operations changed something, on all nodes together, by the table that pyinfra prints at the end."""
    match = re.search(r"^\s*Grand total\s+\S+\s+(\d+|-)", output, re.MULTILINE)
    if not match:
        raise ValueError(f"no grand total in {output[-500:]!r}")
    return 0 if match[1] == "-" else int(match[1])


def cost_of(run: Callable[[], T]) -> tuple[Cost, T]:
    """Run something, and measure the time and the CPU of this process and of the children that it has waited for.

    Returns what the run returns, too.
    """
    began, used = time.monotonic(), _cpu()
    result = run()
    return Cost(wall=time.monotonic() - began, cpu=_cpu() - used), result


def _cpu() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def shown(value: float) -> str:
    """A figure with as many digits as it deserves."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def cost_cells(costs: Sequence[Cost]) -> list[str]:
    """For a row: wall time as minimum, median and maximum, then the medians of all other figures."""
    return _cells([cost.figures for cost in costs])


def ratio_cells(pairs: Sequence[Pair]) -> list[str]:
    """For a row: how many times what the deploy's runs cost Ansible's do, pair by pair; as `cost_cells` has it."""
    ratios = [
        tuple(
            ansible / deploy if deploy else math.nan
            for deploy, ansible in zip(*(cost.figures for cost in pair), strict=True)
        )
        for pair in pairs
    ]
    return _cells(ratios, "x ")


def comparison(label: str, pairs: Sequence[Pair]) -> list[list[str]]:
    """The cells of three rows: the deploy, Ansible, and the ratio."""
    deploys, ansibles = zip(*pairs, strict=True)
    rows = {
        "deploy": cost_cells(deploys),
        "Ansible": cost_cells(ansibles),
        "Ansible / deploy": ratio_cells(pairs),
    }
    return [[label, name, str(len(pairs)), *cells] for name, cells in rows.items()]


def _cells(rows: Sequence[tuple[float, ...]], prefix: str = "") -> list[str]:
    walls, *others = zip(*rows, strict=True)
    values = [min(walls), statistics.median(walls), max(walls), *map(statistics.median, others)]
    return [f"{prefix}{shown(value)}" for value in values]


def row(*cells: str) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def head(*cells: str) -> str:
    """The first two lines of a table in Markdown."""
    return f"{row(*cells)}\n|{'---|' * len(cells)}"


def pair_by_pair(pairs: Sequence[Pair]) -> str:
    """The wall time of each pair, and its ratio."""
    return "; ".join(
        f"{shown(deploy.wall)} and {shown(ansible.wall)} s: x {ansible.wall / deploy.wall:.2f}"
        for deploy, ansible in pairs
    )
