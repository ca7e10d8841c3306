"""firewalld's rules in an interface's zone, and its direct rules."""

from __future__ import annotations

import shlex
from typing import TypedDict

from pyinfra.api import FactBase


class RulesState(TypedDict):
    """Rules in firewalld's own spelling: `runtime` those in force, `permanent` those of its next start.

    A rich rule begins with `rule` (firewalld.richlanguage(5)), a direct rule with `ipv4`, `ipv6` or `eb`
    (firewalld.direct(5): table, chain, priority, arguments).
    """

    zone: str
    runtime: list[str]
    permanent: list[str]


def parse_rules(output: list[str]) -> RulesState | None:
    """busctl's answers, a line each: the zone, the rich and the direct rules in force, the rich and the
    direct rules of the next start. None where any is missing."""
    try:
        zone, rich, direct, rich_permanent, direct_permanent = (_values(line) for line in output)
    except ValueError:
        return None
    return RulesState(
        zone=zone[0],
        runtime=rich[1:] + _direct_rules(direct),
        permanent=rich_permanent[1:] + _direct_rules(direct_permanent),
    )


def _values(answer: str) -> list[str]:
    """The values of an answer: strings are quoted as in C, and an array begins with its length."""
    return shlex.split(answer)[1:]


def _direct_rules(values: list[str]) -> list[str]:
    """The rules in an a(sssias): each has family, table, chain, priority, and an array of arguments."""
    rules = []
    start = 1
    while start < len(values):
        end = start + 5 + int(values[start + 4])
        rules.append(" ".join(values[start : start + 4] + values[start + 5 : end]))
        start = end
    return rules


class FirewallRules(FactBase[RulesState | None]):
    """
    The rich rules of the zone that `interface` is in, and all direct rules (firewalld.dbus(5)).

    None where firewalld does not run. Needs root. They are read over D-Bus, since each call of firewall-cmd
    starts a Python of its own.

    .. code:: python

        {
            "zone": "public",
            "runtime": [
                'rule family="ipv4" source address="192.0.2.11" protocol value="vrrp" accept',
                "ipv4 nat POSTROUTING 0 -p tcp -d 192.0.2.12 --dport 6514 -j SNAT --to-source 192.0.2.11",
            ],
            "permanent": [],
        }
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
