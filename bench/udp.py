"""How many events are lost at which rate: through the VIP, past it, and through nginx and HAProxy on the same machines.

`python -m bench.udp [SECONDS [RATE …]] [--path NAME] [--plot FILE]`, as root, with a lab of two nodes up (`python -m lab
up`) and gcc; nginx and HAProxy also need Debian's package sources. It deploys the default cluster, and prints tables in
Markdown; `--plot` draws a graph with matplotlib (`pip install -e '.[bench]'`).

- **On the way**: a program in C sends datagrams (`udp.c`), and one on each node only counts them, on a port that is
  balanced by IPVS as the cluster's is, by nginx's stream module or by HAProxy's log forwarding, each of them on the MASTER.
  "One node" is sent to the BACKUP directly. What is lost there, the network and the kernels lost.
- **In Logstash**: through the VIP to the stand-in for Logstash. The kernel counts what is dropped at a full socket
  (`RcvbufErrors`).
- **Pauses**: the same, while one Logstash stands still every few seconds like a JVM that collects garbage, with the system's
  default socket buffer and with the one that the deploy sets.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import shlex
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from bench.machines import NODES, SENDER, VIP, deploy, run_on, running_lab, start_on, wait_until_ready
from bench.wait import wait_until
from lab.lab import Lab

SIZES = (200, 1000)
"""Bytes of a datagram."""
RATES = (1000, 2000, 5000, 10000)
"""Datagrams a second."""
LOGSTASH_PORT, COUNTER_PORT, NGINX_PORT, HAPROXY_PORT = 5514, 7000, 7001, 7002
FOLDER = "/opt/bench"
"""Where the programs are on the guests."""
LIBRARIES = f"LD_LIBRARY_PATH={FOLDER}/usr/lib/x86_64-linux-gnu"
QUIET = 3
"""Seconds without a further event after which no more are waited for."""
PAUSES = (0.1, 0.3, 1.0)
"""Seconds for which Logstash stands still. A node whose API is silent for longer leaves the pools."""
PAUSE_INTERVAL, PAUSE_RATE = 5, 1000
"""Seconds from one pause to the next, and datagrams a second meanwhile."""
LONGEST_PAUSE_RUN = 30.0
"""Seconds."""

NGINX_CONF = f"""\
load_module {FOLDER}/usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes auto;
pid {FOLDER}/nginx.pid;
error_log {FOLDER}/nginx.log;
events {{ worker_connections 16384; }}
stream {{
  upstream logstash {{ {" ".join(f"server {address}:{COUNTER_PORT};" for address in NODES.values())} }}
  server {{
    listen {VIP}:{NGINX_PORT} udp reuseport;
    proxy_pass logstash;
    proxy_responses 0;
    proxy_timeout 1s;
  }}
}}
"""

HAPROXY_CFG = f"""\
global
  maxconn 1000
log-forward syslog
  dgram-bind {VIP}:{HAPROXY_PORT}
  {"".join(f"log {address}:{COUNTER_PORT} sample {n}:{len(NODES)} local0{chr(10)}  " for n, address in enumerate(NODES.values(), 1))}
"""


@dataclass(frozen=True)
class Balancer:
    """A way from the VIP to the counting programs."""

    label: str
    port: int
    start: str
    stop: str
    packages: tuple[str, ...] = ()
    """Debian's, of the release that the guests have: its own, and libraries that the guests lack."""


_SERVICE = f"-u {VIP}:{COUNTER_PORT}"
_REAL_SERVERS = "; ".join(
    f"ipvsadm -a {_SERVICE} -r {address}:{COUNTER_PORT} -m" for address in NODES.values()
)

BALANCERS = {
    "ipvs": Balancer(
        "the VIP (IPVS)",
        COUNTER_PORT,
        start=f"ipvsadm -A {_SERVICE} -s rr -o; {_REAL_SERVERS}",  # as keepalived does for the cluster's: rr, NAT, ops
        stop=f"ipvsadm -D {_SERVICE}",
    ),
    "nginx": Balancer(
        "nginx",
        NGINX_PORT,
        start=f"{LIBRARIES} {FOLDER}/usr/sbin/nginx -c {FOLDER}/nginx.conf",
        stop=f"kill $(cat {FOLDER}/nginx.pid)",
        packages=("nginx", "libnginx-mod-stream"),
    ),
    "haproxy": Balancer(
        "HAProxy",
        HAPROXY_PORT,
        start=f"{LIBRARIES} {FOLDER}/usr/sbin/haproxy -D -p {FOLDER}/haproxy.pid -f {FOLDER}/haproxy.cfg",
        stop=f"kill $(cat {FOLDER}/haproxy.pid)",
        packages=("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"),
    ),
}
PATHS = ("node", *BALANCERS, "logstash", "pauses")


