"""systemd's units, and what they have read."""

from __future__ import annotations

import shlex
from typing import TypedDict

from pyinfra.api import FactBase


class ServiceState(TypedDict):
    """`stale`: systemd has not read the unit's files since they changed."""

    enabled: bool
    active: bool
    stale: bool


ABSENT = ServiceState(enabled=False, active=False, stale=False)


def parse_services(output: list[str]) -> dict[str, ServiceState]:
    """`systemctl show`'s blocks of `Key=value` lines, one for each unit, without the suffix `.service`."""
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
    """These units' states; a unit that does not exist is neither enabled nor active."""

    default = dict

    def command(self, units: list[str]) -> str:
        return f"{_show(units)} || true"

    def process(self, output: list[str]) -> dict[str, ServiceState]:
        return parse_services(output)


class UnitState(TypedDict):
    """A unit, its package, its files' SHA-256, and the fingerprint: what it had read when it last came up.

    `good` are the files that it had then.
    """

    service: ServiceState
    fingerprint: list[str]
    package: str
    files: dict[str, str]
    good: list[str]


def parse_units(output: list[str]) -> dict[str, UnitState]:
    """For each unit `== NAME`, then `systemctl show`'s lines, the fingerprint, the package's name, `sha256sum`'s
    lines and the good files, with `--` between."""
    units = {}
    for block in ("\n".join(output) + "\n").split("== ")[1:]:
        name, _, text = block.partition("\n")
        show, fingerprint, package, files, good = text.split("--\n")
        sums = (line.split("  ", 1) for line in files.splitlines())
        services = parse_services(show.splitlines())
        units[name] = UnitState(
            service=next(iter(services.values()), ABSENT),
            fingerprint=fingerprint.splitlines(),
            package=package.strip(),
            files={path: sha256 for sha256, path in sums},
            good=good.splitlines(),
        )
    return units


class UnitStates(FactBase[dict[str, UnitState]]):
    """Units whose package has the same name, by name, and for each the files that it reads. Needs root.

    `fingerprints` is the folder with the fingerprints, `good` the one with the copies of each unit's last good files.
    """

    default = dict

    def command(self, units: dict[str, list[str]], fingerprints: str, good: str) -> str:
        return "; ".join(
            f"echo == {unit}; {_show([unit])}; echo --; cat {fingerprints}/{unit}.sha256 2>/dev/null; echo --; "
            f"LC_ALL=C rpm -q {unit}; echo --; sha256sum {shlex.join(files)} 2>/dev/null; echo --; "
            f"( cd {good}/{unit} 2>/dev/null && find . -type f | sed 's/^.//' || true )"
            for unit, files in units.items()
        )

    def process(self, output: list[str]) -> dict[str, UnitState]:
        return parse_units(output)
