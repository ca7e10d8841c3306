"""An interface that is made anew under a real keepalived, in network namespaces: the health service has it reloaded."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from desired import health, keepalived, reload
from desired.files import desired_files
from tests.unit.clusters import make_cluster
from tests.unit.interpreters import LIMIT
from tests.unit.judges import debian
from tests.unit.test_check_script import INTERPRETERS, OLDEST_AND_NEWEST, ROOT
from tests.unit.test_health import Running, running
from tests.until import until

PROGRAM = ROOT / "files" / "logstash_ha_reload.py"
VIP = "10.77.0.10"
SLOW = 30
"""Seconds for what has keepalived's delays in it, and the service's."""

# keepalived's unit, without systemd: `is-active` and `show` by its PID file, and the verbs by signals.
SYSTEMCTL = """\
#!/bin/sh
echo "$@" >>{folder}/systemctl
pid=$(cat {folder}/keepalived.pid 2>/dev/null)
kill -0 "$pid" 2>/dev/null && state=active || {{ pid=0 state=inactive; }}
case $* in
*MainPID*) echo MainPID=$pid ;;
*ActiveState*) echo ActiveState=$state ;;
try-*) {verb} ;;
esac
"""


class Network:
    """A node's network, whose interface is a VLAN's or a bridge; `switch` is what it is connected to."""

    def __init__(self, number: int, kind: str, switch: Network | None) -> None:
        self.number, self.kind, self.switch = number, kind, switch
        self.interface = "br7" if kind == "bridge" else "bond0.91"
        self.keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE
        )
        assert self.keeper.stdout
        assert self.keeper.stdout.readline()
        self.enter = ("nsenter", f"--net=/proc/{self.keeper.pid}/ns/net")
        self.run("ip link set lo up")
        if switch:
            self.make()
        else:
            self.run("ip link add br0 type bridge; ip link set br0 up")

    def run(self, script: str) -> str:
        done = subprocess.run(
            [*self.enter, "sh", "-ec", script], check=True, capture_output=True, text=True, timeout=LIMIT
        )
        return done.stdout

    def make(self) -> None:
        """The interface, with the node's address, which comes after it as with NetworkManager."""
        assert self.switch
        port = "port" if self.kind == "bridge" else self.interface
        self.switch.run(
            f"ip link add s{self.number} type veth peer name {port} netns {self.keeper.pid};"
            f"ip link set s{self.number} master br0 up"
        )
        if self.kind == "bridge":
            self.run(f"ip link add {self.interface} type bridge; ip link set port master br7 up")
        self.run(
            f"ip link set {self.interface} up;ip address add 10.77.0.1{self.number}/24 dev {self.interface}"
        )

    def remove(self) -> None:
        if self.kind == "bridge":
            self.run("ip link delete port")
        self.run(f"ip link delete {self.interface}")

    def has_vip(self) -> bool:
        return f" {VIP}/" in self.run("ip -o address")

    def sockets(self) -> int:
        """How many sockets for adverts there are."""
        return self.run("cat /proc/net/raw").count(":0070")


