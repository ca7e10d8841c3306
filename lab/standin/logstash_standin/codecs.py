"""Codecs: they decode bytes into events, and encode events as text."""

import csv
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from . import stubs
from .errors import PluginLoadingError
from .event import Event, EventFactory
from .log import Logger
from .metrics import CodecMetrics, Timed
from .options import Option, extend, read_options
from .ruby import inspect


class Codec:
    """The codec of an input or output. An input takes a `copy` for each connection to keep lines apart."""

    NAME: ClassVar[str]
    IMPLEMENTED: ClassVar[bool] = True
    OPTIONS: ClassVar[Mapping[str, Option]] = {"id": Option("string"), "charset": Option("string", "UTF-8")}

    def __init__(
        self, options: Mapping[str, Any], event_factory: EventFactory, metrics: CodecMetrics | None = None
    ) -> None:
        self._options, self._event_factory = options, event_factory
        self.metrics = metrics or CodecMetrics(self.NAME, options["id"] or f"{self.NAME}_{uuid.uuid4()}")

    @property
    def auto_flush(self) -> float | None:
        """Seconds without further bytes after which an input flushes it; None where it never does."""
        return None

    def copy(self) -> "Codec":
        """The same codec with an empty buffer. Both share their counters."""
        return type(self)(self._options, self._event_factory, self.metrics)

    def decode(self, data: bytes) -> list[Event]:
        """Take in bytes and return the events that they complete."""
        with Timed(self.metrics.decode_time):
            events = self._decode(data)
        self.metrics.decode_in.add(1)
        self.metrics.decode_out.add(len(events))
        return events

    def flush(self) -> list[Event]:
        """The events of the remaining bytes, at the end of a datagram or stream."""
        return []

    def encode(self, events: list[Event]) -> list[str]:
        """The text that an output writes for each event."""
        with Timed(self.metrics.encode_time):
            texts = [self._encode(event) for event in events]
        self.metrics.encode_in.add(len(events))
        return texts

    def _decode(self, data: bytes) -> list[Event]:
        raise NotImplementedError

    def _encode(self, event: Event) -> str:
        raise NotImplementedError

    def _text(self, data: bytes) -> str:
        """Bytes in the option `charset`."""
        return data.decode(self._options["charset"], errors="backslashreplace")

    def _formatted(self, event: Event) -> str:
        """An event in the option `format`, which only `plain` and `line` have."""
        return event.format(self._options["format"] or "%{@timestamp} %{host} %{message}")


class Plain(Codec):
    NAME = "plain"
    OPTIONS = extend(Codec.OPTIONS, format=Option("string"))

    def _decode(self, data: bytes) -> list[Event]:
        return [self._event_factory.from_message(self._text(data))]

    def _encode(self, event: Event) -> str:
        return self._formatted(event)


class _Lines(Codec):
    """A codec that decodes line by line."""

    def __init__(
        self, options: Mapping[str, Any], event_factory: EventFactory, metrics: CodecMetrics | None = None
    ) -> None:
        super().__init__(options, event_factory, metrics)
        self._delimiter = options["delimiter"].encode()
        self._rest = b""

    def _decode(self, data: bytes) -> list[Event]:
        *lines, self._rest = (self._rest + data).split(self._delimiter)
        return [event for line in lines for event in self._line(self._text(line))]

    def flush(self) -> list[Event]:
        rest, self._rest = self._rest, b""
        if not rest:
            return []
        events = self._line(self._text(rest))
        self.metrics.decode_out.add(len(events))
        return events

    def _line(self, line: str) -> list[Event]:
        raise NotImplementedError


class Line(_Lines):
    NAME = "line"
    OPTIONS = extend(Plain.OPTIONS, delimiter=Option("string", "\n"))

    def _line(self, line: str) -> list[Event]:
        return [self._event_factory.from_message(line.removesuffix("\r"))]

    def _encode(self, event: Event) -> str:
        return self._formatted(event) + str(self._options["delimiter"])


class Json(Codec):
    NAME = "json"

    def _decode(self, data: bytes) -> list[Event]:
        return _from_json(self._text(data), self._event_factory)

    def _encode(self, event: Event) -> str:
        return event.to_json()


class JsonLines(_Lines):
    NAME = "json_lines"
    OPTIONS = extend(Codec.OPTIONS, delimiter=Option("string", "\n"))

    def _line(self, line: str) -> list[Event]:
        return _from_json(line, self._event_factory) if line.strip() else []

    def _encode(self, event: Event) -> str:
        return event.to_json() + str(self._options["delimiter"])


