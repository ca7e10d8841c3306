"""The nftables tables of our own, one for each family, and the unit that loads them at boot (the recipe's step 9).

They are of the families `ip` and `ip6`, since the kernel of Enterprise Linux 8 translates no addresses in `inet`. A
rule is a string such as `ip postrouting ip daddr 192.0.2.12 tcp dport 6514 snat to 192.0.2.11`: the table's family,
the chain, and the rule as nft(8) lists it. The record has an entry `table FAMILY` for each.
"""

from __future__ import annotations

from collections.abc import Iterable

from cluster import Cluster, Node
from desired.render import render
from desired.textfile import TextFile
from desired.translation import Translation, translations
from desired.unit import Unit

TABLE = "logstash_ha"
UNIT = "logstash-ha-nftables"
FILE = f"/etc/systemd/system/{UNIT}.service"
RULES = "/etc/nftables/logstash-ha.nft"
"""Beside the files of the package nftables, where SELinux lets it read."""

# Before all other programs' translation, which is at 100 (iptables) or later: the first one that matches counts.
# Connections are tracked from -200 on.
CHAINS = {
    "prerouting": "type filter hook prerouting priority -300; policy accept;",
    "postrouting": "type nat hook postrouting priority 90; policy accept;",
    "input": "type nat hook input priority 90; policy accept;",
}


def rules(cluster: Cluster, node: Node) -> list[str]:
    """The rules of this node's tables."""
    return list(map(_rule, translations(cluster, node)))


def _rule(translation: Translation) -> str:
    family = "ip" if translation.destination.version == 4 else "ip6"
    match = f"{family} daddr {translation.destination} {translation.protocol} dport {translation.port}"
    if translation.source is None:
        return f"{family} prerouting {match} notrack"
    if translation.vip is not None:
        return f"{family} input ct original {family} daddr {translation.vip} {match} snat to {translation.source}"
    return f"{family} postrouting {match} snat to {translation.source}"


def families(rules: Iterable[str]) -> list[str]:
    """The families of these rules' tables."""
    return list(dict.fromkeys(rule.split(" ", 1)[0] for rule in rules))


def additions(rules: Iterable[str]) -> str:
    """What nft(8) reads to add these rules to the tables, which are made where they are missing."""
    rules = list(rules)
    lines = [line for family in families(rules) for line in [*_empty(family), ""]]
    lines += ["add rule {} {} {} {}".format(*_parts(rule)) for rule in rules]
    return "\n".join(lines) + "\n"


def _parts(rule: str) -> tuple[str, str, str, str]:
    family, chain, text = rule.split(" ", 2)
    return family, TABLE, chain, text


def _empty(family: str) -> list[str]:
    """A table with its chains; where there is one already, it keeps its rules."""
    chains = [f"    chain {name} {{ {hook} }}" for name, hook in CHAINS.items()]
    return [f"table {family} {TABLE} {{", *chains, "}"]


def content(rules: list[str]) -> str:
    """What nft(8) reads to replace the tables in one step: no packet meets a half of them, or none."""
    lines = ["# Written by the deploy: changes made here are undone by the next one."]
    for family in families(rules):
        # A table that does not exist can't be deleted, so it is made first.
        lines += [f"table {family} {TABLE}", f"delete table {family} {TABLE}"]
    return "\n".join(lines) + "\n" + additions(rules)


def files(cluster: Cluster, node: Node, own_table: bool) -> list[TextFile]:
    """The tables, and the unit that loads them at boot; none where direct rules translate, or nothing does."""
    if not own_table:
        return []
    return [
        TextFile(RULES, content(rules(cluster, node)), step=9, mode="600", check='nft --check --file "$new"'),
        TextFile(FILE, render("nftables.service.j2", file=RULES), step=9, read_by=UNIT),
    ]


def unit(cluster: Cluster, node: Node) -> Unit:
    """The service that loads the tables. They stay when it stops: a restart leaves no gap, and `nftables.pruned`
    removes what is no longer desired."""
    probe = " && ".join(
        f"nft list table {family} {TABLE} >/dev/null" for family in families(rules(cluster, node))
    )
    return Unit(UNIT, probe=probe)


def missing(rules: list[str], present: list[str]) -> list[str]:
    """The rules that the tables do not have."""
    return [rule for rule in rules if rule not in present]


def extra(rules: list[str], present: list[str]) -> list[str]:
    """The rules of the tables that are not desired, or there more than once."""
    return [rule for number, rule in enumerate(present) if rule not in rules or rule in present[:number]]
