"""Kernel settings, in force now and after a reboot (the recipe's step 6)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation

from desired.paths import RECORD
from desired.sysctl import conflicting, differing
from facts.record import Record
from facts.sysctl import CONF, Sysctl
from operations.record import add_entry, remove_entry
from remote.snapshot import Change

_TOUCHED = (Record, Sysctl)


@operation()
def effective(settings: dict[str, str], file: str) -> Generator[StringCommand]:
    """
    Set kernel settings in the running kernel, and comment out what would undo them at boot.

    The DISA STIG puts `net.ipv4.ip_forward = 0` into /etc/sysctl.conf, which would win over `file` at the next
    boot: such a line becomes a comment (the recipe's step 6). Other files that would win belong to somebody
    else: a warning names them, and they are left alone.

    + settings: values by name
    + file: the file that sets them at boot
    """
    present = host.get_fact(Sysctl, keys=list(settings))
    conf, others = conflicting(settings, present["lines"], file)
    for line in others:
        host.log(
            f"{line['path']}, line {line['number']}: `{line['text']}` wins over {file} at the next boot; "
            "take that line out",
            logger.warning,
        )
    for line in conf:
        if state.config.DIFF:
            host.log(f"Will make line {line['number']} of {CONF} a comment: {line['text']}")
        text = re.sub(r"[][\\.*^$/]", r"\\\g<0>", line["text"])
        edit = shlex.quote(rf"s/^[[:space:]]*\({text}\)[[:space:]]*$/# \1/")
        yield Change(f"{add_entry('stig', line['text'])} && sed -i {edit} {CONF}", touches=_TOUCHED)
    if new := differing(settings, present["runtime"]):
        entries = [_record_original(key, value) for key in new if (value := present["runtime"].get(key))]
        change = f"sysctl -q -w {' '.join(f'{key}={value}' for key, value in new.items())}"
        yield Change(" && ".join([*entries, change]), touches=_TOUCHED)
    elif not conf:
        host.noop(f"{', '.join(settings)}: in force")


def _record_original(key: str, value: str) -> str:
    """A shell command that records the kernel's value, if the deploy has not recorded an earlier one."""
    return f"{{ grep -qs '^sysctl {key}=' {RECORD} || {add_entry('sysctl', f'{key}={value}')}; }}"


@operation()
def restored(settings: dict[str, str]) -> Generator[StringCommand]:
    """
    Restore the settings that an earlier deploy changed and this one no longer needs.

    This matters most for `net.ipv4.vs.backup_only`: with it, a director whose connections are no longer
    synchronized may act as a BACKUP, and drop all events.

    + settings: the settings that this cluster needs
    """
    recorded: dict[str, list[str]] = {}
    for entry in host.get_fact(Record, path=RECORD).get("sysctl", []):
        recorded.setdefault(entry.split("=", 1)[0], []).append(entry)
    obsolete = [entries for key, entries in recorded.items() if key not in settings]
    for entries in obsolete:
        # The first entry is the original: an older version of this project could record a later value, too.
        # With -e, a setting whose module is not loaded is no error.
        removals = [remove_entry("sysctl", entry) for entry in entries]
        yield Change(" && ".join([f"sysctl -q -e -w {entries[0]}", *removals]), touches=_TOUCHED)
    if not obsolete:
        host.noop("no setting of an earlier deploy is left")
