"""firewalld's rich rules in an interface's zone."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api import FactBase


class RichRulesState(TypedDict):
    """Rules in firewalld's own spelling (firewalld.richlanguage(5)): in force, and of the next start."""

    zone: str
    runtime: list[str]
    permanent: list[str]


def parse_rich_rules(output: list[str]) -> RichRulesState | None:
    """The zone's line, then `runtime` and `permanent`, each followed by its rules; None without them."""
    if "runtime" not in output or "permanent" not in output:
        return None
    runtime, permanent = output.index("runtime"), output.index("permanent")
    return RichRulesState(
        zone=output[0].strip(),
        runtime=[line.strip() for line in output[runtime + 1 : permanent] if line.strip()],
        permanent=[line.strip() for line in output[permanent + 1 :] if line.strip()],
    )


class RichRules(FactBase[RichRulesState | None]):
    """The rich rules of the zone that `interface` is in; None where firewalld does not run. Needs root."""

    def command(self, interface: str) -> str:
        return (
            f"zone=$(firewall-cmd --get-zone-of-interface={interface} 2>/dev/null"
            " || firewall-cmd --get-default-zone 2>/dev/null)"
            " && echo $zone && echo runtime && firewall-cmd --zone=$zone --list-rich-rules"
            " && echo permanent && firewall-cmd --permanent --zone=$zone --list-rich-rules || true"
        )

    def process(self, output: list[str]) -> RichRulesState | None:
        return parse_rich_rules(output)
