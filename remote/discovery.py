"""Machines that no inventory names yet: the way to them, and what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyinfra.api import Config, FactBase, Host, Inventory, State
from pyinfra.context import ctx_state
from pyinfra.facts.server import User

from cluster import ClusterError
from desired.modules import BASIC
from facts.batch import BatchFacts
from facts.clone import AddressConflicts
from facts.machine import Machine, MachineState
from facts.network import Network, NetworkState
from facts.packages import Packages
from remote.commands import read
from remote.connect import CONNECT_TIMEOUT, connect_hosts, describe_failures
from remote.together import for_each


@dataclass(frozen=True)
class Discovered:
    """What was seen on one machine, without being root."""

    name: str
    """As ssh knows it."""
    user: str
    """Who logged in."""
    machine: MachineState
    network: NetworkState
    keepalived: str | None
    """The installed version."""


class Unreachable(ClusterError):
    """Machines that can't be reached or read; a line that says why, for each."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(describe_failures(reasons))
        self.lines = [f"{name}: {why}" for name, why in reasons.items()]


def connect(names: list[str], connection: dict[str, Any]) -> list[Host]:
    """Log in to these machines at the same time, by pyinfra's connection data. Raises `Unreachable`."""
    state = State(check_for_changes=False)
    ctx_state.set(state)
    inventory = Inventory((names, connection))
    state.init(inventory, Config(CONNECT_TIMEOUT=CONNECT_TIMEOUT))
    hosts = [inventory.get_host(name) for name in names]
    if reasons := connect_hosts(hosts):
        raise Unreachable(reasons)
    return hosts


def discover(hosts: list[Host]) -> list[Discovered]:
    """What these machines are; they are read at the same time. Raises `Unreachable`."""
    found = dict(zip((host.name for host in hosts), for_each(_discover, hosts), strict=True))
    if silent := [name for name, machine in found.items() if machine is None]:
        raise Unreachable(dict.fromkeys(silent, "it can be logged in to, and then answers no command"))
    return [machine for machine in found.values() if machine]


def _discover(host: Host) -> Discovered | None:
    facts: dict[str, tuple[type[FactBase[Any]], dict[str, Any]]] = {
        "user": (User, {}),
        "machine": (Machine, {"modules": BASIC}),
        "network": (Network, {}),
        "packages": (Packages, {"packages": ["keepalived"]}),
    }
    # Without sudo: where it asks for a password, pyinfra would too.
    found = read(host, BatchFacts, _sudo=False, facts=facts)
    if not found:
        return None
    return Discovered(host.name, keepalived=found.pop("packages").get("keepalived"), **found)


def address_conflicts(host: Host, addresses: dict[str, str], sudo: bool) -> dict[str, str]:
    """By address: whether another machine beside this host has it, `free`, `taken` or `unknown`. `addresses` names the
    host's interfaces to ask on; `sudo` says that it takes sudo to be root there, which must ask for no password."""
    found: dict[str, str] = read(host, AddressConflicts, _sudo=sudo, addresses=addresses) or {}
    return {address: found.get(address, "unknown") for address in addresses}
