"""How long a VIP answers nobody when its holder fails: ours against the recipe, on the lab's machines.

`python -m bench.failover [RUNS] [--vrrp NAME] [--failure NAME]`, as root, with a lab of two nodes up (`python -m lab up`).
It gives keepalived the recipe's own configuration (`bench/recipe`), then deploys each profile, the default one last. A
failure after which a node must boot is measured in one of every four runs, since a boot takes long. A program on the
lab's bridge sends the VIP an echo request every 2 ms (`bench.echo`): the silence is the longest time between two replies
around the failure. All waits are bounded.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import click

from bench.machines import VIP, deploy, recipe_in_use, run_on, running_lab, wait_until_ready
from bench.wait import wait_until
from drills.catalogue import find
from lab.lab import Lab

PROFILES: dict[str, dict[str, object]] = {
    "fast": {"advert_interval": 0.02},
    "default": {},
}
"""The cluster's settings, by the profile's name."""
INTERVAL = 0.002
"""Seconds between two echo requests."""
WATCH = 20.0
"""Seconds for which the VIP is watched around one failure, at most."""
REPLY_LIMIT = 30.0
"""Seconds within which the VIP must have replied often enough before the failure, and after it."""
REPLIES = 100
"""How many replies that is."""


@dataclass(frozen=True)
class Failure:
    """A way for the VIP's holder to fail, and how it is repaired. Both functions get the lab and the node's name."""

    description: str
    cause: Callable[[Lab, str], object]
    repair: Callable[[Lab, str], object]
    part: int = 1
    """It is measured in one of every `part` runs."""


@dataclass(frozen=True)
class Measurement:
    """One run."""

    silence: float
    """The longest time without a reply around the failure, in seconds."""
    several_holders: int
    """How many times the VIP was seen on more than one node before the failure."""


def power_cycle(lab: Lab, name: str) -> None:
    """Boot a node that is off, or whose kernel has panicked."""
    lab.guest(name).power_off()
    lab.power_on(name, lambda text: None)


PANIC = (
    "echo 1 >/proc/sys/kernel/sysrq; nohup sh -c 'sleep 0.3; echo c >/proc/sysrq-trigger' >/dev/null 2>&1 &"
)

FAILURES = {
    "link-cut": Failure(
        "link cut",
        lambda lab, name: lab.network.cut(lab.guest(name).machine),
        lambda lab, name: lab.network.heal(lab.guest(name).machine),
    ),
    "keepalived-killed": Failure(
        "keepalived killed (SIGKILL)",
        lambda lab, name: run_on(lab, name, find("keepalived-killed").do),
        lambda lab, name: run_on(lab, name, "systemctl start keepalived"),  # the recipe's is not restarted
    ),
    "keepalived-stopped": Failure(
        "keepalived stopped",
        lambda lab, name: run_on(lab, name, "systemctl stop keepalived"),
        lambda lab, name: run_on(lab, name, "systemctl start keepalived"),
    ),
    "powered-off": Failure("powered off", lambda lab, name: lab.guest(name).power_off(), power_cycle, part=4),
    "kernel-panic": Failure("kernel panic", lambda lab, name: run_on(lab, name, PANIC), power_cycle, part=4),
}


def watch_vip(lab: Lab, cause: Callable[[], object]) -> list[tuple[float, str]]:
    """The VIP's replies around a failure, until the other node has replied for some time.

    A reply is its time, in seconds, and the MAC address that it came from. Raises SystemExit when none comes.
    """
    replies: list[tuple[float, str]] = []
    command = ("-m", "bench.echo", VIP, "br0", f"{INTERVAL}", f"{WATCH}")
    with subprocess.Popen(
        (*lab.network.enter_command, sys.executable, *command), stdout=subprocess.PIPE, text=True
    ) as echo:
        assert echo.stdout
        lines = echo.stdout

        def read() -> None:
            for line in lines:
                time, mac = line.split()
                replies.append((float(time), mac))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            wait_until(lambda: len(replies) > REPLIES, REPLY_LIMIT, "replies of the VIP")
            old = replies[-1][1]
            cause()
            wait_until(lambda: replies[-1][1] != old, WATCH / 2, "replies of the other node")
            count = len(replies)
            wait_until(lambda: len(replies) > count + REPLIES, REPLY_LIMIT, "more replies of the other node")
        finally:
            echo.terminate()
            reader.join()
    return replies


def measure_once(lab: Lab, failure: Failure) -> Measurement:
    """Let the VIP's holder fail once, and repair it."""
    holder, several_holders = wait_until_ready(lab)
    try:
        replies = watch_vip(lab, lambda: failure.cause(lab, holder))
    finally:
        failure.repair(lab, holder)
    return Measurement(longest_silence(replies), several_holders)


