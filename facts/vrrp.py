"""Who holds a virtual address."""

from __future__ import annotations

from pyinfra.api import FactBase

_END = "end"


def parse_interfaces(output: list[str]) -> list[str] | None:
    """The interfaces in `ip -o addr`'s lines, such as `2: eth0    inet 192.0.2.10/32 scope global eth0`.

    None without the line `end`: `ip` failed.
    """
    if _END not in output:
        return None
    return [line.split()[1] for line in output if line != _END]


class Interfaces(FactBase[list[str] | None]):
    """The interfaces that carry the IPv4 address `vip`: VRRP has it on the MASTER only (RFC 3768, 6.4)."""

    def command(self, vip: str) -> str:
        # Not `ip -j`: EL 7's has no JSON.
        return f"ip -o -4 addr show to {vip} && echo {_END} || true"

    def process(self, output: list[str]) -> list[str] | None:
        return parse_interfaces(output)
