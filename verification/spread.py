"""Whether events are spread over the nodes as their scheduler means (ipvsadm(8), --scheduler). Pure."""

from __future__ import annotations

import math

TURNS = ("rr", "wrr")
STICKY = ("sh", "mh")


def bounds(weights: dict[str, int], units: int) -> dict[str, tuple[int, int]]:
    """The fewest and the most of so many units in a row that each node gets when they take turns.

    In a cycle each node gets its weight, divided by what all weights have in common. A row begins anywhere
    in a cycle; what is left over a number of whole cycles may go to anyone.
    """
    common = math.gcd(*weights.values())
    if not common:
        return {}
    shares = {name: weight // common for name, weight in weights.items()}
    cycles, rest = divmod(units, sum(shares.values()))
    return {name: (cycles * share, cycles * share + min(rest, share)) for name, share in shares.items()}
