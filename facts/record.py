"""The record: the list of what the deploy has put on a machine."""

from __future__ import annotations

from pyinfra.api import FactBase

from facts.builtins import print_lines


def parse_record(output: list[str]) -> dict[str, list[str]]:
    """Lines `KIND VALUE`: the values by kind, in the order of the lines."""
    record: dict[str, list[str]] = {}
    for line in output:
        kind, _, value = line.partition(" ")
        if value:
            record.setdefault(kind, []).append(value)
    return record


class Record(FactBase[dict[str, list[str]]]):
    """
    The entries of the record at `path`: values by kind. Needs root.

    .. code:: python

        {"package": ["ipvsadm", "keepalived"], "file": ["/etc/logstash/logstash.yml"]}
    """

    default = dict

    def command(self, path: str) -> str:
        return print_lines(path)

    def process(self, output: list[str]) -> dict[str, list[str]]:
        return parse_record(output)
