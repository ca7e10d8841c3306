"""SELinux's booleans.

No ports are labelled: Enterprise Linux's policy does not confine Logstash, which may listen anywhere, and
confines keepalived by booleans alone. Files have the labels of the folders they are in.
"""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.selinux import Boolean
from operations.record import note

BOOLEANS = ["keepalived_connect_any", "nis_enabled"]
"""Either lets keepalived's scripts use the network. The first is for keepalived alone, and newer; the recipe's
step 5 has the second, which is for all services that look up names."""


@operation()
def boolean() -> Generator[StringCommand]:
    """The first of `BOOLEANS` that the policy has is on, now and after a reboot (setsebool(8)).

    Nothing is done where SELinux is disabled or absent; permissive is as enforcing, which it may be tomorrow.
    """
    state = host.get_fact(Boolean, booleans=BOOLEANS)
    name = state["name"] or BOOLEANS[-1]  # of which setsebool says that there is none
    turn_on = f"setsebool -P {name} on"
    if state["mode"] == "Disabled":
        host.noop("SELinux is disabled")
    elif state["active"] and state["persistent"]:
        host.noop(f"{name} is on")
    elif state["active"] is False:
        yield StringCommand(f"{note('boolean', name)} && {turn_on}")
    else:
        yield StringCommand(turn_on)
