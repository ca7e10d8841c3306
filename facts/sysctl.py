"""Kernel settings: their values now, and what is read at boot."""

from __future__ import annotations

import re
from typing import TypedDict

from pyinfra.api import FactBase

CONF = "/etc/sysctl.conf"
"""Read at boot by its link /etc/sysctl.d/99-sysctl.conf, and last of all by `sysctl --system`."""

_FOLDERS = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_LINE = re.compile(r"(?P<path>[^:]+):(?P<number>\d+):(?P<text>\s*-?(?P<key>[\w./-]+?)\s*=(?P<value>.*))")


class Line(TypedDict):
    """A line of a sysctl.d(5) file that sets `key` to `value`; `text` is the line as it stands."""

    path: str
    number: int
    text: str
    key: str
    value: str


class SysctlState(TypedDict):
    """`runtime`: the kernel's values; `lines`: what is set at boot, in the order in which it is read."""

    runtime: dict[str, str]
    lines: list[Line]


def parse_sysctl(output: list[str]) -> SysctlState:
    """`runtime KEY = VALUE` lines, and `line PATH:NUMBER:TEXT` lines in any order of the files."""
    state = SysctlState(runtime={}, lines=[])
    for line in output:
        source, _, rest = line.strip().partition(" ")
        if source == "runtime":
            key, _, value = rest.partition("=")
            state["runtime"][key.strip()] = value.strip()
        elif source == "line" and (match := _LINE.fullmatch(rest)):
            state["lines"].append(
                Line(
                    path=match["path"],
                    number=int(match["number"]),
                    text=match["text"].strip(),
                    key=match["key"].replace("/", "."),
                    value=match["value"].strip(),
                )
            )
    state["lines"].sort(key=lambda line: (read_order(line["path"]), line["number"]))
    return state


def read_order(path: str) -> str:
    """What a file is sorted by among all of sysctl.d: its name, whatever its folder."""
    return "99-sysctl.conf" if path == CONF else path.rsplit("/", 1)[-1]


class Sysctl(FactBase[SysctlState]):
    """These kernel settings, such as `net.ipv4.ip_forward`. A file hides those of its name in later folders."""

    @staticmethod
    def default() -> SysctlState:
        return SysctlState(runtime={}, lines=[])

    def command(self, keys: list[str]) -> str:
        pattern = "|".join(key.replace(".", "[./]") for key in keys)
        files = " ".join(f"{folder}/sysctl.d/*.conf" for folder in _FOLDERS)
        return (
            f"for key in {' '.join(keys)}; do"
            ' echo "runtime $key = $(cat /proc/sys/$(echo $key | tr . /) 2>/dev/null)"; done; '
            f"seen=; for file in {files} {CONF}; do name=${{file##*/sysctl.d/}};"
            ' case $seen in *"/$name/"*) continue;; esac; seen="$seen/$name/";'
            f' test -L "$file" && test "$(readlink -f "$file")" = {CONF} ||'
            f" grep -nHE '^[[:space:]]*-?({pattern})[[:space:]]*=' \"$file\" 2>/dev/null | sed 's/^/line /'; done"
        )

    def process(self, output: list[str]) -> SysctlState:
        return parse_sysctl(output)
