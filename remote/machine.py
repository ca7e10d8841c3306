"""What a machine is, as anyone sees it who logs in: what must be known before anything is read as root."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from pyinfra.api import Host

from facts.machine import Machine, MachineState
from remote.commands import read

_known: WeakKeyDictionary[Host, MachineState] = WeakKeyDictionary()


def remember(host: Host, machine: MachineState) -> None:
    """Let `read_machine` return this for the host until the run ends."""
    _known[host] = machine


def read_machine(host: Host) -> MachineState:
    """A machine's system, and whether it lets the user be root (`root` is `yes` then, also with a password that is given).

    A machine on which all is well is read once in a run: a command costs more than the rest of a look at a node. So what
    else the fact has, such as firewalld's state, may have changed since.
    """
    if machine := _known.get(host):
        return machine
    # Without sudo: where it asks for a password, pyinfra would too.
    found: MachineState = read(host, Machine, _sudo=False)
    if host.data.get("_sudo_password"):
        found["root"] = "yes"
    if found["root"] == "yes" and found["os"]:
        remember(host, found)
    return found
