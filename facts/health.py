"""What the health script and the health service say of each input."""

from __future__ import annotations

import json
import shlex
from typing import Any, TypedDict

from pyinfra.api import FactBase

from facts.builtins import print_lines


class Check(TypedDict):
    """The verdict on `input` at `address`.

    `state`: `up` (also where a `reason` speaks against it, or it has just started), `slow` (up, but its queue is full), `down`, `drained` or `maintenance`; `reason`: a word of the script's `REASONS`,
    `script_failed` where the script gave no verdict, None where it is up without a doubt; `message`: the reason for a person.
    """

    address: str
    input: str
    state: str
    reason: str | None
    message: str


class HealthState(TypedDict):
    """`missing` is the user or file without which no check could run."""

    missing: str | None
    checks: list[Check]


def parse_health(output: list[str]) -> HealthState:
    """A line `missing WHAT`; or `inputs ID…`, and each line of the script after its address and a tab.

    An input without a verdict counts as down, with the script's last line as the message. Where the script finds it
    up, or its port refused, what the health service says of it counts (lines after `service` and a tab): the service has
    looked for longer, and knows a firewall that rejects from a port at which nobody listens.
    """
    health = HealthState(missing=None, checks=[])
    inputs: list[str] = []
    lines: dict[str, list[str]] = {}
    for line in output:
        if line.startswith("missing "):
            health["missing"] = line.removeprefix("missing ")
        elif line.startswith("inputs "):
            inputs = line.split()[1:]
        elif "\t" in line:
            source, text = line.split("\t", 1)
            lines.setdefault(source, []).append(text)
    service = {(check["address"], check["input"]): check for check in _verdicts(lines.pop("service", []))}
    for address, texts in lines.items():
        by_input = {check["input"]: check for check in _verdicts(texts)}
        for name in inputs:
            check = by_input.get(name) or Check(
                address=address, input=name, state="down", reason="script_failed", message=texts[-1]
            )
            said = service.get((address, name), check)
            doubted = check["reason"] == "nobody_listens" and said["reason"] == "probe_refused"
            if check["state"] == "up" or doubted:
                check = said
            health["checks"].append(check)
    return health


def _verdicts(lines: list[str]) -> list[Check]:
    """Those of the lines that are a verdict in JSON; others are what a program says when it fails."""
    verdicts = []
    for line in lines:
        try:
            found: Any = json.loads(line)
            verdicts.append(
                Check(
                    address=found["address"],
                    input=found["input"],
                    state=found["state"],
                    reason=found.get("reason"),
                    message=found["message"],
                )
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return verdicts


class HealthChecks(FactBase[HealthState | None]):
    """The health script's verdicts on these inputs at each of these addresses, run as this user, with what the health
    service has in its file `reasons`. Needs root.

    Addresses are asked at the same time, by one process each. For example:
    `{"missing": None, "checks": [{"address": "192.0.2.11", "input": "udp-5514", "state": "up", …}]}`.
    """

    def command(
        self, python: str, script: str, user: str, addresses: list[str], inputs: list[str], reasons: str
    ) -> str:
        return (
            # The shell leaves `~USER` alone where there is no such user.
            f"home=~{user}; if [ \"$home\" = '~{user}' ]; then echo missing user {user}; "
            f"elif ! test -f {script}; then echo missing {script}; "
            f"elif ! test -x {python}; then echo missing {python}; "
            f"else cd /; echo inputs {shlex.join(inputs)}; for address in {shlex.join(addresses)}; do "
            f"runuser -u {user} -- {python} {script} --json $address {shlex.join(inputs)} 2>&1 | "
            '{ said=; while IFS= read -r line || [ -n "$line" ]; do said=yes; printf \'%s\\t%s\\n\' $address "$line"; done; '
            "[ $said ] || printf '%s\\tit says nothing\\n' $address; } & "
            f"done; wait; {print_lines(reasons, 'service	')}; fi"
        )

    def process(self, output: list[str]) -> HealthState:
        return parse_health(output)


class RaisedVerdicts(FactBase[list[str]]):
    """
    The files among these that say that an input is down: those that are not empty. The shell looks by itself.

    .. code:: python

        ["/run/keepalived-health/192.0.2.12/udp-5514"]
    """

    default = list

    def command(self, paths: list[str]) -> str:
        return f'for file in {shlex.join(paths)}; do [ ! -s "$file" ] || echo "$file"; done'

    def process(self, output: list[str]) -> list[str]:
        return output
