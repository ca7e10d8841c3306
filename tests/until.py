"""How the tests wait: for a condition, and never without a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

INTERVAL = 0.02
"""Seconds between two evaluations of the condition."""

T = TypeVar("T")


def until(
    condition: Callable[[], T], seconds: float = 30, what: str | Callable[[], object] = "the condition"
) -> T:
    """Wait until a condition returns something true, and return that.

    When the time is over, the test fails with `what` was waited for. It can be a function, which is called only then.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, (
            f"not within {seconds:g} s: {what if isinstance(what, str) else what()}"
        )
        time.sleep(INTERVAL)
    return result
