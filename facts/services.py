"""systemd's units, and what they have read."""

from __future__ import annotations

import shlex
from typing import TypedDict

from pyinfra.api import FactBase


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


def parse_units(output: list[str]) -> dict[str, UnitState]:
    """For each unit a line `== NAME`, then with `--` between them the lines of `systemctl show`, the
    fingerprint, the package's name, the lines of `sha256sum`, and the last good files."""
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

    def command(self, units: dict[str, list[str]], fingerprints: str, good: str) -> str:
        return "; ".join(
            f"echo == {unit}; {_show([unit])}; echo --; cat {fingerprints}/{unit}.sha256 2>/dev/null; echo --; "
            f"LC_ALL=C rpm -q {unit}; echo --; sha256sum {shlex.join(files)} 2>/dev/null; echo --; "
            f"( cd {good}/{unit} 2>/dev/null && find . -type f | sed 's/^.//' || true )"
            for unit, files in units.items()
        )

    def process(self, output: list[str]) -> dict[str, UnitState]:
        return parse_units(output)
