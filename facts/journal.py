"""What the journal of a node says of its part in the cluster."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypedDict

from pyinfra.api import FactBase

LINES = 200
"""How many of the last lines are read at most."""
_LINE = re.compile(r"(\S+) \S+ (\S+?)(?:\[\d+\])?: (.*)")


class JournalLine(TypedDict):
    """A line: when it was written, in seconds of the epoch, and what it says."""

    time: float
    text: str


def parse_journal(output: list[str]) -> list[JournalLine]:
    """Lines as `journalctl --output short-iso` writes them: `2026-11-24T03:00:00+0000 stash1 python3[815]: TEXT`. Others are left
    out, such as those that say where the journal begins."""
    found = []
    for line in output:
        if match := _LINE.fullmatch(line):
            try:
                time = datetime.fromisoformat(match[1]).timestamp()
            except ValueError:
                continue
            found.append(JournalLine(time=time, text=match[3]))
    return found


class Changes(FactBase[list[JournalLine]]):
    """
    What the health service has written in the last 24 hours, and which states keepalived's instances have entered. Needs root.

    .. code:: python

        [{"time": 1795489200.0, "text": "udp-5514 at 192.0.2.12 is down: HTTP status 500"}]
    """

    default = list

    def command(self) -> str:
        # What systemd says of these units itself is left out.
        return (
            "journalctl --quiet --no-pager --output short-iso --since -24h --unit logstash-ha-health --unit keepalived 2>/dev/null | "
            f"grep -E 'python[0-9.]*\\[[0-9]+\\]: |Entering [A-Z]+ STATE' | tail -n {LINES}; true"
        )

    def process(self, output: list[str]) -> list[JournalLine]:
        return parse_journal(output)
