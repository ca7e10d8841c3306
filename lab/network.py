"""The lab's network: a namespace with a bridge, a tap for each guest and the package server."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.settings import GATEWAY, GATEWAY6, NETWORK, NETWORK6, SOCKETS, Machine
from lab.shell import LabError, run


@dataclass(frozen=True)
class Network:
    """A network namespace of the lab's own. It has no way out, and nothing outside has a way in."""

    namespace: str

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.namespace

    @property
    def sockets(self) -> Path:
        """Where the kernels and ssh keep their sockets: the paths must be short, and no other lab's."""
        return SOCKETS / self.namespace

    @property
    def enter(self) -> tuple[str, ...]:
        """The words that run a program inside."""
        return ("nsenter", f"--net={self.path}", "--")

    def exists(self) -> bool:
        return self.path.exists()

    def create(self) -> None:
        self.sockets.mkdir(parents=True, exist_ok=True)
        run("ip", "netns", "add", self.namespace)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "br0", "type", "bridge")
        self._ip("address", "add", f"{GATEWAY}/{NETWORK.prefixlen}", "dev", "br0")
        self._ip("address", "add", f"{GATEWAY6}/{NETWORK6.prefixlen}", "dev", "br0", "nodad")
        self._ip("link", "set", "br0", "up")

    def plug(self, machine: Machine) -> None:
        """Make the guest's tap, unless it has one from before it went off; join it to the bridge."""
        if f" {machine.tap}: " not in self._ip("-oneline", "link", "show"):
            self._ip("tuntap", "add", machine.tap, "mode", "tap")
            # A guest's card takes single packets. It could take trains of segments, but then each datagram would
            # fill 64 kB of a socket's buffer, and three of them all of it.
            self._ip("link", "set", machine.tap, "gso_max_segs", "1")
        self.heal(machine)
        self._ip("link", "set", machine.tap, "up")

    def cut(self, machine: Machine) -> None:
        """Part the guest from all others. It sees its link up, as behind a switch that died."""
        self._ip("link", "set", machine.tap, "nomaster")

    def heal(self, machine: Machine) -> None:
        self._ip("link", "set", machine.tap, "master", "br0")

    def is_cut(self, machine: Machine) -> bool:
        return "master br0" not in self._ip("link", "show", machine.tap)

    def serve(self, folder: Path, log: Path) -> None:
        """Start the package server on the bridge's addresses, port 80."""
        with log.open("ab") as output:
            subprocess.Popen(
                (
                    *self.enter,
                    sys.executable,
                    "-m",
                    "http.server",
                    "80",
                    "--bind",
                    "::",  # and by IPv4 too
                    "--directory",
                    folder,
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def processes(self) -> list[int]:
        """All processes inside: the lab's own, since nobody else comes here."""
        return (
            [int(pid) for pid in run("ip", "netns", "pids", self.namespace).split()] if self.exists() else []
        )

    def remove(self) -> None:
        """End every process inside and remove the namespace with all its links."""
        end_all(self.namespace, self.processes)
        if self.exists():
            run("ip", "netns", "delete", self.namespace)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _ip(self, *words: str) -> str:
        return run("ip", "-netns", self.namespace, *words)


def end_all(name: str, processes: Callable[[], list[int]]) -> None:
    """Kill processes until there are none left. Raises LabError, with what they are of, after 10 s."""
    deadline = time.monotonic() + 10
    while pids := processes():
        if time.monotonic() > deadline:
            raise LabError(f"{name}: processes {pids} do not end; see `ps -fp {pids[0]}`")
        for pid in pids:
            with suppress(ProcessLookupError):  # it may be gone already
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
