"""The lab's two nodes, as the benchmarks use them: deployed, asked, and given programs."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from desired import keepalived
from lab.lab import Lab
from lab.settings import GATEWAY, INTERFACE, NETWORK

VIP = str(NETWORK[10])
NODES = {"stash1": str(NETWORK[11]), "stash2": str(NETWORK[12])}
SENDER = str(NETWORK[101])
RECIPE = Path(__file__).with_name("recipe")
"""keepalived's configuration and health script as the recipe has them."""
CHECK = "/etc/keepalived/recipe.py"


def shell(lab: Lab, name: str, script: str) -> str:
    """What a command on a guest prints, as root."""
    done = subprocess.run(
        (*lab.ssh_command(name), f"sudo sh -c {shlex.quote(script)}"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def start(lab: Lab, name: str, command: str) -> subprocess.Popen[str]:
    """A command on a guest, as root, that goes on meanwhile."""
    return subprocess.Popen(
        (*lab.ssh_command(name), f"sudo {command}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition holds. Raises SystemExit with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)


def holders(lab: Lab) -> list[str]:
    """The nodes that have the VIP."""
    return [name for name in NODES if f" {VIP}/" in shell(lab, name, "ip -o -4 addr show")]


def deploy(lab: Lab, **settings: object) -> None:
    """The cluster with these settings; what is not set is as in the project's own inventory. Raises SystemExit."""
    settings = {
        "nodes": NODES,
        "network": str(NETWORK),
        "interface": "eth0",
        "vip": VIP,
        "inputs": [{"id": "udp-5514", "port": 5514}],
        "senders": [SENDER],
        "artifacts_url": f"http://{GATEWAY}",
        "connection": {"ssh_config_file": f"{lab.folder}/ssh_config", "_sudo": True},
        **settings,
    }
    inventory = lab.folder / "bench.py"
    inventory.write_text(f"from cluster import define\n\nnodes = define(**{settings!r})\n")
    pyinfra = Path(sys.executable).with_name("pyinfra")
    done = subprocess.run(
        (pyinfra, "-y", str(inventory), "deploy.py"), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the deploy with {settings} failed:\n{done.stderr[-2000:]}")


@contextmanager
def recipe(lab: Lab) -> Iterator[None]:
    """Meanwhile keepalived has the recipe's own configuration and script, and no drop-in of ours, on both nodes of a cluster
    that is deployed. Afterwards it is deployed again."""
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
            shell(
                lab,
                name,
                f"setsebool nis_enabled=1; rm {keepalived.DROP_IN}; systemctl daemon-reload; systemctl restart keepalived",
            )
        yield
    finally:
        for name in NODES:
            shell(lab, name, f"rm {CHECK}; setsebool nis_enabled=0")
        deploy(lab)
