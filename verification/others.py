"""What others have on a node, and what of it fights with the cluster. Pure: it reads nothing."""

from __future__ import annotations

from cluster import Cluster
from desired.conflicts import conflicts
from verification.finding import Observations
from verification.report import Problem, Status

_ROWS = {"next-boot"}
"""The kinds that have rows of their own in the table: `SELinux`, and that of firewalld."""


def others(cluster: Cluster, observations: Observations) -> list[Problem]:
    """What `docs/preflight.md` names, on each node: wrong where the cluster can't work with it, otherwise a warning."""
    problems = []
    for node in cluster.nodes:
        seen = observations[node.name]
        if seen.others is None:
            continue
        for conflict in conflicts(cluster, node, seen.others, without=_ROWS):
            status = Status.WRONG if conflict.certain else Status.WARNING
            problems.append(Problem(status, "others", node.name, conflict.what, conflict.do))
    return problems
