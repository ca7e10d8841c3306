"""The verdict on a cluster, from what was seen on its nodes. Pure: it reads nothing itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from cluster import Cluster
from verification import certificates, health, ipvs, machines, maintenance, others, vip
from verification.finding import Observations
from verification.observe import Observation
from verification.report import Cell, Problem, Report, Status, VipReport

Found = TypeVar("Found", Cell, Problem)


def judge(cluster: Cluster, observations: Observations) -> Report:
    """The report on what was seen on each of the cluster's nodes, by name."""
    vips = {str(address): _vip_report(cluster, observations, str(address)) for address in cluster.vips}
    judged = [
        machines.ssh(cluster, observations),
        *machines.services(cluster, observations),
        machines.kernel(cluster, observations),
        machines.selinux(cluster, observations),
        machines.firewall(cluster, observations),
        *certificates.certificates(cluster, observations),
        *(health.health(cluster, observations, input) for input in cluster.input_ids),
        *(ipvs.ipvs(cluster, observations, server) for server in cluster.virtual_servers),
        *(vip.vip(cluster, observations, instance) for instance in cluster.vrrp_instances),
    ]
    report = Report(
        nodes=tuple(node.name for node in cluster.nodes),
        vips=vips,
        rows=tuple(row for row, _ in judged),
        problems=(
            *(
                Problem(Status.WARNING, "inventory", None, *_what_and_remedy(line))
                for line in cluster.warnings
            ),
            *(problem for _, problems in judged for problem in problems),
            *maintenance.problems(cluster, observations),
            *health.drained(cluster, observations),
            *health.slow(cluster, observations),
            *health.slow_start(cluster, observations),
            *health.probe_refused(cluster, observations),
            *health.no_script(observations),
            *vip.parted(cluster, vips),
            *ipvs.unmanaged(cluster, observations),
            *others.others(cluster, observations),
            *ipvs.nobody_takes(cluster, vips),
        ),
        left_out=tuple(name for name, seen in observations.items() if seen.left_out),
        maintenance=maintenance.notes(cluster, observations),
    )
    return _excused(report) if report.left_out or report.maintenance else report


def _excused(report: Report) -> Report:
    """The report without the problems of the nodes that were left out, and with warnings for those in maintenance.

    Where nothing else is wrong, a cell that is wrong follows from one of them, and is a warning, too.
    """
    problems = tuple(
        _at_most_a_warning(problem) if problem.node in report.maintenance else problem
        for problem in report.problems
        if problem.node not in report.left_out
    )
    report = replace(report, problems=problems)
    all_of_them = all(problem.status is Status.WARNING for problem in problems)
    rows = tuple(
        replace(
            row,
            cells={
                name: _at_most_a_warning(cell) if all_of_them or name in report.maintenance else cell
                for name, cell in row.cells.items()
            },
        )
        for row in report.rows
    )
    return replace(report, rows=rows)


def _at_most_a_warning(found: Found) -> Found:
    return found if found.status is Status.OK else replace(found, status=Status.WARNING)


def _what_and_remedy(warning: str) -> tuple[str, str]:
    """What the model warns of, and its remedy."""
    what, _, remedy = warning.rpartition("; ")
    return what, remedy


def _vip_report(cluster: Cluster, observations: Observations, address: str) -> VipReport:
    holders = vip.holding(observations, address)
    director = observations[holders[0]] if len(holders) == 1 else Observation()
    servers = [server for server in cluster.virtual_servers if str(server.vip) == address]
    return VipReport(holders, {server.name: ipvs.pool(server, director) for server in servers})
