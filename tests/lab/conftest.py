"""A lab of the tests' own, and what a test does with it."""

import atexit
import json
import os
import re
import select
import shlex
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from desired.health import REASONS
from lab.lab import Lab
from tests.until import until

ROOT = Path(__file__).resolve().parents[2]
NODES = ("stash1", "stash2")
ADDRESSES = {"stash1": "10.77.0.11", "stash2": "10.77.0.12"}
ALL_ADDRESSES = {**ADDRESSES, "stash3": "10.77.0.13"}
VIP = "10.77.0.10"
ALLOWED, FORBIDDEN = "10.77.0.101", "10.77.0.102"
EVENTS = "/var/log/logstash/events.json"
PASSWORD = "hunter22"

Done = subprocess.CompletedProcess[str]

SEND = """
import socket, sys, time
source, target, port = sys.argv[1:]
out = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
out.bind((source, 0))
for line in sys.stdin.read().split():
    out.sendto(line.encode(), (target, int(port)))
    time.sleep(0.002)
"""

# One TCP session a line. The server sees the end of each and ends its side, so both directions work to the last.
SESSIONS = """
import socket, sys
source, target, port = sys.argv[1:]
for line in sys.stdin.read().split():
    with socket.create_connection((target, int(port)), timeout=5, source_address=(source, 0)) as session:
        session.sendall(line.encode() + b"\\n")
        session.shutdown(socket.SHUT_WR)
        if session.recv(1) != b"":
            raise SystemExit("the server said something")
"""

# Numbered datagrams until told to stop, and at most for ten minutes.
STREAM = """
import select, socket, sys, time
target, port, mark, rate = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
number, start = 0, time.monotonic()
while number < 600 * rate:
    if select.select([sys.stdin], [], [], max(0, start + number / rate - time.monotonic()))[0]:
        break
    out.sendto(("%s-%d" % (mark, number)).encode(), (target, port))
    number += 1
print(number)
"""


# What it is told on a line it does, and tells on a line.
SHELL = """
import json, subprocess, sys
for line in sys.stdin:
    script, text = json.loads(line)
    pipe = subprocess.PIPE
    process = subprocess.Popen(("sh", "-c", script), stdin=pipe, stdout=pipe, stderr=pipe)
    output = [each.decode("utf-8", "replace") for each in process.communicate(text.encode("utf-8"))]
    print(json.dumps([process.returncode] + output))
    sys.stdout.flush()
"""


class Shell:
    """Root's shell on a guest. To log in and to call sudo for each command takes several times as long as most of them do."""

    _open: ClassVar[dict[Path, "Shell"]] = {}

    def __init__(self, lab: Lab, name: str) -> None:
        self._connection = connection = lab.network.sockets / f"ssh-{name}"
        self._process = subprocess.Popen(
            (*lab.ssh_command(name), f"sudo python3 -c {shlex.quote(SHELL)}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.kill)
        self._inode = 0
        if before := Shell._open.get(connection):
            before._process.kill()
        Shell._open[connection] = self

    @classmethod
    def on(cls, lab: Lab, name: str) -> "Shell":
        """The one that is open; a new one where it has ended, or where ssh's shared connection is another: the guest was off."""
        shell = cls._open.get(lab.network.sockets / f"ssh-{name}")
        return shell if shell and shell._process.poll() is None and shell._lasts() else cls(lab, name)

    def _lasts(self) -> bool:
        return self._connection.exists() and self._connection.stat().st_ino == self._inode

    def run(self, script: str, stdin: str, timeout: float) -> Done:
        """What `sh -c` makes of a script."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([script, stdin]) + "\n")
            self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            self._process.kill()
            raise subprocess.TimeoutExpired(script, timeout)
        if not (line := self._process.stdout.readline()):
            assert self._process.stderr
            return Done(script, self._process.wait(timeout) or 255, "", self._process.stderr.read())
        if self._connection.exists():
            self._inode = self._connection.stat().st_ino
        return Done(script, *json.loads(line))


def last_event(line: str) -> dict[str, Any] | None:
    """The event at the end of a line: power that fails leaves a part of one, or NULs, before the next. None: only a part."""
    for begin in re.finditer("{", line):
        with suppress(json.JSONDecodeError):
            event: dict[str, Any] = json.loads(line[begin.start() :])
            return event if "message" in event else None  # a part can end with an inner object
    return None


def tool(name: str) -> str:
    """A program of the Python environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))


