"""A bounded queue that moves several items at once and can be closed."""

import collections
import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue:
    """What the queues of a pipeline's threads have in common: they can be closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = self._abandoned = False

    def close(self) -> None:
        """Accept no more items."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Let nobody wait any more: what is still put is dropped."""
        with self._changed:
            self._abandoned = self._closed = True
            self._changed.notify_all()


class Buffer(Queue, Generic[T]):
    """A queue between the threads of a pipeline. `put` waits while it is full, `take` while it is empty.

    What is inside a closed one can still be taken.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._items: collections.deque[T] = collections.deque()

    def put(self, items: Sequence[T]) -> None:
        """Add items in order, and wait for room where it is full. An abandoned queue drops them."""
        with self._changed:
            for item in items:
                if not self._has_room():
                    self._changed.notify_all()  # once: two that wait would wake each other for ever
                    self._changed.wait_for(self._has_room)
                self._items.append(item)
            if self._abandoned:
                self._items.clear()
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._items) < self._capacity or self._abandoned

    def take(self, limit: int) -> list[T]:
        """Wait for an item and take up to `limit`. An empty list means that the queue is closed and empty."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._changed.notify_all()
            return taken

    def done(self) -> None:
        """The outputs have had the items that were taken: here nothing is left of them."""

    def abandon(self) -> None:
        """Drop the items inside and all that are still put."""
        with self._changed:
            self._items.clear()
            super().abandon()
