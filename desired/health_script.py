"""The health script: who runs it, with which Python, and how it is checked (the recipe's step 8)."""

from __future__ import annotations

import json

from cluster import Cluster
from desired.render import program
from desired.textfile import TextFile

CHECK = "/etc/keepalived/check_logstash_input.py"
USER = "keepalived_script"
ACCESS = "/etc/keepalived/logstash_ha_api.json"
"""How the nodes' APIs are asked. The running health service reads it as soon as it changes: so all nodes' services know how
to ask the API of a node before the first of these changes."""
PREVIOUS_ACCESS = "/etc/keepalived/.logstash_ha_api.json.previous"
"""The same before the deploy, until it ends: how to ask the nodes that have not changed yet."""

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


def access_file(cluster: Cluster) -> TextFile:
    """The file that says how the APIs are asked: as keepalived's user alone may read it, since it can have a password."""
    files = cluster.api_files
    access = {
        "ca": files.ca if files else None,
        "username": files.username if files else None,
        "password": files.password.get_secret_value() if files and files.password else None,
    }
    return TextFile(
        ACCESS,
        json.dumps(access, indent=2) + "\n",
        step=8,
        mode="400",
        owner=USER,
        secret=True,  # what it replaces can have a password, too
        previous=PREVIOUS_ACCESS,
    )


def check_script(el: int, read_by: str) -> TextFile:
    """The script that asks a node's Logstash for its inputs; the unit `read_by` is built on it."""
    text = program("check_logstash_input.py")
    return TextFile(CHECK, text, step=8, mode="755", check=starts(el), read_by=read_by)
