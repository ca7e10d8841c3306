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
import shlex
import statistics
import time
from collections.abc import Callable
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


WATCH = """\
import time
print("started", flush=True)
while "{address}" in open("/proc/net/ip_vs").read():
    time.sleep(0.002)
print(time.time())
"""
START_AGAIN = "while systemctl is-active -q logstash; do sleep 0.1; done; systemctl start logstash"


@dataclass(frozen=True)
class Failure:
    """A way for a node's input to fail, and how it is repaired. Both functions get the lab and the node's name.

    `cause` returns when it happened, in seconds since the epoch. With `whole_node`, it is the node that fails.
    """

    description: str
    cause: Callable[[Lab, str], float]
    repair: Callable[[Lab, str], object]
    whole_node: bool = False


def by_signal(description: str, signal: str, repair: str = START_AGAIN, before: str = ":") -> Failure:
    """A signal that Logstash gets, after the shell command `before`; a shell command repairs it.

    The shell sends the signal itself, right after the time is taken: in a guest, to start a program takes some 50 ms.
    """
    pid = "pid=$(systemctl show -p MainPID --value logstash)"
    return Failure(
        description,
        lambda lab, name: float(run_on(lab, name, f"{before}; {pid}; date +%s.%N; kill -{signal} $pid")),
        lambda lab, name: run_on(lab, name, repair),
    )


def power_off(lab: Lab, name: str) -> float:
    """Take a node's power away."""
    now = time.time()
    lab.guest(name).power_off()
    return now


FAILURES = {
    "killed": by_signal("killed", "KILL"),
    "stopping": by_signal("stopping: its socket is closed, its API still answers for 5 s", "TERM"),
    "without-pipeline": by_signal(
        "without its pipeline: it runs another one instead",
        "HUP",
        repair=f"mv {PIPELINES}.bench {PIPELINES}; systemctl kill -s HUP logstash",
        before=f"cp -p {PIPELINES} {PIPELINES}.bench; printf '%s' '{OTHER_PIPELINE}' >{PIPELINES}",
    ),
    "hung": by_signal("hung", "STOP", repair="systemctl kill -s CONT logstash"),
    "powered-off": Failure(
        "on a node that loses its power",
        power_off,
        lambda lab, name: lab.power_on(name, lambda text: None),
        True,
    ),
}


def ipvs_address(address: str, port: int = 5514) -> str:
    """An IPv4 address and a port as /proc/net/ip_vs shows them, in hexadecimal."""
    return f"{int(ipaddress.IPv4Address(address)):08X}:{port:04X}"


def whole_pool(lab: Lab, director: str) -> bool:
    """Whether the input of each node is in the director's IPVS table."""
    table = " ".join(run_on(lab, director, "cat /proc/net/ip_vs").split())
    return all(f"-> {ipvs_address(address)}" in table for address in NODES.values())


def removal_time(lab: Lab, node: str, failure: Failure) -> float:
    """Let a node's Logstash fail, and repair it.

    Returns the seconds until no director has the node's input any more; infinity when that takes longer than
    `REMOVAL_LIMIT`. A node that fails as a whole is no director then. Raises SystemExit when the nodes are not all in
    both pools before: the last one would stay there.
    """
    address = NODES[node]
    directors = [name for name in NODES if name != node or not failure.whole_node]
    wait_until(
        lambda: len(holders(lab)) == 1 and all(whole_pool(lab, name) for name in NODES),
        RETURN_LIMIT,
        "all nodes in both pools",
    )
    loop = WATCH.format(address=ipvs_address(address))
    watchers = [
        start_on(lab, name, f"timeout {REMOVAL_LIMIT} python3 -c {shlex.quote(loop)}") for name in directors
    ]
    try:
        for watcher in watchers:
            assert watcher.stdout
            watcher.stdout.readline()
        failed_at = failure.cause(lab, node)
        removed_at = [watcher.communicate(timeout=REMOVAL_LIMIT + 30)[0].strip() for watcher in watchers]
    finally:
        for watcher in watchers:
            watcher.kill()
        failure.repair(lab, node)
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
        shown = (milliseconds(seconds) for seconds in (times[0], statistics.median(times), times[-1]))
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
