"""systemd's units, and what they have read."""

from __future__ import annotations

import shlex
from typing import TypedDict

from pyinfra.api import FactBase

MARKERS = "/var/lib/logstash-ha"
"""Where a deploy notes, for each unit, what it had read when it last came up."""


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


class Services(FactBase[dict[str, ServiceState]]):
    """These units' states; a unit that does not exist is neither enabled nor active."""

    default = dict

    def command(self, units: list[str]) -> str:
        return f"{_show(units)} || true"

    def process(self, output: list[str]) -> dict[str, ServiceState]:
        return parse_services(output)


class UnitState(TypedDict):
    """A unit, its package, its files' SHA-256, and the marker: what it had read when it last came up."""

    service: ServiceState
    marker: list[str]
    package: str
    files: dict[str, str]


def parse_unit(output: list[str]) -> UnitState:
    """`systemctl show`'s lines, the marker's, the package's name and `sha256sum`'s lines, with `--` between."""
    show, marker, package, files = ("\n".join(output) + "\n").split("--\n")
    sums = (line.split("  ", 1) for line in files.splitlines())
    services = parse_services(show.splitlines())
    return UnitState(
        service=next(iter(services.values()), ABSENT),
        marker=marker.splitlines(),
        package=package.strip(),
        files={path: sha256 for sha256, path in sums},
    )


class Unit(FactBase[UnitState]):
    """A unit whose package has the same name, and these files that it reads."""

    @staticmethod
    def default() -> UnitState:
        return UnitState(service=ABSENT, marker=[], package="", files={})

    def command(self, unit: str, files: list[str]) -> str:
        return (
            f"{_show([unit])}; echo --; cat {MARKERS}/{unit}.sha256 2>/dev/null; echo --; "
            f"LC_ALL=C rpm -q {unit}; echo --; sha256sum {shlex.join(files)} 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> UnitState:
        return parse_unit(output)
