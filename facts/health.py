"""What the health script and the health service say of each input."""

from __future__ import annotations

import json
import posixpath
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
    """A line `missing WHAT`; or `addresses ADDRESS…`, `inputs ID…`, what the health service says after `service` and a tab,
    and after a line `--` what the script says.

    An input without a verdict counts as down, with the script's last other line as the message. Where the script finds it
    up, or its port refused, what the health service says of it counts: the service has looked for longer, and knows a
    firewall that rejects from a port at which nobody listens.
    """
    health = HealthState(missing=None, checks=[])
    addresses: list[str] = []
    inputs: list[str] = []
    service: dict[tuple[str, str], Check] = {}
    script: dict[tuple[str, str], Check] = {}
    last = "it says nothing"
    lines = iter(output)
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "missing":
            health["missing"] = rest
        elif kind == "addresses":
            addresses = rest.split()
        elif kind == "inputs":
            inputs = rest.split()
        elif line == "--":
            break
        elif said := _verdict(line.removeprefix("service\t")):
            service[said["address"], said["input"]] = said
    for line in lines:
        found = _verdict(line)
        if found and found["address"] in addresses:
            script[found["address"], found["input"]] = found
        else:
            last = line
    for address in addresses:
        for name in inputs:
            check = script.get((address, name)) or Check(
                address=address, input=name, state="down", reason="script_failed", message=last
            )
            by_service = service.get((address, name), check)
            doubted = check["reason"] == "nobody_listens" and by_service["reason"] == "probe_refused"
            if check["state"] == "up" or doubted:
                check = by_service
            health["checks"].append(check)
    return health


def _verdict(line: str) -> Check | None:
    """The verdict in a line of JSON; None for what a program says when it fails."""
    try:
        found: Any = json.loads(line)
        return Check(
            address=found["address"],
            input=found["input"],
            state=found["state"],
            reason=found.get("reason"),
            message=found["message"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


# Any version of the script has such a `main`: `verify.py` looks at a cluster before it is upgraded, too.
_ASK = """\
import sys, threading
sys.dont_write_bytecode = True
sys.path.insert(0, "{folder}")
import {module} as script
for address in sys.argv[1].split(","):
    threading.Thread(target=script.main, args=(["--json", address] + sys.argv[2:],)).start()"""


class HealthChecks(FactBase[HealthState | None]):
    """The health script's verdicts on these inputs at each of these addresses, run as this user, with what the health
    service has in its file `reasons`. Needs root.

    One process asks all addresses at the same time, in a thread each. For example:
    `{"missing": None, "checks": [{"address": "192.0.2.11", "input": "udp-5514", "state": "up", …}]}`.
    """

    def command(
        self, python: str, script: str, user: str, addresses: list[str], inputs: list[str], reasons: str
    ) -> str:
        folder, name = posixpath.split(script)
        ask = _ASK.format(folder=folder, module=name.removesuffix(".py"))
        return (
            # The shell leaves `~USER` alone where there is no such user.
            f"home=~{user}; if [ \"$home\" = '~{user}' ]; then echo missing user {user}; "
            f"elif ! test -f {script}; then echo missing {script}; "
            f"elif ! test -x {python}; then echo missing {python}; "
            f"else cd /; echo addresses {shlex.join(addresses)}; echo inputs {shlex.join(inputs)}; "
            f"{print_lines(reasons, 'service	')}; echo --; "
            # -S: the script needs no packages of others, and starts faster.
            f"runuser -u {user} -- {python} -S -c {shlex.quote(ask)} {','.join(addresses)} {shlex.join(inputs)} 2>&1 || "
            "true; fi"
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
