"""What the deploy has noted that it put on a machine."""

from __future__ import annotations

from pyinfra.api import FactBase

STATE = "/var/lib/logstash-ha"
"""Where the deploy keeps what it must know the next time."""
RECORD = f"{STATE}/record"


def parse_record(output: list[str]) -> dict[str, list[str]]:
    """Lines `KIND VALUE`: the values by kind, in their order."""
    record: dict[str, list[str]] = {}
    for line in output:
        kind, _, value = line.partition(" ")
        if value:
            record.setdefault(kind, []).append(value)
    return record


class Record(FactBase[dict[str, list[str]]]):
    """All that was noted, by kind. Needs root."""

    default = dict

    def command(self) -> str:
        return f"cat {RECORD} 2>/dev/null || true"

    def process(self, output: list[str]) -> dict[str, list[str]]:
        return parse_record(output)
