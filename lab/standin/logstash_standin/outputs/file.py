"""The file output: it appends events to files, whose names may depend on the event."""

import collections
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ConfigurationError
from ..event import Event
from ..options import Option, extend
from ..plugin import Context
from .base import Output

BUFFER = 8192
"""Bytes that JRuby keeps of a file until they are flushed (OpenFile.IO_WBUF_CAPA_MIN)."""


class File(Output):
    """A file that was moved or removed is created again. One that cannot be opened ends the pipeline.

    Who kills the process loses what has not been flushed: up to `flush_interval` seconds, and at most `BUFFER`.
    """

    NAME = "file"
    OPTIONS = extend(
        Output.OPTIONS,
        codec=Option("codec", "json_lines"),
        path=Option("string", required=True),
        flush_interval=Option("number", 2),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self._path = Path(options["path"]).absolute()
        if "%{" in self._path.parts[1]:
            self.log.error("File: The starting part of the path should not be dynamic.", path=str(self._path))
            raise ConfigurationError("The starting part of the path should not be dynamic.")
        self._files: dict[str, BinaryIO] = {}
        self._lock = threading.Lock()
        self._unflushed = threading.Event()
        self._closing = threading.Event()
        self._flusher = threading.Thread(target=self._flush_at_intervals, daemon=True)

    def receive(self, events: list[Event]) -> None:
        by_path: dict[str, list[str]] = collections.defaultdict(list)
        for event, text in zip(events, self.codec.encode(events), strict=True):
            by_path[event.format(str(self._path))].append(text)
        with self._lock:
            for path, texts in by_path.items():
                file = self._open(path)
                # One by one: a large batch at once would pass by the buffer.
                file.writelines(text.encode() for text in texts)
                if self.options["flush_interval"] <= 0:
                    file.flush()
        self._unflushed.set()

    def close(self) -> None:
        self._closing.set()
        self._unflushed.set()
        with self._lock:
            for file in self._files.values():
                try:
                    file.close()
                except OSError as error:  # for example, a full disk
                    self.log.error("Exception while flushing and closing files.", exception=error)
            self._files.clear()

    def _open(self, path: str) -> BinaryIO:
        if path in self._files and os.path.exists(path):
            return self._files[path]
        if path in self._files:
            self._files.pop(path).close()
        self.log.info("Opening file", path=path)
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            self.log.info("Creating directory", directory=folder)
            os.makedirs(folder)
        self._files[path] = file = open(path, "ab", BUFFER)  # noqa: SIM115
        if not self._flusher.is_alive() and self.options["flush_interval"] > 0:
            self._flusher.start()
        return file

    def _flush_at_intervals(self) -> None:
        # It sleeps while there is nothing to flush, so that an idle pipeline uses no CPU.
        while self._unflushed.wait() and not self._closing.wait(self.options["flush_interval"]):
            self._unflushed.clear()
            with self._lock:
                try:
                    for file in self._files.values():
                        file.flush()
                except OSError as error:  # for example, a full disk, on which the next write fails
                    self.log.error("Exception flushing files", exception=error)
