"""A report as one HTML page that needs nothing else: the cluster's picture, what is wrong, and every check."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from verification.activity import Activity
from verification.report import Delivery, Report, Row, Status, VipReport
from verification.show import good, grouped, row_label

_BOX = 216
"""Width of a box, in the picture's own units."""
_MARGIN, _GAP = 4, 24
_LINE = 20
"""Height of a line of text."""
_SENDERS = 36
"""Height of the box of the senders."""
_VIP_TOP, _VIP_HEIGHT = 84, 58
_FLOW_TOP, _FLOW_HEIGHT, _FLOW_WIDTH = 206, 28, 148
_NODE_TOP = 270
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
class Arrow:
    """The way of events from a box to another one."""

    start: Box
    end: Box
    status: Status
    """`ok` where all that should go this way does, `warning` where only some inputs' events do, and `wrong` where none do. A
    node in maintenance gets none, and that is a warning."""
    used: bool = True
    """Whether anything goes this way."""

    @property
    def path(self) -> str:
        """As SVG draws it: down from the middle of the one box to that of the other one."""
        top, bottom = self.start.y + self.start.height, self.end.y
        half = (top + bottom) / 2
        return (
            f"M{self.start.middle:g} {top:g} C{self.start.middle:g} {half:g} "
            f"{self.end.middle:g} {half:g} {self.end.middle:g} {bottom:g}"
        )


@dataclass(frozen=True)
class Picture:
    """The way of events: from the senders to the VIPs, each on its MASTER, and from there to the nodes."""

    width: float
    height: float
    senders: Box
    vips: tuple[Box, ...]
    flows: tuple[Box, ...]
    """Above each node: how many events it takes."""
    nodes: tuple[Box, ...]
    out: frozenset[str]
    """The nodes that get nothing."""
    arrows: tuple[Arrow, ...]


def _columns(
    count: int, place: tuple[float, float, float], width: float
) -> list[tuple[float, float, float, float]]:
    """Boxes of this top, width and height side by side in the middle of the picture, each in a column of its own."""
    top, box, height = place
    left = (width - count * _BOX - (count - 1) * _GAP) / 2 + (_BOX - box) / 2
    return [(left + column * (_BOX + _GAP), top, box, height) for column in range(count)]


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


def _share(vip_report: VipReport, name: str) -> float:
    """Which share of a VIP's inputs the node gets: from 0 to 1."""
    inside = [name in members for members in vip_report.pool.values()]
    return sum(inside) / len(inside) if vip_report.holders and inside else 0


def _passes(share: float, left: bool) -> Status:
    """How well that is; `left`: an operator has the node in maintenance."""
    if share == 1:
        return Status.OK
    return Status.WARNING if share or left else Status.WRONG


def _flow(activity: Activity, name: str, out: bool) -> str:
    """How many events a node takes, in a few words."""
    rate, share = activity.rates.get(name), activity.share(name)
    if rate is None:
        return "out" if out else "not known"
    amount = f"{rate:.0f}/s" if rate >= 10 or rate == 0 else f"{rate:.1f}/s"
    text = amount if share is None else f"{share:.0%} · {amount}"
    return f"out · {amount}" if out else text


def picture(report: Report, activity: Activity) -> Picture:
    """Where everything is drawn."""
    columns = max(len(report.nodes), len(report.vips))
    width = 2 * _MARGIN + columns * _BOX + (columns - 1) * _GAP
    senders = Box(width / 2 - 70, _MARGIN, 140, _SENDERS, "senders", Status.UNKNOWN)
    vips = tuple(
        Box(*column, vip, Status.OK if len(vip_report.holders) == 1 else Status.WRONG, (_master(vip_report),))
        for column, (vip, vip_report) in zip(
            _columns(len(report.vips), (_VIP_TOP, _BOX, _VIP_HEIGHT), width), report.vips.items(), strict=True
        )
    )
    shares = {
        name: [_share(vip_report, name) for vip_report in report.vips.values()] for name in report.nodes
    }
    passes = {
        name: [_passes(share, name in report.maintenance) for share in found]
        for name, found in shares.items()
    }
    out = frozenset(name for name, found in shares.items() if not any(found))
    flows = tuple(
        Box(
            *column,
            _flow(activity, name, name in out),
            max(passes[name], key=_RANKS.index, default=Status.OK),
        )
        for column, name in zip(
            _columns(len(report.nodes), (_FLOW_TOP, _FLOW_WIDTH, _FLOW_HEIGHT), width),
            report.nodes,
            strict=True,
        )
    )
    texts = {}
    for name in report.nodes:
        texts[name] = (*_roles(report, name), *_pools(report, name))
    height = _LINE * (max(map(len, texts.values())) + 2)
    nodes = tuple(
        Box(*column, name, _worst(report, name), texts[name])
        for column, name in zip(
            _columns(len(report.nodes), (_NODE_TOP, _BOX, height), width), report.nodes, strict=True
        )
    )
    arrows = [
        *(Arrow(senders, vip, vip.status) for vip in vips),
        *(
            Arrow(vip, flow, passes[node.title][place], shares[node.title][place] > 0)
            for place, vip in enumerate(vips)
            for flow, node in zip(flows, nodes, strict=True)
        ),
        *(
            Arrow(flow, node, flow.status, node.title not in out)
            for flow, node in zip(flows, nodes, strict=True)
        ),
    ]
    arrows.sort(key=lambda arrow: arrow.used)  # what goes on is drawn over what does not
    return Picture(width, _NODE_TOP + height + _MARGIN, senders, vips, flows, nodes, out, tuple(arrows))


def _master(vip_report: VipReport) -> tuple[str, Status]:
    """A line on who holds a VIP."""
    if not vip_report.holders:
        return "no MASTER", Status.WRONG
    status = Status.OK if len(vip_report.holders) == 1 else Status.WRONG
    return f"MASTER: {', '.join(vip_report.holders)}", status


def page(report: Report, delivery: Delivery | None, activity: Activity, when: datetime) -> str:
    """The page's text. Whatever comes from outside is escaped."""
    problems = grouped([*report.problems, *(delivery.problems if delivery else ())])

    def name(row: Row) -> str:
        return row_label(report, row)

    text: str = _environment.get_template("page.html.j2").render(
        report=report,
        delivery=delivery,
        good=good(report, delivery),
        problems=problems,
        picture=picture(report, activity),
        activity=activity,
        moment=lambda seconds: datetime.fromtimestamp(seconds, when.tzinfo).strftime("%m-%d %H:%M:%S"),
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
