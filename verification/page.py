"""A report as one HTML page that needs nothing else: the cluster's picture, what is wrong, and every check."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from verification.report import Delivery, Report, Row, Status
from verification.show import good, grouped, row_label

WIDTH = 960
"""Of the picture, in its own units."""
_MARGIN, _GAP = 20, 24
_LINE = 20
"""Height of a line of text."""
_VIP_TOP, _VIP_HEIGHT = 96, 44
_NODE_TOP = 200
_SHOWN = 8
"""Inputs that a node's box names."""
_RANKS = [Status.OK, Status.WARNING, Status.UNKNOWN, Status.WRONG]

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture with its lines of text, each with its status."""

    x: float
    y: float
    width: float
    height: float
    title: str
    status: Status
    lines: tuple[tuple[str, Status], ...] = ()

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True)
class Picture:
    """Who is MASTER of which VIP, and which nodes get events: boxes, and lines between them."""

    height: float
    vips: tuple[Box, ...]
    nodes: tuple[Box, ...]
    held: tuple[tuple[Box, Box], ...]
    """A VIP and a node that holds it."""


def _columns(count: int, height: float, top: float) -> list[tuple[float, float, float, float]]:
    width = min(280, (WIDTH - 2 * _MARGIN - (count - 1) * _GAP) / count)
    left = (WIDTH - count * width - (count - 1) * _GAP) / 2
    return [(left + column * (width + _GAP), top, width, height) for column in range(count)]


def _worst(report: Report, name: str) -> Status:
    """Of the problems of this node: its checks' cells may be wrong because of another node."""
    found = [problem.status for problem in report.problems if problem.node == name]
    return max(found, key=_RANKS.index, default=Status.OK)


def _roles(report: Report, name: str) -> list[tuple[str, Status]]:
    """Lines on which VIPs this node holds."""
    if name in report.maintenance:
        return [("in maintenance", Status.WARNING)]
    if any(row.check == "ssh" and row.cells[name].status is not Status.OK for row in report.rows):
        return [("not reached", Status.WRONG)]
    held = [
        (f"MASTER of {vip}", Status.OK)
        for vip, vip_report in report.vips.items()
        if name in vip_report.holders
    ]
    return held or [("BACKUP", Status.OK)]


def _pools(report: Report, name: str) -> tuple[tuple[str, Status], ...]:
    """A line for each input at each VIP: whether this node gets its events."""
    several = len(report.vips) > 1
    without = Status.WARNING if name in report.maintenance else Status.WRONG
    lines = [
        (f"{id} at {vip}" if several else id, name in members)
        for vip, vip_report in report.vips.items()
        for id, members in vip_report.pool.items()
    ]
    lines.sort(key=lambda line: line[1])  # those without first: they are the news
    shown = [
        (f"{'gets' if inside else 'does not get'} {text}", Status.OK if inside else without)
        for text, inside in lines[:_SHOWN]
    ]
    if rest := lines[_SHOWN:]:
        status = Status.OK if all(inside for _, inside in rest) else without
        shown.append((f"and {len(rest)} more", status))
    return tuple(shown)


def picture(report: Report) -> Picture:
    """Where everything is drawn."""
    vips = tuple(
        Box(*column, vip, Status.OK if len(vip_report.holders) == 1 else Status.WRONG)
        for column, (vip, vip_report) in zip(
            _columns(len(report.vips), _VIP_HEIGHT, _VIP_TOP), report.vips.items(), strict=True
        )
    )
    texts = {}
    for name in report.nodes:
        texts[name] = (*_roles(report, name), *_pools(report, name))
    height = _LINE * (max(map(len, texts.values())) + 2)
    nodes = tuple(
        Box(*column, name, _worst(report, name), texts[name])
        for column, name in zip(_columns(len(report.nodes), height, _NODE_TOP), report.nodes, strict=True)
    )
    lines = tuple(
        (vip, node)
        for vip, vip_report in zip(vips, report.vips.values(), strict=True)
        for node in nodes
        if node.title in vip_report.holders
    )
    return Picture(_NODE_TOP + height + _MARGIN, vips, nodes, lines)


def page(report: Report, delivery: Delivery | None, when: datetime) -> str:
    """The page's text. Whatever comes from outside is escaped."""
    problems = grouped([*report.problems, *(delivery.problems if delivery else ())])

    def name(row: Row) -> str:
        return row_label(report, row)

    text: str = _environment.get_template("page.html.j2").render(
        report=report,
        delivery=delivery,
        good=good(report, delivery),
        problems=problems,
        picture=picture(report),
        width=WIDTH,
        line=_LINE,
        name=name,
        when=when.strftime("%Y-%m-%d %H:%M:%S %Z").strip(),
    )
    return text


def write(text: str, file: Path) -> None:
    """The page's file, in one step. Raises `OSError`."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.replace(file)
