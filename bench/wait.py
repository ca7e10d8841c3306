"""How the benchmarks wait: for a condition, and never without a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL = 0.01
"""Seconds between two evaluations of the condition."""


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition is true. Raises SystemExit that names `what` was waited for when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:g} s: {what}")
        time.sleep(INTERVAL)
