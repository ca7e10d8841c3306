"""SELinux's booleans."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.selinux import Boolean

BOOLEAN = "nis_enabled"
"""Lets keepalived's scripts use the network (the recipe's step 5)."""


@operation()
def boolean(boolean: str) -> Generator[StringCommand]:
    """This boolean on, now and after a reboot (setsebool(8)); nothing where SELinux is disabled or absent."""
    state = host.get_fact(Boolean, boolean=boolean)
    if state["mode"] == "Disabled":
        host.noop("SELinux is disabled")
    elif state["active"] and state["persistent"]:
        host.noop(f"{boolean} is on")
    else:
        yield StringCommand(f"setsebool -P {boolean} on")
