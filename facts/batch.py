"""Several facts in one round trip."""

from __future__ import annotations

from typing import Any

from pyinfra.api import FactBase

_HEADING = "=== fact "


class BatchFacts(FactBase[dict[str, Any] | None]):
    """
    The values of several facts, by names that the caller chooses.

    One subshell runs them all, since each fork is dear on a small machine. Where a fact ends that shell, another one
    goes on with the next fact. So a fact must do without the settings of another one's shell: they may be there or not.

    + facts: by name, the fact and its arguments

    .. code:: python

        {
            "services": {"keepalived": {"enabled": True, "active": True, "stale": False}},
            "user": "/",
        }
    """

    def command(self, facts: dict[str, tuple[type[FactBase[Any]], dict[str, Any]]]) -> str:
        self._facts = {name: fact() for name, (fact, _) in facts.items()}
        # So many facts have begun: the subshell's exit status, whatever ends it.
        runs = [
            f"[ $begun -ge {number} ] || {{ begun={number}; echo '{_HEADING}{name}'; "
            f"{{ {self._facts[name].command(**arguments)}; }} </dev/null; }}"
            for number, (name, (_, arguments)) in enumerate(facts.items(), 1)
        ]
        lines = ["begun=0", f"while [ $begun -lt {len(facts)} ]; do ( trap 'exit $begun' EXIT", *runs]
        return "\n".join([*lines, "); begun=$?; done"])

    def process(self, output: list[str]) -> dict[str, Any]:
        parts = split(output)
        return {
            name: fact.process(parts[name]) if parts.get(name) else fact.default()
            for name, fact in self._facts.items()
        }


def split(output: list[str], heading: str = _HEADING) -> dict[str, list[str]]:
    """The lines after each line that begins with `heading`, by what follows there."""
    parts: dict[str, list[str]] = {}
    for line in output:
        if line.startswith(heading):
            parts[line.removeprefix(heading)] = []
        elif parts:
            parts[next(reversed(parts))].append(line)
    return parts
