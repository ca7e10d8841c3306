"""A persisted queue: events are in a file until an output has taken them, so that they survive a `kill -9`."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .buffer import Queue
from .errors import ConfigurationError
from .event import Event

CHECKPOINT_EVENTS = 1024
"""Events written, or done, after which the file is put on the disk at the latest (queue.checkpoint.writes and .acks)."""
HEADER = 4
"""Bytes before each event, with its length."""


class PersistedQueue(Queue):
    """What `Buffer` is, in a folder. The stand-in has one file where the real one has pages.

    As with the real one, an event that a batch has taken is done when its outputs have had it. What is done is written
    down when all is, and every 1024 events: after a crash, events since then come once more. `put` writes an event also
    where the queue is full, and waits afterwards.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        super().__init__()
        self._folder, self._max_bytes = folder, max_bytes
        self._file = -1
        self._end = self._read = self._done = 0
        """Where the next event is written and read, and what is done, in bytes of the file."""
        self._unread = self._unsaved = self._taken = self._kept = 0
        """Numbers of events: not read, since the last checkpoint, in the batch at work, not done."""

    @property
    def events(self) -> int:
        """Those that are not done. None come again of what was done when it says so."""
        with self._changed:
            return self._kept

    @property
    def size(self) -> int:
        """The bytes of the events that are not done."""
        return self._end - self._done

    def open(self) -> None:
        """Find what an earlier process has left. Raises `ConfigurationError` where the disk has too little room."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._folder / "page.0", os.O_RDWR | os.O_CREAT, 0o644)
        checkpoint = self._folder / "checkpoint.head"
        self._done = self._read = self._end = int(checkpoint.read_text()) if checkpoint.exists() else 0
        while event := self._event_at(self._end):
            self._end += len(event) + HEADER
            self._unread += 1
        self._kept = self._unread
        os.ftruncate(self._file, self._end)
        missing = self._max_bytes - self.size
        if self._max_bytes and shutil.disk_usage(self._folder).free < missing:
            os.close(self._file)
            raise ConfigurationError(
                f"Unable to allocate {missing} more bytes for persisted queue on top of its current usage of {self.size} bytes"
            )

    def put(self, items: Sequence[Event]) -> None:
        """Add events in order, and wait while there is no room for more. An abandoned queue drops them."""
        with self._changed:
            for item in items:
                if self._abandoned:
                    return
                text = json.dumps([item.fields, item.metadata], ensure_ascii=False).encode()
                data = len(text).to_bytes(HEADER, "big") + text
                os.pwrite(self._file, data, self._end)
                self._end += len(data)
                self._unread += 1
                self._kept += 1
                self._count(1)
                self._changed.notify_all()
                while (
                    self._max_bytes and self.size > self._max_bytes and not (self._abandoned or self._closed)
                ):
                    self._changed.wait()

    def take(self, limit: int) -> list[Event]:
        """Wait for an event and take up to `limit`. An empty list means that it is closed; what is inside stays there."""
        with self._changed:
            while not self._unread and not self._closed:
                self._changed.wait()
            taken: list[Event] = []
            while self._unread and len(taken) < limit and not self._closed:
                data = self._event_at(self._read)
                fields, metadata = json.loads(data)
                event = Event(fields)
                event.metadata = metadata
                taken.append(event)
                self._read += len(data) + HEADER
                self._unread -= 1
            self._taken = len(taken)
            if not taken:
                self._save()
                os.close(self._file)
            return taken

    def done(self) -> None:
        """The outputs have had the events that were taken."""
        with self._changed:
            self._done = self._read
            self._kept -= self._taken
            self._count(self._taken)
            if not self._kept:
                if self._end > self._max_bytes // 2:  # the real one removes a page
                    os.ftruncate(self._file, 0)
                    self._end = self._read = self._done = 0
                self._save()
            self._changed.notify_all()

    def _event_at(self, position: int) -> bytes:
        """The event there; empty where there is none, or only a part of one."""
        length = int.from_bytes(os.pread(self._file, HEADER, position), "big")
        data = os.pread(self._file, length, position + HEADER)
        return data if len(data) == length else b""

    def _count(self, events: int) -> None:
        self._unsaved += events
        if self._unsaved >= CHECKPOINT_EVENTS:
            self._save()

    def _save(self) -> None:
        """A checkpoint: the events are on the disk, and what is done of them is written down."""
        self._unsaved = 0
        os.fsync(self._file)
        new = self._folder / "checkpoint.new"
        new.write_text(f"{self._done}\n")
        new.replace(self._folder / "checkpoint.head")
