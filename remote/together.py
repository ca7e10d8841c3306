"""The same for several nodes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import gevent

Item = TypeVar("Item")
Result = TypeVar("Result")


def for_each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What a function returns for each item, in their order; it is called for all at once. Raises the first error of any
    once all have ended, so that none goes on behind it."""
    greenlets = [gevent.spawn(function, item) for item in items]
    gevent.joinall(greenlets)
    return [greenlet.get() for greenlet in greenlets]
