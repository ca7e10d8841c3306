"""A lab of the tests' own, and what a test does with it."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
NODES = ("stash1", "stash2")
ADDRESSES = {"stash1": "10.77.0.11", "stash2": "10.77.0.12"}
VIP = "10.77.0.10"
ALLOWED, FORBIDDEN = "10.77.0.101", "10.77.0.102"
EVENTS = "/var/log/logstash/events.json"

Done = subprocess.CompletedProcess[str]

SEND = """
import socket, sys, time
source, target, port = sys.argv[1:]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind((source, 0))
for line in sys.stdin.read().split():
    out.sendto(line.encode(), (target, int(port)))
    time.sleep(0.002)
"""


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition holds; fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def tool(name: str) -> str:
    """A program of the Python environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))


@dataclass(frozen=True)
class Cluster:
    """The lab, and the project's commands run as a user runs them."""

    lab: Lab

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A command in the project's folder, with this lab as its lab."""
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "LAB_DIR": str(self.lab.folder), "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, timeout: float = 600) -> Done:
        """The same, to its end."""
        with self.start(*command) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Done(command, process.returncode, output, errors)

    def deploy(self, *options: str, inventory: str | Path = "inventory.py") -> Done:
        return self.run(tool("pyinfra"), *options, str(inventory), "deploy.py")

    def plan(self) -> tuple[dict[str, list[str]], str]:
        """What a deploy would change: operations with the hosts they would change, and what it says."""
        done = self.deploy("--dry", "--diff", "--json")
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)["plan"]
        changes = {step["name"]: step["hosts_with_change"] for step in plan if step["hosts_with_change"]}
        return changes, done.stderr

    def verify(self, *options: str) -> dict[str, Any]:
        """verify.py's JSON, with its exit status as ``status``."""
        done = self.run(sys.executable, "verify.py", "--json", *options)
        document: dict[str, Any] = json.loads(done.stdout)
        return {**document, "status": done.returncode}

    def whole(self) -> bool:
        """Whether verify.py finds nothing wrong."""
        return bool(self.verify()["status"] == 0)

    def on(self, name: str, script: str, stdin: str = "") -> Done:
        """A shell script on a guest, as root."""
        return subprocess.run(
            (*self.lab.ssh_command(name), f"sudo sh -c {shlex.quote(script)}"),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def get(self, name: str, script: str, stdin: str = "") -> str:
        """What a shell script on a guest prints; it must succeed."""
        done = self.on(name, script, stdin)
        assert done.returncode == 0, f"{name}: {script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def holders(self) -> list[str]:
        """The running guests that have the VIP."""
        running = [name for name in NODES if self.lab.guest(name).running()]
        return [name for name in running if f" {VIP}/" in self.on(name, "ip -o -4 addr show").stdout]

    def pool(self, director: str) -> list[str]:
        """The real servers in a director's IPVS table with a weight above zero."""
        return re.findall(r"-> ([\d.]+):5514 +Masq +[1-9]", self.on(director, "ipvsadm -ln").stdout)

    def send(self, texts: list[str], target: str = VIP, source: str = ALLOWED) -> None:
        """Datagrams from one of the sender's addresses, one a text."""
        self.get("sender", f"python3 -c {shlex.quote(SEND)} {source} {target} 5514", "\n".join(texts))

    def received(self, name: str, mark: str) -> list[str]:
        """The texts with this mark that a node's Logstash wrote, in its order."""
        lines = self.get(name, f"grep -h {mark} {EVENTS} || true").splitlines()
        return [str(json.loads(line)["message"]) for line in lines]


@pytest.fixture(scope="session")
def fresh() -> Iterator[Cluster]:
    """Guests that nobody has deployed to."""
    lab = Lab(ROOT / ".lab-test")
    lab.down()
    try:
        lab.up(nodes=2, logstash_start_delay=2.0, progress=lambda text: None)
        yield Cluster(lab)
    finally:
        lab.down()


@pytest.fixture(scope="session")
def first_deploy(fresh: Cluster) -> Done:
    """The first deploy, on fresh guests."""
    return fresh.deploy("-y")


@pytest.fixture(scope="session")
def cluster(fresh: Cluster, first_deploy: Done) -> Cluster:
    """The deployed cluster."""
    assert first_deploy.returncode == 0, first_deploy.stderr
    return fresh
