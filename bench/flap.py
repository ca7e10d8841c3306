"""Whether the VIP stays where it is while all CPUs are busy, on the lab's machines.

`python -m bench.flap [SECONDS [PROFILE …]]`, as root, with a lab of two nodes up (`python -m lab up`). It deploys each
profile of `bench.failover`, and meanwhile a loop is busy on each node and on each CPU of this machine. It counts how often
keepalived changed its state on any node. All ends by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.failover import BOUND, PROFILES, ready
from bench.machines import NODES, deploy, shell, start, until
from lab.lab import Lab

SECONDS = 600
BUSY = "while :; do :; done"


def changes(lab: Lab) -> int:
    """How often keepalived has told of a new state, on all nodes together."""
    command = "journalctl -u keepalived --no-pager -o cat | grep -c -E 'Entering (MASTER|BACKUP|FAULT) STATE'"
    return sum(int(shell(lab, name, command)) for name in NODES)


def idle() -> float:
    """Seconds that this machine's CPUs have been idle, all together (proc(5))."""
    fields = Path("/proc/stat").read_text().split()
    return int(fields[4]) / os.sysconf("SC_CLK_TCK")


def busy(lab: Lab, seconds: int) -> tuple[int, float]:
    """Changes of state in so many seconds of load, and the part of this machine's CPU time that was idle."""
    before, rested = changes(lab), idle()
    cpus = len(os.sched_getaffinity(0))
    loops = [start(lab, name, f'timeout {seconds} sh -c "{BUSY}"') for name in NODES]
    loops += [
        subprocess.Popen(("timeout", str(seconds), "sh", "-c", BUSY), stdout=subprocess.DEVNULL, text=True)
        for _ in range(cpus)
    ]
    for loop in loops:
        loop.wait(seconds + 60)
    return changes(lab) - before, (idle() - rested) / (seconds * cpus)


def main(seconds: int, profiles: tuple[str, ...]) -> None:
    """Prints a table in Markdown."""
    lab = Lab.here()
    print("| VRRP | seconds | CPUs idle | changes of state |\n|---|---|---|---|")
    for profile in profiles:
        deploy(lab, **PROFILES[profile])
        until(lambda: ready(lab), BOUND, "both nodes ready")
        count, rest = busy(lab, seconds)
        print(f"| {profile} | {seconds} | {100 * rest:.0f} % | {count} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS, tuple(sys.argv[2:]) or ("default", "fast"))
