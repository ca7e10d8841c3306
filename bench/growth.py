"""How a no-op run of the deploy and of Ansible grows with the number of nodes: `python -m bench.converge --growth 2,10,50`.

The nodes are in memory: there is no lab, no ssh and no process on a node. Each command takes a fixed time, which is spent
waiting. So it is measured what each tool costs the controller, and how often it waits for a node. The deploy runs on the
machines of its unit tests, and Ansible on those of `bench/ansible/connection_plugins/memory.py`. The start of Python and the
imports, about a second, are in Ansible's figures and not in the deploy's.

Many addresses of one sshd on loopback would not do instead: Ansible's modules would change this machine, and their Pythons,
several for each node, would take the CPU from Ansible itself.
"""

from __future__ import annotations

import io
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any
from unittest import mock

import click
import gevent
import pyinfra.api.inventory
from pyinfra.connectors.util import CommandOutput

from bench import playbook
from bench.cost import Cost, Pair, comparison, cost_of, head, row, shown
from tests.unit.test_deploy import Machine, Recorder, World, simulated_world

FEWEST, MOST = 2, 200
"""Nodes of a cluster here."""
EL = 9
COLUMNS = (
    *("nodes", "by", "runs", "wall, s: min", "median", "max", "controller's CPU, s"),
    *("wall a node, s", "CPU a node, ms"),
)


class DelayedConnector(Recorder):
    """The connection to a machine in memory, on which each command takes its time."""

    latency = 0.0

    def run_shell_command(self, command: Any, *_: Any, **arguments: Any) -> tuple[bool, CommandOutput]:
        gevent.sleep(self.latency)
        return super().run_shell_command(command, **arguments)


@contextmanager
def deployed(count: int, latency: float) -> Iterator[World]:
    """A cluster of so many nodes in memory that is deployed; from then on each command takes `latency` seconds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_world(Path(folder), []) as world,
        redirect_stderr(io.StringIO()),  # the deploy prints its verification there
    ):
        numbers = range(1, count + 1)
        world.machines = {f"stash{n}": Machine(world, n) for n in numbers}
        world.settings = {
            "nodes": {f"stash{n}": f"10.77.0.{10 + n}" for n in numbers},
            "inputs": [{"id": "udp-5514", "port": 5514}],
            "vrrp": 3,
            "auth_pass_file": None,
        }
        for _ in range(2):
            run = world.deploy()
        if run.failed or any(run.changes(name) for name in world.machines):
            raise SystemExit(f"{count} nodes in memory: the second run of the deploy is not a no-op run")
        connectors = {"ssh": DelayedConnector}
        with (
            mock.patch.object(DelayedConnector, "latency", latency),
            mock.patch.object(pyinfra.api.inventory, "get_execution_connectors", return_value=connectors),
        ):
            yield world


def pairs(count: int, latency: float, runs: int) -> Iterator[Pair]:
    """No-op runs of the deploy and of Ansible, in turn, on as many nodes."""
    with tempfile.TemporaryDirectory() as name, deployed(count, latency) as world:
        folder = Path(name)
        files = f"{folder}/files/{{{{ inventory_hostname }}}}"
        memory = {"ansible_connection": "memory", "memory_latency": latency, "memory_files": files}
        playbook.write(world.cluster, EL, folder, **memory)
        playbook.run(folder, folder, "--tags", "none")  # it gathers the facts
        for _ in range(runs):
            deploy, _ = cost_of(world.deploy)
            ansible, changes = cost_of(lambda: playbook.run(folder, folder))
            if changes:
                raise SystemExit(f"{count} nodes in memory: Ansible has changed {changes} things")
            yield deploy, ansible


def compare(counts: Iterable[int], latency: float, runs: int) -> None:
    """Measure each number of nodes, and print a table in Markdown."""
    click.echo(head(*COLUMNS))
    for count in counts:
        found = list(pairs(count, latency, runs))
        shares = [*(share(costs, count) for costs in zip(*found, strict=True)), ["", ""]]
        for cells, more in zip(comparison(str(count), found), shares, strict=True):
            click.echo(row(*cells, *more))


def share(costs: Sequence[Cost], count: int) -> list[str]:
    """For a row: a node's share of the median wall time in seconds, and of the median CPU time in milliseconds."""
    wall, cpu = (statistics.median(values) for values in zip(*(cost.figures for cost in costs), strict=True))
    return [shown(wall / count), shown(1000 * cpu / count)]
