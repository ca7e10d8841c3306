"""A node in maintenance: what an operator asks for, and the file that says so on each director. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cluster import ClusterError
from desired.paths import MAINTENANCE

MOST_HOURS = 24 * 365
"""The longest maintenance that has an end."""
OF_PYINFRA = ("ssh_", "_")
"""How the names begin that `--data` may have in any run: those of pyinfra itself."""


@dataclass(frozen=True)
class Note:
    """Who has a node in maintenance; the times are in seconds of the epoch, `until` None where it has no end of its own."""

    by: str
    since: int
    until: int | None = None
    patch: int | None = None
    """When the run of `patch.py` began that has it; None where an operator has it."""

    def __str__(self) -> str:
        end = f", until {date_of(self.until)}" if self.until else ""
        return f"in maintenance since {date_of(self.since)}, by {self.by or 'an unknown operator'}{end}"


@dataclass(frozen=True)
class Request:
    """What `maintain.py` is to do."""

    back: bool
    """Whether the maintenance is to end."""
    last: bool
    """Whether a node may go whose events no other node takes."""
    until: int | None


def note_file(address: object) -> str:
    """The file that keeps the node with this address out of a director's pools."""
    return f"{MAINTENANCE}/{address}"


def render(note: Note) -> str:
    """The file's line."""
    return json.dumps(asdict(note), sort_keys=True)


def date_of(seconds: int) -> str:
    """Seconds of the epoch as a date in UTC, as the health service writes it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def request(data: Mapping[str, Any], now: datetime) -> Request:
    """What `--data` asks `maintain.py` for. Raises `ClusterError` for what it can't mean.

    + data: by name, what was given
    + now: with the operator's time zone, which a time without one is in
    """
    check_names(data, ("back", "last", "hours", "until"))
    back, last = yes(data, "back"), yes(data, "last")
    if "hours" in data and "until" in data:
        raise ClusterError("hours: until is given, too; leave one of them out")
    for name in ("hours", "until", "last"):
        if back and name in data:
            raise ClusterError(f"{name}: back=yes ends the maintenance; leave {name} out")
    until = None
    if "hours" in data:
        until = int(now.timestamp() + 3600 * number(data, "hours", 1 / 60, MOST_HOURS))
    elif "until" in data:
        until = _time(data["until"], now)
    return Request(back, last, until)


def _time(value: Any, now: datetime) -> int:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise ClusterError(
            f"until: {value} is not a time; write it as {now:%Y-%m-%dT%H:%M}, or give hours=2"
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
    if found <= now:
        raise ClusterError(f"until: {value} is over; give a time in the future, or back=yes")
    if (found - now).total_seconds() > 3600 * MOST_HOURS:
        raise ClusterError(f"until: {value} is more than a year away; leave it out, and end it with back=yes")
    return int(found.timestamp())


def check_names(data: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise `ClusterError` for a name in `--data` that means nothing here."""
    for name in data:
        if name not in known and not name.startswith(OF_PYINFRA):
            raise ClusterError(f"{name}: not known; --data can be {', '.join(known)}")


def yes(data: Mapping[str, Any], name: str) -> bool:
    """The value of a name that is `yes` or `no`; no where it is not given. Raises `ClusterError`."""
    value = data.get(name, "no")
    if value in (True, "yes"):
        return True
    if value in (False, "no"):
        return False
    raise ClusterError(f"{name}: {value} is neither yes nor no; write {name}=yes, or leave it out")


def number(data: Mapping[str, Any], name: str, least: float, most: float) -> float:
    """The value of a name that is a number. Raises `ClusterError`."""
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ClusterError(f"{name}: {value} is not a number from {least:g} to {most:g}; write {name}=2")
    return float(value)
