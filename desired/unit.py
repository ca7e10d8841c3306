"""A systemd unit that a node needs, and whether it runs with the files that it should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from desired.textfile import TextFile, read_by
from facts.services import UnitState


@dataclass(frozen=True)
class Unit:
    """A service, and how to find out whether it works."""

    name: str
    """systemd's name without `.service`, which is also the package's."""
    probe: str
    """A shell command that succeeds once the service does its work."""
    verb: str = "restart"
    """systemctl's verb that makes it read its files: `restart` or `reload-or-restart`."""
    reloadable: str = "true"
    """A shell command that succeeds unless the service runs and must not be reloaded yet."""
    bound: int = 30
    """Seconds within which `probe` must succeed."""
    log: str = "/dev/null"
    """The service's own log file."""
    stop_first: bool = False
    """Whether it must stop before its files change, because it needs the old ones to undo what it did."""
    idle: str = ""
    """A shell command that succeeds while no event waits for the service. A service that has one takes
    events, so the node is drained first."""
    then: str = ""
    """A shell command to run once the service is up with its new files; "" for none."""
    managed: bool = True
    """Whether the deploy starts it; the others must be running already."""


def reads(unit: str, files: Sequence[TextFile]) -> list[str]:
    """The SHA-256 and the path of each file that a unit reads, as sha256sum(1) writes them."""
    return [f"{file.sha256}  {file.path}" for file in read_by(files, unit)]


def fingerprint(unit: str, files: Sequence[TextFile], package: str) -> list[str]:
    """What a unit has read when it comes up: its package, then its files as `reads` writes them."""
    return [package, *reads(unit, files)]


def needs_restart(unit: str, files: Sequence[TextFile], present: UnitState) -> bool:
    """Whether the unit must be started, or made to read its files."""
    desired = {file.path: file.sha256 for file in read_by(files, unit)}
    service = present["service"]
    return not (
        service["active"]
        and service["enabled"]
        and not service["stale"]
        and all(present["files"].get(path) == sha256 for path, sha256 in desired.items())
        and present["fingerprint"] == fingerprint(unit, files, present["package"])
    )
