"""Where a machine is in its networks."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api import FactBase


class NetworkState(TypedDict):
    """The machine's own address that this login came to, the interface of its default route, and its global addresses
    by interface, each with its prefix length. What is not known is empty."""

    reached: str
    default: str
    addresses: dict[str, list[str]]


def parse_network(output: list[str]) -> NetworkState:
    """Lines that begin with `login`, `route` or `address`."""
    network = NetworkState(reached="", default="", addresses={})
    for line in output:
        kind, *words = line.split()
        if kind == "login" and len(words) > 2:  # SSH_CONNECTION: 192.0.2.99 50022 192.0.2.11 22
            network["reached"] = words[2].split("%")[0]
        elif kind == "route" and "dev" in words[:-1] and not network["default"]:
            network["default"] = words[words.index("dev") + 1]
        elif kind == "address" and len(words) > 3 and not {"temporary", "deprecated"} & set(words):
            network["addresses"].setdefault(words[1], []).append(words[3])
    return network


class Network(FactBase[NetworkState]):
    """The addresses of a machine, and which of its interfaces leads to others.

    ```
    {"reached": "192.0.2.11", "default": "ens33", "addresses": {"ens33": ["192.0.2.11/24", "2001:db8::11/64"]}}
    ```
    """

    @staticmethod
    def default() -> NetworkState:
        return parse_network([])

    def command(self) -> str:
        return (
            "PATH=$PATH:/usr/sbin:/sbin; "
            "echo login $SSH_CONNECTION; "
            "for family in -4 -6; do ip $family -o route show default; done | sed 's/^/route /'; "
            "ip -o addr show scope global | sed 's/^/address /'"
        )

    def process(self, output: list[str]) -> NetworkState:
        return parse_network(output)
