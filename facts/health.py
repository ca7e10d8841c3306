"""What the health script says, run as keepalived runs it."""

from __future__ import annotations

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


def parse_health(output: list[str]) -> HealthState:
    """A line `missing WHAT`, or a line `address, input, status, message` with tabs between for each run."""
    health = HealthState(missing=None, checks=[])
    for line in output:
        if line.startswith("missing "):
            health["missing"] = line.removeprefix("missing ")
        elif line.count("\t") >= 3:
            address, name, status, message = line.split("\t", 3)
            health["checks"].append(Check(address=address, input=name, status=int(status), message=message))
    return health


class Health(FactBase[HealthState | None]):
    """The health script for each of these inputs at each of these addresses, as this user. Needs root.

    Addresses are asked at the same time, the inputs of one in turn: at worst a script's time bound
    for each input, and no burst of processes.
    """

    def command(self, python: str, script: str, user: str, addresses: list[str], inputs: list[str]) -> str:
        return (
            f"if ! id -u {user} >/dev/null 2>&1; then echo missing user {user}; "
            f"elif ! test -f {script}; then echo missing {script}; "
            f"elif ! test -x {python}; then echo missing {python}; "
            f"else for address in {shlex.join(addresses)}; do ( for input in {shlex.join(inputs)}; do "
            f"message=$(cd / && runuser -u {user} -- {python} {script} $address $input 2>&1); "
            r"printf '%s\t%s\t%s\t%s\n' $address $input $? "
            '"$(echo "$message" | tail -n 1)"; done ) & done; wait; fi'
        )

    def process(self, output: list[str]) -> HealthState:
        return parse_health(output)
