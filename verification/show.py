"""A report as a table for a person, and as JSON for a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from verification.report import Cell, Delivery, Problem, Report, Row, Status

DOCUMENT_VERSION = 2
"""The version of the JSON documents; a change that could break a reader raises it."""

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.WRONG: "bold red", Status.UNKNOWN: "magenta"}
_LABELS = {"selinux": "SELinux", "vip": "VIP", "ipvs": "IPVS", "tls": "TLS", "api-tls": "TLS API"}


def document(report: Report, delivery: Delivery | None) -> dict[str, Any]:
    """The JSON document on a cluster:

    - `version`: 2; `error`: null; `ok`: the verdict
    - `nodes`: all names
    - `maintenance`: by name of a node in maintenance, `by`, and `since`, `until` and `patch` in seconds of the epoch: `until` is
      null where an operator has to end it, and `patch` where no run of `patch.py` has it
    - `vips`: by address, `holders` (names of the nodes that hold it) and `pool`: by input id, names of the
      nodes that events are spread over
    - `checks`: a list of `check` (`ssh`; a service: one of `desired.units.unit_names`; `sysctl`, `selinux`, `tls`,
      `api-tls`, `firewall`, `health`, `ipvs`, `vip`), `input` (an id or null), `vip` (an address or null), and `nodes`: by
      name, `status` (`ok`, `warning`, `wrong`, `unknown`) and `text`
    - `problems`: a list of `status`, `check` (one of those, `maintenance`, `send` or `inventory`), `node` (a name, or null for
      the cluster), `what` and `do`, in words, and `reason`: a word of the health script's `REASONS`, or null
    - `send`: null without `--send`, else `run`, `sender` and `inputs`: a list of `input`, `vips`, `counted`
      (`events` or `api`), `sent`, `refused`, `received` by node name, `lost` and `duplicated` (null with `api`)

    An input of both protocols has two ids, `ID-udp` and `ID-tcp`.
    """
    problems = [*report.problems, *(delivery.problems if delivery else ())]
    sent = asdict(delivery) if delivery else None
    if sent:
        del sent["problems"]
    return {
        "version": DOCUMENT_VERSION,
        "error": None,
        "ok": good(report, delivery),
        "nodes": list(report.nodes),
        "maintenance": {name: asdict(note) for name, note in report.maintenance.items()},
        "vips": {vip: asdict(vip_report) for vip, vip_report in report.vips.items()},
        "checks": [
            {
                "check": row.check,
                "input": row.input,
                "vip": row.vip,
                "nodes": {name: asdict(cell) for name, cell in row.cells.items()},
            }
            for row in report.rows
        ],
        "problems": [asdict(problem) for problem in problems],
        "send": sent,
    }


def documents(
    found: Mapping[str, tuple[Report, Delivery | None]], unseen: Mapping[str, str]
) -> dict[str, Any]:
    """The JSON document on several clusters: `version`, `error` (null), `ok` of all of them, and `clusters`: by name, the document on
    each. `unseen`: why others could not be looked at, by name."""
    each = {name: document(*seen) for name, seen in found.items()}
    each |= {name: failure(error) for name, error in unseen.items()}
    ok = all(one["ok"] for one in each.values())
    return {"version": DOCUMENT_VERSION, "error": None, "ok": ok, "clusters": each}


def failure(error: str) -> dict[str, Any]:
    """The JSON document when nothing could be looked at: `version`, `error` in one line, `ok` false."""
    return {"version": DOCUMENT_VERSION, "error": error, "ok": False}


def good(report: Report, delivery: Delivery | None) -> bool:
    """The verdict on what was seen, and on what arrived where events were sent."""
    return report.ok and (delivery is None or delivery.ok)


def show(console: Console, report: Report, delivery: Delivery | None) -> None:
    """Print for a person: the verdict, a table of the checks, what arrived, and what is wrong."""
    for part in parts(report, delivery):
        console.print(part)


def show_all(
    console: Console, found: Mapping[str, tuple[Report, Delivery | None]], unseen: Mapping[str, str]
) -> None:
    """Print this of each cluster, with its name before it where there are several. `unseen`: why others could not be looked at, by
    name."""
    for name, seen in found.items():
        if len(found) + len(unseen) > 1:
            console.print(Text(name, "bold"))
        show(console, *seen)
    for name, error in unseen.items():
        console.print(Text(name, "bold"))
        console.print(Text(f"! {error}", _STYLES[Status.WRONG]))


def parts(report: Report, delivery: Delivery | None) -> Iterator[RenderableType]:
    """What is shown, one below the other."""
    problems = grouped([*report.problems, *(delivery.problems if delivery else ())])
    yield _headline(report, good(report, delivery), len(problems))
    if report.left_out:
        yield Text(f"not looked at, as this run is for other nodes: {', '.join(report.left_out)}", "yellow")
    yield _checks(report)
    if delivery:
        yield _delivery(report, delivery)
        if any(result.counted == "api" for result in delivery.inputs):
            note = "* counted by Logstash's API, where other senders' events count too"
            yield Text(note, no_wrap=True, overflow="ignore")
    for problem, nodes in problems:
        yield _problem(problem, nodes)


def grouped(problems: list[Problem]) -> list[tuple[Problem, list[str]]]:
    """Each problem once, with all the nodes that have it."""
    nodes: dict[tuple[str, str], list[str]] = {}
    firsts = []
    for problem in problems:
        if (problem.what, problem.do) not in nodes:
            firsts.append(problem)
        nodes.setdefault((problem.what, problem.do), []).append(problem.node or "cluster")
    return [(problem, nodes[problem.what, problem.do]) for problem in firsts]


def _headline(report: Report, ok: bool, problems: int) -> RenderableType:
    verdict = Text("ALL GOOD", "bold green") if ok else Text("WRONG", "bold red")
    if problems:
        verdict.append(f", {problems} thing{'s' if problems > 1 else ''} to {'look at' if ok else 'fix'}")
    nobody = "no node that was looked at" if report.left_out else "no node"
    holders = ", ".join(
        f"{vip} on {' and '.join(vip_report.holders) or nobody}" for vip, vip_report in report.vips.items()
    )
    line = Table.grid(padding=(0, 3))
    line.add_row(verdict, f"VIP {holders}", f"pool: {_pool(report)}")
    return line


def _pool(report: Report) -> str:
    pools = {
        (id, vip): ", ".join(nodes) or ("empty" if vip_report.holders or not report.left_out else "not seen")
        for vip, vip_report in report.vips.items()
        for id, nodes in vip_report.pool.items()
    }
    if len(set(pools.values())) == 1:
        return next(iter(pools.values()))
    names = {key: _label(report, *key) for key in pools}
    return "; ".join(f"{names[key]} {nodes}" for key, nodes in pools.items())


def _label(report: Report, input: str | None, vip: str | None) -> str:
    """The input and the VIP, as far as they are needed to distinguish rows."""
    return " ".join([*([input] if input else []), *([vip] if vip and len(report.vips) > 1 else [])])


def row_label(report: Report, row: Row) -> str:
    """A row's name in the table."""
    return f"{_LABELS.get(row.check, row.check)} {_label(report, row.input, row.vip)}".strip()


