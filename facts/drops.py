"""Datagrams that a machine has lost at full sockets."""

from __future__ import annotations

from pyinfra.api import FactBase


def parse_drops(output: list[str]) -> int:
    """The lines of /proc/net/snmp and snmp6 (proc(5)): a pair `Udp: NAME…`, `Udp: VALUE…`, and `Udp6RcvbufErrors VALUE`."""
    drops = 0
    names: list[str] = []
    for line in output:
        words = line.split()
        if words[:1] == ["Udp6RcvbufErrors"]:
            drops += int(words[1])
        elif words[:1] == ["Udp:"]:
            if names:
                drops += int(dict(zip(names, words, strict=False)).get("RcvbufErrors", "0"))
            names = words
    return drops


class SocketDrops(FactBase[int]):
    """
    How many datagrams have come to a full UDP socket since the boot.

    .. code:: python

        0
    """

    def command(self) -> str:
        return "cat /proc/net/snmp /proc/net/snmp6 2>/dev/null || true"

    def process(self, output: list[str]) -> int:
        return parse_drops(output)