class Node:
    """A node with a keepalived, whose files are in a folder of its own."""

    def __init__(self, network: Network, folder: Path, conf: str) -> None:
        self.network, self.folder = network, folder
        (folder / "bin").mkdir(parents=True)
        systemctl = folder / "bin" / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(folder=folder, verb='kill -HUP "$pid"'))
        systemctl.chmod(0o755)
        (folder / "conf").write_text(conf.replace(health.FOLDER, str(folder)))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def flag(self) -> Path:
        return self.folder / "link_fault"

    def restart(self, takes: float = 0) -> float:
        """As its unit does it: with the flag raised. When that was. The start itself takes so many seconds."""
        self.stop()
        raised = time.monotonic()
        self.flag.write_text("1\n")
        time.sleep(takes)
        self.start()
        self.pids()
        return raised

    def start(self) -> None:
        pid, vrrp = self.folder / "keepalived.pid", self.folder / "vrrp.pid"
        command = ["-n", "-l", "-D", "-P", "-f", str(self.folder / "conf"), "-p", str(pid), "-r", str(vrrp)]
        with (self.folder / "log").open("ab") as output:
            self.process = subprocess.Popen(
                [*self.network.enter, str(debian("keepalived") / "usr/sbin/keepalived"), *command],
                stdout=output,
                stderr=output,
            )
        until(pid.exists, LIMIT, self.log)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(LIMIT)

    def pids(self) -> None:
        """Lists it where systemd's control group would."""
        (self.folder / "cgroup.procs").write_text((self.folder / "keepalived.pid").read_text())

    def reload(self, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
        """What systemd does while the service's request is there."""
        request = self.folder / "reload" / "keepalived"
        return subprocess.run(
            [python, "-B", str(PROGRAM), reload.verb(9), str(request)],
            env={"PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=SLOW,
            check=False,
        )

    def systemctl(self) -> list[str]:
        """What was asked of systemctl, but for the questions."""
        file = self.folder / "systemctl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if not line.startswith("show")]


@contextlib.contextmanager
def cluster(tmp_path: Path, kind: str, transport: str = "unicast") -> Iterator[tuple[Node, Node]]:
    """Two nodes with the VRRP part of what is rendered for them."""
    with contextlib.ExitStack() as stack:
        networks: list[Network] = []
        for number in (0, 1, 2):
            networks.append(Network(number, kind, networks[0] if networks else None))
            stack.callback(networks[-1].keeper.wait, LIMIT)
            stack.callback(networks[-1].keeper.kill)
        desired = make_cluster(tmp_path, interface=networks[1].interface, transport=transport)
        nodes = []
        for network, node in zip(networks[1:], desired.nodes, strict=True):
            conf = desired_files(desired, node, 9)[keepalived.CONF].content
            conf = conf.partition("# The health service's verdicts")[0]
            conf = conf.replace("script_user keepalived_script", "script_user root")
            nodes.append(Node(network, tmp_path / node.name, conf))
            stack.callback(nodes[-1].stop)
        yield nodes[0], nodes[1]


@contextlib.contextmanager
def service(node: Node, python: str = sys.executable, patch: str = "") -> Iterator[Running]:
    """The node's health service."""
    own = f"10.77.0.1{node.network.number}"
    (node.folder / "reasons").touch()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        running(
            node.folder,
            {own: {}},
            {},
            own,
            systemd,
            python=python,
            with_link=True,
            interface=node.network.interface,
            within=node.network.enter,
            patch=f"service.links.PROCESSES = [{str(node.folder / 'cgroup.procs')!r}]\n{patch}",
        ) as running_service,
    ):
        yield running_service


def started(node: Node, other: Node, state: str = "BACKUP") -> None:
    """Starts both: the other one first, which becomes MASTER, and then this one, which is in `state`."""
    other.flag.touch()
    other.start()
    until(other.network.has_vip, SLOW, other.log)
    node.flag.touch()
    node.start()
    until(lambda: f"Entering {state} STATE" in node.log(), SLOW, node.log)
    node.pids()


@pytest.mark.parametrize(
    ("kind", "transport", "python"),
    [
        ("vlan", "unicast", INTERPRETERS[0]),
        ("bridge", "unicast", sys.executable),
        ("vlan", "multicast", sys.executable),
    ],
)
def test_a_node_whose_interface_was_made_anew_can_become_master(
    tmp_path: Path, kind: str, transport: str, python: str
) -> None:
    with cluster(tmp_path, kind, transport=transport) as (other, node):
        started(node, other)
        with service(node, python, "service.links.LINK_HOLD = 0.5") as running_service:
            running_service.wait_for_systemd(b"READY=1")
            assert not running_service.request.exists()
            node.network.remove()
            running_service.wait(lambda: running_service.link_fault() == "1\n")
            node.network.make()
            until(running_service.request.exists, SLOW, running_service.lines)
            assert running_service.link_fault() == "1\n"
            assert node.reload(python).returncode == 0
            assert node.systemctl() == ["try-reload-or-restart keepalived"]
            until(lambda: running_service.link_fault() == "", SLOW, running_service.lines)
            assert node.network.sockets() == 2
            lines = [
                "the link is down: keepalived takes no part",
                f"keepalived has to be reloaded, to use {node.network.interface} as it is now",
                "the link is up: keepalived takes part again",
            ]
            running_service.wait(lambda: running_service.lines() == lines)
            other.stop()
            until(node.network.has_vip, LIMIT, node.log)


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_master_whose_address_goes_hands_its_vip_over(tmp_path: Path, python: str) -> None:
    """Its interface stays: so it is when NetworkManager takes a connection down, and keepalived puts the VIP back before the
    interface is removed. The nodes have the recipe's ip_nonlocal_bind, with which a socket can be bound to any address."""
    with cluster(tmp_path, "bridge") as (other, node):
        for each in (other, node):
            each.network.run("echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind")
        started(other, node)
        with service(node, python) as running_service:
            running_service.wait_for_systemd(b"READY=1")
            assert node.network.has_vip()
            node.network.run("ip address flush dev br7")
            until(other.network.has_vip, LIMIT, other.log)
            until(lambda: not node.network.has_vip(), LIMIT, node.log)
            assert running_service.link_fault() == "1\n"
            node.network.run("ip address add 10.77.0.12/24 dev br7")
            running_service.wait(lambda: running_service.link_fault() == "")
            lines = [
                "the node does not have its address 10.77.0.12: keepalived takes no part",
                "the link is up: keepalived takes part again",
            ]
            running_service.wait(lambda: running_service.lines() == lines)
            other.stop()
            until(node.network.has_vip, LIMIT, node.log)


def test_a_keepalived_without_sockets_for_adverts_is_reloaded(tmp_path: Path) -> None:
    """It has started before the node had its address, and nobody has seen the interface change."""
    patch = "service.links.DEAF_AFTER = 1; service.links.LINK_HOLD = 0.2; service.flags.LOOK = 0.2"
    with cluster(tmp_path, "vlan") as (other, node):
        node.network.run("ip address flush dev bond0.91")
        started(node, other, "FAULT")
        assert node.network.sockets() == 0
        with service(node, patch=patch) as running_service:
            running_service.wait(lambda: running_service.link_fault() == "1\n")
            assert not running_service.request.exists()
            node.network.run("ip address add 10.77.0.12/24 dev bond0.91")
            running_service.wait(running_service.request.exists)
            assert node.reload().returncode == 0
            running_service.wait(lambda: running_service.link_fault() == "")
            assert node.network.sockets() == 2
            lines = [
                "the node does not have its address 10.77.0.12: keepalived takes no part",
                "keepalived has to be reloaded, to use bond0.91 as it is now",
                "the link is up: keepalived takes part again",
            ]
            running_service.wait(lambda: running_service.lines() == lines)
            other.stop()
            until(node.network.has_vip, LIMIT, node.log)


def test_a_keepalived_that_is_restarted_takes_part_again_after_some_time_without_a_reload(
    tmp_path: Path,
) -> None:
    """No link has changed, and its sockets are there all the time."""
    with cluster(tmp_path, "vlan") as (other, node):
        started(node, other)
        with service(node) as running_service:
            running_service.wait_for_systemd(b"READY=1")
            raised = node.restart()
            until(lambda: node.network.sockets() == 2, LIMIT, node.log)
            assert running_service.link_fault() == "1\n"
            running_service.wait(lambda: running_service.link_fault() == "")
            assert 3 <= time.monotonic() - raised < 3 + LIMIT
            lines = [
                "keepalived starts: it takes no part yet",
                "the link is up: keepalived takes part again",
            ]
            running_service.wait(lambda: running_service.lines() == lines)
            assert not running_service.request.exists()
            other.stop()
            until(node.network.has_vip, LIMIT, node.log)


@pytest.mark.parametrize("takes", [2, 4])
def test_a_keepalived_whose_start_takes_long_has_heard_adverts_as_long_as_any_when_it_takes_part(
    tmp_path: Path, takes: float
) -> None:
    with cluster(tmp_path, "vlan") as (other, node):
        started(node, other)
        with service(node) as running_service:
            running_service.wait_for_systemd(b"READY=1")
            node.restart(takes)
            without = [time.monotonic()]
            """When this test looked and found no sockets: it may see them later than the service."""

            def has_sockets() -> bool:
                look = time.monotonic()
                if node.network.sockets() == 2:
                    return True
                without.append(look)
                return False

            until(has_sockets, LIMIT, node.log)
            assert running_service.link_fault() == "1\n"
            running_service.wait(lambda: running_service.link_fault() == "")
            assert time.monotonic() >= without[-1] + 3
            assert not running_service.request.exists()


def test_a_keepalived_that_does_not_start_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with cluster(tmp_path, "vlan") as (other, node):
        started(node, other)
        with service(node, patch="service.links.START_TIME = 5") as running_service:
            running_service.wait_for_systemd(b"READY=1")
            node.stop()
            (node.folder / "cgroup.procs").write_text("")
            raised = time.monotonic()
            node.flag.write_text("1\n")
            running_service.wait(lambda: running_service.link_fault() == "")
            assert time.monotonic() >= raised + 4.5


def test_a_keepalived_that_is_restarted_while_its_interface_is_made_anew_is_not_reloaded_at_once(
    tmp_path: Path,
) -> None:
    """Both hold it: its start, and then the reload, which waits until keepalived is old enough."""
    with cluster(tmp_path, "vlan") as (other, node):
        started(node, other)
        with service(node) as running_service:
            running_service.wait_for_systemd(b"READY=1")
            node.network.remove()
            running_service.wait(lambda: running_service.link_fault() == "1\n")
            node.stop()
            node.network.make()
            raised = node.restart()
            until(running_service.request.exists, SLOW, running_service.lines)
            assert time.monotonic() >= raised + 3
            assert node.reload().returncode == 0
            assert time.monotonic() >= raised + 4
            assert node.systemctl() == ["try-reload-or-restart keepalived"]
            running_service.wait(lambda: running_service.link_fault() == "")
            lines = [
                "the link is down: keepalived takes no part",
                "keepalived starts: it takes no part yet",
                f"keepalived has to be reloaded, to use {node.network.interface} as it is now",
                "the link is up: keepalived takes part again",
            ]
            running_service.wait(lambda: running_service.lines() == lines)
            other.stop()
            until(node.network.has_vip, LIMIT, node.log)


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_keepalived_that_has_just_started_is_not_reloaded_at_once(tmp_path: Path, python: str) -> None:
    """2.2.8 would be deaf afterwards."""
    (tmp_path / "reload").mkdir()
    request = tmp_path / "reload" / "keepalived"
    request.touch()
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        parent.stdout.readline()
        (tmp_path / "keepalived.pid").write_text(f"{parent.pid}\n")
        (tmp_path / "bin").mkdir()
        systemctl = tmp_path / "bin" / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(folder=tmp_path, verb='ps -o etimes= --ppid "$pid"'))
        systemctl.chmod(0o755)
        done = subprocess.run(
            [python, "-B", str(PROGRAM), "try-restart", str(request)],
            env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=SLOW,
            check=False,
        )
        subprocess.run(["pkill", "-P", str(parent.pid)], check=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 4
    assert not request.exists()


def test_where_keepalived_does_not_run_there_is_nothing_to_reload(tmp_path: Path) -> None:
    with cluster(tmp_path, "vlan") as (node, _):
        (node.folder / "reload").mkdir()
        request = node.folder / "reload" / "keepalived"
        request.touch()
        done = node.reload()
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not request.exists()
        assert node.systemctl() == []
