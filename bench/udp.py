"""Events lost against their rate: through the VIP, past it, and through nginx and HAProxy on the same machines.

`python -m bench.udp [SECONDS [RATE …]]`, as root, with a lab of two nodes up (`python -m lab up`), gcc, and Debian's
package sources. It deploys the default cluster. Prints tables in Markdown; with matplotlib installed (`pip install -e
'.[bench]'`) it draws `docs/udp.svg` too.

- **The path alone**: a program in C sends datagrams (`udp.c`), and one on each node does nothing but count them, on a port
  that IPVS spreads just as the cluster's, or nginx's stream module, or HAProxy's log forwarding, all of them on the MASTER.
  "One node" goes to the BACKUP directly. What is lost there, the network and the kernels lost.
- **To the end**: to the stand-in for Logstash through the VIP. What its sockets dropped the kernel counts (`RcvbufErrors`).
- **Pauses**: the same, while one Logstash stands still now and then, as a JVM that collects garbage, with the socket's buffer as
  the system has it and as the deploy sets it.
"""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machines import NODES, SENDER, VIP, deploy, holders, shell, start, until
from lab.lab import Lab

SIZES = (200, 1000)
RATES = (1000, 2000, 5000, 10000)
SECONDS = 60
COUNTED, NGINX, HAPROXY, LOGSTASH = 7000, 7001, 7002, 5514
PLACE = "/opt/bench"
PACKAGES = (
    *("nginx", "libnginx-mod-stream", "haproxy"),
    *("liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"),
)
"""The other balancers, of Debian's release that the guests have, and libraries that the guests lack."""
PAUSES = (0.1, 0.3, 1.0)
"""Seconds that Logstash stands still. keepalived takes a node out whose API is silent for longer."""
PAUSE_RATE = 1000

NGINX_CONF = f"""\
load_module {PLACE}/usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes auto;
pid {PLACE}/nginx.pid;
error_log {PLACE}/nginx.log;
events {{ worker_connections 16384; }}
stream {{
  upstream logstash {{ {" ".join(f"server {address}:{COUNTED};" for address in NODES.values())} }}
  server {{
    listen {VIP}:{NGINX} udp reuseport;
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
  dgram-bind {VIP}:{HAPROXY}
  {"".join(f"log {address}:{COUNTED} sample {n}:{len(NODES)} local0{chr(10)}  " for n, address in enumerate(NODES.values(), 1))}
"""


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
    """By sockets of the receivers, that were full."""

    @property
    def lost(self) -> float:
        """In percent, on the path and in the sockets."""
        return 100 * (self.sent - self.received) / self.sent

    def row(self) -> str:
        reached = "" if self.sent > 0.97 * self.rate * self.seconds else " (not reached)"
        return (
            f"| {self.path} | {self.size} B | {self.rate}{reached} | {self.sent} | {self.sent - self.received} |"
            f" {self.dropped} | {self.lost:.3f} % |"
        )


HEAD = (
    "| path | event | events/s | sent | lost | of it at a full socket | lost |\n|---|---|---|---|---|---|---|"
)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr.strip() or done.returncode}")


