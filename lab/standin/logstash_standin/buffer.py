"""A bounded queue that moves many items at once, and can be closed."""

import collections
import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """Between the threads of a pipeline: a full one blocks who puts, an empty one blocks who takes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: collections.deque[T] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._abandoned = False

    def put(self, items: Sequence[T]) -> None:
        """Add items in order, waiting for room. Once abandoned, drops them."""
        with self._changed:
            for item in items:
                while len(self._items) >= self._capacity and not self._abandoned:
                    self._changed.notify_all()
                    self._changed.wait()
                self._items.append(item)
            if self._abandoned:
                self._items.clear()
            self._changed.notify_all()

    def take(self, most: int) -> list[T]:
        """At most so many items, waiting for the first. None at all: it is closed and empty."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Nothing more will be put; what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Drop what is inside and what still comes: nobody takes any more."""
        with self._changed:
            self._abandoned = self._closed = True
            self._items.clear()
            self._changed.notify_all()
