"""Events: fields by reference, `%{…}` in texts, and timestamps."""

import functools
import json
import re
import time
from dataclasses import dataclass
from typing import Any

_REFERENCE = re.compile(r"\[([^\[\],]+)\]")
_FORMAT = re.compile(r"%\{([^}]+)\}")
# The letters of Joda's patterns that a file name needs: %{+YYYY.MM.dd.HH}.
_DATE = {"YYYY": "%Y", "yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_DATE_PART = re.compile("|".join(_DATE))


def timestamp(nanoseconds: int, *, precise: bool) -> str:
    """A time since the epoch in ISO 8601, UTC: with nanoseconds as from 8.0, else with milliseconds."""
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
    """What flows through a pipeline. `@metadata` is kept apart: outputs don't write it."""

    __slots__ = ("cancelled", "fields", "metadata")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.metadata: dict[str, Any] = {}
        self.cancelled = False
        """Set by a filter: no later filter and no output gets it."""

    def get(self, reference: str) -> Any:
        """The value a field reference points at, `None` if there is none."""
        path = _path(reference)
        found: Any = {"@metadata": self.metadata} if path[0] == "@metadata" else self.fields
        for key in path:
            if not isinstance(found, dict) or key not in found:
                return None
            found = found[key]
        return found

    def set(self, reference: str, value: Any) -> None:
        """Set a field, and the objects on the way to it."""
        *way, last = _path(reference)
        place: Any = self.fields
        if way and way[0] == "@metadata":
            place, way = self.metadata, way[1:]
        for key in way:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[last] = value

    def remove(self, reference: str) -> None:
        """Remove a field if it is there."""
        *way, last = _path(reference)
        place = self.get("".join(f"[{key}]" for key in way)) if way else self.fields
        if isinstance(place, dict):
            place.pop(last, None)

    def add(self, reference: str, value: Any) -> None:
        """Set a field, or append to what is there, as `add_field` does."""
        value = self.format(value) if isinstance(value, str) else value
        present = self.get(reference)
        if present is None:
            self.set(reference, value)
        else:
            self.set(reference, [*(present if isinstance(present, list) else [present]), value])

    def tag(self, name: str) -> None:
        """Add a tag once."""
        tags = self.fields.setdefault("tags", [])
        if name not in tags:
            tags.append(name)

    def format(self, text: str) -> str:
        """Replace `%{field}`, `%{[a][b]}` and `%{+YYYY.MM.dd}`; what is not there stays as it is written."""
        return _FORMAT.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("+"):
            moment = time.strptime(self.fields["@timestamp"][:19], "%Y-%m-%dT%H:%M:%S")
            return _DATE_PART.sub(lambda part: time.strftime(_DATE[part[0]], moment), name[1:])
        value = self.get(name)
        if value is None:
            return match[0]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Maker:
    """Makes events in the shape of a version: with `[event][original]` under ECS, nanoseconds from 8.0."""

    ecs: bool
    precise: bool

    def from_message(self, message: str) -> Event:
        """The event of a line or datagram of plain text."""
        event = self._blank({"message": message})
        return self._with_original(event, message)

    def from_fields(self, fields: dict[str, Any], original: str) -> Event:
        """The event of a JSON object; `original` is the text it came from."""
        return self._with_original(self._blank(fields), original)

    def _blank(self, fields: dict[str, Any]) -> Event:
        given = {"@timestamp": timestamp(time.time_ns(), precise=self.precise), "@version": "1"}
        return Event(given | fields)

    def _with_original(self, event: Event, original: str) -> Event:
        if self.ecs and event.get("[event][original]") is None:
            event.set("[event][original]", original)
        return event
