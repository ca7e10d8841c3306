"""The program that removes the VIPs of a node whose keepalived was killed, in a network namespace of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.unit.test_check_script import INTERPRETERS, LIMIT, ROOT
from tests.until import until

SCRIPT = ROOT / "files" / "release_vips.py"
VIPS = {51: "192.0.2.10", 52: "192.0.2.20", 61: "2001:db8::10"}

# VRRP 3: version and type, virtual router, priority, addresses, interval, checksum, address.
SEND = """\
import socket, sys
family, target, kind, router, priority = sys.argv[1:]
out = socket.socket(int(family), socket.SOCK_RAW, 112)
out.sendto(bytes([0x30 | int(kind), int(router), int(priority), 1, 0, 10, 0, 0]) + bytes(16), (target, 0))
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
        self.run("ip", "link", "set", "lo", "up")
        for vip in VIPS.values():
            self.run("ip", "address", "add", vip, "dev", "lo")

    def run(self, *command: str) -> str:
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def started(self, python: str, seconds: str = "60") -> "Iterator[subprocess.Popen[bytes]]":
        virtual_routers = [f"{router}={vip}" for router, vip in VIPS.items()]
        with subprocess.Popen(
            [*self.enter, python, "-B", str(SCRIPT), "lo", seconds, *virtual_routers]
        ) as script:
            try:
                yield script
            finally:
                script.kill()

    def advert(self, router: int, kind: int = 1, priority: int = 100) -> None:
        family, target = ("10", "::1") if router > 60 else ("2", "127.0.0.1")
        self.run(sys.executable, "-c", SEND, family, target, str(kind), str(router), str(priority))

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
