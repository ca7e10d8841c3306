"""The program that releases the VIPs of a node, in a network namespace of its own: its keepalived was killed, or is to stop."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.interpreters import LIMIT
from tests.unit.test_check_script import INTERPRETERS, ROOT
from tests.until import until

SCRIPT = ROOT / "files" / "release_vips.py"
VIPS = {51: "192.0.2.10", 52: "192.0.2.20", 61: "2001:db8::10"}
ROUTERS = [f"{router}={vip}" for router, vip in VIPS.items()]
"""As the program is told of them."""

# VRRP 3: version and type, virtual router, priority, addresses, interval, checksum, address. A line for each advert.
SEND = """\
import socket, sys
for line in iter(sys.stdin.readline, ""):
    family, target, kind, router, priority = line.split()
    with socket.socket(int(family), socket.SOCK_RAW, 112) as out:
        out.sendto(bytes([0x30 | int(kind), int(router), int(priority), 1, 0, 10, 0, 0]) + bytes(16), (target, 0))
    print(flush=True)
"""


class Namespace:
    """A network without any link but the loopback interface, which has the VIPs."""

    def __init__(self) -> None:
        self.keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE
        )
        assert self.keeper.stdout
        assert self.keeper.stdout.readline()
        self.enter = ["nsenter", f"--net=/proc/{self.keeper.pid}/ns/net"]
        self.sender = subprocess.Popen(
            [*self.enter, sys.executable, "-I", "-S", "-c", SEND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.run("ip", "link", "set", "lo", "up")
        for vip in VIPS.values():
            self.run("ip", "address", "add", vip, "dev", "lo")

    def run(self, *command: str) -> str:
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def started(self, python: str, seconds: str = "60") -> "Iterator[subprocess.Popen[bytes]]":
        with subprocess.Popen([*self.enter, python, "-B", str(SCRIPT), "lo", seconds, *ROUTERS]) as script:
            try:
                yield script
            finally:
                script.kill()

    def advert(self, router: int, kind: int = 1, priority: int = 100) -> None:
        family, target = ("10", "::1") if router > 60 else ("2", "127.0.0.1")
        assert self.sender.stdin
        assert self.sender.stdout
        self.sender.stdin.write(f"{family} {target} {kind} {router} {priority}\n")
        assert self.sender.stdout.readline()  # it is on its way

    def held(self) -> list[int]:
        shown = self.run("ip", "-o", "address", "show", "dev", "lo")
        return [router for router, vip in VIPS.items() if f" {vip}/" in shown]

    def until_held(self, *routers: int, master: int) -> None:
        """Waits until only the VIPs of these are there; meanwhile another node announces that it is MASTER of one."""

        def only_they_are_held() -> bool:
            if self.held() == [*routers]:
                return True
            self.advert(master)
            return False

        until(only_they_are_held, LIMIT, lambda: f"{[*routers]} held; there are {self.held()}")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    namespace = Namespace()
    yield namespace
    namespace.sender.communicate(timeout=LIMIT)
    namespace.keeper.kill()
    namespace.keeper.wait(LIMIT)


@pytest.mark.parametrize("python", INTERPRETERS)
def test_each_vip_goes_when_another_node_has_it(namespace: Namespace, python: str) -> None:
    with namespace.started(python) as script:
        namespace.until_held(52, 61, master=51)
        for router, kind, priority in (
            (53, 1, 100),
            (52, 2, 100),
            (52, 1, 0),
        ):  # another, no advert, a farewell
            namespace.advert(router, kind, priority)
        namespace.until_held(52, master=61)
        assert script.poll() is None
        namespace.until_held(master=52)
        assert script.wait(LIMIT) == 0


def test_a_vip_that_no_other_node_announces_stays(namespace: Namespace) -> None:
    with namespace.started(sys.executable, seconds="0.2") as script:
        assert script.wait(LIMIT) == 0
    assert namespace.held() == [*VIPS]


def test_it_ends_at_once_where_no_vip_was_left(namespace: Namespace) -> None:
    namespace.run("ip", "address", "flush", "dev", "lo")
    with namespace.started(sys.executable, seconds="600") as script:
        assert script.wait(LIMIT) == 0


KEEPALIVED = """\
trap 'cat "$1" >"$2"; ip -o address show dev lo >>"$2"; exit' TERM
while ! [ -s "$1" ] || [ -n "$3" ]; do sleep 0.02; done
for vip in 192.0.2.10 192.0.2.20 2001:db8::10; do ip address delete $vip dev bridge; done
while :; do sleep 0.2; done
"""
"""It gives the VIPs up at the flag ($1), unless it is deaf ($3), and writes down what it finds when it is told to end ($2)."""


OWN_SYS = ["unshare", "--mount", "sh", "-c", 'mount -t sysfs none /sys && exec "$@"', "sh"]
"""What starts a program that is to find the namespace's interfaces in /sys."""


