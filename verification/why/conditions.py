"""What rules ask of a packet: addresses, ports, interfaces and the like, in the spellings of nft(8) and iptables(8). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from cluster import Address
from verification.why.ruleset import Condition, Packet

PROTOCOLS = {"6": "tcp", "17": "udp"}
Sets = dict[str, list[str]]
"""The elements of each set, by its name."""
_NEW = {"new", "untracked", "8", "64"}
"""The states of a flow's first packet (nft(8), CONNTRACK EXPRESSIONS): the numbers are those of `nft -nn`."""


def negated(condition: Condition, negate: bool) -> Condition:
    """The condition, or its opposite."""

    def opposite(packet: Packet) -> bool | None:
        found = condition(packet)
        return None if found is None else not found

    return opposite if negate else condition


def unknown(_: Packet) -> None:
    """What can't be told of a packet."""


def address(of: str, values: list[str], sets: Sets) -> Condition:
    """Whether its `source` or `destination` is among addresses, networks, ranges and `@SET`."""

    def condition(packet: Packet) -> bool | None:
        return _among(getattr(packet, of), values, sets)

    return condition


def _among(address: Address, values: Iterable[str], sets: Sets) -> bool | None:
    unclear = False
    for value in values:
        if value.startswith("@"):
            found = _among(address, sets[value[1:]], {}) if value[1:] in sets else None
        else:
            found = _is_in(address, value)
        if found:
            return True
        unclear |= found is None
    return None if unclear else False


def _is_in(address: Address, value: str) -> bool | None:
    first, dash, last = value.partition("-")
    try:
        if dash:
            low, high = ip_address(first), ip_address(last)
            return low.version == address.version and int(low) <= int(address) <= int(high)
        return address in ip_network(value, strict=False)
    except ValueError:  # a name, or several fields together
        return None


def port(values: list[str]) -> Condition:
    """Whether its destination port is among ports and ranges, with `-` or `:`."""

    def condition(packet: Packet) -> bool | None:
        unclear = False
        for value in values:
            part = re.split("[-:]", value)
            if not all(each.isdigit() for each in part):
                unclear = True
            elif int(part[0]) <= packet.port <= int(part[-1]):
                return True
        return None if unclear else False

    return condition


def protocol(values: list[str]) -> Condition:
    """Whether it is of one of these protocols, by name or number."""
    names = {PROTOCOLS.get(value, value) for value in values}
    return lambda packet: packet.protocol in names


def version(number: int) -> Condition:
    """Whether it is a packet of IPv4 or of IPv6."""
    return lambda packet: packet.source.version == number


def interface(values: list[str]) -> Condition:
    """Whether its interface has one of these names; a `*` or `+` at the end stands for any more letters."""

    def condition(packet: Packet) -> bool:
        return any(
            packet.interface.startswith(value[:-1]) if value[-1:] in "*+" else packet.interface == value
            for value in values
        )

    return condition


def mac(values: list[str]) -> Condition:
    """Whether it comes from one of these MAC addresses."""
    return lambda packet: None if packet.mac is None else packet.mac in {value.lower() for value in values}


def state(values: list[str]) -> Condition:
    """Whether connection tracking finds it in one of these states: it is new, or not tracked."""
    known = {str(int(value, 16)) if value.startswith("0x") else value.lower() for value in values}
    return _constant(bool(known & _NEW))


def _constant(value: bool) -> Condition:
    return lambda _: value


NEVER: Condition = _constant(False)
"""What a flow's first packet never is."""
