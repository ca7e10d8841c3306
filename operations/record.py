"""The record: the list of what the deploy has put on a machine. Pruning and undo remove nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from desired import health
from desired.paths import DRAINED, LOCK_FOLDER, RECORD, STATE
from facts.record import Record


def add_entry(kind: str, value: str) -> str:
    """A shell command that adds an entry to the record, unless it is there. It is run before the change.

    Kinds are `package`, `user`, `key`, `boolean`, `file`, `rich`, `direct`, `ipset`, `table`, `stig`, `sysctl` and `module`.
    """
    line = shlex.quote(f"{kind} {value}")
    # A group, so that it stays one command between any `&&` and `||`.
    return f"{{ mkdir -p {STATE} && {{ grep -qsxF {line} {RECORD} || echo {line} >>{RECORD}; }}; }}"


def remove_entry(kind: str, value: str) -> str:
    """A shell command that removes an entry from the record. It is run after the change."""
    line = shlex.quote(f"{kind} {value}")
    return f"{{ grep -vxF {line} {RECORD} >{RECORD}.new; mv -f {RECORD}.new {RECORD}; }}"


@operation()
def removed() -> Generator[StringCommand]:
    """
    Remove the record itself, and all else that the deploy has kept for its next run.
    """
    if not host.get_fact(Record, path=RECORD):
        host.noop("there is no record")
        return
    yield StringCommand(f"rm -rf {STATE} {DRAINED} {health.FOLDER} {LOCK_FOLDER}")
