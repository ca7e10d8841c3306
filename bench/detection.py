"""How long a director goes on sending events to a Logstash that no longer accepts any: ours against the recipe.

`python -m bench.detection [RUNS] [--checks NAME] [--failure NAME]`, as root, with a lab of two nodes up (`python -m lab
up`). It deploys the default cluster and makes the Logstash of one node after the other fail, RUNS times for each kind of
failure; then it gives keepalived the recipe's own configuration and script (`bench/recipe`), does the same, and deploys
again. On each node a loop reads IPVS's table: the time is from the failure until the input is in neither table any more.
All waits are bounded.
"""

from __future__ import annotations

import ipaddress
import math
import statistics
from dataclasses import dataclass

import click

from bench.machines import NODES, deploy, holders, recipe_in_use, run_on, running_lab, start_on
from bench.wait import wait_until
from desired.logstash import PIPELINES
from lab.lab import Lab

CHECKS = ("ours", "recipe")
REMOVAL_LIMIT = 30
"""Seconds after which an input that is still in a table counts as never removed."""
RETURN_LIMIT = 60.0
"""Seconds within which the node must be in both pools again."""
DROP_IN = "/run/systemd/system/logstash.service.d"
OTHER_PIPELINE = (
    '[{"pipeline.id": "bench", "config.string": "input { udp { port => 5599 } } output { null { } }"}]'
)
"""A pipelines.yml with another pipeline than the cluster's; JSON is YAML."""


@dataclass(frozen=True)
class Failure:
    """A way for Logstash to fail, and how it is repaired. Both commands are for sh."""

    description: str
    cause: str
    repair: str = "while systemctl is-active -q logstash; do sleep 0.1; done; systemctl start logstash"


FAILURES = {
    "killed": Failure("killed", "systemctl kill -s KILL logstash"),
    "stopping": Failure(
        "stopping: its socket is closed, its API still answers for 5 s",
        'kill -TERM "$(systemctl show -p MainPID --value logstash)"',
    ),
    "without-pipeline": Failure(
        "without its pipeline: it runs another one instead",
        f"cp -p {PIPELINES} {PIPELINES}.bench; printf '%s' '{OTHER_PIPELINE}' >{PIPELINES}; systemctl kill -s HUP logstash",
        f"mv {PIPELINES}.bench {PIPELINES}; systemctl kill -s HUP logstash",
    ),
    "hung": Failure("hung", "systemctl kill -s STOP logstash", "systemctl kill -s CONT logstash"),
}


def ipvs_address(address: str, port: int = 5514) -> str:
    """An IPv4 address and a port as /proc/net/ip_vs shows them, in hexadecimal."""
    return f"{int(ipaddress.IPv4Address(address)):08X}:{port:04X}"


def in_pool(lab: Lab, director: str, address: str) -> bool:
    """Whether the input of the node at this address is in the director's IPVS table."""
    return f"-> {ipvs_address(address)}" in " ".join(run_on(lab, director, "cat /proc/net/ip_vs").split())


def removal_time(lab: Lab, node: str, failure: Failure) -> float:
    """Let a node's Logstash fail, and repair it.

    Returns the seconds until no director has the node's input any more; infinity when that takes longer than
    `REMOVAL_LIMIT`. Raises SystemExit when the node is not in both pools before.
    """
    address = NODES[node]
    wait_until(
        lambda: len(holders(lab)) == 1 and all(in_pool(lab, name, address) for name in NODES),
        RETURN_LIMIT,
        f"{node} in both pools",
    )
    loop = f"echo started; while grep -q {ipvs_address(address)} /proc/net/ip_vs; do :; done; date +%s.%N"
    watchers = [start_on(lab, name, f"timeout {REMOVAL_LIMIT} sh -c '{loop}'") for name in NODES]
    try:
        for watcher in watchers:
            assert watcher.stdout
            watcher.stdout.readline()
        failed_at = float(run_on(lab, node, f"date +%s.%N; {failure.cause}").split()[0])
        removed_at = [watcher.communicate(timeout=REMOVAL_LIMIT + 30)[0].strip() for watcher in watchers]
    finally:
        for watcher in watchers:
            watcher.kill()
        run_on(lab, node, failure.repair)
        for name in NODES:  # otherwise the service delays the return of a Logstash that fails again and again
            run_on(lab, name, "systemctl restart logstash-ha-health")
    return max(map(float, removed_at)) - failed_at if all(removed_at) else math.inf


def milliseconds(seconds: float) -> str:
    """The time for the table."""
    return f"{1000 * seconds:.0f}" if math.isfinite(seconds) else f"over {REMOVAL_LIMIT}000"


def measure(lab: Lab, checks: str, failures: list[Failure], runs: int) -> None:
    """Measure each failure, on one node after the other, and print a row for it."""
    for failure in failures:
        times = sorted(removal_time(lab, list(NODES)[run % len(NODES)], failure) for run in range(runs))
        shown = (milliseconds(time) for time in (times[0], statistics.median(times), times[-1]))
        print(f"| {checks} | {failure.description} | {runs} | {' | '.join(shown)} |", flush=True)


@click.command()
@click.argument("runs", type=click.IntRange(min=1), default=20)
@click.option("--checks", type=click.Choice(CHECKS), multiple=True, help="Measure only these checks.")
@click.option("--failure", type=click.Choice([*FAILURES]), multiple=True, help="Measure only this failure.")
def main(runs: int, checks: tuple[str, ...], failure: tuple[str, ...]) -> None:
    """Measure how soon the directors stop sending events to a Logstash that has failed, RUNS times (default 20) for each failure.

    Prints a table in Markdown, in ms. An option can be given several times.
    """
    lab = running_lab()
    chosen = [FAILURES[name] for name in FAILURES if name in failure or not failure]
    deploy(lab)
    for name in NODES:  # systemd must not start a Logstash again that was made to fail
        run_on(
            lab,
            name,
            f"mkdir -p {DROP_IN}; printf '[Service]\\nRestart=no\\n' >{DROP_IN}/bench.conf; systemctl daemon-reload",
        )
    print(
        "| checks | Logstash is | runs | min, ms | median, ms | max, ms |\n|---|---|---|---|---|---|",
        flush=True,
    )
    try:
        if "ours" in checks or not checks:
            measure(lab, "ours", chosen, runs)
        if "recipe" in checks or not checks:
            with recipe_in_use(lab):
                measure(lab, "recipe", chosen, runs)
    finally:
        for name in NODES:
            run_on(lab, name, f"rm -r {DROP_IN}; systemctl daemon-reload")


if __name__ == "__main__":
    main()
