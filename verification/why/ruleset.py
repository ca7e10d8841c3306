"""What the rules in a kernel do with a packet, whoever has put them there. Pure.

`nft_rules` and `iptables_rules` read them; a packet goes through them as nft(8) and iptables(8) say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cluster import Address

HOOKS = ("ingress", "prerouting", "input")
"""The hooks that a packet to the machine itself comes to, in this order."""
HOOKS_OUT = ("output", "postrouting")
"""The hooks that a packet which IPVS sends on comes to."""
DENY = ("drop", "reject", "divert")
"""What a rule does that keeps a packet from its destination; `divert` is another destination."""


@dataclass(frozen=True)
class Packet:
    """The first packet of a flow."""

    source: Address
    destination: Address
    protocol: str
    """`udp` or `tcp`."""
    port: int
    interface: str
    """Where it comes in, or goes out."""
    mac: str | None = None
    """The MAC address that it comes from, where it is known."""


Condition = Callable[[Packet], bool | None]
"""Whether a packet meets it; None where that can't be told."""


@dataclass(frozen=True)
class Rule:
    """A rule of a chain."""

    conditions: tuple[Condition, ...]
    action: str | None
    """`accept`, `drop`, `reject`, `divert`, `return`, `jump`, `goto`, or None where the packet just goes on."""
    target: str
    """The chain to jump or go to."""
    text: str
    handle: str = ""
    """nft's number of it."""


@dataclass
class Chain:
    """A chain; a base chain has a hook."""

    name: str
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    rules: list[Rule] = field(default_factory=list)


@dataclass
class Table:
    """A table. `family` is nft's: `ip`, `ip6`, `inet` or `netdev`."""

    program: str
    """`nft` or `iptables`."""
    family: str
    name: str
    chains: dict[str, Chain] = field(default_factory=dict)


@dataclass(frozen=True)
class Denial:
    """The rule that keeps a packet from its destination, or the policy of its chain where `rule` is None."""

    table: Table
    chain: Chain
    rule: Rule | None
    certain: bool
    """False where a rule before it may have decided otherwise."""


class _Walk:
    """The way of one packet through the chains of a table."""

    def __init__(self, table: Table, packet: Packet) -> None:
        self.table, self.packet = table, packet
        self.certain = True

    def through(self, chain: Chain, depth: int = 0) -> Denial | str | None:
        """A denial, `accept`, or None where the chain ends without a verdict."""
        for rule in chain.rules if depth < 16 else ():
            found = [condition(self.packet) for condition in rule.conditions]
            if rule.action is None or False in found:
                continue
            if None in found:  # it may be meant for this packet
                self.certain = False
                continue
            if rule.action in DENY:
                return Denial(self.table, chain, rule, self.certain)
            if rule.action == "accept":
                return "accept"
            if rule.action == "return":
                return None
            target = self.table.chains.get(rule.target)
            verdict = self.through(target, depth + 1) if target else None
            if verdict or rule.action == "goto":
                return verdict
        return None


def denial(tables: list[Table], packet: Packet, hooks: tuple[str, ...] = HOOKS) -> Denial | None:
    """What keeps a packet from its destination on its way through these hooks; None where nothing does."""
    for hook in hooks:
        bases = [
            (chain.priority, table, chain)
            for table in tables
            if _sees(table, packet)
            for chain in table.chains.values()
            if chain.hook == hook
        ]
        for _, table, chain in sorted(bases, key=lambda each: each[0]):
            walk = _Walk(table, packet)
            verdict = walk.through(chain)
            if isinstance(verdict, Denial):
                return verdict
            if verdict is None and chain.policy == "drop":
                return Denial(table, chain, None, walk.certain)
    return None


def _sees(table: Table, packet: Packet) -> bool:
    return table.family in ("inet", "netdev", "ip" if packet.source.version == 4 else "ip6")
