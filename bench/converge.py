"""How fast the deploy converges, against the same steps in tuned Ansible (`bench/ansible`).

`python -m bench.converge [--pairs N] [--scenario NAME]`, as root, with a lab of two nodes up (`python -m lab up`) and
the extras installed (`pip install -e '.[dev,bench]'`). Both tools run on the same nodes, one after the other, so that whatever else this machine does
meets both. What is measured:

- **no-op**: nothing is to be changed; a run that changes something ends the benchmark.
- **one-line**: one line of the pipeline changes, and back: the deploy changes it, Ansible changes it back, then the other
  way round.
- **fresh** (only where it is named): the nodes have just been created. The lab is removed and created anew for each run.

Each guest's CPU time and processes are the differences of /proc/stat, and the commands are those that its sshd logs
meanwhile. CPU on the controller is this process's and its children's: the ssh connection that Ansible keeps open, and the
lab's proxy commands, are not in it.

The deploy does more than the playbook: it drains a node before it restarts its Logstash, keeps a record, removes what an
earlier deploy has put there, and verifies the cluster at the end. All of that is in its figures.

`python -m bench.converge --growth 2,10,50` measures a no-op run by the number of nodes, without a lab (`bench.growth`).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import click

from bench import playbook
from bench.cost import (
    Cost,
    GuestUse,
    Pair,
    comparison,
    cost_cells,
    cost_of,
    head,
    mean,
    pair_by_pair,
    parse_deploy_changes,
    parse_guest_use,
    row,
    shown,
)
from bench.growth import FEWEST, MOST
from bench.growth import compare as compare_growth
from bench.machines import NODES, cluster_settings, run_deploy, run_on, running_lab, write_inventory
from cluster import Cluster, define
from desired.logstash import UNIT as LOGSTASH
from desired.majors import with_seen_major
from facts.packages import Packages, parse_packages
from lab.lab import Lab
from lab.settings import DEFAULT_RELEASE

T = TypeVar("T")

SCENARIOS = ("no-op", "one-line", "fresh")
COLUMNS = (
    *("run", "by", "runs", "wall, s: min", "median", "max", "controller's CPU, s"),
    *("each guest's CPU, s", "its processes", "ssh commands to it"),
)
LOGSTASH_DELAY = 2.0
"""Seconds that Logstash's stand-in takes to start in a lab that is created here: the lab's own default."""
IDLE = 20
"""Seconds for which the table shows what the guests use without any run."""
AS_BEFORE: dict[str, Any] = {}
"""The settings of the cluster that are not the project's own inventory's: none."""
CHANGED: dict[str, Any] = {"inputs": [{"id": "udp-5514", "port": 5514, "queue_size": 4000}]}
"""The same with one more line in the pipeline."""
SSHD = "/etc/ssh/sshd_config.d/bench.conf"

# What sshd logs of each command; the one that asks is among them.
_COMMANDS = "journalctl --sync; echo commands $(journalctl -q -t sshd -t sshd-session -o cat | grep -c '^Starting session: command')"
_BEFORE = f"{_COMMANDS}; cat /proc/stat"
_AFTER = f"cat /proc/stat; {_COMMANDS}"


class Deploy:
    """This project's deploy."""

    name = "deploy"

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.inventory = lab.folder

    def prepare(self, settings: dict[str, Any]) -> None:
        """Write the inventory of a cluster with these settings."""
        self.inventory = write_inventory(self.lab, **settings)

    def run(self) -> int:
        """Returns how many operations have changed something. Raises SystemExit when the deploy fails."""
        return parse_deploy_changes(run_deploy(self.inventory))


class Ansible:
    """The same steps in Ansible."""

    name = "Ansible"

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.config = lab.folder / "ssh_config"
        self.folder = lab.folder / "ansible"
        self.sockets = lab.network.sockets

    def prepare(self, settings: dict[str, Any]) -> None:
        """Write the inventory and the files of a cluster with these settings."""
        _, data = define(**cluster_settings(self.lab, **settings))
        # The deploy, too, takes the Logstash that the nodes have.
        cluster = with_seen_major(Cluster.model_validate(data["cluster"]), installed_logstash(self.lab))
        playbook.write(cluster, DEFAULT_RELEASE, self.folder, ansible_ssh_common_args=f"-F {self.config}")

    def run(self) -> int:
        """Returns how many tasks have changed something. Raises SystemExit when the playbook fails."""
        try:
            return playbook.run(self.folder, self.sockets)
        except playbook.AnsibleFailed as failure:
            raise SystemExit(f"Ansible has failed:\n{failure}") from None

    def disconnect(self) -> None:
        """End the ssh connections that Ansible keeps open."""
        for name in NODES:
            path = playbook.control_path(self.sockets, name)
            command = ("ssh", "-F", self.config, "-o", f"ControlPath={path}", "-O", "exit", name)
            subprocess.run(command, capture_output=True, check=False)


