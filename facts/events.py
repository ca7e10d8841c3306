"""The events that a node's Logstash has taken: verification counts its own among them."""

from __future__ import annotations

import json
import shlex
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypedDict

from pyinfra.api import FactBase

_PYTHONS = "/usr/libexec/platform-python python3 python"
TAG = "logstash-ha-verify"
"""An event that a verification sends is the text `TAG RUN TARGET NUMBER`."""


class FilePosition(TypedDict):
    """Where a file ends now: what is written later is new. Both are 0 where there is no file."""

    inode: int
    size: int


def parse_positions(output: list[str]) -> dict[str, FilePosition]:
    """Lines `INODE SIZE PATH`."""
    positions = {}
    for line in output:
        inode, size, path = line.split(" ", 2)
        positions[path] = FilePosition(inode=int(inode), size=int(size))
    return positions


class FileEnds(FactBase[dict[str, FilePosition]]):
    """
    Where each of the files `paths` ends now. Needs root.

    .. code:: python

        {"/var/log/logstash/events.json": {"inode": 131, "size": 4096}}
    """

    default = dict

    def command(self, paths: list[str]) -> str:
        return (
            f"for file in {shlex.join(paths)}; do "
            'echo "$(stat -c \'%i %s\' "$file" 2>/dev/null || echo 0 0) $file"; done'
        )

    def process(self, output: list[str]) -> dict[str, FilePosition]:
        return parse_positions(output)


def parse_arrived(output: list[str]) -> list[tuple[int, int]]:
    """Words `TARGET:NUMBER`."""
    pairs = (word.split(":") for line in output for word in line.split())
    return [(int(target), int(number)) for target, number in pairs]


class ArrivedEvents(FactBase[list[tuple[int, int]] | None]):
    """
    The target and the number of each event of this run that files hold after these positions. Needs root.

    A line counts once: from Logstash 8 on it holds the text twice, as `message` and as `event.original`.

    + positions: by path, where the file ended before (`FileEnds`)
    + run: the name of the run

    .. code:: python

        [(0, 1), (0, 3), (1, 1)]
    """

    def command(self, positions: dict[str, FilePosition], run: str) -> str:
        pattern = f"{TAG} {run} [0-9]+ [0-9]+"
        files = "; ".join(
            f"new {shlex.quote(path)} {position['inode']} {position['size']}"
            for path, position in positions.items()
        )
        return (
            # Another inode or a smaller size: the file was rotated, and all of it is new.
            'new() { set -- "$@" $(stat -c \'%i %s\' "$1" 2>/dev/null || echo 0 0); '
            '[ "$2" = "$4" ] && [ "$5" -ge "$3" ] || set -- "$1" 0 0; '
            'tail -c +$(($3 + 1)) "$1" 2>/dev/null; }; '
            f"{{ {files}; }} | LC_ALL=C awk '"
            f"match($0, /{pattern}/) {{"
            ' split(substr($0, RSTART, RLENGTH), word, " "); printf "%s:%s ", word[3], word[4] }'
            ' END { print "" }\''
        )

    def process(self, output: list[str]) -> list[tuple[int, int]]:
        return parse_arrived(output)


def parse_counts(output: list[str]) -> dict[str, int] | None:
    """By input id, the `events.out` of an answer of the API; None where it is not such an answer."""
    try:
        pipelines: dict[str, Any] = json.loads("\n".join(output))["pipelines"]
        return {
            plugin["id"]: plugin["events"]["out"]
            for pipeline in pipelines.values()
            for plugin in pipeline["plugins"]["inputs"]
            if plugin.get("events") is not None  # it has none while its pipeline is starting
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class EventCounts(FactBase[dict[str, int] | None]):
    """
    How many events each input has taken since Logstash started; None where its API does not answer.

    The health script asks, which knows how.

    + address: the node's own, where the API listens
    + script: the health script

    .. code:: python

        {"udp-5514": 4711, "tcp-6514": 0}
    """

    def command(self, address: IPv4Address | IPv6Address, script: str) -> str:
        return (
            f"for python in {_PYTHONS}; do "
            f"! command -v $python >/dev/null || {{ $python {script} --stats {address}; break; }}; done; true"
        )

    def process(self, output: list[str]) -> dict[str, int] | None:
        return parse_counts(output)