@dataclass(frozen=True)
class Cluster:
    """The lab, and the project's commands run as a user runs them."""

    lab: Lab
    checkout: Path = ROOT
    """The folder of the project; an earlier release is in another one."""
    python: str = sys.executable
    """Of the environment whose programs run there."""

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A command in the project's folder, with this lab as its lab."""
        return subprocess.Popen(
            command,
            cwd=self.checkout,
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
        pyinfra = str(Path(self.python).with_name("pyinfra"))
        return self.run(pyinfra, *options, str(inventory), "deploy.py")

    def inventory(self, name: str, **settings: Any) -> Path:
        """An inventory of the lab's machines: its path. What is not set is as in the project's own."""
        lab = self.lab.folder
        # stash3 is an EL 7, as a rule.
        if settings.get("vrrp", 2 if "stash3" in settings.get("nodes", ()) else 3) == 2:
            secret = lab / "auth_pass"
            secret.touch(mode=0o600)
            secret.write_text(PASSWORD)
            settings = {"vrrp": 2, "auth_pass_file": str(secret), **settings}
        settings = {
            "nodes": ADDRESSES,
            "network": "10.77.0.0/24",
            "interface": "eth0",
            "vip": VIP,
            "inputs": [{"id": "udp-5514", "port": 5514}],
            "senders": [ALLOWED],
            "artifacts_url": "http://10.77.0.1",
            "repository": {"seen_from": "nodes"},
            "connection": {"ssh_config_file": f"{lab}/ssh_config", "_sudo": True},
            **settings,
        }
        settings = {key: value for key, value in settings.items() if value is not None}
        path = lab / f"{name}.py"
        path.write_text(
            f"from cluster import define\n\nnodes = define(**{settings!r})\n"
            f"senders = (['sender'], {settings['connection']!r})\n"
        )
        return path

    def plan(self, inventory: str | Path = "inventory.py") -> tuple[dict[str, list[str]], str]:
        """What a deploy would change: operations with the hosts they would change, and what it says."""
        done = self.deploy("--dry", "--diff", "--json", inventory=inventory)
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)["plan"]
        changes = {step["name"]: step["hosts_with_change"] for step in plan if step["hosts_with_change"]}
        return changes, done.stderr

    def verify(self, *options: str) -> dict[str, Any]:
        """verify.py's JSON, with its exit status as ``status``."""
        done = self.run(self.python, "verify.py", "--json", *options)
        document: dict[str, Any] = json.loads(done.stdout)
        return {**document, "status": done.returncode}

    def all_up(self) -> bool:
        """Whether the nodes run, and no health service tells of an input that is down: cheap to ask again and again."""
        look = f"[ -e {REASONS} ] && ! grep -q '\"down\"' {REASONS}"
        return all(self.lab.guest(name).running() and self.on(name, look).returncode == 0 for name in NODES)

    def whole(self, inventory: str | Path = "inventory.py") -> bool:
        """Whether verify.py finds nothing wrong. It takes as much time as a hundred commands: where it can't be so yet, it is not asked."""
        return self.all_up() and bool(self.verify("--inventory", str(inventory))["status"] == 0)

    def on(self, name: str, script: str, stdin: str = "") -> Done:
        """A shell script on a guest, as root."""
        return Shell.on(self.lab, name).run(script, stdin, timeout=120)

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

    def send(self, texts: list[str], target: str = VIP, source: str = ALLOWED, port: int = 5514) -> None:
        """Datagrams from one of the sender's addresses, one a text."""
        self.get("sender", f"python3 -c {shlex.quote(SEND)} {source} {target} {port}", "\n".join(texts))

    def sessions(self, texts: list[str], target: str = VIP, port: int = 5514, source: str = ALLOWED) -> Done:
        """A TCP session from one of the sender's addresses for each text."""
        return self.on(
            "sender", f"python3 -c {shlex.quote(SESSIONS)} {source} {target} {port}", "\n".join(texts)
        )

    @contextmanager
    def stream(self, mark: str, rate: int = 50, port: int = 5514) -> Iterator[list[int]]:
        """Meanwhile the sender sends numbered events to the VIP. Afterwards the list holds how many."""
        command = f"python3 -c {shlex.quote(STREAM)} {VIP} {port} {mark} {rate}"
        sent: list[int] = []
        with subprocess.Popen(
            (*self.lab.ssh_command("sender"), command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as sender:
            try:
                yield sent
            finally:
                output, errors = sender.communicate("stop\n", timeout=60)
        assert sender.returncode == 0, errors
        sent.append(int(output))

    def arrived(self, mark: str, sent: int, names: tuple[str, ...] = NODES) -> dict[str, list[int]]:
        """The numbers of a stream's events by node, as its Logstash wrote them, once all that come have come."""

        def look() -> dict[str, list[int]]:
            return {
                name: [int(text.removeprefix(f"{mark}-")) for text in self.received(name, f"{mark}-")]
                for name in names
            }

        with suppress(AssertionError):  # what is lost does not come
            until(lambda: set().union(*look().values()) >= set(range(sent)), 10, "all events of the stream")
        return look()

    def lost(self, mark: str, sent: int, names: tuple[str, ...] = NODES) -> list[str]:
        """The events of a stream that no node's Logstash wrote, once all that come have come."""
        found = set().union(*self.arrived(mark, sent, names).values())
        return sorted(f"{mark}-{number}" for number in set(range(sent)) - found)

    def received(self, name: str, mark: str) -> list[str]:
        """The texts with this mark that a node's Logstash wrote, in its order."""
        return [str(event["message"]) for event in self.events(name, mark)]

    def events(self, name: str, mark: str) -> list[dict[str, Any]]:
        """The events with this mark that a node's Logstash wrote, in its order."""
        # A file that was written when the power failed can have a hole of NULs, which makes it a binary one.
        lines = self.get(name, f"grep -ash -e {mark} {EVENTS} || true").splitlines()
        return [event for event in map(last_event, lines) if event is not None]


@pytest.fixture(scope="session")
def fresh() -> Iterator[Cluster]:
    """Guests of three versions of Enterprise Linux, that nobody has deployed to."""
    lab = Lab(ROOT / ".lab-test")
    lab.down()
    try:
        lab.up(nodes=3, el=(9, 10, 7), logstash_delay=1.0, progress=lambda text: None)
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


JOURNAL = "journalctl --no-pager -o short-precise -n 3000 | grep -v 'audit\\|sudo' | tail -n 60 | cut -c1-250"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What fails comes with the end of each node's journal."""
    report = yield
    for cluster in item.funcargs.values() if report.failed else ():
        if isinstance(cluster, Cluster):
            for name in NODES:
                with suppress(subprocess.SubprocessError, OSError):
                    report.sections.append((f"journal of {name}", cluster.on(name, JOURNAL).stdout))
            break
    return report
