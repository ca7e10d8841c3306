"""What the health checks cost a node: the health service against the recipe's script, in CPU seconds a minute.

`python -m bench.health [SECONDS] [--nodes N] [--inputs N] [--runs N]`. It simulates the nodes' APIs and inputs at addresses of
127.0.0.0/8. The service runs with the settings that a deploy writes; the recipe starts its script (`bench/recipe/check.py`)
once for each input and node every 5 s (step 8). What keepalived itself uses is in neither figure.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

from bench.wait import wait_until
from cluster import Cluster, Node
from cluster.constants import API_PORT
from desired import health

SERVICE = Path(__file__).parents[1] / "files" / "logstash_ha_health.py"
RECIPE = Path(__file__).with_name("recipe") / "check.py"
RECIPE_INTERVAL = 5
"""Seconds between two of the recipe's checks of an input."""
EL = 9
"""The version of Enterprise Linux whose files the service has."""
NETWORK, INTERFACE = "192.0.2.", "eth0"
"""The cluster's: a cluster can't be on the loopback interface."""
METRICS = "/var/lib/node_exporter/textfile_collector"
"""Where the service writes metrics, which is a part of what it costs."""
LOOPBACK = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}."
"""The first three numbers of the addresses where the nodes are simulated; random, so that two benchmarks can run at once."""
READY_LIMIT = 10.0
"""Seconds within which the service must have a verdict on each input."""


