"""The lab's network: a namespace with a bridge, one tap for each guest, and the package server."""

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
    """The lab's network namespace. It has no route to any other network, nor has any other a route to it."""

    namespace: str

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.namespace

    @property
    def sockets(self) -> Path:
        """The folder of the kernels' and ssh's sockets. The lab's own may have too long a path for a socket."""
        return SOCKETS / self.namespace

    @property
    def enter_command(self) -> tuple[str, ...]:
        """The command prefix that runs a program inside the namespace."""
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

    def connect(self, machine: Machine) -> None:
        """Create the guest's tap, unless it is left from an earlier boot, and attach it to the bridge."""
        if f" {machine.tap}: " not in self._ip("-oneline", "link", "show"):
            self._ip("tuntap", "add", machine.tap, "mode", "tap")
            # With segmentation offload each datagram would take 64 kB of a socket's buffer, which holds three.
            self._ip("link", "set", machine.tap, "gso_max_segs", "1")
        self.heal(machine)
        self._ip("link", "set", machine.tap, "up")

    def cut(self, machine: Machine) -> None:
        """Disconnect the guest from all others. Its own link stays up, as behind a switch that has failed."""
        self._ip("link", "set", machine.tap, "nomaster")

    def heal(self, machine: Machine) -> None:
        """Reconnect a guest that was cut off."""
        self._ip("link", "set", machine.tap, "master", "br0")

    def is_cut(self, machine: Machine) -> bool:
        return "master br0" not in self._ip("link", "show", machine.tap)

    def start_package_server(self, folder: Path, log: Path) -> None:
        """Serve a folder by HTTP on the bridge's addresses, port 80."""
        with log.open("ab") as output:
            subprocess.Popen(
                (
                    *self.enter_command,
                    sys.executable,
                    "-m",
                    "http.server",
                    "80",
                    "--bind",
                    "::",  # accepts IPv4, too
                    "--directory",
                    folder,
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def processes(self) -> list[int]:
        """The process ids of all that runs inside the namespace."""
        return (
            [int(pid) for pid in run("ip", "netns", "pids", self.namespace).split()] if self.exists() else []
        )

    def remove(self) -> None:
        """Kill every process inside and remove the namespace with all its links."""
        kill_all(self.namespace, self.processes)
        if self.exists():
            run("ip", "netns", "delete", self.namespace)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _ip(self, *words: str) -> str:
        return run("ip", "-netns", self.namespace, *words)


def kill_all(name: str, processes: Callable[[], list[int]]) -> None:
    """Kill the processes of the named guest or lab until none is left. Raises LabError after 10 s."""
    deadline = time.monotonic() + 10
    while pids := processes():
        if time.monotonic() > deadline:
            raise LabError(f"{name}: processes {pids} cannot be killed; see `ps -fp {pids[0]}`")
        for pid in pids:
            with suppress(ProcessLookupError):  # it may have ended already
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
