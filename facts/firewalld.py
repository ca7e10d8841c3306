"""firewalld's rules in an interface's zone, and its direct rules."""

from __future__ import annotations

import shlex
from typing import TypedDict

from pyinfra.api import FactBase


class RulesState(TypedDict):
    """Rules in force, and of the next start, in firewalld's own spelling.

    A rich rule begins with `rule` (firewalld.richlanguage(5)), a direct rule with `ipv4`, `ipv6` or `eb`
    (firewalld.direct(5): table, chain, priority, arguments).
    """

    zone: str
    runtime: list[str]
    permanent: list[str]


def parse_rules(output: list[str]) -> RulesState | None:
    """`busctl`'s answers: the zone, rich and direct rules in force, rich and direct rules kept; else None."""
    try:
        zone, rich, direct, rich_kept, direct_kept = (_values(line) for line in output)
    except ValueError:
        return None
    return RulesState(
        zone=zone[0],
        runtime=rich[1:] + _direct_rules(direct),
        permanent=rich_kept[1:] + _direct_rules(direct_kept),
    )


def _values(answer: str) -> list[str]:
    """An answer without its signature: strings are quoted as in C, and arrays begin with their length."""
    return shlex.split(answer)[1:]


def _direct_rules(values: list[str]) -> list[str]:
    """Of a(sssias): family, table, chain, priority, and an array of arguments."""
    rules = []
    place = 1
    while place < len(values):
        end = place + 5 + int(values[place + 4])
        rules.append(" ".join(values[place : place + 4] + values[place + 5 : end]))
        place = end
    return rules


class FirewallRules(FactBase[RulesState | None]):
    """The rich rules of the zone that `interface` is in, and all direct rules (firewalld.dbus(5)).

    By D-Bus, since each call of firewall-cmd starts a Python of its own. None where firewalld does not
    run. Needs root.
    """

    def command(self, interface: str) -> str:
        return (
            'call() { object=$1 of=$2; shift 2; busctl call "$name" "$object" "$name$of" "$@"; }'
            " && name=org.fedoraproject.FirewallD1 && top=/org/fedoraproject/FirewallD1"
            f" && zone=$(call $top .zone getZoneOfInterface s {shlex.quote(interface)})"
            " && { [ \"$zone\" != 's \"\"' ] || zone=$(call $top '' getDefaultZone); }"
            ' && echo "$zone" && zone=$(echo "$zone" | cut -d \'"\' -f 2)'
            ' && call $top .zone getRichRules s "$zone"'
            " && call $top .direct getAllRules"
            ' && kept=$(call $top/config .config getZoneByName s "$zone" | cut -d \'"\' -f 2)'
            ' && call "$kept" .config.zone getRichRules'
            " && call $top/config .config.direct getAllRules || true"
        )

    def process(self, output: list[str]) -> RulesState | None:
        return parse_rules(output)
