"""How the tests wait: for a condition, and never without a bound."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

SHORTEST, LONGEST = 0.02, 1.0
"""Seconds between two evaluations of the condition: twice what one takes, within these bounds. What is waited for gets most of the
machine's time."""

PATIENCE = 4
"""How many times as long a process waits that gets what the others leave."""

T = TypeVar("T")


def until(
    condition: Callable[[], T], seconds: float = 30, what: str | Callable[[], object] = "the condition"
) -> T:
    """Wait until a condition returns something true, and return that.

    When the time is over, the test fails with `what` was waited for. It can be a function, which is called only then. A process
    that gives way to others (nice(2)) waits longer.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) > 0:
        seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        start = time.monotonic()
        if result := condition():
            return result
        now = time.monotonic()
        assert now < deadline, f"not within {seconds:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(min(max(SHORTEST, 2 * (now - start)), LONGEST))
