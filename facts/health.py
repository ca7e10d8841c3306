"""What the health script says, run as keepalived runs it."""

from __future__ import annotations

import re
import shlex
from typing import TypedDict

from pyinfra.api import FactBase


class Check(TypedDict):
    """One run, for `input` at `address`: `status` 0 is up, `message` is the script's last line."""

    address: str
    input: str
    status: int
    message: str


class HealthState(TypedDict):
    """`missing` is the user or file without which no check could run."""

    missing: str | None
    checks: list[Check]


_VERDICT = re.compile(r"(\S+) at \S+ is (up|down)\b")


def parse_health(output: list[str]) -> HealthState:
    """A line `missing WHAT`; or `inputs ID…`, and each line of the script after its address and a tab.

    An input that the script has no verdict on counts as down, for the script's last words. What the health service
    says of it counts too (lines after `service` and a tab): it has looked for longer, and knows what is slow.
    """
    health = HealthState(missing=None, checks=[])
    inputs: list[str] = []
    said: dict[str, list[str]] = {}
    for line in output:
        if line.startswith("missing "):
            health["missing"] = line.removeprefix("missing ")
        elif line.startswith("inputs "):
            inputs = line.split()[1:]
        elif "\t" in line:
            address, text = line.split("\t", 1)
            said.setdefault(address, []).append(text)
    service = {line.partition(" is ")[0]: line for line in said.pop("service", [])}
    for address, texts in said.items():
        verdicts = {match[1]: (match[2], text) for text in texts if (match := _VERDICT.match(text))}
        for name in inputs:
            word, message = verdicts.get(name, ("down", texts[-1]))
            if word == "up" and (why := service.get(f"{name} at {address}")):
                word, message = "up" if " is slow: " in why else "down", why
            health["checks"].append(
                Check(address=address, input=name, status=int(word != "up"), message=message)
            )
    return health


class HealthChecks(FactBase[HealthState | None]):
    """The health script for these inputs at each of these addresses, as this user, and the service's `reasons`.
    Needs root.

    Addresses are asked at the same time, by one process each.
    """

    def command(
        self, python: str, script: str, user: str, addresses: list[str], inputs: list[str], reasons: str
    ) -> str:
        return (
            f"if ! id -u {user} >/dev/null 2>&1; then echo missing user {user}; "
            f"elif ! test -f {script}; then echo missing {script}; "
            f"elif ! test -x {python}; then echo missing {python}; "
            f"else cd /; echo inputs {shlex.join(inputs)}; for address in {shlex.join(addresses)}; do "
            f"( runuser -u {user} -- {python} {script} $address {shlex.join(inputs)} 2>&1 | "
            'awk -v address=$address \'{ print address "\\t" $0 } END { if (!NR) print address "\\tit says nothing" }\' ) & '
            f"done; wait; sed 's/^/service\\t/' {reasons} 2>/dev/null || true; fi"
        )

    def process(self, output: list[str]) -> HealthState:
        return parse_health(output)
