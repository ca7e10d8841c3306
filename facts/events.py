"""The events that a node's Logstash wrote to its file: verification counts its own among them."""

from __future__ import annotations

import shlex
from typing import TypedDict

from pyinfra.api import FactBase

TAG = "logstash-ha-verify"
"""An event of a verification is the text `TAG RUN PORT NUMBER`."""


class Mark(TypedDict):
    """Where a file ends: what comes later is new. Both 0 where there is no file."""

    inode: int
    size: int


def parse_mark(output: list[str]) -> Mark:
    """`stat`'s line."""
    inode, size = output[0].split()
    return Mark(inode=int(inode), size=int(size))


class End(FactBase[Mark | None]):
    """The end of the file `path` now. Needs root."""

    def command(self, path: str) -> str:
        return f"stat -c '%i %s' {shlex.quote(path)} 2>/dev/null || echo 0 0"

    def process(self, output: list[str]) -> Mark:
        return parse_mark(output)


def parse_arrived(output: list[str]) -> list[tuple[int, int]]:
    """`PORT:NUMBER` words."""
    pairs = (word.split(":") for line in output for word in line.split())
    return [(int(port), int(number)) for port, number in pairs]


class Arrived(FactBase[list[tuple[int, int]] | None]):
    """Port and number of each event of this run in the file `path`, after a mark. Needs root.

    A line counts once: from Logstash 8 on it holds the text twice, as `message` and as `event.original`.
    """

    def command(self, path: str, mark: Mark, run: str) -> str:
        pattern = f"{TAG} {run} [0-9]+ [0-9]+"
        return (
            # Another inode or a smaller size: the file was rotated, and all of it is new.
            f"set -- {mark['size']} $(stat -c '%i %s' {shlex.quote(path)} 2>/dev/null || echo 0 0); "
            f'[ "$2" = {mark["inode"]} ] && [ "$3" -ge "$1" ] || set -- 0; '
            f"tail -c +$(($1 + 1)) {shlex.quote(path)} 2>/dev/null | LC_ALL=C awk '"
            f"match($0, /{pattern}/) {{"
            ' split(substr($0, RSTART, RLENGTH), word, " "); printf "%s:%s ", word[3], word[4] }'
            ' END { print "" }\''
        )

    def process(self, output: list[str]) -> list[tuple[int, int]]:
        return parse_arrived(output)
