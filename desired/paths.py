"""Where the deploy keeps its own state on a node."""

from __future__ import annotations

import posixpath

STATE = "/var/lib/logstash-ha"
"""What the deploy must know at its next run."""
RECORD = f"{STATE}/record"
"""What the deploy has put on the machine, a line `KIND VALUE` for each thing (`operations.record`)."""
ORIGINALS = f"{STATE}/original"
"""What stood in a file's place before the first deploy, under the file's path."""
LAST_GOOD = f"{STATE}/good"
"""Copies of each unit's files as they were when it last came up, under the unit's name and the files' paths."""
VERSION_FILE = f"{STATE}/version"
"""The version of this project that last deployed the node."""
DRAINED = "/etc/keepalived/drained"
"""A file here with a node's address as its name keeps that node out of this director's pools, for 5 minutes."""

CLONE = f"{STATE}/clone"
"""What a clone's change of identity needs; its files `unconfirmed` and `confirmed` say how far it has come."""
CLONE_REBOOT = "/run/logstash-ha-clone"
"""Exists from the end of that change until the reboot."""
HARDWARE = f"{STATE}/hardware"
"""MAC address and UUID that a deploy last found: a clone's disk names those of its source."""


def staged(path: str) -> str:
    """Where a file's new content waits until the unit that reads it takes it up."""
    folder, base = posixpath.split(path)
    return f"{folder}/.{base}.staged"


def fingerprint(unit: str) -> str:
    """The file that holds what a unit had read when it last came up (`desired.unit.fingerprint`)."""
    return f"{STATE}/{unit}.sha256"
