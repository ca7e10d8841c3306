"""One guest: a User Mode Linux kernel that runs as a process of this machine."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lab.network import Network, kill_all
from lab.packages import release_file
from lab.settings import (
    GATEWAY,
    GATEWAY6,
    HERE,
    INTERFACE,
    MAX_NODES,
    NETWORK,
    NETWORK6,
    UNPRIVILEGED_USER,
    USER,
    Machine,
    machines,
)
from lab.shell import last_lines, run

IFCFG = """\
DEVICE={interface}
TYPE=Ethernet
BOOTPROTO=none
ONBOOT=yes
{addresses}
GATEWAY={gateway}
IPV6INIT=yes
{addresses6}
IPV6_DEFAULTGW={gateway6}
"""

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
method=manual
{addresses6}
gateway={gateway6}
"""


@dataclass(frozen=True)
class Guest:
    """A guest. ``folder`` holds its disk, its console's log and the seed that gives it its identity."""

    machine: Machine
    network: Network
    folder: Path

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def write_seed(self, el: int, repository: Path, authorized_key: str, logstash_delay: float) -> str:
        """Write the seed for the first boot and return the guest's public ssh host key.

        The EL's release RPM is installed into the seed, so that the guest takes over the rpm database, too.
        """
        seed = self.folder / "seed"
        seed.mkdir(parents=True)
        rpm = (
            "rpm",
            "--root",
            seed,
            "--dbpath",
            "/var/lib/rpm",
            "--force-debian",
            "--nosignature",
            "--nodeps",
        )
        run(*rpm, "--install", repository / "os" / release_file(el))
        ssh = seed / "etc/ssh"
        ssh.mkdir()
        run(
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", ssh / "ssh_host_ed25519_key"
        )
        hosts = "".join(f"{machine.address} {machine.name}\n" for machine in machines(MAX_NODES))
        network_path, network_text = self.network_file(el)
        files = {
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{hosts}",
            "etc/default/logstash": "".join(
                f"LOGSTASH_STANDIN_{name}_DELAY={logstash_delay}\n" for name in ("START", "STOP")
            ),
            f"home/{USER}/.ssh/authorized_keys": authorized_key,
            f"home/{UNPRIVILEGED_USER}/.ssh/authorized_keys": authorized_key,
            network_path: network_text,
        }
        for name, text in files.items():
            path = seed / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600 if name.endswith((".nmconnection", "default/logstash")) else 0o644)
        return (ssh / "ssh_host_ed25519_key.pub").read_text()

    def network_file(self, el: int) -> tuple[str, str]:
        """The path and the text of the file that configures the guest's network on this EL."""
        return self._ifcfg() if el == 7 else self._keyfile()

    def _keyfile(self) -> tuple[str, str]:
        def numbered(addresses: Iterable[IPv4Address | IPv6Address], prefix: int) -> str:
            return "\n".join(f"address{n}={address}/{prefix}" for n, address in enumerate(addresses, 1))

        return f"etc/NetworkManager/system-connections/{INTERFACE}.nmconnection", KEYFILE.format(
            interface=INTERFACE,
            addresses=numbered(self.machine.addresses, NETWORK.prefixlen),
            gateway=GATEWAY,
            addresses6=numbered(self.machine.addresses6, NETWORK6.prefixlen),
            gateway6=GATEWAY6,
        )

    def _ifcfg(self) -> tuple[str, str]:
        lines = []
        for n, address in enumerate(self.machine.addresses):
            suffix = n or ""
            lines += [f"IPADDR{suffix}={address}", f"PREFIX{suffix}={NETWORK.prefixlen}"]
        first, *others = [f"{address}/{NETWORK6.prefixlen}" for address in self.machine.addresses6]
        secondaries = [f'IPV6ADDR_SECONDARIES="{" ".join(others)}"'] if others else []
        return f"etc/sysconfig/network-scripts/ifcfg-{INTERFACE}", IFCFG.format(
            interface=INTERFACE,
            addresses="\n".join(lines),
            gateway=GATEWAY,
            addresses6="\n".join([f"IPV6ADDR={first}", *secondaries]),
            gateway6=GATEWAY6,
        )

    @property
    def image(self) -> Path:
        """The file that names the image which the guest's disk is based on."""
        return self.folder / "image"

    @property
    def disk(self) -> Path:
        """The copy-on-write file over the image. The first boot creates it."""
        return self.folder / "disk.cow"

    def start(self, kernel: Path, image: Path, memory: int) -> None:
        """Power the guest on, with this memory in MiB. At the first boot it takes over its seed and gets a machine id of its own."""
        machine_id = hashlib.sha256(str(self.folder).encode()).hexdigest()[:32]
        first = () if self.disk.exists() else (f"systemd.machine_id={machine_id}",)
        shutil.rmtree(self.network.sockets / self.name, ignore_errors=True)
        self.network.connect(self.machine)
        with self.console.open("ab") as console:
            process = subprocess.Popen(
                (
                    *self.network.enter_command,
                    *("taskset", "--cpu-list", self._cpu()),
                    HERE / "kernel",
                    f"mem={memory}M",
                    "seccomp=auto",
                    f"ubd0={self.disk},{image}",
                    *("root=/dev/ubda", "rw", "con=null", "con0=fd:0,fd:1"),
                    *(f"umid={self.name}", f"uml_dir={self.network.sockets}"),
                    f"vec0:transport=tap,ifname={self.machine.tap},mac={self.machine.mac}",
                    *first,
                    *("security=selinux", "selinux=1", "quiet", f"lab.seed={self.folder / 'seed'}"),
                    *(f"systemd.mask={unit}" for unit in self.machine.masked_units),
                ),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={**os.environ, "PATH": f"{kernel}:{os.environ['PATH']}"},
            )
        (self.folder / "pid").write_text(str(process.pid))
        # `running` counts processes inside the namespace, and the kernel has to enter it first.
        deadline = time.monotonic() + 10
        while process.poll() is None and not self.running() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _cpu(self) -> str:
        """The one CPU for the kernel and its programs: switching between CPUs takes as long as the work.

        The CPUs are assigned in turn. The sender comes after nine nodes, so that of two CPUs it gets the one
        with fewer of three nodes.
        """
        cpus = sorted(os.sched_getaffinity(0))
        index = [machine.name for machine in machines(MAX_NODES)].index(self.name)
        return str(cpus[index % len(cpus)])

    def processes(self) -> list[int]:
        """The kernel's process and those that it runs the guest's programs in. They share one session."""
        try:
            kernel = int((self.folder / "pid").read_text())
        except FileNotFoundError:
            return []
        return [pid for pid in self.network.processes() if session_of(pid) == kernel]

    def running(self) -> bool:
        return bool(self.processes())

    def answers(self, address: IPv6Address | None = None) -> bool:
        """Whether sshd sends its greeting: at this address, and otherwise at the machine's first one."""
        host = f"[{address}]" if address else self.machine.address
        probe = ("socat", "-T1", "-u", f"TCP:{host}:22,connect-timeout=1", "STDOUT")
        done = subprocess.run(
            (*self.network.enter_command, "timeout", "1", *probe),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.stdout.startswith(b"SSH-")

    def power_off(self) -> None:
        """Stop the guest as a power failure does: nothing is shut down or flushed."""
        kill_all(self.name, self.processes)
        self.forget_connection()

    def forget_connection(self) -> None:
        """Remove the socket of ssh's shared connection, whose other end is gone."""
        (self.network.sockets / f"ssh-{self.name}").unlink(missing_ok=True)

    def last_console_lines(self) -> str:
        return last_lines(self.console.read_text(errors="replace"))


def session_of(pid: int) -> int | None:
    """The id of the session that a process belongs to; None when the process has ended."""
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None
