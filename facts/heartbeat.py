"""Whether a service that renews a file at regular intervals still does so."""

from __future__ import annotations

import shlex

from pyinfra.api import FactBase


def parse_age(output: list[str]) -> int | None:
    """The seconds between two times, `MODIFIED` and `NOW`; None where the first is missing."""
    times = [int(word) for line in output for word in line.split()]
    return times[1] - times[0] if len(times) == 2 else None


class FileAge(FactBase[int | None]):
    """Seconds since a file was modified, by the machine's own clock; None where there is no file.

    Below zero where its time is in the future. Needs root. For example: `1`.
    """

    def command(self, path: str) -> str:
        # The kernel makes a process's folder in /proc when it is looked at first: so its time is now.
        return f"stat -c %Y {shlex.quote(path)} /proc/self/ 2>/dev/null || true"

    def process(self, output: list[str]) -> int | None:
        return parse_age(output)
