"""The health script: who runs it, with which Python, and how it is checked (the recipe's step 8)."""

from __future__ import annotations

from desired.render import program
from desired.textfile import TextFile

CHECK = "/etc/keepalived/check_logstash_input.py"
USER = "keepalived_script"

PYTHON = {
    7: "/usr/bin/python",
    8: "/usr/libexec/platform-python",
    9: "/usr/bin/python3",
    10: "/usr/bin/python3",
}
"""By Enterprise Linux's major version: the Python that is always there."""


def starts(el: int, program: str = "$new") -> str:
    """For a `TextFile`'s check: the program starts as the user that runs it.

    A health script that does not would never take a real server out of the pool.
    """
    return f'runuser -u {USER} -- {PYTHON[el]} "{program}" --help >/dev/null'


def check_script(el: int, read_by: str) -> TextFile:
    """The script that asks a node's Logstash for its inputs; the unit `read_by` is built on it."""
    text = program("check_logstash_input.py")
    return TextFile(CHECK, text, step=8, mode="755", check=starts(el), read_by=read_by)
