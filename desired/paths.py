"""Where the deploy keeps its own state on a node."""

from __future__ import annotations

import posixpath

STATE = "/var/lib/logstash-ha"
"""The folder of what the deploy must know at its next run."""
RECORD = f"{STATE}/record"
"""The record: the list of what the deploy has put on the machine, a line `KIND VALUE` for each entry."""
ORIGINALS = f"{STATE}/original"
"""The originals: what stood in a file's place before the first deploy, under the file's path."""
LAST_GOOD = f"{STATE}/good"
"""The last good files: copies of what each unit read when it last came up, under its name and their paths."""
VERSION_FILE = f"{STATE}/version"
"""The file that holds the version of this project that last deployed the node."""
DRAINED = "/etc/keepalived/drained"
"""The folder of the drain flags: a file with a node's address as its name keeps that node out of this
director's pools, for 5 minutes."""
MAINTENANCE = f"{STATE}/maintenance"
"""The folder of the nodes in maintenance: a file with a node's address as its name keeps that node out of this director's
pools, and the node itself from holding a VIP, until an operator ends it (`desired.maintenance`)."""
KEY_NOTE = f"{STATE}/key"
"""The note on Elastic's key: the SHA-256 of its file, and the names that rpm gave to the keys in it."""

LOCK_FOLDER = "/run/logstash-ha"
"""The folder of the lock of the run that changes the node (`remote.lock`): a reboot ends it."""
CLONE = f"{STATE}/clone"
"""The folder of a clone's change of identity; its files `unconfirmed` and `confirmed` say how far that is."""
CLONE_REBOOT = "/run/logstash-ha-clone"
"""A file that exists from the end of that change until the reboot."""
HARDWARE = f"{STATE}/hardware"
"""The MAC address and UUID that the last deploy found: on a clone's disk, those of its source."""


def staged(path: str) -> str:
    """The path at which a file's new content waits until its unit is restarted with it."""
    folder, base = posixpath.split(path)
    return f"{folder}/.{base}.staged"


def fingerprint(unit: str) -> str:
    """The file that holds what a unit had read when it last came up (`desired.unit.fingerprint`)."""
    return f"{STATE}/{unit}.sha256"
