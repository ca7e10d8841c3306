"""How a clone becomes the node that it should be (the recipe's step 10)."""

from __future__ import annotations

import shlex
import uuid
from dataclasses import dataclass, field
from ipaddress import ip_address

from cluster import Cluster, ClusterError, Node
from desired.paths import CLONE, CLONE_REBOOT, HARDWARE
from desired.render import program
from facts.clone import IdentityState

UNIT = "logstash-ha-clone"
"""The systemd unit of the change while it is under way, which no lost connection ends."""
RUN = f"{CLONE}/run"
"""The script that is run there."""
WINDOW = 30
"""Seconds in which the deploy must confirm the new address. Going back takes some more, within 60 in all."""


@dataclass(frozen=True)
class Plan:
    """What makes a clone the node that it should be."""

    hardware: list[str]
    """The hardware to be recorded."""
    hostname: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    """New addresses by old ones."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Addresses, UUIDs and MACs to be replaced in the files that configure the network."""
    profiles: list[str] = field(default_factory=list)
    """The files that hold an address to be replaced: their connections must be made anew."""
    begun: bool = False
    """It has its address already; the rest is to be finished."""


def hardware(identity: IdentityState, interface: str) -> list[str]:
    """Hardware identifiers that a disk copy does not carry: the interface's MAC, and the machine's UUID if it has one."""
    return [found for found in (identity["links"].get(interface, ""), identity["product"]) if found]


def plan(cluster: Cluster, node: Node, identity: IdentityState, others: dict[str, str]) -> Plan | None:
    """How the machine with this identity becomes this node; None when it is already.

    `others` are new addresses by old ones, beside those that the inventory names. Raises
    `ClusterError` when the machine is no clone of one of the cluster's nodes, or can't be told from one.
    """
    found = hardware(identity, cluster.interface)
    if {str(address) for address in node.addresses} <= set(identity["addresses"]):
        return Plan(found, begun=True) if identity["stages"] else None
    source = _source(cluster, node, identity)
    _check_hardware(node, source, identity["noted"], found)

    addresses = {str(address): str(node.at(address.version)) for address in source.addresses}
    addresses |= others
    profiles = identity["profiles"]
    static = {address: path for path, profile in profiles.items() for address in profile["addresses"]}
    for present in map(str, source.addresses):
        if present not in static:
            raise ClusterError(
                f"nodes.{node.name}: its present address {present} is in no ifcfg file and no NetworkManager "
                "keyfile; write it there, so that it can be replaced"
            )
    for address, path in static.items():
        if address not in addresses and not address.startswith("127."):
            raise ClusterError(
                f"clone_addresses: {path} has {address}, too, which {source.name} keeps; say what {node.name} "
                f'is to have instead: --data clone_addresses=\'{{"{address}": "…"}}\''
            )
    return Plan(
        hardware=found,
        hostname=hostname(identity["hostname"], source.name, node.name),
        addresses=addresses,
        replaced=addresses | _replaced(identity, node, cluster.interface, set(addresses)),
        profiles=sorted({static[old] for old, new in addresses.items() if old in static and old != new}),
    )


def _source(cluster: Cluster, node: Node, identity: IdentityState) -> Node:
    """The node whose address the machine has."""
    for peer in cluster.peers(node):
        if any(str(address) in identity["addresses"] for address in peer.addresses):
            return peer
    has = ", ".join(identity["addresses"]) or "none"
    raise ClusterError(
        f"nodes.{node.name}: the machine's addresses ({has}) are no other node's, so it is no clone of one; "
        f"give it {node.address} by hand, or correct inventory.py"
    )


def _check_hardware(node: Node, source: Node, noted: list[str], found: list[str]) -> None:
    """Only hardware tells a clone from its source: their disks are the same."""
    if not noted:
        raise ClusterError(
            f"nodes.{node.name}: can't tell whether this machine is {source.name} or a clone of it: its disk does "
            f"not name its hardware; run deploy.py on {source.name}, and clone it after that"
        )
    if same := [value for value in found if value in noted]:
        raise ClusterError(
            f"nodes.{node.name}: this machine is {source.name} itself and no clone of it, by its hardware "
            f"({', '.join(same)}); power {source.name} off, and boot the clone with a MAC and a UUID of its own"
        )


def hostname(present: str, source: str, name: str) -> str:
    """The clone's host name: as its node's name, in the domain that its source's host name has."""
    domain = present.removeprefix(source) if present.startswith(f"{source}.") else ""
    return name + domain


def _replaced(identity: IdentityState, node: Node, interface: str, addresses: set[str]) -> dict[str, str]:
    """Connection UUIDs and MACs of the source, and what the node has instead."""
    replaced = {}
    for profile in identity["profiles"].values():
        if profile["uuid"]:
            replaced[profile["uuid"]] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{profile['uuid']} {node.name}"))
        link = profile["interface"] or (interface if addresses & set(profile["addresses"]) else "")
        mac = identity["links"].get(link, "")
        if mac and profile["mac"] not in ("", mac):
            replaced[profile["mac"]] = mac
    return replaced


def check_alone(node: Node, plan: Plan, answering: dict[str, str]) -> None:
    """Raise `ClusterError` unless nobody else has an address that the machine has or is to have."""
    for old, new in plan.addresses.items():
        for address in dict.fromkeys((old, new)):
            status = answering.get(address, "unknown")
            if status == "unknown":
                raise ClusterError(
                    f"nodes.{node.name}: can't look whether another machine has {address}; install iputils, "
                    "which brings arping, there"
                )
            if status == "taken":
                mend = "power it off" if address == old else "power it off, or choose a free address"
                raise ClusterError(
                    f"nodes.{node.name}: another machine answers for {address} at the same time; {mend}"
                )


def other_addresses(given: object) -> dict[str, str]:
    """New addresses by old ones, as `--data clone_addresses=…` gives them. Raises `ClusterError`."""
    mend = 'write it as \'{"2001:db8::11": "2001:db8::12"}\', new addresses by old ones'
    if not isinstance(given, dict):
        raise ClusterError(f"clone_addresses: {given!r} is not a dictionary; {mend}")
    try:
        return {str(ip_address(old)): str(ip_address(new)) for old, new in given.items()}
    except ValueError as error:
        raise ClusterError(f"clone_addresses: {error}; {mend}") from None


def edits(replaced: dict[str, str]) -> str:
    """A sed script that replaces addresses, UUIDs and MACs in any file, and no part of a longer one."""
    end = "[^0-9A-Fa-f:.-]"
    whole = {old.replace(".", r"\."): new for old, new in sorted(replaced.items()) if old != new}
    return "\n".join(rf"s/\(^\|{end}\){old}\($\|{end}\)/\1{new}\2/gI" for old, new in whole.items())


def script() -> str:
    """What is run on the clone: `files/clone.sh`, with the names of the paths it uses."""
    paths = {"folder": CLONE, "unit": UNIT, "reboot": CLONE_REBOOT, "hardware": HARDWARE}
    names = "".join(f"{name}={shlex.quote(value)}\n" for name, value in paths.items())
    return names + program("clone.sh")
