"""systemd's units, and what they have read."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable
from typing import TypedDict

from pyinfra.api import FactBase


class ServiceState(TypedDict):
    """A unit's state; `stale`: systemd has not read the unit's files since they changed."""

    enabled: bool
    active: bool
    stale: bool


def service_state(shown: dict[str, str]) -> ServiceState:
    """The state in a unit's properties; one without properties is neither enabled nor active."""
    return ServiceState(
        enabled=shown.get("UnitFileState") == "enabled",
        active=shown.get("ActiveState") == "active",
        stale=shown.get("NeedDaemonReload") == "yes",
    )


def parse_properties(output: list[str]) -> dict[str, dict[str, str]]:
    """What `systemctl show` prints, a block of `Key=value` lines for each unit; names are without
    `.service`."""
    units = {}
    for block in "\n".join(output).split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in shown:
            units[shown["Id"].removesuffix(".service")] = shown
    return units


def _show(units: Iterable[str], *more: str) -> str:
    properties = ",".join(("Id", "UnitFileState", "ActiveState", "NeedDaemonReload", *more))
    return f"systemctl show -p {properties} {shlex.join(f'{unit}.service' for unit in units)}"


class ServiceStates(FactBase[dict[str, ServiceState]]):
    """
    The states of these units, by name. A unit that does not exist is neither enabled nor active.

    + units: names without the suffix `.service`

    .. code:: python

        {"keepalived": {"enabled": True, "active": True, "stale": False}}
    """

    default = dict

    def command(self, units: list[str]) -> str:
        return f"{_show(units)} || true"

    def process(self, output: list[str]) -> dict[str, ServiceState]:
        return {unit: service_state(shown) for unit, shown in parse_properties(output).items()}


class UnitCondition(TypedDict):
    """What a unit's state does not show: `masked`: it can't be started; `frozen`: one of its processes is stopped by a
    signal, or all are by their control group; `drop_ins`: the files in /etc and /run that change its settings."""

    masked: bool
    frozen: bool
    drop_ins: list[str]


class UnitState(TypedDict):
    """A unit, its package, and the SHA-256 of each of its files.

    `fingerprint` is what it had read when it last came up, and `good` are the paths of the files that it had
    then.
    """

    service: ServiceState
    condition: UnitCondition
    fingerprint: list[str]
    package: str
    files: dict[str, str]
    good: list[str]


def unit_state(unit: str, shown: dict[str, str]) -> UnitState:
    """What a unit's properties alone say of it."""
    drop_ins = [
        path
        for path in shown.get("DropInPaths", "").split()
        if path.startswith(("/etc/", "/run/")) and f"/{unit}.service.d/" in path
    ]
    masked = shown.get("UnitFileState", "").startswith("masked")
    return UnitState(
        service=service_state(shown),
        condition=UnitCondition(masked=masked, frozen=False, drop_ins=drop_ins),
        fingerprint=[],
        package="",
        files={},
        good=[],
    )


def parse_units(output: list[str], units: dict[str, list[str]]) -> dict[str, UnitState]:
    """What a command printed for all of these units, which come with the paths of their files. With `--` between them:
    the lines of `systemctl show`, the frozen units, the lines of `rpm -q` and `sha256sum`, the last good files as
    `UNIT/PATH`, and the fingerprints' lines after `PATH/UNIT.sha256:`."""
    show, frozen, packages, sums, good, fingerprints = _sections(output, 6)
    properties = parse_properties(show)
    named = {_package_name(line): line for line in packages}
    sha256 = {path: sha256 for sha256, path in (line.split("  ", 1) for line in sums)}
    found = {unit: unit_state(unit, properties.get(unit, {})) for unit in units}
    for unit, state in found.items():
        state["condition"]["frozen"] = unit in frozen
        state["package"] = named.get(unit, "")
        state["files"] = {path: sha256[path] for path in units[unit] if path in sha256}
    for line in good:
        unit, slash, path = line.partition("/")
        if unit in found:  # not a copy that is still being made
            found[unit]["good"].append(slash + path)
    for line in fingerprints:
        path, _, read = line.partition(":")
        found[posixpath.basename(path).removesuffix(".sha256")]["fingerprint"].append(read)
    return found


def _sections(output: list[str], count: int) -> list[list[str]]:
    """The parts of the output between lines `--`; the last of them are empty where the command was interrupted."""
    sections: list[list[str]] = [[]]
    for line in output:
        if line == "--" and len(sections) < count:
            sections.append([])
        else:
            sections[-1].append(line)
    return sections + [[] for _ in range(count - len(sections))]


def _package_name(line: str) -> str:
    """The name in a line of `rpm -q`: `NAME-VERSION-RELEASE.ARCH`, or `package NAME is not installed`."""
    words = line.split()
    return words[1] if len(words) > 2 else line.rsplit("-", 2)[0]


def _print_frozen(units: Iterable[str]) -> str:
    """A shell command that prints the names of the frozen units; the shell reads all of it by itself."""
    # Control groups of version 2, and of version 1.
    return (
        f"for unit in {shlex.join(units)}; do "
        "for group in /sys/fs/cgroup /sys/fs/cgroup/systemd; do "
        'group=$group/system.slice/$unit.service; [ -f "$group/cgroup.procs" ] || continue; frozen=; '
        "while read -r process; do { while read -r key state _; do "
        '[ "$key" = State: ] || continue; [ "$state" != T ] || frozen=yes; break; '
        'done </proc/$process/status; } 2>/dev/null; done <"$group/cgroup.procs"; '
        '[ ! -f "$group/cgroup.events" ] || while read -r name value; do '
        '[ "$name $value" != "frozen 1" ] || frozen=yes; done <"$group/cgroup.events"; '
        '[ -z "$frozen" ] || echo $unit; done; done'
    )


class UnitStates(FactBase[dict[str, UnitState]]):
    """
    Units whose package has the unit's name, by name. One that does not exist is neither enabled nor active. Needs root.

    + units: by unit, the paths of the files that it reads
    + fingerprints: the folder that holds the fingerprints
    + good: the folder that holds the copies of each unit's last good files

    .. code:: python

        {
            "keepalived": {
                "service": {"enabled": True, "active": True, "stale": False},
                "condition": {"masked": False, "frozen": False, "drop_ins": []},
                "fingerprint": ["keepalived-2.2.8-6.el9", "9e26…33f4  /etc/keepalived/keepalived.conf"],
                "package": "keepalived-2.2.8-6.el9",
                "files": {"/etc/keepalived/keepalived.conf": "9e26…33f4"},
                "good": ["/etc/keepalived/keepalived.conf"],
            },
        }
    """

    default = dict
    _units: dict[str, list[str]]

    def command(self, units: dict[str, list[str]], fingerprints: str, good: str) -> str:
        self._units = units
        paths = shlex.join(dict.fromkeys(path for files in units.values() for path in files))
        notes = shlex.join(f"{fingerprints}/{unit}.sha256" for unit in units)
        parts = [
            _show(units, "DropInPaths"),
            _print_frozen(units),
            f"LC_ALL=C rpm -q {' '.join(units)}",
            f"sha256sum {paths} </dev/null 2>/dev/null",
            f"find {good} -type f -printf '%P\\n' 2>/dev/null",
            f"grep -sH '' {notes} || true",
        ]
        return "; echo --; ".join(parts)

    def process(self, output: list[str]) -> dict[str, UnitState]:
        return parse_units(output, self._units)
