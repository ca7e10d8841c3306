"""One guest: a User Mode Linux kernel run as a process of this machine."""

import hashlib
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.network import Network, end_all
from lab.settings import (
    GATEWAY,
    GUEST_MEMORY,
    INTERFACE,
    MAX_NODES,
    NETWORK,
    USER,
    VISITOR,
    Machine,
    machines,
)
from lab.shell import last_lines, run

KEYFILE = """\
[connection]
id={interface}
type=ethernet
interface-name={interface}
autoconnect-retries=0

[ipv4]
method=manual
{addresses}
gateway={gateway}

[ipv6]
method=disabled
"""


@dataclass(frozen=True)
class Guest:
    """A guest's files lie in ``folder``: its disk, its console's log and the seed that makes it itself."""

    machine: Machine
    network: Network
    folder: Path

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def prepare(self, authorized_key: str, logstash_start_delay: float) -> str:
        """Write the seed for the first boot and return the guest's ssh host key."""
        seed = self.folder / "seed"
        ssh = seed / "etc/ssh"
        ssh.mkdir(parents=True)
        run(
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", ssh / "ssh_host_ed25519_key"
        )
        addresses = "\n".join(
            f"address{n}={address}/{NETWORK.prefixlen}" for n, address in enumerate(self.machine.addresses, 1)
        )
        everyone = "".join(f"{machine.address} {machine.name}\n" for machine in machines(MAX_NODES))
        files = {
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{everyone}",
            "etc/default/logstash": f"LOGSTASH_STANDIN_START_DELAY={logstash_start_delay}\n",
            f"home/{USER}/.ssh/authorized_keys": authorized_key,
            f"home/{VISITOR}/.ssh/authorized_keys": authorized_key,
            f"etc/NetworkManager/system-connections/{INTERFACE}.nmconnection": KEYFILE.format(
                interface=INTERFACE, addresses=addresses, gateway=GATEWAY
            ),
        }
        for name, text in files.items():
            path = seed / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600 if name.endswith(".nmconnection") else 0o644)
        return (ssh / "ssh_host_ed25519_key.pub").read_text()

    def start(self, image: Path) -> None:
        """Power the guest on. Its disk is the image with all that it wrote since."""
        shutil.rmtree(self.network.sockets / self.name, ignore_errors=True)
        self.network.plug(self.machine)
        with self.console.open("ab") as console:
            kernel = subprocess.Popen(
                (
                    *self.network.enter,
                    *("taskset", "--cpu-list", self._cpu()),
                    "linux.uml",
                    f"mem={GUEST_MEMORY}M",
                    f"ubd0={self.folder / 'disk.cow'},{image}",
                    *("root=/dev/ubda", "rw", "con=null", "con0=fd:0,fd:1"),
                    *(f"umid={self.name}", f"uml_dir={self.network.sockets}"),
                    # gro as on the machine: a bridge passes on whole trains of segments, and without it they would be lost
                    f"vec0:transport=tap,ifname={self.machine.tap},mac={self.machine.mac},gro=1",
                    f"systemd.machine_id={hashlib.sha256(str(self.folder).encode()).hexdigest()[:32]}",
                    *("security=selinux", "selinux=1", "quiet", f"lab.seed={self.folder / 'seed'}"),
                    *(f"systemd.mask={unit}" for unit in self.machine.masked),
                ),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(str(kernel.pid))

    def _cpu(self) -> str:
        """One CPU for the kernel and its programs: handing over to another one takes as long as the work."""
        cpus = sorted(os.sched_getaffinity(0))
        return str(cpus[int(self.machine.address) % len(cpus)])

    def processes(self) -> list[int]:
        """The kernel's process and those it runs its programs in: one session."""
        try:
            kernel = int((self.folder / "pid").read_text())
        except FileNotFoundError:
            return []
        return [pid for pid in self.network.processes() if session(pid) == kernel]

    def running(self) -> bool:
        return bool(self.processes())

    def answers(self) -> bool:
        """Whether sshd sends its greeting."""
        probe = ("socat", "-T1", "-u", f"TCP:{self.machine.address}:22,connect-timeout=1", "STDOUT")
        done = subprocess.run(
            (*self.network.enter, "timeout", "1", *probe),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.stdout.startswith(b"SSH-")

    def power_off(self) -> None:
        """Take the power away: no goodbye, no flushing."""
        end_all(self.name, self.processes)
        self.network.unplug(self.machine)
        (self.network.sockets / f"ssh-{self.name}").unlink(missing_ok=True)  # a connection to nobody

    def last_words(self) -> str:
        return last_lines(self.console.read_text(errors="replace"))


def session(pid: int) -> int | None:
    """The session that a process belongs to; None when it has ended."""
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None
