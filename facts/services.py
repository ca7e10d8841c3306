"""systemd's units, and what they have read."""

from __future__ import annotations

import shlex
from typing import TypedDict

from pyinfra.api import FactBase

from facts.builtins import print_lines


class ServiceState(TypedDict):
    """A unit's state; `stale`: systemd has not read the unit's files since they changed."""

    enabled: bool
    active: bool
    stale: bool


ABSENT = ServiceState(enabled=False, active=False, stale=False)


def parse_services(output: list[str]) -> dict[str, ServiceState]:
    """What `systemctl show` prints, a block of `Key=value` lines for each unit; names are without
    `.service`."""
    services: dict[str, ServiceState] = {}
    for block in "\n".join(output).split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in shown:
            services[shown["Id"].removesuffix(".service")] = ServiceState(
                enabled=shown.get("UnitFileState") == "enabled",
                active=shown.get("ActiveState") == "active",
                stale=shown.get("NeedDaemonReload") == "yes",
            )
    return services


def _show(units: list[str]) -> str:
    names = shlex.join(f"{unit}.service" for unit in units)
    return f"systemctl show -p Id,UnitFileState,ActiveState,NeedDaemonReload {names}"


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
        return parse_services(output)


class UnitState(TypedDict):
    """A unit, its package, and the SHA-256 of each of its files.

    `fingerprint` is what it had read when it last came up, and `good` are the paths of the files that it had
    then.
    """

    service: ServiceState
    fingerprint: list[str]
    package: str
    files: dict[str, str]
    good: list[str]


def parse_units(output: list[str], units: dict[str, list[str]]) -> dict[str, UnitState]:
    """What a command printed for all of these units, which come with the paths of their files. With `--` between them:
    the lines of `systemctl show`, `rpm -q` and `sha256sum`, the last good files as `UNIT/PATH`, and the fingerprints,
    each after a line `== UNIT`."""
    show, packages, sums, good, fingerprints = _sections(output, 5)
    services = parse_services(show)
    named = {_package_name(line): line for line in packages}
    sha256 = {path: sha256 for sha256, path in (line.split("  ", 1) for line in sums)}
    found = {
        unit: UnitState(
            service=services.get(unit, ABSENT),
            fingerprint=[],
            package=named.get(unit, ""),
            files={path: sha256[path] for path in files if path in sha256},
            good=[],
        )
        for unit, files in units.items()
    }
    for line in good:
        unit, slash, path = line.partition("/")
        if unit in found:  # not a copy that is still being made
            found[unit]["good"].append(slash + path)
    unit = ""
    for line in fingerprints:
        if line.startswith("== "):
            unit = line.removeprefix("== ")
        else:
            found[unit]["fingerprint"].append(line)
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


class UnitStates(FactBase[dict[str, UnitState]]):
    """
    Units whose package has the unit's name, by name. Needs root.

    + units: by unit, the paths of the files that it reads
    + fingerprints: the folder that holds the fingerprints
    + good: the folder that holds the copies of each unit's last good files

    .. code:: python

        {
            "keepalived": {
                "service": {"enabled": True, "active": True, "stale": False},
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
        parts = [
            _show(list(units)),
            f"LC_ALL=C rpm -q {' '.join(units)}",
            f"sha256sum {paths} </dev/null 2>/dev/null",
            f"find {good} -type f -printf '%P\\n' 2>/dev/null",
            "; ".join(f"echo == {unit}; {print_lines(f'{fingerprints}/{unit}.sha256')}" for unit in units),
        ]
        return "; echo --; ".join(parts)

    def process(self, output: list[str]) -> dict[str, UnitState]:
        return parse_units(output, self._units)


class UnitCondition(TypedDict):
    """What a unit's state does not show: `masked`: it can't be started; `frozen`: one of its processes is stopped by a
    signal, or all are by their control group; `drop_ins`: the files in /etc and /run that change its settings."""

    masked: bool
    frozen: bool
    drop_ins: list[str]


def parse_conditions(output: list[str]) -> dict[str, UnitCondition]:
    """The lines of `systemctl show`, then lines `frozen UNIT`."""
    conditions: dict[str, UnitCondition] = {}
    for block in "\n".join(line for line in output if not line.startswith("frozen ")).split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in shown:
            unit = shown["Id"].removesuffix(".service")
            drop_ins = [
                path
                for path in shown.get("DropInPaths", "").split()
                if path.startswith(("/etc/", "/run/")) and f"/{unit}.service.d/" in path
            ]
            masked = shown.get("UnitFileState", "").startswith("masked")
            conditions[unit] = UnitCondition(masked=masked, frozen=False, drop_ins=drop_ins)
    for line in output:
        unit = line.removeprefix("frozen ")
        if unit != line and unit in conditions:
            conditions[unit]["frozen"] = True
    return conditions


class UnitConditions(FactBase[dict[str, UnitCondition]]):
    """
    Whether these units are masked or frozen, and whose files change their settings, by name. Needs root.

    + units: names without the suffix `.service`

    .. code:: python

        {"keepalived": {"masked": False, "frozen": False, "drop_ins": []}}
    """

    default = dict

    def command(self, units: list[str]) -> str:
        names = shlex.join(f"{unit}.service" for unit in units)
        # Control groups of version 2, and of version 1. The shell reads all of it by itself. In /proc/PID/stat the
        # state follows the name, which may contain anything (proc(5)).
        return (
            f"systemctl show -p Id,UnitFileState,DropInPaths {names}; echo; "
            f"for unit in {shlex.join(units)}; do "
            "for group in /sys/fs/cgroup /sys/fs/cgroup/systemd; do "
            'group=$group/system.slice/$unit.service; [ -f "$group/cgroup.procs" ] || continue; frozen=; '
            "while read -r process; do { read -r state </proc/$process/stat; } 2>/dev/null || continue; "
            'case ${state##*)} in " T "*) frozen=yes ;; esac; done <"$group/cgroup.procs"; '
            '[ ! -f "$group/cgroup.events" ] || while read -r name value; do '
            '[ "$name $value" != "frozen 1" ] || frozen=yes; done <"$group/cgroup.events"; '
            '[ -z "$frozen" ] || echo frozen $unit; done; done || true'
        )

    def process(self, output: list[str]) -> dict[str, UnitCondition]:
        return parse_conditions(output)
