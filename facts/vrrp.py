"""Which interfaces of a node carry a VIP, and whether keepalived hears adverts."""

from __future__ import annotations

import shlex

from pyinfra.api import FactBase

_END = "end "


def parse_held(output: list[str]) -> dict[str, list[str]] | None:
    """The interfaces in lines of `ip -o addr`, such as `2: eth0    inet 192.0.2.10/32 scope global eth0`.

    The last line is `end` and the VIPs. None without it, because `ip` has failed then.
    """
    if not output or not output[-1].startswith(_END):
        return None
    held: dict[str, list[str]] = {vip: [] for vip in output[-1].removeprefix(_END).split()}
    for line in output[:-1]:
        words = line.split()
        if (vip := words[3].split("/")[0]) in held and words[1] != "lo":
            held[vip].append(words[1])
    return held


class VipInterfaces(FactBase[dict[str, list[str]] | None]):
    """
    For each of these VIPs, the interfaces that carry it: on the MASTER there is one (RFC 5798, section 6.4).

    The loopback interface does not count: with direct routing every node has the VIP there. None if `ip`
    fails.

    .. code:: python

        {"192.0.2.10": ["eth0"]}
    """

    def command(self, vips: list[str]) -> str:
        # Not `ip -j`: EL 7's has no JSON.
        return f"ip -o addr show && echo {_END}{shlex.join(vips)} || true"

    def process(self, output: list[str]) -> dict[str, list[str]] | None:
        return parse_held(output)


def parse_loopback(output: list[str]) -> list[str] | None:
    """The addresses in lines of `ip -o addr`. None without a last line `end`: `ip` has failed then."""
    if not output or output[-1] != _END.strip():
        return None
    return [line.split()[3].split("/")[0] for line in output[:-1]]


class LoopbackAddresses(FactBase[list[str] | None]):
    """
    The addresses of the loopback interface: with direct routing the VIPs are there. None if `ip` fails.

    .. code:: python

        ["127.0.0.1", "192.0.2.10", "::1"]
    """

    def command(self) -> str:
        return f"ip -o addr show dev lo && echo {_END.strip()} || true"

    def process(self, output: list[str]) -> list[str] | None:
        return parse_loopback(output)


def parse_advert_sockets(output: list[str]) -> list[int] | None:
    """Lines `raw` (IPv4) and `raw6`, and a last line `end`; None without that."""
    if not output or output[-1] != _END.strip():
        return None
    return [6 if table == "raw6" else 4 for table in output[:-1]]


class AdvertSockets(FactBase[list[int] | None]):
    """
    The IP versions for which a program has a raw socket for VRRP, protocol 112 (0x70), in this network.

    keepalived closes its own when its interface goes, and may never open them again (`logstash_ha_links.py`).

    .. code:: python

        [4, 6]
    """

    def command(self) -> str:
        return (
            "for table in raw raw6; do { while read -r _ socket _; do case $socket in *:0070) echo $table; break;; esac; "
            f"done </proc/net/$table; }} 2>/dev/null; done; echo {_END.strip()}"
        )

    def process(self, output: list[str]) -> list[int] | None:
        return parse_advert_sockets(output)
