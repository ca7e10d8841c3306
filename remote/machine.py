"""What a machine is, as anyone sees it who logs in: what must be known before anything is read as root."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from pyinfra.api import Host

from facts.machine import Machine, MachineState
from remote import sudo
from remote.commands import read

_known: WeakKeyDictionary[Host, MachineState] = WeakKeyDictionary()


def known(host: Host, machine: MachineState) -> MachineState:
    """What `Machine` has found on the host, with `root` as it is with the user's password for sudo, where there is one.

    A machine on which all is well is remembered for `read_machine` until the run ends.
    """
    machine = sudo.allowed(host, machine)
    if machine["root"] == "yes" and machine["os"]:
        _known[host] = machine
    return machine


def read_machine(host: Host) -> MachineState:
    """A machine's system, and whether it lets the user be root.

    It is read once in a run: a command costs more than the rest of a look at a node. So what else the fact has, such as
    firewalld's state, may have changed since.
    """
    if machine := _known.get(host):
        return machine
    # Without sudo: where it asks for a password, pyinfra would too.
    return known(host, read(host, Machine, _sudo=False))
