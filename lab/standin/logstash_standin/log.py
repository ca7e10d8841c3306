"""The log, in the pattern of the real `log4j2.properties`, on standard output and in `logstash-plain.log`."""

import datetime
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from .ruby import Symbol, inspect

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


class Log:
    """Where lines go. Safe to use from many threads."""

    def __init__(self) -> None:
        self.level = "info"
        self._streams: list[TextIO] = [sys.stdout]
        self._lock = threading.Lock()

    def open(self, folder: Path) -> None:
        """Write to `logstash-plain.log` in that folder too. Raises `OSError`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._streams.append((folder / "logstash-plain.log").open("a", encoding="utf-8"))

    def write(self, level: str, name: str, context: tuple[str, ...], message: str) -> None:
        """Write one line, unless it is below the log's level."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        time = datetime.datetime.now().isoformat(timespec="milliseconds").replace(".", ",")
        place = "".join(f"[{part}]" for part in context)
        line = f"[{time}][{level.upper():5}][{name:25}]{place} {message}\n"
        with self._lock:
            for stream in self._streams:
                try:
                    stream.write(line)
                    stream.flush()
                except OSError:  # a closed journal or a full disk is no reason to stop
                    continue

    def logger(self, name: str, *context: str) -> "Logger":
        """A logger of that name, in the context of a pipeline's id and a plugin's id."""
        return Logger(self, name, context)


class Logger:
    """Writes under one name. Keyword arguments become a line's fields: `{:port=>9600}`."""

    def __init__(self, log: Log, name: str, context: tuple[str, ...]) -> None:
        self._log, self._name, self._context = log, name, context

    def debug(self, message: str, /, **fields: Any) -> None:
        self._write("debug", message, fields)

    def info(self, message: str, /, **fields: Any) -> None:
        self._write("info", message, fields)

    def warn(self, message: str, /, **fields: Any) -> None:
        self._write("warn", message, fields)

    def error(self, message: str, /, **fields: Any) -> None:
        self._write("error", message, fields)

    def fatal(self, message: str, /, **fields: Any) -> None:
        self._write("fatal", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, Any]) -> None:
        if fields:
            message = f"{message} {inspect({_key(name): value for name, value in fields.items()})}"
        self._log.write(level, self._name, self._context, message)


def _key(name: str) -> str:
    # Logstash's dotted names are strings, the others symbols: {"pipeline.id"=>"main", :port=>9600}.
    return name if "." in name else Symbol(name)
