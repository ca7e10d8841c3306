"""A real firewalld with the nftables backend, in a network namespace with a D-Bus of its own, and packets to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyinfra.api import StringCommand

from cluster import Cluster, Node
from lab.cache import locked_cache
from lab.debian import SYSTEM, fetch_debian
from lab.settings import DEFAULT_RELEASE, SUITES
from lab.shell import LabError, run
from tests.unit.judges import debian
from tests.unit.machine import ShellMachine
from tests.until import until

# firewalld's own policy applies, as on a real system bus.
_BUS = """\
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus"/></policy>
<includedir>/usr/share/dbus-1/system.d</includedir></busconfig>
"""

Probe = tuple[str, str, str, int]
"""What is sent: `udp`, `tcp` or `vrrp`, its source, its destination and its port (0 for `vrrp`)."""

# Prints the probes that arrive, once its input ends. TCP has arrived when the sender's connection is accepted.
_LISTEN = """\
import json, select, socket, sys
line = json.loads(sys.stdin.readline())
family = lambda address: socket.AF_INET6 if ":" in address else socket.AF_INET
sockets = {}
for kind, destination, port in line:
    if kind == "vrrp":
        it = socket.socket(family(destination), socket.SOCK_RAW, 112)
        it.bind((destination, 0))
    else:
        it = socket.socket(family(destination), socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        it.bind((destination, port))
        kind == "udp" or it.listen(100)
    sockets[it] = (kind, destination, port)
print("ready", flush=True)
sys.stdin.read()
arrived = []
while ready := select.select(list(sockets), [], [], 0.5)[0]:
    for it in ready:
        kind, destination, port = sockets[it]
        source = it.accept()[1][0] if kind == "tcp" else it.recvfrom(2000)[1][0]
        arrived.append((kind, source, destination, port))
print(json.dumps(arrived))
"""

# Sends each probe once; TCP has two seconds to connect.
_SEND = """\
import json, select, socket, sys
family = lambda address: socket.AF_INET6 if ":" in address else socket.AF_INET
waiting = []
for kind, source, destination, port in json.load(sys.stdin):
    if kind == "vrrp":
        it = socket.socket(family(source), socket.SOCK_RAW, 112)
    else:
        it = socket.socket(family(source), socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    it.bind((source, 0))
    if kind == "tcp":
        it.setblocking(False)
        it.connect_ex((destination, port))
        waiting.append(it)
    else:
        it.sendto(b"x", (destination, port))
if waiting:
    select.select([], [], [], 2)
"""


def unpacked(folder: Path) -> Path:
    """The lab's Debian and nft, as a root folder for the namespace. Raises `LabError`."""
    root = folder / "root"
    root.mkdir()
    with locked_cache() as cache:
        system = fetch_debian(cache, SUITES[DEFAULT_RELEASE], print) / SYSTEM
    run("tar", "-xf", system, "--exclude=./dev/*", "-C", root)
    shutil.copy2(debian("nftables") / "usr/sbin/nft", root / "usr/sbin/nft")
    conf = root / "etc/firewalld/firewalld.conf"
    conf.write_text(conf.read_text().replace("FirewallBackend=iptables", "FirewallBackend=nftables"))
    (root / "etc/bus.conf").write_text(_BUS)
    return root


def only_child(pid: int) -> int:
    """The process that this one, `unshare` or `nsenter`, waits for."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


class Namespace:
    """A network namespace, which ends with the test."""

    def __init__(self) -> None:
        words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        self.process = subprocess.Popen(
            [*words, "sh", "-c", "echo ready; exec sleep 1800"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        if self.process.stdout.readline() != "ready\n":
            raise LabError("no network namespace: this needs root, and a kernel with namespaces")
        self.pid = only_child(self.process.pid)
        self.run("ip", "link", "set", "lo", "up")

    def words(self, *command: str | Path) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *map(str, command)]

    def run(self, *command: str | Path) -> str:
        """What a command prints that must succeed."""
        return run(*self.words(*command))

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """A program that ends with the namespace."""
        return subprocess.Popen(
            self.words(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class FirewalldMachine(ShellMachine):
    """A machine whose root folder is `root`, with a firewalld that is running."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self.shell, self.log = root, "dash", log
        self.namespace = Namespace()
        for words in (
            ("mount", "-t", "proc", "proc", root / "proc"),
            ("mount", "-t", "tmpfs", "tmpfs", root / "run"),
            ("mount", "--rbind", "/dev", root / "dev"),
            ("mkdir", "-p", root / "run/dbus", root / "run/firewalld"),
        ):
            self.namespace.run(*words)
        if subprocess.run(self.chrooted("nft", "add", "table", "inet", "x"), check=False).returncode:
            raise LabError("this kernel has no nf_tables for inet, which firewalld's nftables backend needs")
        self.namespace.run("chroot", root, "nft", "delete", "table", "inet", "x")
        self.namespace.start(
            *("chroot", root, "dbus-daemon", "--config-file=/etc/bus.conf"),
            *("--nofork", "--nopidfile", "--nosyslog"),
        )
        until(lambda: self.sh("test -S /run/dbus/system_bus_socket").returncode == 0, 10, "the bus")
        self.firewalld: subprocess.Popen[str] | None = None
        self.restart()

    def chrooted(self, *command: str | Path) -> list[str]:
        return self.namespace.words("chroot", self.root, *command)

    def restart(self) -> None:
        """Stop firewalld, if it runs, and start it with its permanent configuration."""
        if self.firewalld:
            os.kill(only_child(self.firewalld.pid), signal.SIGTERM)
            self.firewalld.wait(30)
        with self.log.open("a") as log:
            self.firewalld = subprocess.Popen(
                self.chrooted("firewalld", "--nofork", "--nopid"), stdout=log, stderr=log, text=True
            )
        until(lambda: self.state in ("running", "failed"), 60, self.log.read_text)

    @property
    def state(self) -> str:
        """What `firewall-cmd --state` says; empty until firewalld is on the bus. busctl takes a tenth of its time."""
        name, path = "org.fedoraproject.FirewallD1", "/org/fedoraproject/FirewallD1"
        done = self.sh(f"busctl get-property {name} {path} {name} state 2>&1")
        return done.stdout.strip().removeprefix("s ").strip('"').lower() if not done.returncode else ""

    def sh(self, command: StringCommand | str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        text = command.get_raw_value() if isinstance(command, StringCommand) else command
        if stdin is None and isinstance(command, StringCommand):
            stdin = str(command.connector_arguments.get("_stdin") or "")
        return subprocess.run(
            self.chrooted("sh", "-c", text),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def attach(self, cluster: Cluster, node: Node, world: Namespace, addresses: Iterable[str]) -> None:
        """Connect it to the other namespace, which gets these addresses, by each of the node's interfaces."""
        links = {link: f"world{number}" for number, link in enumerate(cluster.interfaces_of(node))}
        for link, other in links.items():
            # Not in its process namespace, which does not know the other one's process.
            run(
                *("nsenter", f"--target={world.pid}", "--net", "ip", "link", "add", other, "type", "veth"),
                *("peer", "name", link, "netns", str(self.namespace.pid)),
            )
            for namespace, name in ((world, other), (self.namespace, link)):
                namespace.run("ip", "link", "set", name, "up")
        own = cluster.interface_of(node)
        for own_address in node.addresses:
            self._add(self.namespace, str(own_address), own)
        for address in addresses:
            self._add(world, address, links[own])
        for family in cluster.families:
            for namespace, name in ((world, links[own]), (self.namespace, own)):
                namespace.run("ip", f"-{family}", "route", "add", "default", "dev", name)
        for vip in cluster.vips:
            link = cluster.vip_interface(vip, node)
            for own_address in {vip, cluster.vrrp_source(vip, node)} - {*node.addresses}:
                self._add(self.namespace, str(own_address), link)
                world.run("ip", "route", "add", str(own_address), "dev", links[link])

    @staticmethod
    def _add(namespace: Namespace, address: str, link: str) -> None:
        single = f"{address}/128" if ":" in address else f"{address}/32"
        nodad = ["nodad"] if ":" in address else []
        namespace.run("ip", "address", "add", single, "dev", link, *nodad)

    def arrived(self, world: Namespace, probes: Sequence[Probe]) -> set[Probe]:
        """Those of the probes, sent from the other namespace, that arrive here."""
        listener = self.namespace.start(sys.executable, "-I", "-S", "-c", _LISTEN)
        targets = sorted({(kind, destination, port) for kind, _, destination, port in probes})
        assert listener.stdin
        assert listener.stdout
        print(json.dumps(targets), file=listener.stdin, flush=True)
        assert listener.stdout.readline() == "ready\n"
        sender = world.words(sys.executable, "-I", "-S", "-c", _SEND)
        subprocess.run(sender, input=json.dumps(probes), text=True, check=True, timeout=60)
        output, _ = listener.communicate(timeout=60)
        return {(kind, source, destination, port) for kind, source, destination, port in json.loads(output)}
