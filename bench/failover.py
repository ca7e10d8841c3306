"""How long a VIP answers nobody when its holder fails, ours against the recipe itself, on the lab's machines.

`python -m bench.failover [RUNS]`, as root, with a lab up (`python -m lab up`); it gives keepalived the recipe's own
configuration (`bench/recipe`), then deploys each profile in turn, the default one at the end. What takes the node's kernel
down with it is done in a quarter of the runs, as a boot takes its time. A program on the lab's bridge asks the VIP for an echo every 2 ms (`bench.echo`): the silence is the
longest time between two answers around the failure. All waits are bounded.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from bench.machines import NODES, VIP, deploy, holders, recipe, shell, until
from drills.catalogue import find
from lab.lab import Lab

PROFILES: dict[str, dict[str, object]] = {
    "fast": {"advert_interval": 0.02},
    "default": {},
}
RUNS = 20
INTERVAL = 0.002
SETTLED = 5
"""Seconds that keepalived has to run before it takes part: three of them it listens."""
WATCH = 20.0
"""Seconds that the VIP is watched at most around one failure."""
BOUND = 30.0
"""Seconds for the cluster to be ready for the next one."""


@dataclass(frozen=True)
class Failure:
    """How the VIP's holder fails, and what makes it whole again."""

    name: str
    happens: Callable[[Lab, str], object]
    mended: Callable[[Lab, str], object]
    part: int = 1
    """It is done in so manieth a part of the runs."""


def powered(lab: Lab, name: str) -> None:
    """A node that is off, or whose kernel has died, is on again."""
    lab.guest(name).power_off()
    lab.power_on(name, lambda text: None)


PANIC = (
    "echo 1 >/proc/sys/kernel/sysrq; nohup sh -c 'sleep 0.3; echo c >/proc/sysrq-trigger' >/dev/null 2>&1 &"
)

FAILURES = (
    Failure(
        "link cut",
        lambda lab, name: lab.network.cut(lab.guest(name).machine),
        lambda lab, name: lab.network.heal(lab.guest(name).machine),
    ),
    Failure(
        "keepalived killed (SIGKILL)",
        lambda lab, name: shell(lab, name, find("keepalived-killed").do),
        lambda lab, name: shell(lab, name, "systemctl start keepalived"),  # the recipe's stays dead
    ),
    Failure(
        "keepalived stopped",
        lambda lab, name: shell(lab, name, "systemctl stop keepalived"),
        lambda lab, name: shell(lab, name, "systemctl start keepalived"),
    ),
    Failure("powered off", lambda lab, name: lab.guest(name).power_off(), powered, part=4),
    Failure("kernel panic", lambda lab, name: shell(lab, name, PANIC), powered, part=4),
)


def ready(lab: Lab) -> bool:
    """Whether one node holds the VIP and keepalived has run on both for long enough to take it over."""
    ages = [shell(lab, name, "ps -C keepalived -o etimes=").split() for name in NODES]
    return all(len(age) == 3 and min(map(int, age)) > SETTLED for age in ages) and len(holders(lab)) == 1


def silence(lab: Lab, failure: Failure) -> float:
    """The longest time without an answer around one failure, in seconds; afterwards all is mended."""
    until(lambda: ready(lab), BOUND, "both nodes ready")
    (holder,) = holders(lab)
    answers: list[tuple[float, str]] = []
    with subprocess.Popen(
        (
            *lab.network.enter_command,
            sys.executable,
            "-m",
            "bench.echo",
            VIP,
            "br0",
            f"{INTERVAL}",
            f"{WATCH}",
        ),
        stdout=subprocess.PIPE,
        text=True,
    ) as echo:
        assert echo.stdout
        lines = echo.stdout

        def read() -> None:
            for line in lines:
                when, mac = line.split()
                answers.append((float(when), mac))

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda: len(answers) > 100, BOUND, "answers of the VIP")
        old = answers[-1][1]
        failure.happens(lab, holder)
        until(lambda: answers[-1][1] != old, WATCH / 2, "answers of the other node")
        count = len(answers)
        until(lambda: len(answers) > count + 100, BOUND, "more answers of it")
        echo.terminate()
        reader.join()
    failure.mended(lab, holder)
    return max(after - before for (before, _), (after, _) in itertools.pairwise(answers))


def measure(lab: Lab, profile: str, runs: int, recipes: dict[str, float]) -> None:
    """A row for each failure; `recipes` has the medians of the recipe's by then, and gets them from its own turn."""
    for failure in FAILURES:
        count = max(1, runs // failure.part)
        found = sorted(1000 * silence(lab, failure) for _ in range(count))
        median = statistics.median(found)
        ratio = f"x {recipes.setdefault(failure.name, median) / median:.1f}"
        print(
            f"| {profile} | {failure.name} | {count} | {found[0]:.0f} | {median:.0f} | {found[-1]:.0f} | {ratio} |",
            flush=True,
        )


def main(runs: int) -> None:
    """Prints a table in Markdown: the silence in ms, and how many times shorter its median is than the recipe's."""
    lab = Lab.here()
    recipes: dict[str, float] = {}
    print(
        "| VRRP | failure | runs | min | median | max | ms; recipe's median |\n|---|---|---|---|---|---|---|"
    )
    deploy(lab)
    with recipe(lab):
        measure(lab, "recipe", runs, recipes)
    for profile, settings in PROFILES.items():
        deploy(lab, **settings)
        measure(lab, profile, runs, recipes)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