class Multiline(_Lines):
    """Joins the lines of which `pattern` says that they belong together (a regular expression; grok's names are not known)."""

    NAME = "multiline"
    OPTIONS = extend(
        Codec.OPTIONS,
        pattern=Option("string", required=True),
        what=Option("string", required=True),
        negate=Option("boolean", False),
        auto_flush_interval=Option("number"),
        max_lines=Option("number", 500),
        delimiter=Option("string", "\n"),
    )

    def __init__(
        self, options: Mapping[str, Any], event_factory: EventFactory, metrics: CodecMetrics | None = None
    ) -> None:
        super().__init__(options, event_factory, metrics)
        self._pattern = re.compile(options["pattern"])
        self._lines: list[str] = []

    @property
    def auto_flush(self) -> float | None:
        interval: float | None = self._options["auto_flush_interval"]
        return interval

    def flush(self) -> list[Event]:
        return [*super().flush(), *self._joined()]

    def _line(self, line: str) -> list[Event]:
        line = line.removesuffix("\r")
        belongs = bool(self._pattern.search(line)) != self._options["negate"]
        if self._options["what"] == "next":
            self._lines.append(line)
            return [] if belongs else self._joined()
        events = [] if belongs else self._joined()
        self._lines.append(line)
        return events

    def _joined(self) -> list[Event]:
        lines, self._lines = self._lines, []
        if not lines:
            return []
        event = self._event_factory.from_message("\n".join(lines))
        if len(lines) > 1:
            event.tag("multiline")
        return [event]


class Csv(Codec):
    """A line of fields with names; without `columns` they are called column1, column2 and so on."""

    NAME = "csv"
    OPTIONS = extend(
        Codec.OPTIONS,
        columns=Option("array", []),
        separator=Option("string", ","),
        quote_char=Option("string", '"'),
    )

    def _decode(self, data: bytes) -> list[Event]:
        text = self._text(data)
        separator, quote = self._options["separator"], self._options["quote_char"]
        events = []
        for row in csv.reader(text.splitlines(), delimiter=separator, quotechar=quote):
            unnamed = (f"column{number}" for number in range(len(self._options["columns"]) + 1, len(row) + 1))
            names = [*self._options["columns"], *unnamed][: len(row)]
            events.append(self._event_factory.from_fields(dict(zip(names, row, strict=True)), text))
        return events


class RubyDebug(Codec):
    NAME = "rubydebug"

    def _encode(self, event: Event) -> str:
        lines = (f"    {name:>12} => {inspect(value)}" for name, value in event.fields.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"


_CODECS: Mapping[str, type[Codec]] = {
    **{codec.NAME: codec for codec in (Plain, Line, Json, JsonLines, Multiline, Csv, RubyDebug)},
    **stubs.make_stubs(Plain, Plain.OPTIONS, stubs.CODECS),
}


def make_codec(value: Any, event_factory: EventFactory, logger: Callable[[str], Logger]) -> Codec:
    """Create the codec of a `codec` option: a name, or `[name, [option, …]]`.

    Raises `PluginLoadingError` for an unknown name, `ConfigurationError` for wrong options.
    """
    name, given = (value, []) if isinstance(value, str) else value
    codec = _CODECS.get(name)
    if codec is None:
        raise missing_plugin("codec", name)
    log = logger(f"logstash.codecs.{name}")
    if not codec.IMPLEMENTED:
        log.warn("The stand-in does not implement this codec: it acts as plain")
    options = read_options("codec", name, codec.OPTIONS, given, log, allow_unknown=not codec.IMPLEMENTED)
    return codec(options, event_factory)


def missing_plugin(kind: str, name: str) -> PluginLoadingError:
    """The real error for a plugin that does not exist."""
    return PluginLoadingError(
        f"Couldn't find any {kind} plugin named '{name}'. Are you sure this is correct? Trying to load the"
        f" {name} {kind} plugin resulted in this error: Unable to load the requested plugin named {name} of"
        f" type {kind}. The plugin is not installed."
    )


def _from_json(text: str, event_factory: EventFactory) -> list[Event]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    objects = content if isinstance(content, list) else [content]
    if not all(isinstance(item, dict) for item in objects):
        event = event_factory.from_message(text)
        event.tag("_jsonparsefailure")
        return [event]
    return [event_factory.from_fields(item, text) for item in objects]
