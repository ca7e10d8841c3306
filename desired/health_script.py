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


def starts(el: int) -> str:
    """For a `TextFile`: the new script starts as the user that runs it.

    One that does not would take its check away, and the real server would stay in the pool for ever.
    """
    return f'runuser -u {USER} -- {PYTHON[el]} "$new" --help >/dev/null'


def check_script(el: int) -> TextFile:
    """The script that asks a node's Logstash for its inputs."""
    return TextFile(CHECK, program("check_logstash_input.py"), step=8, mode="755", check=starts(el))
