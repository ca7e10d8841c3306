"""Kernel settings: their values now, and the lines that set them at boot."""

from __future__ import annotations

import re
from typing import TypedDict

from pyinfra.api import FactBase

CONF = "/etc/sysctl.conf"
"""Read at boot through the link /etc/sysctl.d/99-sysctl.conf; `sysctl --system` reads it last of all."""

_FOLDERS = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_KERNEL = "/proc/sys/"
_LINE = re.compile(
    r"(?P<path>[^:]+):(?P<number>\d+):(?P<text>\s*(?P<minus>-?)(?P<name>[^=]*?)\s*(=(?P<value>.*))?)"
)
_SWAP = str.maketrans("./", "/.")


class Line(TypedDict):
    """A line of a sysctl.d(5) file that sets `key` to `value`; `text` is the whole line.

    `key` is as `key_of` writes it, and may be a glob. A line `-KEY` without a value has an empty one: it takes back
    what earlier lines set, and no glob sets that key either.
    """

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
            state["runtime"][path.translate(_SWAP)] = value.strip()
        elif (match := _LINE.fullmatch(line.strip())) and (match["minus"] or match["value"] is not None):
            state["lines"].append(
                Line(
                    path=match["path"],
                    number=int(match["number"]),
                    text=match["text"].strip(),
                    key=key_of(match["name"]),
                    value=(match["value"] or "").strip(),
                )
            )
    state["lines"].sort(key=lambda line: (read_order(line["path"]), line["number"]))
    return state


def key_of(name: str) -> str:
    """A variable's key, however a line spells its name (sysctl.d(5)): dots between its parts, and a slash in the place of
    a dot in a part, such as `net.ipv4.conf.bond0/91.forwarding`."""
    name = "/".join(part for part in name.split("/") if part)
    first = re.search("[./]", name)
    # Where the first separator is a slash, dots are no separators.
    return name.translate(_SWAP) if first and first[0] == "/" else name


def path_of(key: str) -> str:
    """The file of a variable in the kernel's own folder."""
    return _KERNEL + key.translate(_SWAP)


def read_order(path: str) -> str:
    """What the files of all sysctl.d folders are sorted by: their names, whatever their folders."""
    return "99-sysctl.conf" if path == CONF else path.rsplit("/", 1)[-1]


class Sysctl(FactBase[SysctlState]):
    """
    These kernel settings in the running kernel, and all that is set in the files that are read at boot (sysctl.d(5)).

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
        values = " ".join(path_of(key) for key in keys)
        folders = " ".join(f"{folder}/sysctl.d/*.conf" for folder in _FOLDERS)
        # One grep for all of them. One variable has many spellings, so all that is no comment is read.
        return (
            f"seen=; set -- {values} {CONF}; for file in {folders}; do name=${{file##*/sysctl.d/}};"
            ' case $seen in *"/$name/"*) continue;; esac; seen="$seen/$name/";'
            f' [ -L "$file" ] && [ "$file" -ef {CONF} ] || set -- "$@" "$file"; done;'
            " grep -snH '^[[:space:]]*[^#;[:space:]]' \"$@\" || true"
        )

    def process(self, output: list[str]) -> SysctlState:
        return parse_sysctl(output)