def _checks(report: Report) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    table.add_column("", overflow="fold")
    for name in report.nodes:
        table.add_column(name, overflow="fold")
    for row in report.rows:
        table.add_row(row_label(report, row), *(_cell(row.cells.get(name)) for name in report.nodes))
    return table


def _cell(cell: Cell | None) -> Text:
    """Its status is seen without colour, too. A node that was left out has no cell."""
    if cell is None:
        return Text("left out", "dim")
    prefix = "! " if cell.status in (Status.WRONG, Status.WARNING) else ""
    return Text(f"{prefix}{cell.text}", _STYLES[cell.status])


def _delivery(report: Report, delivery: Delivery) -> RenderableType:
    table = Table(
        title=f"events sent by {delivery.sender}, as they arrived",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
    )
    table.add_column("", overflow="fold")
    for name in ("sent", *report.nodes, "lost", "twice"):
        table.add_column(name, justify="right", overflow="fold")
    for result in delivery.inputs:
        faults = [
            Text("-") if count is None else Text(str(count), "bold red" if count else "green")
            for count in (result.lost, result.duplicated)
        ]
        received = [str(result.received[name]) for name in report.nodes]
        vip = result.vips[0] if result.counted == "events" else None
        name = _label(report, result.input, vip) + ("*" if result.counted == "api" else "")
        table.add_row(name, str(result.sent), *received, *faults)
    return table


def _problem(problem: Problem, nodes: list[str]) -> RenderableType:
    text = Table.grid(padding=(0, 1))
    text.add_row(Text("!", _STYLES[problem.status]), Text(f"{', '.join(nodes)}: {problem.what}"))
    text.add_row("", Text(f"-> {problem.do}", "dim"))
    return text
