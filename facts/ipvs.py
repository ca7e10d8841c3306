"""IPVS, the kernel's load balancer: virtual servers and their real servers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TypedDict

from pyinfra.api import FactBase


def socket_name(address: IPv4Address | IPv6Address, port: int) -> str:
    """An address with its port, as ipvsadm(8) writes it: `192.0.2.10:5514` or `[2001:db8::10]:5514`."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def host_of(name: str) -> str:
    """The address alone, of what `socket_name` writes."""
    return name.rpartition(":")[0].strip("[]")


class RealServerState(TypedDict):
    """`forward` is ipvsadm's word: `Masq` for NAT, `Route`, `Tunnel` or `Local`."""

    address: str
    forward: str
    weight: int


class VirtualServerState(TypedDict):
    """`address` is `IP:port`, or with the `protocol` `FWM` a firewall mark; `flags` follow the scheduler."""

    protocol: str
    address: str
    scheduler: str
    flags: list[str]
    real_servers: list[RealServerState]


def parse_virtual_servers(output: list[str]) -> list[VirtualServerState] | None:
    """What `ipvsadm -ln` prints; None without its heading.

    A virtual server is a line such as `UDP  192.0.2.10:5514 rr ops`, and each of its real servers one such as
    `  -> 192.0.2.11:5514   Masq    1      0          0` below it.
    """
    if not output or not output[0].startswith("IP Virtual Server"):
        return None
    servers: list[VirtualServerState] = []
    for line in output[3:]:
        words = line.split()
        if words and words[0] == "->":
            _, address, forward, weight, *_ = words
            servers[-1]["real_servers"].append(
                RealServerState(address=address, forward=forward, weight=int(weight))
            )
        elif words:
            protocol, address, scheduler, *flags = words
            servers.append(
                VirtualServerState(
                    protocol=protocol, address=address, scheduler=scheduler, flags=flags, real_servers=[]
                )
            )
    return servers


class VirtualServers(FactBase[list[VirtualServerState] | None]):
    """
    The virtual servers; None where ip_vs is not loaded or ipvsadm is not installed. Needs root.

    .. code:: python

        [
            {
                "protocol": "UDP",
                "address": "192.0.2.10:5514",
                "scheduler": "rr",
                "flags": ["ops"],
                "real_servers": [{"address": "192.0.2.11:5514", "forward": "Masq", "weight": 1}],
            },
        ]
    """

    def command(self) -> str:
        # The file shows that the module is loaded; ipvsadm would load it.
        return "test -e /proc/net/ip_vs && ipvsadm -ln 2>/dev/null || true"

    def process(self, output: list[str]) -> list[VirtualServerState] | None:
        return parse_virtual_servers(output)


class DrainFlags(FactBase[list[str]]):
    """
    The addresses of the nodes that this director keeps out of its pools: the names of the files in `folder`.

    .. code:: python

        ["192.0.2.11"]
    """

    default = list

    def command(self, folder: str) -> str:
        return f'for flag in {folder}/*; do [ ! -e "$flag" ] || echo "${{flag##*/}}"; done'

    def process(self, output: list[str]) -> list[str]:
        return output
