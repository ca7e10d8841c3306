"""What `patch.py` does: what an operator asks for, and the shell commands for it. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster import Cluster, ClusterError
from cluster.inventory import SINGLE
from desired import keepalived, logstash
from desired.maintenance import check_names, number
from desired.packages import manager
from desired.paths import fingerprint
from desired.unit import Unit

HELD = (logstash.UNIT, keepalived.UNIT)
"""The packages that stay as they are unless they are named: the inventory's `version` and the deploy decide on them."""
REBOOT = ("needed", "always", "never")
SOAK = 10.0
"""Minutes for which a canary is watched, where none are given."""
MOST_SOAK = 24 * 60.0
BOOT_BOUND = 120
"""Seconds that services may take beyond their own bounds after a boot."""


@dataclass(frozen=True)
class Request:
    """What `patch.py` is to do."""

    packages: tuple[str, ...] = ()
    """Those to upgrade; none: all."""
    hold: tuple[str, ...] = HELD
    reboot: str = "needed"
    canary: str | None = None
    """The node that is patched first, and watched before the others follow."""
    soak: float = SOAK
    """Minutes for which it is watched."""


def request(data: Mapping[str, Any], cluster: Cluster, name: str = SINGLE) -> Request:
    """What `--data` asks `patch.py` for, in the cluster of this name. Raises `ClusterError` for what it can't mean."""
    check_names(data, ("packages", "hold", "reboot", "canary", "soak"))
    packages = _names(data, "packages", "all")
    hold = _names(data, "hold", "none") if "hold" in data else tuple(set(HELD) - set(packages))
    if both := sorted(set(packages) & set(hold)):
        raise ClusterError(f"hold: {both[0]} is among packages, too; leave it out of one of them")
    if cluster.version and logstash.UNIT not in hold and (logstash.UNIT in packages or not packages):
        raise ClusterError(
            f"hold: inventory.py has version {cluster.version} of Logstash; change it there and deploy, or hold logstash"
        )
    reboot = data.get("reboot", "needed")
    if reboot not in REBOOT:
        raise ClusterError(f"reboot: {reboot} is not one of {', '.join(REBOOT)}; write reboot=needed")
    canary = data.get("canary")
    names = [node.name for node in cluster.nodes]
    if canary is not None and canary not in names:
        of, limit = (
            ("", "") if name == SINGLE else (f" of {name}", ", or leave that cluster out with --limit")
        )
        raise ClusterError(f"canary: {canary} is not a node{of}; name one of {', '.join(names)}{limit}")
    if "soak" in data and canary is None:
        raise ClusterError(f"soak: there is no canary to watch; add canary={names[0]}, or leave soak out")
    soak = number(data, "soak", 0, MOST_SOAK) if "soak" in data else SOAK
    return Request(packages, tuple(sorted(hold)), str(reboot), canary, soak)


def _names(data: Mapping[str, Any], name: str, nothing: str) -> tuple[str, ...]:
    """The names of packages in a value, which are separated by commas; none where it is `nothing`."""
    value = str(data.get(name, nothing))
    if value == nothing:
        return ()
    words = value.split(",")
    for word in words:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+*-]*", word):
            raise ClusterError(
                f"{name}: {word!r} is not the name of a package; write {name}={nothing}, or names with commas between"
            )
    return tuple(words)


# Without yum-utils or dnf-utils, only a newer kernel asks for a reboot. rpm says on standard output what is not installed.
_REBOOT_NEEDED = """\
reboot_needed() {
    if command -v needs-restarting >/dev/null; then
        needs-restarting -r >/dev/null 2>&1
        [ $? = 1 ]
    else
        newest=$(rpm -q --qf '%{INSTALLTIME} %{VERSION}-%{RELEASE}.%{ARCH}\\n' kernel-core kernel kernel-uek-core kernel-uek 2>/dev/null |
            grep '^[0-9]' | sort -n | tail -n 1)
        [ -n "$newest" ] && [ "${newest#* }" != "$(uname -r)" ]
    fi
}
"""


def _arguments(el: int, verb: str, asked: Request) -> str:
    excluded = [f"--exclude={name}" for name in asked.hold]
    return shlex.join([manager(el), "--quiet", "--assumeyes", *excluded, verb, *asked.packages])


def pending_command(el: int, asked: Request) -> str:
    """What there is to do on a node, as `parse_pending` reads it; fails where the repositories can't be asked."""
    return (
        f"{_REBOOT_NEEDED}"
        f"output=$({_arguments(el, 'check-update', asked)} 2>&1)\n"
        "case $? in\n"
        "0) echo updates 0 ;;\n"
        "100) echo updates $(echo \"$output\" | grep -c '^[^ ]*\\.[^ ]* ') ;;\n"
        '*) echo "$output" >&2; exit 1 ;;\n'
        "esac\n"
        "if reboot_needed; then echo reboot yes; else echo reboot no; fi\n"
        "read -r up _ </proc/uptime; echo booted $(($(date +%s) - ${up%.*}))"
    )


@dataclass(frozen=True)
class Pending:
    """What there is to do on a node."""

    updates: int
    reboot: bool
    """Whether what was updated asks for one."""
    booted: int
    """When the machine booted, in seconds of the epoch."""


def parse_pending(lines: Sequence[str]) -> Pending:
    """Lines `updates N`, `reboot yes` or `no`, `booted SECONDS`."""
    found = dict(line.split(" ", 1) for line in lines if " " in line)
    return Pending(int(found["updates"]), found["reboot"] == "yes", int(found["booted"]))


def needs_reboot(asked: Request, pending: Pending, begun: int) -> bool:
    """Whether the machine is to be rebooted, in a run that began at this time: once where it always is."""
    if asked.reboot == "always":
        return pending.booted < begun
    return asked.reboot == "needed" and pending.reboot


def upgrade_command(el: int, asked: Request) -> str:
    """Upgrades the packages. Goes on to its end when the ssh connection breaks."""
    units = " ".join(HELD)
    return (
        "trap '' HUP PIPE\n"
        f"before=$(rpm -q {units})\n"
        f'output=$({_arguments(el, "upgrade", asked)} 2>&1) || {{ echo "$output" | tail -n 20 >&2; exit 1; }}\n'
        # A package leaves its service running as it was.
        f'[ "$before" = "$(rpm -q {units})" ] || {{ systemctl daemon-reload; systemctl restart {units}; }}'
    )


def back_command(units: Sequence[Unit]) -> str:
    """Succeeds once each unit does its work, by the probe that a deploy waits for."""
    lines = ["seconds() { cut -d. -f1 /proc/uptime; }"]
    for unit in units:
        lines += [
            f"end=$(($(seconds) + {unit.bound + BOOT_BOUND}))",
            f"until output=$(eval {shlex.quote(unit.probe)} 2>&1); do",
            f'    [ $(seconds) -lt $end ] || {{ echo "{unit.name} does not come up: $output" >&2; exit 1; }}',
            "    sleep 1",
            "done",
        ]
    # The deploy would take another version for a change that its service has not seen.
    for name in HELD:
        file = fingerprint(name)
        lines.append(f'[ ! -f {file} ] || sed -i "1s/.*/$(LC_ALL=C rpm -q {name})/" {file}')
    return "\n".join(lines)
