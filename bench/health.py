"""What the health checks cost a node: the service against the recipe's way, as CPU seconds a minute.

`python -m bench.health [SECONDS]`, as root: it plays the nodes' APIs at addresses of 127.0.0.0/8. The recipe starts its
script (`bench/recipe/check.py`) once for each input and node every 5 s (step 8). What keepalived itself takes is in neither.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILES = Path(__file__).parents[1] / "files"
RECIPE = Path(__file__).with_name("recipe") / "check.py"
RECIPE_INTERVAL = 5
INTERVAL = 0.5
RUNS = 20


def serve(address: str, ids: list[str]) -> ThreadingHTTPServer:
    """A node's API with these inputs, in a thread."""
    plugins = {"inputs": [{"id": each, "name": "udp", "events": {"out": 0}} for each in ids]}
    content = json.dumps({"pipelines": {"main": {"plugins": plugins}}}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer((address, 9600), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def children() -> float:
    """CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def recipe(addresses: list[str], ids: list[str]) -> float:
    """CPU seconds a minute of the recipe's checks, from the cost of some runs."""
    before = children()
    for _ in range(RUNS):
        subprocess.run(
            [sys.executable, str(RECIPE), addresses[0], ids[0]],
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return (children() - before) / RUNS * len(addresses) * len(ids) * 60 / RECIPE_INTERVAL


def service(addresses: list[str], ids: list[str], seconds: float) -> float:
    """CPU seconds a minute of the service, measured for so many seconds after its start."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "reasons").touch()
        nodes: dict[str, dict[str, list[object]]] = {}
        for address in addresses:
            (folder / address).mkdir()
            nodes[address] = {}
            for each in ids:
                (folder / address / each).touch()
                listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                listener.bind((address, 0))
                nodes[address][each] = ["udp", listener.getsockname()[1]]
        settings = folder / "settings.json"
        settings.write_text(
            json.dumps(
                {
                    "folder": name,
                    "interval": INTERVAL,
                    "timeout": 1.0,
                    "nodes": nodes,
                }
            )
        )
        command = [sys.executable, str(FILES / "logstash_ha_health.py"), str(settings)]
        with subprocess.Popen(command) as process:

            def used() -> float:
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

            settled = threading.Event()
            settled.wait(2)
            before = used()
            settled.wait(seconds)
            after = used()
            process.kill()
    return (after - before) * 60 / seconds


def main(seconds: float) -> None:
    """Prints a table in Markdown."""
    print("| inputs | nodes | recipe, CPU s/min | service, CPU s/min | ratio |\n|---|---|---|---|---|")
    for nodes in (2, 5):
        for inputs in (1, 5, 20):
            addresses = [f"127.96.0.{n + 1}" for n in range(nodes)]
            ids = [f"udp-{5514 + n}" for n in range(inputs)]
            servers = [serve(address, ids) for address in addresses]
            old, new = recipe(addresses, ids), service(addresses, ids, seconds)
            for server in servers:
                server.shutdown()
                server.server_close()
            print(f"| {inputs} | {nodes} | {old:.2f} | {new:.2f} | 1/{old / new:.0f} |", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20)
