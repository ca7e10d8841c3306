"""Whether the VIP stays on its node while all CPUs are busy, on the lab's machines.

`python -m bench.flap [SECONDS [PROFILE …]]`, as root, with a lab of two nodes up (`python -m lab up`). It deploys each
profile of `bench.failover`, and runs a busy loop on each node and on each CPU of this machine meanwhile. It counts how often
keepalived changed its state on any node.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import click

from bench.failover import PROFILES
from bench.machines import NODES, deploy, run_on, running_lab, start_on, wait_until_ready
from lab.lab import Lab

BUSY_LOOP = "while :; do :; done"


def state_changes(lab: Lab) -> int:
    """How many changes of its state keepalived has logged so far, on all nodes together."""
    command = "journalctl -u keepalived --no-pager -o cat | grep -c -E 'Entering (MASTER|BACKUP|FAULT) STATE'"
    return sum(int(run_on(lab, name, command)) for name in NODES)


def idle_seconds() -> float:
    """Seconds that this machine's CPUs have been idle since it booted, all CPUs together (proc(5))."""
    fields = Path("/proc/stat").read_text().split()
    return int(fields[4]) / os.sysconf("SC_CLK_TCK")


def measure(lab: Lab, seconds: int) -> tuple[int, float]:
    """The changes of state under load for so many seconds, and the fraction of this machine's CPU time that was idle."""
    changes, idle = state_changes(lab), idle_seconds()
    cpus = len(os.sched_getaffinity(0))
    loops = [start_on(lab, name, f'timeout {seconds} sh -c "{BUSY_LOOP}"') for name in NODES]
    loops += [
        subprocess.Popen(
            ("timeout", str(seconds), "sh", "-c", BUSY_LOOP), stdout=subprocess.DEVNULL, text=True
        )
        for _ in range(cpus)
    ]
    for loop in loops:
        loop.wait(seconds + 60)
    return state_changes(lab) - changes, (idle_seconds() - idle) / (seconds * cpus)


@click.command()
@click.argument("seconds", type=click.IntRange(min=1), default=600)
@click.argument("profiles", metavar="[PROFILE]...", type=click.Choice([*PROFILES]), nargs=-1)
def main(seconds: int, profiles: tuple[str, ...]) -> None:
    """Count how often keepalived changes its state in SECONDS (default 600) of load, with each PROFILE (default and fast).

    Prints a table in Markdown. The cluster keeps the last profile.
    """
    lab = running_lab()
    print("| VRRP | seconds | CPUs idle | changes of state |\n|---|---|---|---|", flush=True)
    for profile in profiles or ("default", "fast"):
        deploy(lab, **PROFILES[profile])
        wait_until_ready(lab)
        changes, idle = measure(lab, seconds)
        print(f"| {profile} | {seconds} | {100 * idle:.0f} % | {changes} |", flush=True)


if __name__ == "__main__":
    main()
