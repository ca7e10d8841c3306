"""The stand-in as a process on loopback, with its own ports and folders."""

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.copies import Copy, Program
from tests.until import until

PROJECT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1"
every_major = pytest.mark.parametrize("version", ["6.8.23", "7.17.29", "8.19.18", "9.3.8"])


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that no process uses at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


LIBRARIES = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "lab/standin")}


@cache
def program() -> Program:
    """The stand-in, of which each test starts copies."""
    name = "logstash_standin"
    return Program(name, [f"{name}.runner"], anew=[f"{name}.process"], environment=LIBRARIES)


class Standin:
    """A stand-in with its settings, its pipeline and its process."""

    def __init__(self, folder: Path, version: str, **delays: float) -> None:
        self.folder, self.version = folder, version
        self.udp, self.tcp = free_port(socket.SOCK_DGRAM), free_port()
        self.port = free_port()
        self.environment = {
            **LIBRARIES,
            "LOGSTASH_STANDIN_VERSION": version,
            "LOGSTASH_STANDIN_STOP_DELAY": "0.2",
            **{f"LOGSTASH_STANDIN_{name}": str(value) for name, value in delays.items()},
        }
        self.output = folder / "events.json"
        self.process: Copy | None = None
        (folder / "conf.d").mkdir(parents=True)
        self.settings: dict[str, Any] = {
            "path.data": str(folder / "data"),
            "path.logs": str(folder / "logs"),
            f"{self.api_prefix}http.port": self.port,
        }
        if version.startswith("9."):
            self.settings["allow_superuser"] = True  # the tests may run as root
        self.configure(self.pipeline_text())
        self.write_settings()
        (folder / "pipelines.yml").write_text(f"- pipeline.id: main\n  path.config: {folder}/conf.d/*.conf\n")

    @property
    def api_prefix(self) -> str:
        return "" if tuple(map(int, self.version.split("."))) < (7, 16, 0) else "api."

    def pipeline_text(self, inputs: str = "udp tcp", udp: str = "", outputs: str = "") -> str:
        """The recipe's pipeline, with further options of the udp input or further outputs."""
        blocks = {
            "udp": f'udp {{ host => "{ADDRESS}" port => {self.udp} id => "udp-5514" {udp} }}',
            "tcp": f'tcp {{ host => "{ADDRESS}" port => {self.tcp} id => "tcp-5514"'
            " dns_reverse_lookup_enabled => false }",
        }
        return (
            f"input {{ {' '.join(blocks[name] for name in inputs.split())} }}\n"
            f'output {{ file {{ path => "{self.output}" codec => json_lines flush_interval => 0 }}'
            f" chaos {{ }} {outputs} }}\n"
        )

    def configure(self, text: str, name: str = "pipeline.conf") -> None:
        """Write a file of conf.d atomically, since a running stand-in may be reading it."""
        new = self.folder / "new"
        new.write_text(text)
        new.rename(self.folder / "conf.d" / name)

    def write_settings(self) -> None:
        (self.folder / "logstash.yml").write_text(yaml.safe_dump(self.settings))

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the stand-in until it ends."""
        copy = self._started(arguments, stdin, together=False)
        try:
            status = copy.wait(60)
            return subprocess.CompletedProcess(arguments, status, *copy.said())
        finally:
            copy.kill()
            copy.close()

    def launch(self, *arguments: str) -> "Standin":
        """Start the stand-in, and return at once."""
        self.process = self._started(arguments, together=True)
        return self

    def _started(self, arguments: Sequence[str], stdin: str = "", *, together: bool) -> Copy:
        words = ["--path.settings", str(self.folder), *arguments]
        return program().start(words, self.environment, stdin, together=together)

    def start(self, *arguments: str) -> "Standin":
        """Start the stand-in, and wait until its pipelines run."""
        self.launch(*arguments)
        until(lambda: "Pipelines running" in self.log() or self.ended())
        assert not self.ended(), self.printed()
        return self

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until the process ends, and return its exit status."""
        assert self.process is not None
        return self.process.wait(30)

    def printed(self) -> str:
        """Wait until the process ends, and return its output."""
        self.wait()
        assert self.process is not None
        return self.process.said()[0]

    def get(self, path: str = "/_node/stats") -> tuple[int, Any]:
        """The status and body of a response, or (0, None) where there is none."""
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}:{self.port}{path}", timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def main_stats(self) -> dict[str, Any]:
        """The statistics of the pipeline `main`."""
        status, body = self.get()
        assert status == 200
        main: dict[str, Any] = body["pipelines"]["main"]
        return main

    def input_stats(self, id: str = "udp-5514") -> dict[str, Any]:
        """The statistics of an input."""
        return next(plugin for plugin in self.main_stats()["plugins"]["inputs"] if plugin["id"] == id)

    def log(self) -> str:
        path = self.folder / "logs/logstash-plain.log"
        return path.read_text() if path.exists() else ""

    def send(self, *messages: bytes) -> None:
        """Send each message as a datagram, once the input listens."""
        until(lambda: not refused(self.udp))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for message in messages:
                sender.sendto(message, (ADDRESS, self.udp))

    def events(self, count: int, path: Path | None = None) -> list[dict[str, Any]]:
        """Wait until the file has this many events, and return all of its events."""

        def lines() -> list[str]:
            file = path or self.output
            return file.read_text().splitlines() if file.exists() else []

        until(lambda: len(lines()) >= count)
        return [json.loads(line) for line in lines()]

    def end(self) -> None:
        """Kill the process, unless it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process.close()


MakeStandin = Callable[..., Standin]
"""The fixture `make_standin`: a stand-in of a version, with `LOGSTASH_STANDIN_*` as keyword arguments."""


def refused(port: int) -> bool:
    """Whether nothing listens on a UDP port. The kernel then answers a zero-length datagram by ICMP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((ADDRESS, port))
        probe.settimeout(0.05)  # on loopback the refusal arrives at once
        probe.send(b"")
        try:
            probe.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    return False


def unread(port: int) -> int:
    """Bytes in the kernel's buffer of the listener on a UDP port (proc(5): net/udp)."""
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(int(row[4].split(":")[1], 16) for row in rows if int(row[1].split(":")[1], 16) == port)