class Bench:
    """Both tools on a lab's nodes, and the scenarios that they go through."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.deploy, self.ansible = Deploy(lab), Ansible(lab)

    def no_op(self, pairs: int) -> list[Pair]:
        """Runs that have nothing to change."""
        return [
            (self.run(self.deploy, "no-op", AS_BEFORE), self.run(self.ansible, "no-op", AS_BEFORE))
            for _ in range(pairs)
        ]

    def one_line(self, pairs: int) -> list[Pair]:
        """Runs that change one line or change it back: an even number of pairs."""
        found = []
        for _ in range((pairs + 1) // 2):
            changed = self.run(self.deploy, "one-line", CHANGED)
            other_back = self.run(self.ansible, "one-line", AS_BEFORE)
            other_changed = self.run(self.ansible, "one-line", CHANGED)
            back = self.run(self.deploy, "one-line", AS_BEFORE)
            found += [(changed, other_changed), (back, other_back)]
        return found

    def fresh(self, pairs: int) -> list[Pair]:
        """Runs on nodes that have just been created. At the end they are created once more, since the deploy refuses a node
        with a VIP that it knows nothing of."""

        def run(tool: Deploy | Ansible) -> Cost:
            self.renew_lab()
            return self.run(tool, "fresh", AS_BEFORE)

        found = [(run(self.deploy), run(self.ansible)) for _ in range(pairs)]
        self.renew_lab()
        return found

    def renew_lab(self) -> None:
        """Remove the lab, and create it anew."""
        self.ansible.disconnect()
        self.lab.down()
        self.lab.up(len(NODES), LOGSTASH_DELAY, lambda text: None)
        self.log_commands()

    def idle(self) -> Cost:
        """What the guests use when neither tool runs, in `IDLE` seconds."""
        cost, _ = self.measure(lambda: time.sleep(IDLE))
        return cost

    def settle(self) -> None:
        """Bring the nodes to where both tools have nothing to change; Ansible is connected then, and has its facts."""
        for tool in (self.deploy, self.ansible):
            tool.prepare(AS_BEFORE)
            tool.run()

    def run(self, tool: Deploy | Ansible, scenario: str, settings: dict[str, Any]) -> Cost:
        """One run. Raises SystemExit where something changes, and should not, or nothing does, and should."""
        tool.prepare(settings)
        cost, changes = self.measure(tool.run)
        if bool(changes) == (scenario == "no-op"):
            raise SystemExit(
                f"{scenario}: {tool.name} has changed {changes} things; this run is not what it should be"
            )
        click.echo(row(scenario, tool.name, *map(shown, cost.figures)), err=True)
        return cost

    def measure(self, run: Callable[[], T]) -> tuple[Cost, T]:
        """What a run costs this machine and the guests, and what it returns."""
        before = [parse_guest_use(run_on(self.lab, name, _BEFORE)) for name in NODES]
        cost, result = cost_of(run)
        after = [parse_guest_use(run_on(self.lab, name, _AFTER)) for name in NODES]
        return replace(cost, guest=mean([use(*each) for each in zip(before, after, strict=True)])), result

    @contextmanager
    def logged_commands(self) -> Iterator[None]:
        """Meanwhile each guest's sshd logs the commands that it starts. At the end, Ansible is disconnected, too."""
        self.log_commands()
        try:
            yield
        finally:
            self.ansible.disconnect()
            for name in NODES:
                run_on(self.lab, name, f"rm -f {SSHD}; systemctl reload sshd")

    def log_commands(self) -> None:
        """Have each guest's sshd log the commands that it starts. In connections that are there, it goes on with the old
        level, so they end."""
        self.ansible.disconnect()
        for name in NODES:
            run_on(self.lab, name, f"echo LogLevel VERBOSE >{SSHD}; systemctl reload sshd")
            self.lab.guest(name).forget_connection()


def installed_logstash(lab: Lab) -> dict[str, str | None]:
    """The version of Logstash on each node; None where there is none."""
    query = Packages().command(packages=[LOGSTASH])
    return {name: parse_packages(run_on(lab, name, query).splitlines())[LOGSTASH] for name in NODES}


def use(before: GuestUse, after: GuestUse) -> GuestUse:
    """What a guest has used between two samples, of which the second is a command itself."""
    difference = after - before
    return replace(difference, commands=difference.commands - 1)


def compare(lab: Lab, scenarios: tuple[str, ...], pairs: int) -> None:
    """Run the scenarios, and print a table in Markdown: a scenario's rows as soon as it has ended."""
    bench = Bench(lab)
    found: dict[str, list[Pair]] = {}

    def measure(scenario: str, run: Callable[[int], list[Pair]]) -> None:
        if scenario in scenarios:
            found[scenario] = run(pairs)
            for cells in comparison(scenario, found[scenario]):
                click.echo(row(*cells))

    with bench.logged_commands():
        click.echo(head(*COLUMNS))
        measure("fresh", bench.fresh)
        bench.settle()
        click.echo(row(f"nothing, {IDLE} s", "", "1", *cost_cells([bench.idle()])))
        measure("no-op", bench.no_op)
        measure("one-line", bench.one_line)
    for scenario, each in found.items():
        click.echo(f"\n{scenario}, pair by pair: {pair_by_pair(each)}")


def parse_counts(text: str) -> tuple[int, ...]:
    """Parse the option `--growth`: numbers of nodes, separated by commas."""
    words = text.split(",")
    if wrong := [word for word in words if not word.isdecimal() or not FEWEST <= int(word) <= MOST]:
        raise click.BadParameter(
            f"{', '.join(wrong)}: not a number of nodes; choose from {FEWEST} to {MOST}, such as 2,10,50"
        )
    return tuple(map(int, words))


@click.command()
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True, help="Runs of each tool.")
@click.option(
    "--scenario",
    type=click.Choice(SCENARIOS),
    multiple=True,
    default=("no-op", "one-line"),
    show_default=True,
    help="What is measured; can be given several times. `fresh` creates the lab anew.",
)
@click.option(
    "--growth",
    metavar="N,N,…",
    callback=lambda context, option, text: text and parse_counts(text),
    help="Measure by the number of nodes instead, without a lab: 2,10,50.",
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="Seconds that a command takes, with --growth.",
)
def main(pairs: int, scenario: tuple[str, ...], growth: tuple[int, ...] | None, latency: float) -> None:
    """Measure how fast the deploy converges, against the same steps in tuned Ansible. Prints tables in Markdown."""
    if growth:
        compare_growth(growth, latency, pairs)
    else:
        compare(running_lab(), scenario, pairs)


if __name__ == "__main__":
    main()
