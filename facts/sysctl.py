"""Kernel settings: their values now, and the lines that set them at boot."""

from __future__ import annotations

import re
from typing import TypedDict

from pyinfra.api import FactBase

CONF = "/etc/sysctl.conf"
"""Read at boot through the link /etc/sysctl.d/99-sysctl.conf; `sysctl --system` reads it last of all."""

_FOLDERS = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_KERNEL = "/proc/sys/"
_LINE = re.compile(r"(?P<path>[^:]+):(?P<number>\d+):(?P<text>\s*-?(?P<key>[\w./-]+?)\s*=(?P<value>.*))")


class Line(TypedDict):
    """A line of a sysctl.d(5) file that sets `key` to `value`; `text` is the whole line."""

    path: str
    number: int
    text: str
    key: str
    value: str


class SysctlState(TypedDict):
    """`runtime`: the running kernel's values; `lines`: what is set at boot, in the order of reading."""

    runtime: dict[str, str]
    lines: list[Line]


def parse_sysctl(output: list[str]) -> SysctlState:
    """Lines `PATH:NUMBER:TEXT` of sysctl.d files, which may come in any order, and of files of `/proc/sys`."""
    state = SysctlState(runtime={}, lines=[])
    for line in output:
        if line.startswith(_KERNEL):
            path, _, value = line.removeprefix(_KERNEL).split(":", 2)
            state["runtime"][path.replace("/", ".")] = value.strip()
        elif match := _LINE.fullmatch(line.strip()):
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
    """What the files of all sysctl.d folders are sorted by: their names, whatever their folders."""
    return "99-sysctl.conf" if path == CONF else path.rsplit("/", 1)[-1]


class Sysctl(FactBase[SysctlState]):
    """
    These kernel settings, in the running kernel and in the files that are read at boot (sysctl.d(5)).

    A file hides those of the same name in later folders.

    .. code:: python

        {
            "runtime": {"net.ipv4.ip_forward": "1"},
            "lines": [
                {
                    "path": "/etc/sysctl.conf",
                    "number": 12,
                    "text": "net.ipv4.ip_forward = 0",
                    "key": "net.ipv4.ip_forward",
                    "value": "0",
                },
            ],
        }
    """

    @staticmethod
    def default() -> SysctlState:
        return SysctlState(runtime={}, lines=[])

    def command(self, keys: list[str]) -> str:
        names = "|".join(key.replace(".", "[./]") for key in keys)
        values = " ".join(_KERNEL + key.replace(".", "/") for key in keys)
        folders = " ".join(f"{folder}/sysctl.d/*.conf" for folder in _FOLDERS)
        # One grep for all of them. A value begins with a digit or a sign, which no line of sysctl.d does.
        return (
            f"seen=; set -- {values} {CONF}; for file in {folders}; do name=${{file##*/sysctl.d/}};"
            ' case $seen in *"/$name/"*) continue;; esac; seen="$seen/$name/";'
            f' [ -L "$file" ] && [ "$file" -ef {CONF} ] || set -- "$@" "$file"; done;'
            f" grep -snHE '^[[:space:]]*-?({names})[[:space:]]*=|^-?[0-9]' \"$@\" || true"
        )

    def process(self, output: list[str]) -> SysctlState:
        return parse_sysctl(output)
