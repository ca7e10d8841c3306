"""Which nodes are in maintenance, as a director has it."""

from __future__ import annotations

import json
from typing import Any, TypedDict

from pyinfra.api import FactBase


class MaintenanceState(TypedDict):
    """Who has a node in maintenance; `since` and `until` in seconds of the epoch, `until` None where it has no end of its own;
    `patch`: when the run of `patch.py` began that has it, None where an operator has it."""

    by: str
    since: int
    until: int | None
    patch: int | None


def parse_maintenance(output: list[str]) -> dict[str, MaintenanceState]:
    """Lines `NOW ADDRESS JSON`: by address, those that are not over. A file that is broken is an operator's word all the
    same, as for the health service."""
    found = {}
    for line in output:
        now, address, *rest = line.split(" ", 2)
        try:
            note: Any = json.loads(rest[0] if rest else "")
        except ValueError:
            note = {}
        note = note if isinstance(note, dict) else {}
        by, since, until, patch = (note.get(name) for name in ("by", "since", "until", "patch"))
        until = until if isinstance(until, int) and until > 0 else None
        if until and until <= int(now):
            continue
        found[address] = MaintenanceState(
            by=by if isinstance(by, str) else "",
            since=since if isinstance(since, int) else 0,
            until=until,
            patch=patch if isinstance(patch, int) else None,
        )
    return found


class Maintenance(FactBase[dict[str, MaintenanceState]]):
    """
    The nodes that this director knows to be in maintenance, by their addresses: from the files in `folder`.

    .. code:: python

        {"192.0.2.11": {"by": "alice@laptop", "since": 1795874520, "until": None, "patch": None}}
    """

    default = dict

    def command(self, folder: str) -> str:
        # A process only where there is a file.
        return (
            f'for file in {folder}/*; do [ ! -f "$file" ] || '
            '{ line=; read -r line <"$file"; echo "$(date +%s) ${file##*/} $line"; }; done'
        )

    def process(self, output: list[str]) -> dict[str, MaintenanceState]:
        return parse_maintenance(output)
