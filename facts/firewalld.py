"""firewalld's rules in an interface's zone, and its direct rules."""

from __future__ import annotations

import re
from typing import TypedDict

from pyinfra.api import FactBase

_RULE = re.compile(r"(rule|ipv4|ipv6|eb) ")


class RulesState(TypedDict):
    """Rules in force, and of the next start, in firewalld's own spelling.

    A rich rule begins with `rule` (firewalld.richlanguage(5)), a direct rule with `ipv4`, `ipv6` or `eb`
    (firewalld.direct(5): table, chain, priority, arguments).
    """

    zone: str
    runtime: list[str]
    permanent: list[str]


def parse_rules(output: list[str]) -> RulesState | None:
    """The zone's line, then `runtime` and `permanent`, each followed by its rules; None without them."""
    lines = [line.strip() for line in output]
    if "runtime" not in lines or "permanent" not in lines:
        return None
    runtime, permanent = lines.index("runtime"), lines.index("permanent")
    return RulesState(
        zone=lines[0],
        runtime=[line for line in lines[runtime:permanent] if _RULE.match(line)],
        permanent=[line for line in lines[permanent:] if _RULE.match(line)],
    )


class Rules(FactBase[RulesState | None]):
    """The rich rules of the zone that `interface` is in, and all direct rules if `direct`.

    None where firewalld does not run. Needs root.
    """

    def command(self, interface: str, direct: bool) -> str:
        def rules(side: str) -> str:
            rich = f"firewall-cmd{side} --zone=$zone --list-rich-rules"
            return f"{rich} && firewall-cmd{side} --direct --get-all-rules" if direct else rich

        return (
            f"zone=$(firewall-cmd --get-zone-of-interface={interface} 2>/dev/null"
            " || firewall-cmd --get-default-zone 2>/dev/null)"
            f" && echo $zone && echo runtime && {rules('')}"
            f" && echo permanent && {rules(' --permanent')} || true"
        )

    def process(self, output: list[str]) -> RulesState | None:
        return parse_rules(output)
