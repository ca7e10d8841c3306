"""Who runs this, for those who find it on a node."""

from __future__ import annotations

import getpass
import socket


def operator() -> str:
    """`NAME@HOST` of the person at the keyboard."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