@dataclass(frozen=True)
class Result:
    """One run."""

    path: str
    size: int
    rate: int
    sent: int
    seconds: float
    received: int
    dropped: int = 0
    """Datagrams that came to a full socket on a node."""

    @property
    def loss(self) -> float:
        """In percent, on the way and at the sockets."""
        return 100 * (self.sent - self.received) / self.sent

    def row(self) -> str:
        """A row of the table, which says where the sender did not reach the rate."""
        reached = "" if self.sent > 0.97 * self.rate * self.seconds else " (not reached)"
        return (
            f"| {self.path} | {self.size} B | {self.rate}{reached} | {self.sent} | {self.sent - self.received} |"
            f" {self.dropped} | {self.loss:.3f} % |"
        )


HEAD = (
    "| path | event | events/s | sent | lost | of it at a full socket | lost |\n|---|---|---|---|---|---|---|"
)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command of this machine. Raises SystemExit with its errors."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(f"{command[0]}: not found; install it") from None
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr.strip() or done.returncode}")


def compile_udp(target: Path) -> None:
    """Compile the program that sends and counts datagrams. Raises SystemExit."""
    run("gcc", "-O2", "-static", "-o", target, Path(__file__).with_name("udp.c"))


def programs(balancers: list[Balancer]) -> bytes:
    """The program that sends and counts, and the balancers', as a tar file. Raises SystemExit that says what is missing."""
    packages = [package for balancer in balancers for package in balancer.packages]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        root.mkdir()
        compile_udp(root / "udp")
        if packages:
            run("apt-get", "download", "-q", *packages, cwd=folder)
        for package in folder.glob("*.deb"):
            run("dpkg-deb", "-x", package, root)
        (root / "nginx.conf").write_text(NGINX_CONF)
        (root / "haproxy.cfg").write_text(HAPROXY_CFG)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(root, ".")
        return packed.getvalue()


def install(lab: Lab, name: str, packed: bytes) -> None:
    """Unpack the programs on a guest."""
    subprocess.run(
        (*lab.ssh_command(name), f"sudo mkdir -p {FOLDER} && sudo tar -xz --no-same-owner -C {FOLDER}"),
        input=packed,
        check=True,
        timeout=120,
    )


@contextmanager
def balancing(lab: Lab, director: str, balancers: list[Balancer]) -> Iterator[None]:
    """These balancers run on one node, and the nodes' firewalls let the datagrams through."""
    ports = " ".join(f"--add-port={port}/udp" for port in (COUNTER_PORT, NGINX_PORT, HAPROXY_PORT))
    sockets = {f"{VIP}:{balancer.port}" for balancer in balancers if balancer.port != COUNTER_PORT}
    for name in NODES:
        run_on(lab, name, f"firewall-cmd -q {ports}")
    try:
        for balancer in balancers:
            run_on(lab, director, balancer.start)
        wait_until(
            lambda: sockets <= {*run_on(lab, director, "ss -Hlun").split()}, 10, "the balancers listening"
        )
        yield
    finally:
        for balancer in balancers:
            run_on(lab, director, balancer.stop)
        for name in NODES:
            run_on(lab, name, f"firewall-cmd -q {ports.replace('--add', '--remove')}")


def send(lab: Lab, target: str, port: int, size: int, rate: int, seconds: float) -> tuple[int, float]:
    """Send datagrams from the sender. Returns how many were sent, and in how many seconds. Raises SystemExit when none were."""
    command = f"{FOLDER}/udp send {SENDER} {target} {port} {size} {rate} {seconds}"
    with start_on(lab, "sender", command) as sender:
        output, _ = sender.communicate(timeout=3 * seconds + 30)
    sent, took = output.split() or ("0", "0")
    if int(sent) == 0:
        raise SystemExit(f"nothing was sent to {target} port {port}: nothing was measured")
    return int(sent), float(took)


def count_datagrams(
    lab: Lab, label: str, target: str, port: int, size: int, rate: int, seconds: float
) -> Result:
    """Send to the programs that only count."""
    dropped = dropped_datagrams(lab)
    counters = [
        start_on(lab, name, f"{FOLDER}/udp count {address} {COUNTER_PORT} {seconds + 30}")
        for name, address in NODES.items()
        if target in (VIP, address)
    ]
    received = 0
    try:
        for counter in counters:
            assert counter.stdout
            if not counter.stdout.readline():  # it prints a line when it listens
                raise SystemExit("the program that counts ended: nothing was measured")
        sent, took = send(lab, target, port, size, rate, seconds)
        for counter in counters:
            output, _ = counter.communicate(timeout=seconds + 60)
            received += int(output)
    finally:
        for counter in counters:
            counter.kill()
    return Result(label, size, rate, sent, took, received, dropped_datagrams(lab) - dropped)


