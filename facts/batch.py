"""Several facts in one round trip."""

from __future__ import annotations

from typing import Any

from pyinfra.api import FactBase

_HEADING = "=== fact "


class BatchFacts(FactBase[dict[str, Any] | None]):
    """
    The values of several facts, by names that the caller chooses. Each fact runs in a subshell of its own.

    + facts: by name, the fact and its arguments

    .. code:: python

        {
            "services": {"keepalived": {"enabled": True, "active": True, "stale": False}},
            "user": "keepalived_script:x:989:989::/:/sbin/nologin",
        }
    """

    def command(self, facts: dict[str, tuple[type[FactBase[Any]], dict[str, Any]]]) -> str:
        self._facts = {name: fact() for name, (fact, _) in facts.items()}
        return "; ".join(
            f"echo '{_HEADING}{name}'; ( {self._facts[name].command(**arguments)} ) </dev/null"
            for name, (_, arguments) in facts.items()
        )

    def process(self, output: list[str]) -> dict[str, Any]:
        parts = split(output)
        return {
            name: fact.process(parts[name]) if parts.get(name) else fact.default()
            for name, fact in self._facts.items()
        }


def split(output: list[str]) -> dict[str, list[str]]:
    """The lines after each heading, by its name."""
    parts: dict[str, list[str]] = {}
    for line in output:
        if line.startswith(_HEADING):
            parts[line.removeprefix(_HEADING)] = []
        elif parts:
            parts[next(reversed(parts))].append(line)
    return parts
