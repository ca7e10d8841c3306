"""The lab's two nodes as the benchmarks use them: the cluster is deployed there, and commands are run there."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from bench.wait import wait_until
from desired import keepalived
from lab.lab import Lab
from lab.settings import GATEWAY, INTERFACE, NETWORK
from lab.shell import LabError

VIP = str(NETWORK[10])
NODES = {"stash1": str(NETWORK[11]), "stash2": str(NETWORK[12])}
SENDER = str(NETWORK[101])
RECIPE = Path(__file__).with_name("recipe")
"""The recipe's own keepalived.conf, as a template, and its health script."""
CHECK = "/etc/keepalived/recipe.py"
"""Where the recipe's health script is on a node while it is in use."""
LISTENING = 5
"""Seconds that keepalived must have run before a node can take the VIP over: for the first three it only listens."""
READY_LIMIT = 30.0
"""Seconds within which the cluster must be ready."""


def running_lab() -> Lab:
    """The lab that `LAB_DIR` names. Raises SystemExit when it has not the guests that the benchmarks need."""
    lab = Lab.here()
    try:
        for name in (*NODES, "sender"):
            lab.guest(name)
    except LabError as error:
        raise SystemExit(str(error)) from None
    return lab


def run_on(lab: Lab, name: str, script: str) -> str:
    """Run a shell script on a guest, as root, and return what it prints. Its exit status is ignored."""
    done = subprocess.run(
        (*lab.ssh_command(name), f"sudo sh -c {shlex.quote(script)}"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def start_on(lab: Lab, name: str, command: str) -> subprocess.Popen[str]:
    """Start a command on a guest, as root, and return while it runs."""
    return subprocess.Popen(
        (*lab.ssh_command(name), f"sudo {command}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def holders(lab: Lab) -> list[str]:
    """The nodes that have the VIP."""
    return [name for name in NODES if f" {VIP}/" in run_on(lab, name, "ip -o -4 addr show")]


def can_take_over(lab: Lab) -> bool:
    """Whether keepalived has run on all nodes for long enough to take the VIP over, with its three processes."""
    ages = [run_on(lab, name, "ps -C keepalived -o etimes=").split() for name in NODES]
    return all(len(seconds) == 3 and min(map(int, seconds)) > LISTENING for seconds in ages)


def wait_until_ready(lab: Lab) -> tuple[str, int]:
    """Wait until each node can take the VIP over and exactly one holds it.

    Two nodes can hold it for a moment. Returns the holder's name, and how many times more than one was seen.
    Raises SystemExit after `READY_LIMIT`.
    """
    seen: list[list[str]] = []

    def ready() -> bool:
        seen.append(holders(lab))
        return len(seen[-1]) == 1 and can_take_over(lab)

    wait_until(ready, READY_LIMIT, "both nodes ready, and the VIP on one of them")
    return seen[-1][0], sum(len(names) > 1 for names in seen)


def cluster_settings(lab: Lab, **settings: object) -> dict[str, Any]:
    """The arguments of `define` for the lab's nodes. A setting that is not given is as in the project's own inventory, but the
    version of Logstash, which is the nodes' own."""
    return {
        "nodes": NODES,
        "network": str(NETWORK),
        "interface": INTERFACE,
        "vip": VIP,
        "inputs": [{"id": "udp-5514", "port": 5514}],
        "senders": [SENDER],
        "artifacts_url": f"http://{GATEWAY}",
        "repository": {"seen_from": "nodes"},
        "connection": {"ssh_config_file": f"{lab.folder}/ssh_config", "_sudo": True},
        **settings,
    }


def write_inventory(lab: Lab, **settings: object) -> Path:
    """Write an inventory of the cluster with these settings, and return its path."""
    inventory = lab.folder / "bench.py"
    arguments = cluster_settings(lab, **settings)
    inventory.write_text(f"from cluster import define\n\nnodes = define(**{arguments!r})\n")
    return inventory


def run_deploy(inventory: Path) -> str:
    """Deploy what the inventory says, and return all that pyinfra prints. Raises SystemExit."""
    pyinfra = Path(sys.executable).with_name("pyinfra")
    done = subprocess.run(
        (pyinfra, "-y", str(inventory), "deploy.py"), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"the deploy of this inventory failed:\n{inventory.read_text()}{done.stderr[-2000:]}"
        )
    return done.stdout + done.stderr


def deploy(lab: Lab, **settings: object) -> None:
    """Deploy the cluster with these settings; the others are as in the project's own inventory. Raises SystemExit."""
    run_deploy(write_inventory(lab, **settings))


@contextmanager
def recipe_in_use(lab: Lab) -> Iterator[None]:
    """Give keepalived the recipe's own configuration and health script on both nodes of a deployed cluster.

    The project's drop-in for keepalived is removed meanwhile. At the end the cluster is deployed again.
    """
    template = Environment(
        loader=FileSystemLoader(RECIPE), trim_blocks=True, keep_trailing_newline=True, autoescape=False
    ).get_template("keepalived.conf.j2")
    files = {CHECK: (RECIPE / "check.py").read_text()}
    try:
        for name, address in NODES.items():
            files[keepalived.CONF] = template.render(
                interface=INTERFACE,
                own=address,
                addresses=list(NODES.values()),
                vip=VIP,
                script=CHECK,
            )
            for path, text in files.items():
                subprocess.run(
                    (*lab.ssh_command(name), f"sudo tee {path}"),
                    input=text,
                    text=True,
                    stdout=subprocess.DEVNULL,
                    check=True,
                    timeout=60,
                )
            run_on(
                lab,
                name,
                f"setsebool nis_enabled=1; rm {keepalived.DROP_IN}; systemctl daemon-reload; systemctl restart keepalived",
            )
        yield
    finally:
        for name in NODES:
            # Stopped first: checks that SELinux denies meanwhile would be found by the deploy's verification.
            run_on(lab, name, f"systemctl stop keepalived; rm {CHECK}; setsebool nis_enabled=0")
        deploy(lab)
