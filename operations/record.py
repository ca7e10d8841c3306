"""The record that a machine keeps of what the deploy put there: pruning and `undo` touch nothing else."""

from __future__ import annotations

import shlex

from facts.record import RECORD, STATE


def note(kind: str, value: str) -> str:
    """A shell command that notes this once, to be run before the change itself.

    Kinds are `package`, `user`, `key`, `boolean`, `file`, `rich`, `direct`, `stig`, `sysctl` and `module`.
    """
    line = shlex.quote(f"{kind} {value}")
    return f"mkdir -p {STATE} && {{ grep -qsxF {line} {RECORD} || echo {line} >>{RECORD}; }}"


def forget(kind: str, value: str) -> str:
    """A shell command that takes a note away again, to be run after the change itself."""
    line = shlex.quote(f"{kind} {value}")
    return f"{{ grep -vxF {line} {RECORD} >{RECORD}.new; mv -f {RECORD}.new {RECORD}; }}"
