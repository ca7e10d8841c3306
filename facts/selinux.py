"""SELinux's mode, and what it has denied keepalived."""

from __future__ import annotations

import re
from typing import TypedDict

from pyinfra.api import FactBase

_RUNNING = "/run/keepalived.pid"
_LOG = "/var/log/audit/audit.log"
_CONFIG = "/etc/selinux/config"
_GREP = "grep -a 'avc:  *denied.*keepalived'"


class SELinuxState(TypedDict):
    """`mode`: `Enforcing`, `Permissive` or `Disabled`; `boot`: that of the next boot in small letters, empty where no
    file says it; `denied`: the log's text on each denial, the latest last."""

    mode: str
    boot: str
    denied: list[str]


def parse_selinux(output: list[str]) -> SELinuxState:
    """A line with the mode, one with the time from which denials count (seconds since 1970), and lines such
    as `type=AVC msg=audit(1700000000.123:45): avc:  denied  { watch } for  pid=1 comm="keepalived" …`. Before the first
    of these, a line `boot MODE` may stand."""
    boot = "".join(line.removeprefix("boot ") for line in output[2:3] if line.startswith("boot "))
    if len(output) < 2:
        return SELinux.default()
    mode, since, *lines = output
    denied = []
    for line in lines:
        if (match := re.search(r"audit\((\d+)[^)]*\): *(avc: .*)", line)) and int(match[1]) >= int(since):
            denied.append(" ".join(match[2].split()))
    return SELinuxState(mode=mode.strip(), boot=boot.strip().lower(), denied=list(dict.fromkeys(denied)))


class SELinux(FactBase[SELinuxState]):
    """
    SELinux's mode, that of the next boot (selinux(8)), and what it has denied keepalived since that was started. Needs
    root.

    Denials are in auditd's log, or in the kernel's where there is no auditd.

    .. code:: python

        {
            "mode": "Enforcing",
            "boot": "enforcing",
            "denied": ['avc: denied { name_connect } for pid=9 comm="keepalived" dest=9600'],
        }
    """

    @staticmethod
    def default() -> SELinuxState:
        return SELinuxState(mode="Disabled", boot="", denied=[])

    def command(self) -> str:
        return (
            "! command -v getenforce >/dev/null || { getenforce;"
            f" stat -c %Y {_RUNNING} || echo 0;"
            f" [ ! -f {_CONFIG} ] || while IFS='= ' read -r name value; do [ \"$name\" != SELINUX ] || echo boot $value; done <{_CONFIG};"
            f" if [ -f {_LOG} ]; then {_GREP} {_LOG} | tail -n 50; else dmesg | {_GREP} | tail -n 50; fi; }} 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> SELinuxState:
        return parse_selinux(output)
