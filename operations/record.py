"""The record that a machine keeps of what the deploy put there: pruning and undo touch nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from desired import health
from desired.paths import DRAINED, RECORD, STATE
from facts.record import Record


def add_entry(kind: str, value: str) -> str:
    """A shell command that adds an entry, if it is not there yet. To be run before the change itself.

    Kinds are `package`, `user`, `key`, `boolean`, `file`, `rich`, `direct`, `stig`, `sysctl` and `module`.
    """
    line = shlex.quote(f"{kind} {value}")
    # A group, so that it stays one command whatever `&&` and `||` stand around it.
    return f"{{ mkdir -p {STATE} && {{ grep -qsxF {line} {RECORD} || echo {line} >>{RECORD}; }}; }}"


def remove_entry(kind: str, value: str) -> str:
    """A shell command that removes an entry. To be run after the change itself."""
    line = shlex.quote(f"{kind} {value}")
    return f"{{ grep -vxF {line} {RECORD} >{RECORD}.new; mv -f {RECORD}.new {RECORD}; }}"


@operation()
def removed() -> Generator[StringCommand]:
    """The record itself gone, and all else that the deploy kept for its next run."""
    if not host.get_fact(Record, path=RECORD):
        host.noop("there is no record")
        return
    yield StringCommand(f"rm -rf {STATE} {DRAINED} {health.FOLDER}")