def longest_silence(replies: list[tuple[float, str]]) -> float:
    """The longest time between two replies, in seconds."""
    return max(after - before for (before, _), (after, _) in itertools.pairwise(replies))


def row(vrrp: str, failure: str, silences: list[float], recipe: float | None) -> str:
    """A row of the table: the silences, in seconds, and the recipe's median against theirs, where it was measured."""
    median = statistics.median(silences)
    times = " | ".join(f"{1000 * seconds:.0f}" for seconds in (min(silences), median, max(silences)))
    ratio = "" if recipe is None else f"x {recipe / median:.1f}"
    return f"| {vrrp} | {failure} | {len(silences)} | {times} | {ratio} |"


def measure(lab: Lab, vrrp: str, failures: list[Failure], runs: int, recipe_medians: dict[str, float]) -> int:
    """Measure each failure and print a row for it.

    The recipe's medians, in seconds by the failure's description, are added to `recipe_medians` when it is
    the recipe's turn. Returns how many times the VIP was seen on more than one node before a failure.
    """
    several_holders = 0
    for failure in failures:
        found = [measure_once(lab, failure) for _ in range(max(1, runs // failure.part))]
        silences = [measurement.silence for measurement in found]
        several_holders += sum(measurement.several_holders for measurement in found)
        if vrrp == "recipe":
            recipe_medians[failure.description] = statistics.median(silences)
        recipe = recipe_medians.get(failure.description)
        print(row(vrrp, failure.description, silences, recipe), flush=True)
    return several_holders


@click.command()
@click.argument("runs", type=click.IntRange(min=1), default=20)
@click.option(
    "--vrrp", type=click.Choice(["recipe", *PROFILES]), multiple=True, help="Measure only this VRRP."
)
@click.option("--failure", type=click.Choice([*FAILURES]), multiple=True, help="Measure only this failure.")
def main(runs: int, vrrp: tuple[str, ...], failure: tuple[str, ...]) -> None:
    """Measure how long the VIP is silent when its holder fails, RUNS times (default 20) for each failure.

    Prints a table in Markdown: the silence in ms, and how many times as long the recipe's median is. An option can be given
    several times. The cluster keeps the last profile that was measured.
    """
    lab = running_lab()
    chosen = [FAILURES[name] for name in FAILURES if name in failure or not failure]
    recipe_medians: dict[str, float] = {}
    several_holders = 0
    print(
        "| VRRP | failure | runs | min, ms | median, ms | max, ms | recipe's median is |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    if "recipe" in vrrp or not vrrp:
        deploy(lab)
        with recipe_in_use(lab):
            several_holders += measure(lab, "recipe", chosen, runs, recipe_medians)
    for profile, settings in PROFILES.items():
        if profile in vrrp or not vrrp:
            deploy(lab, **settings)
            several_holders += measure(lab, profile, chosen, runs, recipe_medians)
    print(f"\nBefore a failure, the VIP was seen on two nodes at once {several_holders} times.")


if __name__ == "__main__":
    main()