def programs() -> bytes:
    """The sender, the receiver and the other balancers, as a tar file. Raises SystemExit with what is missing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        root.mkdir()
        run("gcc", "-O2", "-static", "-o", root / "udp", Path(__file__).with_name("udp.c"))
        run("apt-get", "download", "-q", *PACKAGES, cwd=folder)
        for package in folder.glob("*.deb"):
            run("dpkg-deb", "-x", package, root)
        (root / "nginx.conf").write_text(NGINX_CONF)
        (root / "haproxy.cfg").write_text(HAPROXY_CFG)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(root, ".")
        return packed.getvalue()


def install(lab: Lab, name: str, packed: bytes) -> None:
    subprocess.run(
        (*lab.ssh_command(name), f"sudo mkdir -p {PLACE} && sudo tar -xz --no-same-owner -C {PLACE}"),
        input=packed,
        check=True,
        timeout=120,
    )


@contextmanager
def balancers(lab: Lab, director: str) -> Iterator[None]:
    """All ways to the counting receivers, on one node; taken away at the end."""
    libraries = f"LD_LIBRARY_PATH={PLACE}/usr/lib/x86_64-linux-gnu"
    service = f"-u {VIP}:{COUNTED}"
    ports = " ".join(f"--add-port={port}/udp" for port in (COUNTED, NGINX, HAPROXY))
    for name in NODES:
        shell(lab, name, f"firewall-cmd -q {ports}")
    try:
        # As keepalived makes the cluster's: rr, NAT, ops.
        added = "; ".join(f"ipvsadm -a {service} -r {address}:{COUNTED} -m" for address in NODES.values())
        shell(lab, director, f"ipvsadm -A {service} -s rr -o; {added}")
        shell(lab, director, f"{libraries} {PLACE}/usr/sbin/nginx -c {PLACE}/nginx.conf")
        shell(
            lab,
            director,
            f"{libraries} {PLACE}/usr/sbin/haproxy -D -p {PLACE}/haproxy.pid -f {PLACE}/haproxy.cfg",
        )
        until(
            lambda: {f"{VIP}:{NGINX}", f"{VIP}:{HAPROXY}"} <= {*shell(lab, director, "ss -Hlun").split()},
            10,
            "nginx and HAProxy listening",
        )
        yield
    finally:
        shell(lab, director, f"kill $(cat {PLACE}/nginx.pid {PLACE}/haproxy.pid)")
        shell(lab, director, f"ipvsadm -D {service}")
        for name in NODES:
            shell(lab, name, f"firewall-cmd -q {ports.replace('--add', '--remove')}")


def send(lab: Lab, target: str, port: int, size: int, rate: int, seconds: float) -> tuple[int, float]:
    """How many were sent, and in how many seconds."""
    words = f"{PLACE}/udp send {SENDER} {target} {port} {size} {rate} {seconds}"
    with start(lab, "sender", words) as sender:
        output, _ = sender.communicate(timeout=3 * seconds + 30)
    sent, took = output.split()
    return int(sent), float(took)


def counted(lab: Lab, path: str, target: str, port: int, size: int, rate: int, seconds: float) -> Result:
    """A run to the receivers that only count."""
    before = drops(lab)
    counters = [
        start(lab, name, f"{PLACE}/udp count {address} {COUNTED} {seconds + 30}")
        for name, address in NODES.items()
        if target in (VIP, address)
    ]
    received = 0
    try:
        for counter in counters:
            assert counter.stdout
            counter.stdout.readline()  # it listens
        sent, took = send(lab, target, port, size, rate, seconds)
        for counter in counters:
            output, _ = counter.communicate(timeout=seconds + 60)
            received += int(output)
    finally:
        for counter in counters:
            counter.kill()
    return Result(path, size, rate, sent, took, received, drops(lab) - before)


def logstash(lab: Lab, path: str, size: int, rate: int, seconds: float) -> Result:
    """A run to the stand-in through the VIP."""
    before, dropped = events(lab), drops(lab)
    sent, took = send(lab, VIP, LOGSTASH, size, rate, seconds)
    seen, last = events(lab), time.monotonic()
    while time.monotonic() < last + 3:  # until no more come
        if (now := events(lab)) != seen:
            seen, last = now, time.monotonic()
    for name in NODES:  # a file of events can fill a guest's disk
        shell(lab, name, "truncate -s 0 /var/log/logstash/events.json")
    return Result(path, size, rate, sent, took, seen - before, drops(lab) - dropped)


def events(lab: Lab) -> int:
    """The events that the stand-ins have taken in."""
    total = 0
    for name, address in NODES.items():
        stats = shell(lab, name, f"curl -s {address}:9600/_node/stats/pipelines")
        for pipeline in json.loads(stats)["pipelines"].values():
            total += sum(plugin["events"]["out"] for plugin in pipeline["plugins"]["inputs"])
    return total


def drops(lab: Lab) -> int:
    """The datagrams that found a full socket."""
    return sum(int(shell(lab, name, "nstat -asz UdpRcvbufErrors").split()[-2]) for name in NODES)


def paused(lab: Lab, path: str, pause: float, seconds: float) -> Result:
    """A run while one node's Logstash stands still for a moment, every few seconds."""
    _, name = NODES
    times = int(seconds / 5)
    loop = f"for n in $(seq {times}); do sleep 4; systemctl kill -s STOP logstash; sleep {pause}; systemctl kill -s CONT logstash; done"
    with start(lab, name, f"sh -c {shlex.quote(loop)}") as pausing:
        result = logstash(lab, path, SIZES[0], PAUSE_RATE, seconds)
        pausing.communicate(timeout=60)
    return result


def plot(results: list[Result], target: Path) -> None:
    """Percent lost against the rate, a line for each path, a panel for each size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, size in zip(figure.subplots(1, len(SIZES), sharey=True), SIZES, strict=True):
        for path in dict.fromkeys(result.path for result in results):
            line = [each for each in results if (each.path, each.size) == (path, size)]
            axes.plot(
                [each.sent / each.seconds for each in line], [each.lost for each in line], "o-", label=path
            )
        axes.set(xlabel="events a second", title=f"{size} bytes", xscale="log")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("% lost")
    figure.axes[0].legend()
    figure.savefig(target)


def main(seconds: float, rates: tuple[int, ...]) -> None:
    lab = Lab.here()
    packed = programs()
    deploy(lab)
    (director,) = holders(lab)
    (other,) = (name for name in NODES if name != director)
    for name in (*NODES, "sender"):
        install(lab, name, packed)
    ways: tuple[tuple[str, str, int], ...] = (
        ("one node", NODES[other], COUNTED),
        ("the VIP (IPVS)", VIP, COUNTED),
        ("nginx", VIP, NGINX),
        ("HAProxy", VIP, HAPROXY),
    )
    print(HEAD)
    results: list[Result] = []

    def tell(result: Result) -> None:
        results.append(result)
        print(result.row(), flush=True)

    with balancers(lab, director):
        for size in SIZES:
            for rate in rates:
                for path, target, port in ways:
                    tell(counted(lab, path, target, port, size, rate, seconds))
    for size in SIZES:
        for rate in rates:
            tell(logstash(lab, "the VIP, to Logstash's stand-in", size, rate, seconds))
    try:
        plot(results, Path(__file__).parents[1] / "docs" / "udp.svg")
    except ImportError:
        print("no plot: matplotlib is not installed", file=sys.stderr)
    for path, buffer in (("the system's buffer", None), ("the deploy's buffer", 16 << 20)):
        deploy(lab, inputs=[{"id": "udp-5514", "port": LOGSTASH, "receive_buffer_bytes": buffer}])
        for pause in PAUSES:
            tell(paused(lab, f"{path}, pauses of {pause} s", pause, min(seconds, 30)))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS, tuple(map(int, sys.argv[2:])) or RATES)
