"""From what was seen on machines to an inventory to start from: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from cluster import Cluster, ClusterError, Network
from cluster.errors import listed
from cluster.model import NEWEST
from desired.requirements import machine_problems, supported_release
from facts.packages import version_key
from remote.discovery import Discovered

ROOT = "root"
_FAMILY = {4: "IPv4", 6: "IPv6"}


@dataclass(frozen=True)
class Proposal:
    """What the inventory says, as `define` takes it."""

    nodes: dict[str, list[str]]
    """Addresses by name."""
    networks: list[str]
    interface: str
    """That of the first node."""
    other_interfaces: dict[str, str]
    """By name: those of nodes with another one."""
    vips: list[str]
    senders: list[str]
    logstash: int
    vrrp: int
    """2 where a node's Enterprise Linux is 7, else 3."""
    connection: dict[str, str | bool]
    """pyinfra's connection data."""


def propose(
    machines: Sequence[Discovered], connection: Mapping[str, str], vips: list[str], senders: list[str]
) -> Proposal:
    """The inventory of a cluster of these machines, reached by this connection data.

    Raises `ClusterError` where they have no network in common for the VIPs; the rest is for the model to check.
    """
    common = common_networks(machines)
    families = sorted({_family(vip) for vip in vips} or {4})
    for version in families:
        if version not in common:
            networks = " or ".join(map(str, common.values()))
            raise ClusterError(
                f"vip: it is {_FAMILY[version]}, and the nodes have no {_FAMILY[version]} network in common; "
                f"choose an address in {networks}"
            )
    return Proposal(
        nodes={
            machine.name: [
                str(interface.ip) for version in families if (interface := own_address(machine, version))
            ]
            for machine in machines
        },
        networks=[str(common[version]) for version in families],
        interface=main_interface(machines[0]),
        other_interfaces={
            machine.name: name
            for machine in machines
            if (name := main_interface(machine)) != main_interface(machines[0])
        },
        vips=vips,
        senders=senders,
        logstash=_logstash(machines),
        vrrp=2 if any(supported_release(machine.machine) == 7 for machine in machines) else 3,
        connection={**connection, **({"_sudo": True} if needs_sudo(machines) else {})},
    )


def main_interface(machine: Discovered) -> str:
    """The interface by which the machine was reached; else that of its default route, else the first with an address."""
    addresses = {name: found for name, found in machine.network["addresses"].items() if name != "lo"}
    for name, found in addresses.items():
        if machine.network["reached"] in (address.partition("/")[0] for address in found):
            return name
    return machine.network["default"] or next(iter(addresses), "")


def own_address(machine: Discovered, version: int) -> IPv4Interface | IPv6Interface | None:
    """The address of this family, 4 or 6, on its main interface: the one it was reached at, else the first with a network.
    A VIP's prefix is as long as the address, and has none."""
    found = [
        interface
        for interface in map(ip_interface, machine.network["addresses"].get(main_interface(machine), []))
        if interface.version == version and interface.network.prefixlen < interface.max_prefixlen
    ]
    reached = [interface for interface in found if str(interface.ip) == machine.network["reached"]]
    return next(iter(reached + found), None)


def common_networks(machines: Sequence[Discovered]) -> dict[int, Network]:
    """The networks that all machines are in, by family. Raises `ClusterError` where there is none."""
    found: dict[int, Network] = {}
    for version in _FAMILY:
        networks = {
            interface and interface.network for interface in (own_address(m, version) for m in machines)
        }
        if len(networks) == 1 and (network := networks.pop()):
            found[version] = network
    if not found:
        places = listed(f"{machine.name} {_place(machine)}" for machine in machines)
        raise ClusterError(
            f"network: the nodes are in no network in common: {places}; name machines of one layer-2 network"
        )
    return found


def needs_sudo(machines: Sequence[Discovered]) -> bool:
    """Whether somebody other than root logs in."""
    return any(machine.user != ROOT for machine in machines)


def attention(cluster: Cluster, machines: Sequence[Discovered], conflicts: Mapping[str, str]) -> list[str]:
    """What a deploy would refuse, or would go wrong with, in a line each.

    `conflicts` says of each VIP whether another machine has it: `free`, `taken` or `unknown`.
    """
    lines = []
    for machine in machines:
        lines += machine_problems(cluster, cluster.node(machine.name), machine.machine)
    for vip in map(str, cluster.vips):
        holders = [machine.name for machine in machines if vip in _all_addresses(machine)]
        if holders:
            lines.append(
                f"vip: {listed(holders)} has {vip} already; if a cluster runs there, go on with its inventory"
            )
        elif conflicts.get(vip) == "taken":
            lines.append(f"vip: another machine answers for {vip} already; choose a free address")
        elif conflicts.get(vip) != "free":
            lines.append(
                f"vip: {machines[0].name} can't see whether {vip} is free; it needs sudo and arping, of iputils"
            )
    return lines


def _logstash(machines: Sequence[Discovered]) -> int:
    """The highest major that is installed, of those that the project knows; else the newest one."""
    installed = [version_key(found)[0] for machine in machines if (found := machine.machine["logstash"])]
    return max((major for major in installed if 6 <= major <= NEWEST), default=NEWEST)


def _family(address: str) -> int:
    """4 or 6; 4 for what is no address, which the model refuses."""
    try:
        return ip_address(address).version
    except ValueError:
        return 4


def _place(machine: Discovered) -> str:
    """A machine's networks, in words."""
    addresses = [own_address(machine, version) for version in _FAMILY]
    return " and ".join(f"is in {address.network}" for address in addresses if address) or "has none"


def _all_addresses(machine: Discovered) -> list[str]:
    return [address.partition("/")[0] for found in machine.network["addresses"].values() for address in found]
