"""Kernel settings: their values now, and what /etc/sysctl.conf says of them."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api import FactBase

CONF = "/etc/sysctl.conf"
"""Read after all files of /etc/sysctl.d at boot, by its link 99-sysctl.conf there: its lines win."""


class SysctlState(TypedDict):
    """`runtime`: the kernel's values; `conf`: the settings in /etc/sysctl.conf, the last one of a key."""

    runtime: dict[str, str]
    conf: dict[str, str]


def parse_sysctl(output: list[str]) -> SysctlState:
    """`runtime KEY = VALUE` and `conf KEY = VALUE` lines, with any white space."""
    state = SysctlState(runtime={}, conf={})
    for line in output:
        source, _, setting = line.strip().partition(" ")
        key, equals, value = setting.partition("=")
        if equals and source == "runtime":
            state["runtime"][key.strip()] = value.strip()
        elif equals and source == "conf":
            state["conf"][key.strip()] = value.strip()
    return state


class Sysctl(FactBase[SysctlState]):
    """These kernel settings, such as `net.ipv4.ip_forward`."""

    @staticmethod
    def default() -> SysctlState:
        return SysctlState(runtime={}, conf={})

    def command(self, keys: list[str]) -> str:
        files = " ".join(f"/proc/sys/{key.replace('.', '/')}" for key in keys)
        pattern = "|".join(key.replace(".", r"\.") for key in keys)
        return (
            f"for file in {files}; do"
            ' printf \'runtime %s = %s\\n\' "$(echo ${file#/proc/sys/} | tr / .)" "$(cat $file)"; done; '
            f"sed -nE 's/^[[:space:]]*(({pattern})[[:space:]]*=)/conf \\1/p' {CONF} 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> SysctlState:
        return parse_sysctl(output)
