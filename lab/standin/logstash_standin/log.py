"""The log, in the format of the real `log4j2.properties`, on standard output and in `logstash-plain.log`."""

import datetime
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from .ruby import Symbol, inspect

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


class Log:
    """The log's level and streams. It may be used by several threads."""

    def __init__(self) -> None:
        self.level = "info"
        self._streams: list[TextIO] = [sys.stdout]
        self._lock = threading.Lock()

    def open(self, folder: Path) -> None:
        """Write to `logstash-plain.log` in a folder, too. Raises `OSError`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._streams.append((folder / "logstash-plain.log").open("a", encoding="utf-8"))

    def write(self, level: str, name: str, context: tuple[str, ...], message: str) -> None:
        """Write one line, unless it is below the log's level."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        time = datetime.datetime.now().isoformat(timespec="milliseconds").replace(".", ",")
        ids = "".join(f"[{id}]" for id in context)
        line = f"[{time}][{level.upper():5}][{name:25}]{ids} {message}\n"
        with self._lock:
            for stream in self._streams:
                try:
                    stream.write(line)
                    stream.flush()
                except OSError:  # neither a closed journal nor a full disk may stop the process
                    continue

    def logger(self, name: str, *context: str) -> "Logger":
        """A logger with this name. The context is a pipeline's id and a plugin's id, where there are any."""
        return Logger(self, name, context)


class Logger:
    """Writes lines under one name. Keyword arguments become a line's fields, such as `{:port=>9600}`."""

    def __init__(self, log: Log, name: str, context: tuple[str, ...]) -> None:
        self._log, self._name, self._context = log, name, context

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
    # Names with a dot are strings in Logstash, others are symbols: {"pipeline.id"=>"main", :port=>9600}.
    return name if "." in name else Symbol(name)
