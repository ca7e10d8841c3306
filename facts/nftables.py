"""The nftables tables of our own."""

from __future__ import annotations

import re

from pyinfra.api import FactBase

_TABLE = re.compile(r"table (\w+) \w+ \{")
_CHAIN = re.compile(r"chain (\w+) \{")


def parse_tables(output: list[str]) -> list[str]:
    """The rules in what `nft list table` prints, each as `FAMILY CHAIN RULE`."""
    rules, family, chain = [], "", ""
    for line in map(str.strip, output):
        if match := _TABLE.match(line):
            family = match[1]
        elif match := _CHAIN.match(line):
            chain = match[1]
        elif line and line != "}" and not line.startswith(("#", "type ")):
            rules.append(f"{family} {chain} {line}")
    return rules


class TableRules(FactBase[list[str]]):
    """
    The rules of the table `table` of each of these families; none where there is no such table. Needs root.

    .. code:: python

        ["ip postrouting ip daddr 192.0.2.12 tcp dport 6514 snat to 192.0.2.11"]
    """

    default = list

    def command(self, table: str, families: list[str]) -> str:
        # -nn: numbers, whatever the version of nft.
        lists = (f"nft -nn list table {family} {table} 2>/dev/null" for family in families)
        return "; ".join([*lists, "true"])

    def process(self, output: list[str]) -> list[str]:
        return parse_tables(output)
