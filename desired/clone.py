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
"""The systemd unit that makes the change, so that a lost connection does not end it."""
RUN = f"{CLONE}/run"
"""The script that this unit runs."""
WINDOW = 30
"""Seconds for the deploy to confirm the new address. Going back takes some more, 60 at most in all."""


@dataclass(frozen=True)
class Plan:
    """What makes a clone the node that it should be."""

    hardware: list[str]
    """The hardware identifiers to be recorded."""
    hostname: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    """New addresses by old ones."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Addresses, UUIDs and MACs to be replaced in the files that configure the network."""
    profiles: list[str] = field(default_factory=list)
    """The files that hold an address to be replaced: their connections must be made anew."""
    begun: bool = False
    """Whether it has its address already, and the rest is to be finished."""


def hardware(identity: IdentityState, interface: str) -> list[str]:
    """What a disk copy does not carry: the interface's MAC address, and the machine's UUID if it has one."""
    return [value for value in (identity["links"].get(interface, ""), identity["product"]) if value]


def plan(cluster: Cluster, node: Node, identity: IdentityState, others: dict[str, str]) -> Plan | None:
    """How the machine with this identity becomes this node; None when it is already.

    `others` are new addresses by old ones, beside those that the inventory names. Raises
    `ClusterError` when the machine is not a clone of one of the cluster's nodes, or may be that node itself.
    """
    present = hardware(identity, cluster.interface_of(node))
    if {str(address) for address in node.addresses} <= set(identity["addresses"]):
        return Plan(present, begun=True) if identity["stages"] else None
    source = _source(cluster, node, identity)
    _check_hardware(node, source, identity["recorded"], present)

    addresses = {str(address): str(node.at(address.version)) for address in source.addresses}
    addresses |= others
    profiles = identity["profiles"]
    static = {address: path for path, profile in profiles.items() for address in profile["addresses"]}
    for address in map(str, source.addresses):
        if address not in static:
            raise ClusterError(
                f"nodes.{node.name}: its present address {address} is in no ifcfg file and no NetworkManager "
                "keyfile; write it there, so that it can be replaced"
            )
    for address, path in static.items():
        if address not in addresses and not address.startswith("127."):
            raise ClusterError(
                f"clone_addresses: {path} has {address}, too, which {source.name} keeps; name the one that "
                f'{node.name} gets instead: --data clone_addresses=\'{{"{address}": "…"}}\''
            )
    return Plan(
        hardware=present,
        hostname=hostname(identity["hostname"], source.name, node.name),
        addresses=addresses,
        replaced=addresses | _replaced(identity, node, cluster.interface_of(node), set(addresses)),
        profiles=sorted({static[old] for old, new in addresses.items() if old in static and old != new}),
    )


def _source(cluster: Cluster, node: Node, identity: IdentityState) -> Node:
    """The node whose address the machine has."""
    for peer in cluster.peers(node):
        if any(str(address) in identity["addresses"] for address in peer.addresses):
            return peer
    has = ", ".join(identity["addresses"]) or "none"
    raise ClusterError(
        f"nodes.{node.name}: the machine's addresses ({has}) are no other node's, so it is not a clone of one; "
        f"give it {node.address} by hand, or correct inventory.py"
    )


def _check_hardware(node: Node, source: Node, recorded: list[str], present: list[str]) -> None:
    """Raise `ClusterError` unless the hardware differs: nothing else tells a clone from its source."""
    if not recorded:
        raise ClusterError(
            f"nodes.{node.name}: can't tell whether this machine is {source.name} or a clone of it: no hardware is "
            f"recorded on its disk; run deploy.py on {source.name}, and clone it after that"
        )
    if same := [value for value in present if value in recorded]:
        raise ClusterError(
            f"nodes.{node.name}: this machine is {source.name} itself and no clone of it, by its hardware "
            f"({', '.join(same)}); power {source.name} off, and boot the clone with a MAC address and a UUID of its own"
        )


def hostname(present: str, source: str, name: str) -> str:
    """The clone's host name: its node's name, in the domain of its source's host name. A host name has no underscores (RFC
    1123), which ssh's name of a machine may have."""
    source, name = source.replace("_", "-"), name.replace("_", "-")
    domain = present.removeprefix(source) if present.startswith(f"{source}.") else ""
    return name + domain


def _replaced(identity: IdentityState, node: Node, interface: str, addresses: set[str]) -> dict[str, str]:
    """Connection UUIDs and MAC addresses of the source, and those of the node in their place."""
    replaced = {}
    for profile in identity["profiles"].values():
        if profile["uuid"]:
            replaced[profile["uuid"]] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{profile['uuid']} {node.name}"))
        link = profile["interface"] or (interface if addresses & set(profile["addresses"]) else "")
        mac = identity["links"].get(link, "")
        if mac and profile["mac"] not in ("", mac):
            replaced[profile["mac"]] = mac
    return replaced


def check_conflicts(node: Node, plan: Plan, conflicts: dict[str, str]) -> None:
    """Raise `ClusterError` unless no other machine has an address that this one has or is to have.

    `conflicts` is what `facts.clone.AddressConflicts` reads.
    """
    for old, new in plan.addresses.items():
        for address in dict.fromkeys((old, new)):
            status = conflicts.get(address, "unknown")
            if status == "unknown":
                raise ClusterError(
                    f"nodes.{node.name}: can't find out whether another machine has {address}; install iputils "
                    "there, which brings arping"
                )
            if status == "taken":
                remedy = "power it off" if address == old else "power it off, or choose a free address"
                raise ClusterError(
                    f"nodes.{node.name}: another machine answers for {address} at the same time; {remedy}"
                )


def other_addresses(given: object) -> dict[str, str]:
    """New addresses by old ones, as `--data clone_addresses=…` gives them. Raises `ClusterError`."""
    remedy = 'write it as \'{"2001:db8::11": "2001:db8::12"}\', new addresses by old ones'
    if not isinstance(given, dict):
        raise ClusterError(f"clone_addresses: {given!r} is not a dictionary; {remedy}")
    try:
        return {str(ip_address(old)): str(ip_address(new)) for old, new in given.items()}
    except ValueError as error:
        raise ClusterError(f"clone_addresses: {error}; {remedy}") from None


def edits(replaced: dict[str, str]) -> str:
    """A sed script that replaces addresses, UUIDs and MAC addresses in any file, but no part of a word."""
    end = "[^0-9A-Fa-f:.-]"
    escaped = {old.replace(".", r"\."): new for old, new in sorted(replaced.items()) if old != new}
    return "\n".join(rf"s/\(^\|{end}\){old}\($\|{end}\)/\1{new}\2/gI" for old, new in escaped.items())


def script() -> str:
    """What is run on the clone: `files/clone.sh`, after the variables that it uses."""
    variables = {"folder": CLONE, "unit": UNIT, "reboot": CLONE_REBOOT, "hardware": HARDWARE}
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    return assignments + program("clone.sh")
