"""Whether the health services call an input down that is up, while the machines and the network are in trouble.

`python -m bench.alarms [SECONDS] [--trouble NAME]`, as root, with a lab of two nodes up (`python -m lab up`). It deploys the
default cluster, makes each kind of trouble for SECONDS, and counts the changes of verdict in the journals of all nodes'
services. Those are right that say that a paused node is down, and up again; all others are false alarms.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass

import click

from bench.flap import BUSY_LOOP
from bench.machines import NODES, deploy, run_on, running_lab, wait_until_ready
from bench.wait import wait_until
from desired import health
from lab.lab import Lab
from lab.settings import INTERFACE

LOSS = 5
"""Percent of the packets that a lossy link loses, each way."""
PAUSE, BETWEEN = 5.0, 10.0
"""Seconds for which something stands still, and then runs, in turn."""
PAUSED = list(NODES)[1]
"""The node that stands still, or whose service does."""
SETTLED_LIMIT = 60.0
"""Seconds within which nothing may be down any more."""


@contextmanager
def nothing(lab: Lab) -> Iterator[None]:
    """No trouble at all."""
    yield


@contextmanager
def busy(lab: Lab) -> Iterator[None]:
    """A busy loop on each node, and on each CPU of this machine."""
    with ExitStack() as stack:
        for name in NODES:
            run_on(lab, name, f"systemd-run --unit bench-busy sh -c '{BUSY_LOOP}'")
            stack.callback(run_on, lab, name, "systemctl stop bench-busy")
        for _ in os.sched_getaffinity(0):
            loop = subprocess.Popen(("sh", "-c", BUSY_LOOP))
            stack.callback(loop.wait)
            stack.callback(loop.kill)
        yield


@contextmanager
def lossy(lab: Lab) -> Iterator[None]:
    """Each node's link loses packets (tc-netem(8))."""
    try:
        for name in NODES:
            added = run_on(
                lab,
                name,
                f"modprobe sch_netem && tc qdisc add dev {INTERFACE} root netem loss {LOSS}% && echo added",
            )
            if not added:
                raise SystemExit(f"{name}: its link can't be made a lossy one")
        yield
    finally:
        for name in NODES:
            run_on(lab, name, f"tc qdisc del dev {INTERFACE} root")


@contextmanager
def in_turn(stop: Callable[[], object], go_on: Callable[[], object]) -> Iterator[None]:
    """Meanwhile, something stands still for some seconds and runs for some, in turn; at the end it runs."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(BETWEEN):
            stop()
            over.wait(PAUSE)
            go_on()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def service_stopped(lab: Lab) -> Iterator[None]:
    """The second node's health service stands still, again and again."""
    kill = f"systemctl kill -s {{}} {health.UNIT}"
    with in_turn(
        lambda: run_on(lab, PAUSED, kill.format("STOP")), lambda: run_on(lab, PAUSED, kill.format("CONT"))
    ):
        yield


@contextmanager
def node_paused(lab: Lab) -> Iterator[None]:
    """The second node as a whole stands still, again and again, as a virtual machine that is moved."""

    def send(number: signal.Signals) -> None:
        for pid in lab.guest(PAUSED).processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    with in_turn(lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT)):
        yield


@dataclass(frozen=True)
class Trouble:
    """What makes it hard to tell who is up."""

    description: str
    made: Callable[[Lab], AbstractContextManager[None]]
    pauses: bool = False
    """Whether a node stands still as a whole: it is down then."""


TROUBLES = {
    "none": Trouble("none", nothing),
    "busy": Trouble("all CPUs are busy", busy),
    "lossy": Trouble(f"the link loses {LOSS} % of the packets", lossy),
    "service-stopped": Trouble("a health service stands still for 5 s, again and again", service_stopped),
    "node-paused": Trouble("a node stands still for 5 s, again and again", node_paused, pauses=True),
}


def verdicts(lab: Lab, name: str, since: str) -> list[str]:
    """The lines in which a node's service has told of a change."""
    output = run_on(lab, name, f"journalctl -u {health.UNIT} --no-pager -o cat --since @{since}")
    return [
        line for line in output.splitlines() if " is up" in line or " is down" in line or " is out" in line
    ]


def measure(lab: Lab, trouble: Trouble, seconds: int) -> tuple[int, int]:
    """How many changes of verdict were right, and how many false, with so many seconds of trouble."""

    def nothing_down() -> bool:
        return not any(run_on(lab, name, f"cat {health.REASONS}").strip() for name in NODES)

    wait_until(nothing_down, SETTLED_LIMIT, "all inputs up")
    since = {name: run_on(lab, name, "date +%s").strip() for name in NODES}
    with trouble.made(lab):
        time.sleep(seconds)
    wait_until(nothing_down, SETTLED_LIMIT, "all inputs up again")
    right = false = 0
    for name in NODES:
        for line in verdicts(lab, name, since[name]):
            if trouble.pauses and name != PAUSED and f" at {NODES[PAUSED]} " in line:
                right += 1
            else:
                click.echo(f"{name}: {line}", err=True)
                false += 1
    return right, false


@click.command()
@click.argument("seconds", type=click.IntRange(min=1), default=600)
@click.option("--trouble", type=click.Choice([*TROUBLES]), multiple=True, help="Make only this trouble.")
def main(seconds: int, trouble: tuple[str, ...]) -> None:
    """Count the false alarms of the health services in SECONDS (default 600) of each kind of trouble.

    Prints a table in Markdown, and each false alarm. `--trouble` can be given several times.
    """
    lab = running_lab()
    deploy(lab)
    wait_until_ready(lab)
    click.echo("| trouble | seconds | right changes of verdict | false alarms |\n|---|---|---|---|")
    for name, made in TROUBLES.items():
        if name in trouble or not trouble:
            right, false = measure(lab, made, seconds)
            click.echo(f"| {made.description} | {seconds} | {right} | {false} |")


if __name__ == "__main__":
    main()
