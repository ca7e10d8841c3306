"""How long a director goes on sending events to a Logstash that takes none any more: ours against the recipe, on the lab's machines.

`python -m bench.detection [RUNS]`, as root, with a lab of two nodes up (`python -m lab up`). It deploys the default cluster and
lets one node's Logstash fail again and again; then it gives keepalived the recipe's own configuration and script
(`bench/recipe`), does the same, and deploys again. On each node a loop looks into IPVS's table: the time is from the
failure until the input is in neither any more. All waits are bounded.
"""

from __future__ import annotations

import ipaddress
import math
import statistics
import sys
from dataclasses import dataclass

from bench.machines import NODES, deploy, holders, recipe, shell, start, until
from desired.logstash import PIPELINES
from lab.lab import Lab

RUNS = 20
LIMIT = 30
"""Seconds after which an input that is still there counts as never gone."""
BOUND = 60.0
"""Seconds for the node to be in the pools again."""
DROP_IN = "/run/systemd/system/logstash.service.d"
ANOTHER = '[{"pipeline.id": "bench", "config.string": "input { udp { port => 5599 } } output { null { } }"}]'
"""A pipelines.yml with a pipeline of its own; JSON is YAML."""


@dataclass(frozen=True)
class Failure:
    """What happens to a Logstash, and how it comes back."""

    name: str
    happens: str
    mended: str = "while systemctl is-active -q logstash; do sleep 0.1; done; systemctl start logstash"


FAILURES = (
    Failure("killed", "systemctl kill -s KILL logstash"),
    Failure(
        "told to end: its socket is closed, its API goes on for 5 s",
        'kill -TERM "$(systemctl show -p MainPID --value logstash)"',
    ),
    Failure(
        "without its pipeline: told to run another one instead",
        f"cp -p {PIPELINES} {PIPELINES}.bench; printf '%s' '{ANOTHER}' >{PIPELINES}; systemctl kill -s HUP logstash",
        f"mv {PIPELINES}.bench {PIPELINES}; systemctl kill -s HUP logstash",
    ),
    Failure("hung", "systemctl kill -s STOP logstash", "systemctl kill -s CONT logstash"),
)


def place(address: str, port: int = 5514) -> str:
    """As /proc/net/ip_vs has it."""
    return f"{int(ipaddress.IPv4Address(address)):08X}:{port:04X}"


def there(lab: Lab, director: str, address: str) -> bool:
    return f"-> {place(address)}" in " ".join(shell(lab, director, "cat /proc/net/ip_vs").split())


def gone(lab: Lab, victim: str, failure: Failure) -> float:
    """Seconds until no director has the node's input any more; infinite when that does not come."""
    address = NODES[victim]
    until(
        lambda: len(holders(lab)) == 1 and all(there(lab, name, address) for name in NODES),
        BOUND,
        f"{victim} in both pools",
    )
    look = f"echo looks; while grep -q {place(address)} /proc/net/ip_vs; do :; done; date +%s.%N"
    watchers = [start(lab, name, f"timeout {LIMIT} sh -c '{look}'") for name in NODES]
    try:
        for watcher in watchers:
            assert watcher.stdout
            watcher.stdout.readline()
        began = float(shell(lab, victim, f"date +%s.%N; {failure.happens}").split()[0])
        ends = [watcher.communicate(timeout=LIMIT + 30)[0].strip() for watcher in watchers]
    finally:
        for watcher in watchers:
            watcher.kill()
        shell(lab, victim, failure.mended)
        for name in NODES:  # else it takes the failures for a Logstash that comes and goes
            shell(lab, name, "systemctl restart logstash-ha-health")
    return max((float(end) for end in ends), default=math.inf) - began if all(ends) else math.inf


def written(seconds: float) -> str:
    return f"{1000 * seconds:.0f}" if math.isfinite(seconds) else f"over {LIMIT}000"


def measure(lab: Lab, checks: str, runs: int) -> None:
    """Each failure in turn, on one node after the other: a row for each."""
    for failure in FAILURES:
        found = sorted(gone(lab, list(NODES)[run % 2], failure) for run in range(runs))
        cells = (written(each) for each in (found[0], statistics.median(found), found[-1]))
        print(f"| {checks} | {failure.name} | {runs} | {' | '.join(cells)} |", flush=True)


def main(runs: int) -> None:
    """Prints a table in Markdown: from the failure until no director sends events there, in ms."""
    lab = Lab.here()
    deploy(lab)
    for name in NODES:  # what fails stays so until it is mended
        shell(
            lab,
            name,
            f"mkdir -p {DROP_IN}; printf '[Service]\\nRestart=no\\n' >{DROP_IN}/bench.conf; systemctl daemon-reload",
        )
    print("| checks | Logstash is | runs | min | median | max, ms |\n|---|---|---|---|---|---|")
    try:
        measure(lab, "ours", runs)
        with recipe(lab):
            measure(lab, "recipe", runs)
    finally:
        for name in NODES:
            shell(lab, name, f"rm -r {DROP_IN}; systemctl daemon-reload")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