def count_in_logstash(lab: Lab, label: str, size: int, rate: int, seconds: float) -> Result:
    """Send to the stand-in for Logstash, through the VIP."""
    before, dropped = received_events(lab), dropped_datagrams(lab)
    sent, took = send(lab, VIP, LOGSTASH_PORT, size, rate, seconds)
    received, last = received_events(lab), time.monotonic()
    while time.monotonic() < last + QUIET:
        if (now := received_events(lab)) != received:
            received, last = now, time.monotonic()
    for name in NODES:  # otherwise the file of events can fill a guest's disk
        run_on(lab, name, "truncate --no-create --size 0 /var/log/logstash/events.json")
    return Result(label, size, rate, sent, took, received - before, dropped_datagrams(lab) - dropped)


def received_events(lab: Lab) -> int:
    """The events that the inputs of all stand-ins have received so far."""
    total = 0
    for name, address in NODES.items():
        stats = run_on(lab, name, f"curl -s {address}:9600/_node/stats/pipelines")
        for pipeline in json.loads(stats)["pipelines"].values():
            total += sum(plugin["events"]["out"] for plugin in pipeline["plugins"]["inputs"])
    return total


def dropped_datagrams(lab: Lab) -> int:
    """The datagrams that have come to a full socket so far, on all nodes."""
    return sum(int(run_on(lab, name, "nstat -asz UdpRcvbufErrors").split()[-2]) for name in NODES)


def count_with_pauses(lab: Lab, label: str, pause: float, seconds: float) -> Result:
    """Send to the stand-in for Logstash while the second node's stands still again and again."""
    _, name = NODES
    running = PAUSE_INTERVAL - 1
    loop = f"for n in $(seq {int(seconds / PAUSE_INTERVAL)}); do sleep {running}; systemctl kill -s STOP logstash; sleep {pause}; systemctl kill -s CONT logstash; done"
    with start_on(lab, name, f"sh -c {shlex.quote(loop)}") as pauses:
        result = count_in_logstash(lab, label, SIZES[0], PAUSE_RATE, seconds)
        pauses.communicate(timeout=60)
    return result


def plot(results: list[Result], target: Path) -> None:
    """Draw the percentage lost against the rate: a line for each path, a panel for each size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, size in zip(figure.subplots(1, len(SIZES), sharey=True), SIZES, strict=True):
        for path in dict.fromkeys(result.path for result in results):
            line = [result for result in results if (result.path, result.size) == (path, size)]
            rates = [result.sent / result.seconds for result in line]
            axes.plot(rates, [result.loss for result in line], "o-", label=path)
        axes.set(xlabel="events a second", title=f"{size} bytes", xscale="log")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("% lost")
    figure.axes[0].legend()
    figure.savefig(target)


@click.command()
@click.argument("seconds", type=click.FloatRange(min=0, min_open=True), default=60)
@click.argument("rates", metavar="[RATE]...", type=click.IntRange(min=1), nargs=-1)
@click.option("--path", "paths", type=click.Choice(PATHS), multiple=True, help="Measure only this path.")
@click.option("--plot", "target", type=click.Path(path_type=Path), help="Draw the loss into this file.")
def main(seconds: float, rates: tuple[int, ...], paths: tuple[str, ...], target: Path | None) -> None:
    """Count the events that are lost in SECONDS (default 60) at each RATE (events a second; default 1000, 2000, 5000, 10000).

    Prints a table in Markdown. `--path` can be given several times.
    """
    if target and not importlib.util.find_spec("matplotlib"):
        raise SystemExit("--plot: matplotlib is not installed; run `pip install -e '.[bench]'`")
    rates, paths = rates or RATES, paths or PATHS
    balancers = [BALANCERS[path] for path in BALANCERS if path in paths]
    lab = running_lab()
    packed = programs(balancers)
    deploy(lab)
    director, _ = wait_until_ready(lab)
    (backup,) = (name for name in NODES if name != director)
    for name in (*NODES, "sender"):
        install(lab, name, packed)
    counted = [("one node", NODES[backup], COUNTER_PORT)] if "node" in paths else []
    counted += [(balancer.label, VIP, balancer.port) for balancer in balancers]
    results: list[Result] = []

    def report(result: Result) -> None:
        results.append(result)
        print(result.row(), flush=True)

    print(HEAD, flush=True)
    if counted:
        with balancing(lab, director, balancers):
            for size, rate, (label, address, port) in itertools.product(SIZES, rates, counted):
                report(count_datagrams(lab, label, address, port, size, rate, seconds))
    if "logstash" in paths:
        for size, rate in itertools.product(SIZES, rates):
            report(count_in_logstash(lab, "the VIP, to Logstash's stand-in", size, rate, seconds))
    if target:
        plot(results, target)
    if "pauses" in paths:
        for label, buffer in (("the system's buffer", None), ("the deploy's buffer", 16 << 20)):
            deploy(lab, inputs=[{"id": "udp-5514", "port": LOGSTASH_PORT, "receive_buffer_bytes": buffer}])
            for pause in PAUSES:
                run_seconds = max(PAUSE_INTERVAL, min(seconds, LONGEST_PAUSE_RUN))
                report(count_with_pauses(lab, f"{label}, pauses of {pause} s", pause, run_seconds))


if __name__ == "__main__":
    main()
