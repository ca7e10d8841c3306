"""Which nodes an operator has in maintenance. Pure: it reads nothing."""

from __future__ import annotations

from cluster import Cluster
from desired.maintenance import Note
from verification.finding import Observations, words
from verification.report import Problem, Status

END = "`pyinfra INVENTORY maintain.py --limit {node} --data back=yes`"


def notes(cluster: Cluster, observations: Observations) -> dict[str, Note]:
    """The nodes in maintenance, by name. What a node itself says counts; of one that was not seen, what others say."""
    found = {}
    for node in cluster.nodes:
        own = observations[node.name].maintenance
        seen = [own] if own is not None else [other.maintenance or {} for other in observations.values()]
        states = [state for each in seen if (state := each.get(str(node.address)))]
        if states:
            found[node.name] = Note(**states[0])
    return found


def problems(cluster: Cluster, observations: Observations) -> list[Problem]:
    """Each node in maintenance, and where one was left behind that has ended: a director was not reached then."""
    found = notes(cluster, observations)
    problems = []
    for node in cluster.nodes:
        end = END.format(node=node.name)
        if note := found.get(node.name):
            what = f"is {note}: it gets no events and holds no VIP"
            problems.append(
                Problem(Status.WARNING, "maintenance", node.name, what, f"{end} ends it", "maintenance")
            )
            continue
        stale = [name for name, seen in observations.items() if str(node.address) in (seen.maintenance or {})]
        if stale:
            what = f"is no longer in maintenance, but {words(stale)} would take it so while {node.name} is silent"
            problems.append(Problem(Status.WARNING, "maintenance", node.name, what, f"{end} again"))
    return problems