@contextmanager
def serving(address: str, ids: Sequence[str]) -> Iterator[None]:
    """A Logstash API with these inputs, at this address."""
    plugins = {"inputs": [{"id": id, "name": "udp", "events": {"out": 0}} for id in ids]}
    content = json.dumps({"pipelines": {"main": {"plugins": plugins}}}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer((address, API_PORT), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def simulated_cluster(nodes: int, inputs: int) -> Iterator[Cluster]:
    """A cluster of that many nodes and UDP inputs, whose ports are free ones where a socket of this program listens."""
    hosts = range(1, nodes + 1)
    ports: list[int] = []
    with ExitStack() as stack:
        for _ in range(inputs):
            port = 0  # a free one of the first node
            for host in hosts:
                listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                listener.bind((f"{LOOPBACK}{host}", port))
                port = listener.getsockname()[1]
            ports.append(port)
        cluster = Cluster.model_validate(
            {
                "nodes": [{"name": f"node{host}", "address": f"{NETWORK}{host}"} for host in hosts],
                "network": f"{NETWORK}0/24",
                "interface": INTERFACE,
                "vip": f"{NETWORK}200",
                "inputs": [{"id": f"udp-{port}", "port": port} for port in ports],
                "senders": [f"{NETWORK}201"],
                "metrics": METRICS,
            }
        )
        for host in hosts:
            stack.enter_context(serving(f"{LOOPBACK}{host}", cluster.input_ids))
        yield cluster


def relocated(text: str, folder: Path) -> str:
    """A file that the deploy writes, with this folder and the loopback interface for those of a node."""
    replacements = {
        health.FOLDER: str(folder),
        METRICS: str(folder),
        NETWORK: LOOPBACK,
        f'"{INTERFACE}"': '"lo"',
    }
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


def write_files(cluster: Cluster, node: Node, folder: Path) -> Path:
    """Write the settings of a node's service into this folder, and make the files that it uses. Returns the settings' path."""
    files = {file.path: file.content for file in health.files(cluster, node, EL)}
    for line in relocated(files[health.TMPFILES], folder).splitlines():  # tmpfiles.d(5)
        kind, path, *_ = line.split()
        if kind == "d":
            Path(path).mkdir(exist_ok=True, parents=True)
        elif kind == "f":
            Path(path).touch()
    (folder / "key").write_text("k" * 64)
    settings = folder / "settings.json"
    settings.write_text(relocated(files[health.SETTINGS], folder).replace(health.KEY, f"{folder}/key"))
    return settings


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used so far, all of its threads together (clock_getcpuclockid(3))."""
    clock = ctypes.c_int()
    if error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def cpu_seconds_of_children() -> float:
    """The CPU time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def recipe_cost(cluster: Cluster, runs: int) -> float:
    """CPU seconds a minute of the recipe's checks, from so many runs of its script. Raises SystemExit when one fails."""
    before = cpu_seconds_of_children()
    for _ in range(runs):
        command = [sys.executable, str(RECIPE), f"{LOOPBACK}1", cluster.input_ids[0]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{RECIPE} ended with status {done.returncode}:\n{done.stderr}")
    cost = (cpu_seconds_of_children() - before) / runs
    return cost * len(cluster.nodes) * len(cluster.input_ids) * 60 / RECIPE_INTERVAL


@contextmanager
def service(cluster: Cluster, node: Node, folder: Path) -> Iterator[int]:
    """A node's service, once it has a verdict on each input. Yields its process id.

    Raises SystemExit, with what the service said, when it ends, or an input is not up or another service not heard at the
    end: that is not what is to be measured.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        settings = write_files(cluster, node, folder)
        systemd.bind(f"{folder}/notify")
        systemd.settimeout(0.1)
        journal = folder / "journal"

        def check() -> None:
            if process.poll() is not None:
                raise SystemExit(
                    f"the health service ended with status {process.returncode}:\n{journal.read_text()}"
                )
            if reasons := Path(relocated(health.REASONS, folder)).read_text():
                raise SystemExit(f"the health service found inputs down:\n{reasons}")

        def is_ready() -> bool:
            check()
            with suppress(TimeoutError):
                return systemd.recv(100) == b"READY=1"  # sd_notify(3)
            return False

        with (
            journal.open("w") as output,
            subprocess.Popen(
                [sys.executable, str(SERVICE), str(settings)],
                env={**os.environ, "NOTIFY_SOCKET": f"{folder}/notify"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ) as process,
        ):
            try:
                wait_until(is_ready, READY_LIMIT, "the health service ready")
                yield process.pid
                check()
            finally:
                process.kill()


def service_cost(cluster: Cluster, seconds: float) -> float:
    """CPU seconds a minute of the first node's service, measured for so many seconds while it hears all others."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folders = {node: Path(name, node.name) for node in cluster.nodes}
        pids = [stack.enter_context(service(cluster, node, folder)) for node, folder in folders.items()]
        peers = Path(relocated(health.PEERS, folders[cluster.nodes[0]]))
        wait_until(
            lambda: peers.read_text().count("heard") == len(cluster.nodes) - 1,
            READY_LIMIT,
            "all others heard",
        )
        before = cpu_seconds(pids[0])
        time.sleep(seconds)
        return (cpu_seconds(pids[0]) - before) * 60 / seconds


def row(inputs: int, nodes: int, recipe: float, service: float) -> str:
    """A row of the table, from CPU seconds a minute. Raises SystemExit when one of them is zero: nothing was measured."""
    for name, cost in (("recipe's script", recipe), ("health service", service)):
        if not cost > 0:
            raise SystemExit(f"the {name} used no CPU time: nothing was measured; give more SECONDS or RUNS")
    return f"| {inputs} | {nodes} | {recipe:.2f} | {service:.2f} | 1/{recipe / service:.0f} |"


@click.command()
@click.argument("seconds", type=click.FloatRange(min=0, min_open=True), default=20)
@click.option("--nodes", type=click.IntRange(2, 99), multiple=True, default=(2, 5), show_default=True)
@click.option("--inputs", type=click.IntRange(min=1), multiple=True, default=(1, 5, 20), show_default=True)
@click.option(
    "--runs", type=click.IntRange(min=1), default=20, show_default=True, help="Runs of the recipe's script."
)
def main(seconds: float, nodes: tuple[int, ...], inputs: tuple[int, ...], runs: int) -> None:
    """Measure what the health checks cost a node, for SECONDS (default 20) with each number of nodes and inputs.

    Prints a table in Markdown. `--nodes` and `--inputs` can be given several times.
    """
    print(
        "| inputs | nodes | recipe, CPU s/min | service, CPU s/min | ratio |\n|---|---|---|---|---|",
        flush=True,
    )
    for node_count in nodes:
        for input_count in inputs:
            with simulated_cluster(node_count, input_count) as cluster:
                recipe, service = recipe_cost(cluster, runs), service_cost(cluster, seconds)
            print(row(input_count, node_count, recipe, service), flush=True)


if __name__ == "__main__":
    main()
