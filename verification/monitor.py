"""A report for those who watch over many machines: a plug-in's answer for Nagios and Icinga, metrics for Prometheus.

Both number a status as plug-ins do: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
(https://www.monitoring-plugins.org/doc/guidelines.html).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from verification.report import Delivery, Problem, Report, Status

if TYPE_CHECKING:  # only where metrics are asked for: this module is part of each start
    from prometheus_client import CollectorRegistry, Gauge

NUMBERS = {Status.OK: 0, Status.WARNING: 1, Status.WRONG: 2, Status.UNKNOWN: 3}
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_SERVICE = "LOGSTASH-HA"


def worst(report: Report, delivery: Delivery | None) -> Status:
    """What is wrong counts more than what could not be seen, and that more than a warning."""
    found = {problem.status for problem in _problems(report, delivery)}
    found |= {cell.status for row in report.rows for cell in row.cells.values()}
    order = (Status.WRONG, Status.UNKNOWN, Status.WARNING)
    return next((status for status in order if status in found), Status.OK)


def plugin(report: Report, delivery: Delivery | None) -> tuple[int, str]:
    """Exit status and output of a plug-in: a line with the state, one for each problem, and figures after a `|`."""
    number = NUMBERS[worst(report, delivery)]
    problems = _problems(report, delivery)
    first = [
        f"VIP {vip} on {' and '.join(vip_report.holders) or 'no node'}, "
        + ", ".join(
            f"{len(nodes)} of {len(report.nodes)} take {input}" for input, nodes in vip_report.pool.items()
        )
        for vip, vip_report in report.vips.items()
    ]
    if problems:
        first.insert(0, f"{len(problems)} thing{'s' if len(problems) > 1 else ''} to look at")
    lines = [
        f"{_SERVICE} {_WORDS[number]} - {'; '.join(first)}",
        *(f"{problem.node or 'cluster'}: {problem.what} -> {problem.do}" for problem in problems),
    ]
    # A bar would begin the figures.
    lines = [line.replace("|", "/") for line in lines]
    figures = [f"problems={len(problems)};;;0"]
    for vip, vip_report in report.vips.items():
        figures += [
            f"'{vip} {input}'={len(nodes)};;;0;{len(report.nodes)}"
            for input, nodes in vip_report.pool.items()
        ]
    for result in delivery.inputs if delivery else ():
        figures.append(f"'{' '.join(result.vips)} {result.input} lost'={result.lost};;;0;{result.sent}")
    lines[0] += f" | {' '.join(figures)}"
    return number, "\n".join(lines)


def plugin_failure(error: str) -> tuple[int, str]:
    """The same when nothing could be looked at."""
    return NUMBERS[Status.UNKNOWN], f"{_SERVICE} UNKNOWN - {error.replace('|', '/')}"


def metrics(report: Report, delivery: Delivery | None) -> CollectorRegistry:
    """The metrics on a cluster, all gauges:

    - `logstash_ha_looked`: 1, or 0 when nothing could be looked at; all others are missing then
    - `logstash_ha_status`: of the whole, by number
    - `logstash_ha_problems{status}`: how many there are
    - `logstash_ha_check{check, input, vip, node}`: a check's status on a node, by number
    - `logstash_ha_maintenance{node}`: 1 where the node is in maintenance, else 0
    - `logstash_ha_holder{vip, node}`: 1 where the node holds the VIP, else 0
    - `logstash_ha_pool{vip, input, node}`: 1 where the VIP's holder spreads events over the node, else 0
    - `logstash_ha_sent{vip, input}`, `logstash_ha_lost{…}`, `logstash_ha_duplicated{…}`: events of `--send`
    """
    registry = _looked(1)
    gauge = _Gauges(registry)
    gauge("status", "Of the whole: 0 ok, 1 warning, 2 wrong, 3 unknown", {}, NUMBERS[worst(report, delivery)])
    counts = Counter(problem.status for problem in _problems(report, delivery))
    for status in (Status.WARNING, Status.WRONG, Status.UNKNOWN):
        gauge("problems", "Things to look at", {"status": status}, counts[status])
    for row in report.rows:
        for node, cell in row.cells.items():
            labels = {"check": row.check, "input": row.input or "", "vip": row.vip or "", "node": node}
            gauge("check", "A check's status on a node", labels, NUMBERS[cell.status])
    for node in report.nodes:
        gauge("maintenance", "Whether the node is in maintenance", {"node": node}, node in report.maintenance)
    for vip, vip_report in report.vips.items():
        for node in report.nodes:
            gauge(
                "holder",
                "Whether the node holds the VIP",
                {"vip": vip, "node": node},
                node in vip_report.holders,
            )
            for input, nodes in vip_report.pool.items():
                labels = {"vip": vip, "input": input, "node": node}
                gauge("pool", "Whether the VIP's holder sends the node events", labels, node in nodes)
    for result in delivery.inputs if delivery else ():
        labels = {"vip": " ".join(result.vips), "input": result.input}
        for name, count in (
            ("sent", result.sent),
            ("lost", result.lost),
            ("duplicated", result.duplicated),
        ):
            if count is not None:
                gauge(name, f"Events of a test that were {name}", labels, count)
    return registry


def metrics_failure() -> CollectorRegistry:
    """The same when nothing could be looked at."""
    return _looked(0)


def write(registry: CollectorRegistry, file: Path) -> None:
    """For node_exporter's textfile collector, in one step. Raises OSError."""
    from prometheus_client import write_to_textfile

    write_to_textfile(str(file), registry)


def _problems(report: Report, delivery: Delivery | None) -> list[Problem]:
    return [*report.problems, *(delivery.problems if delivery else ())]


def _looked(value: int) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()
    Gauge("logstash_ha_looked", "Whether the cluster could be looked at", registry=registry).set(value)
    return registry


class _Gauges:
    """Each gauge is made with its first value."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._gauges: dict[str, Gauge] = {}

    def __call__(self, name: str, what: str, labels: dict[str, str], value: float) -> None:
        from prometheus_client import Gauge

        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = Gauge(f"logstash_ha_{name}", what, list(labels), registry=self._registry)
            self._gauges[name] = gauge
        (gauge.labels(**labels) if labels else gauge).set(value)
