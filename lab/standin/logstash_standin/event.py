"""Events: their fields by reference, placeholders `%{…}` in texts, and timestamps."""

import functools
import json
import re
import time
from dataclasses import dataclass
from typing import Any

_REFERENCE = re.compile(r"\[([^\[\],]+)\]")
_FORMAT = re.compile(r"%\{([^}]+)\}")
# The parts of Joda's time patterns that file names need, as in %{+YYYY.MM.dd.HH}.
_DATE = {"YYYY": "%Y", "yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_DATE_PART = re.compile("|".join(_DATE))


def timestamp(nanoseconds: int, *, precise: bool) -> str:
    """A time since the epoch in ISO 8601, UTC: with nanoseconds, as from 8.0 on, or with milliseconds."""
    seconds, rest = divmod(nanoseconds, 10**9)
    digits = f"{rest:09}" if precise else f"{rest // 10**6:03}"
    return f"{_to_the_second(seconds)}.{digits}Z"


@functools.lru_cache(maxsize=8)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@functools.lru_cache(maxsize=1024)
def _path(reference: str) -> tuple[str, ...]:
    """`[a][b]` as ("a", "b"); `a` as ("a",)."""
    return tuple(_REFERENCE.findall(reference)) or (reference,)


class Event:
    """An event. `@metadata` is kept apart from the other fields, since outputs do not write it."""

    __slots__ = ("cancelled", "fields", "metadata")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.metadata: dict[str, Any] = {}
        self.cancelled = False
        """Whether a filter has dropped it: no later filter and no output receives it."""

    def get(self, reference: str) -> Any:
        """The value that a field reference points to, `None` if there is none."""
        path = _path(reference)
        value: Any = {"@metadata": self.metadata} if path[0] == "@metadata" else self.fields
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return value

    def set(self, reference: str, value: Any) -> None:
        """Set a field, and create the objects that contain it."""
        *parents, last = _path(reference)
        container: Any = self.fields
        if parents and parents[0] == "@metadata":
            container, parents = self.metadata, parents[1:]
        for key in parents:
            if not isinstance(container.get(key), dict):
                container[key] = {}
            container = container[key]
        container[last] = value

    def remove(self, reference: str) -> None:
        """Remove a field if it exists."""
        *parents, last = _path(reference)
        container = self.get("".join(f"[{key}]" for key in parents)) if parents else self.fields
        if isinstance(container, dict):
            container.pop(last, None)

    def add(self, reference: str, value: Any) -> None:
        """Set a field, or append to its value, as `add_field` does."""
        value = self.format(value) if isinstance(value, str) else value
        old = self.get(reference)
        if old is None:
            self.set(reference, value)
        else:
            self.set(reference, [*(old if isinstance(old, list) else [old]), value])

    def tag(self, name: str) -> None:
        """Add a tag, unless the event has it."""
        tags = self.fields.setdefault("tags", [])
        if name not in tags:
            tags.append(name)

    def format(self, text: str) -> str:
        """Replace `%{field}`, `%{[a][b]}` and `%{+YYYY.MM.dd}`. Missing fields are left as written."""
        return _FORMAT.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("+"):
            created = time.strptime(self.fields["@timestamp"][:19], "%Y-%m-%dT%H:%M:%S")
            return _DATE_PART.sub(lambda part: time.strftime(_DATE[part[0]], created), name[1:])
        value = self.get(name)
        if value is None:
            return match[0]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def to_json(self) -> str:
        """The fields as JSON, without a newline."""
        return json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class EventFactory:
    """Creates events in a version's shape: with `[event][original]` for ECS, and nanoseconds from 8.0 on."""

    ecs: bool
    precise: bool

    def from_message(self, message: str) -> Event:
        """The event of a line or datagram of plain text."""
        return self._with_original(self.new_event({"message": message}), message)

    def from_fields(self, fields: dict[str, Any], original: str) -> Event:
        """The event of a JSON object; `original` is its text."""
        return self._with_original(self.new_event(fields), original)

    def new_event(self, fields: dict[str, Any]) -> Event:
        """The event of fields that no text has been parsed into."""
        defaults = {"@timestamp": timestamp(time.time_ns(), precise=self.precise), "@version": "1"}
        return Event(defaults | fields)

    def _with_original(self, event: Event, original: str) -> Event:
        if self.ecs and event.get("[event][original]") is None:
            event.set("[event][original]", original)
        return event
