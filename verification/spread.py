"""Whether events are spread over the nodes as their scheduler does it (ipvsadm(8), --scheduler). Pure."""

from __future__ import annotations

import math
from collections import Counter

from verification.events import Target, label
from verification.report import Problem, Report, Status

TURNS = ("rr", "wrr")
"""Schedulers with which the nodes take turns."""
STICKY = ("sh", "mh")
"""Schedulers with which a sender's events all go to one node."""


REDUCED = ("queue_full", "slow_start")
"""The reasons for which a node gets less than its weight."""


def bounds(weights: dict[str, int], units: int) -> dict[str, tuple[int, int]]:
    """The fewest and the most of `units` consecutive units that each node gets when the nodes take turns.

    In a cycle each node gets its weight, divided by what all weights have in common. The units may begin
    anywhere in a cycle; what is left over after whole cycles may go to any node.
    """
    common = math.gcd(*weights.values())
    if not common:
        return {}
    shares = {name: weight // common for name, weight in weights.items()}
    cycles, rest = divmod(units, sum(shares.values()))
    return {name: (cycles * share, cycles * share + min(rest, share)) for name, share in shares.items()}


def judge_spread(report: Report, target: Target, numbers: dict[str, Counter[int]]) -> list[Problem]:
    """How the events that arrived, by node, differ from what the scheduler does with the pool it has."""
    server = target.server
    scheduler = server.input.scheduler
    pool = report.vips[str(server.vip)].pool[server.name]
    shares = ", ".join(f"{name} {numbers[name].total()}" for name in pool)
    if scheduler in STICKY:
        if sum(1 for found in numbers.values() if found) > 1:
            what = f"{label([target])}: one sender's events came to several nodes ({shares})"
            do = f"{scheduler} parts them only when the pool changes: verify again"
            return [Problem(Status.WRONG, "send", None, what, do)]
        return []
    reduced = {problem.node for problem in report.problems if problem.reason in REDUCED}
    if scheduler not in TURNS or reduced.intersection(pool):
        return []
    # What IPVS picks a node for: an event, or with connections all that a socket sends.
    units = {
        name: len({number % target.flows for number in found}) if target.flows > 1 else found.total()
        for name, found in numbers.items()
    }
    weights = {real.node.name: real.weight for real in server.real_servers if real.node.name in pool}
    expected = bounds(weights, sum(units.values()))
    if none := [name for name, (low, _) in expected.items() if low and not units[name]]:
        what = f"{label([target])}: got none of the events, though it is in the pool"
        return [Problem(Status.WRONG, "send", name, what, "verify again") for name in none]
    if any(not low <= units[name] <= high for name, (low, high) in expected.items()):
        what = f"{label([target])}: spread unevenly: {shares}"
        do = "nothing, where other devices send too: their events take turns with these"
        return [Problem(Status.WARNING, "send", None, what, do)]
    return []