class Holder:
    """A node whose bridge has the VIPs, and what plays its keepalived."""

    def __init__(self, namespace: Namespace, folder: Path, deaf: str = "") -> None:
        self.namespace, self.flag, self.found = namespace, folder / "flag", folder / "found"
        namespace.run("ip", "address", "flush", "dev", "lo")
        namespace.run("ip", "link", "add", "bridge", "type", "bridge")
        namespace.run("ip", "link", "set", "bridge", "up")
        namespace.run("ip", "address", "add", "127.0.0.1/8", "dev", "lo")
        namespace.run("ip", "address", "add", "::1/128", "dev", "lo")
        for vip in VIPS.values():
            namespace.run("ip", "address", "add", vip, "dev", "bridge", *(["nodad"] if ":" in vip else []))
        self.flag.write_text("")
        self.keepalived = subprocess.Popen(
            [*namespace.enter, "sh", "-c", KEEPALIVED, "sh", str(self.flag), str(self.found), deaf]
        )

    def stop(self, python: str, seconds: str = "60") -> "subprocess.Popen[bytes]":
        return self.hand_over(python, "--stop", str(self.keepalived.pid), str(self.flag), seconds=seconds)

    def hand_over(self, python: str, *option: str, seconds: str = "60") -> "subprocess.Popen[bytes]":
        command = [python, "-B", str(SCRIPT), *option, "bridge", seconds]
        return subprocess.Popen([*self.namespace.enter, *OWN_SYS, *command, *ROUTERS])

    def arp(self) -> str:
        keys = [f"net.ipv4.conf.all.arp_{name}" for name in ("ignore", "announce")]
        return self.namespace.run("sysctl", "-n", *keys).replace("\n", " ")

    def end(self) -> None:
        self.keepalived.kill()
        self.keepalived.wait(LIMIT)

    def ended(self, script: "subprocess.Popen[bytes]") -> None:
        """All is as before, and keepalived has ended."""
        assert (script.wait(LIMIT), self.keepalived.wait(LIMIT)) == (0, 0)
        assert (self.flag.read_text(), self.arp()) == ("", "0 0 ")
        assert self.namespace.held() == []


@pytest.fixture
def holder(request: pytest.FixtureRequest, namespace: Namespace, tmp_path: Path) -> Iterator[Holder]:
    """Deaf where a test says so."""
    holder = Holder(namespace, tmp_path, getattr(request, "param", ""))
    yield holder
    holder.end()


@pytest.mark.parametrize("python", INTERPRETERS)
def test_another_node_has_the_vips_before_keepalived_stops(
    namespace: Namespace, holder: Holder, python: str
) -> None:
    """Meanwhile they are on the loopback interface, and from the first announcement on it answers nobody for them."""
    with holder.stop(python) as script:
        until(
            lambda: "192.0.2.10" not in namespace.run("ip", "address", "show", "dev", "bridge"), LIMIT, "VIP"
        )
        assert (namespace.held(), holder.arp()) == ([*VIPS], "0 2 ")
        for router in VIPS:
            assert holder.keepalived.poll() is None
            namespace.advert(router)  # it may not have told the senders yet
            until(lambda: holder.arp() == "1 2 ", LIMIT, "it answers nobody")
        assert namespace.held() == [*VIPS]
        for router in VIPS:
            assert holder.keepalived.poll() is None
            namespace.advert(router)
        holder.ended(script)
    flag, *addresses = holder.found.read_text().splitlines()
    assert flag == "1"
    assert not [vip for vip in VIPS.values() if any(f" {vip}/" in line for line in addresses)]


@pytest.mark.parametrize("holder", ["", "deaf"], indirect=True)
def test_it_stops_all_the_same_where_no_other_node_takes_the_vips(holder: Holder) -> None:
    """Nor does keepalived have to follow the flag."""
    with holder.stop(sys.executable, seconds="0.2") as script:
        holder.ended(script)


def test_one_without_a_vip_stops_at_once(namespace: Namespace, holder: Holder) -> None:
    namespace.run("ip", "address", "flush", "dev", "bridge")
    with holder.stop(sys.executable) as script:
        holder.ended(script)
    assert holder.found.read_text().splitlines()[0] != "1"  # the flag


def test_it_stops_all_the_same_without_the_health_services_files(
    namespace: Namespace, holder: Holder, tmp_path: Path
) -> None:
    holder.flag = tmp_path / "gone" / "flag"
    with holder.stop(sys.executable) as script:
        assert script.wait(LIMIT) != 0
    assert holder.keepalived.wait(LIMIT) == 0
    assert (namespace.held(), holder.arp()) == ([], "0 0 ")


@pytest.mark.parametrize("python", INTERPRETERS)
def test_another_node_has_the_vips_that_a_command_gives_up(
    namespace: Namespace, holder: Holder, python: str
) -> None:
    with holder.hand_over(python, "--run", f"echo 1 >{holder.flag}") as script:
        until(
            lambda: "192.0.2.10" not in namespace.run("ip", "address", "show", "dev", "bridge"), LIMIT, "VIP"
        )
        assert (namespace.held(), holder.arp()) == ([*VIPS], "0 2 ")
        for router in [*VIPS, *VIPS]:
            assert (namespace.held(), script.poll()) == ([*VIPS], None)
            namespace.advert(router)
            until(lambda: script.poll() is not None or holder.arp() == "1 2 ", LIMIT, "it answers nobody")
        assert script.wait(LIMIT) == 0
    assert (namespace.held(), holder.arp(), holder.keepalived.poll()) == ([], "0 0 ", None)


@pytest.mark.parametrize("given_up", ["before", "never"])
def test_a_command_that_fails_says_so_at_once(namespace: Namespace, holder: Holder, given_up: str) -> None:
    if given_up == "before":
        namespace.run("ip", "address", "flush", "dev", "bridge")
    with holder.hand_over(sys.executable, "--run", "exit 3") as script:
        assert script.wait(LIMIT) == 3
    assert (namespace.held(), holder.arp()) == ([], "0 0 ")
