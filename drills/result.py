"""What a drill has cost, from the numbers of the events that were sent and those that arrived. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """What became of the events of a drill; times in ms, by the rate that they were sent at."""

    sent: int
    received: dict[str, int]
    """By node."""
    lost: int
    duplicated: int
    """Copies too many."""
    reordered: int
    """Events that a node wrote after a later one."""
    gap: float
    """The longest time of which every event is lost."""
    span: float
    """From the first event that is lost to the last one."""
    last: float
    """When the last event that is lost was sent, after the first one of all."""


def count(sent: int, rate: float, arrived: dict[str, list[int]]) -> Loss:
    """Events 1 to `sent` of one target, sent at `rate` a second; `arrived` are their numbers by node, in its order."""
    copies = [number for numbers in arrived.values() for number in numbers]
    lost = sorted(set(range(1, sent + 1)).difference(copies))
    longest = run = 0
    before = None
    for number in lost:
        run = run + 1 if before == number - 1 else 1
        longest, before = max(longest, run), number
    reordered = 0
    for numbers in arrived.values():
        latest = 0
        for number in numbers:
            reordered += number < latest
            latest = max(latest, number)
    return Loss(
        sent=sent,
        received={name: len(numbers) for name, numbers in arrived.items()},
        lost=len(lost),
        duplicated=len(copies) - len(set(copies)),
        reordered=reordered,
        gap=longest * 1000 / rate,
        span=(lost[-1] - lost[0] + 1) * 1000 / rate if lost else 0,
        last=(lost[-1] - 1) * 1000 / rate if lost else 0,
    )
