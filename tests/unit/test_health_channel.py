"""What the health services of several nodes tell each other, run as systemd runs them."""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_check_script import INTERPRETERS, OLDEST_AND_NEWEST, serving
from tests.unit.test_health import ID, KEY, UNWEIGHED, UP, Running, Script, listening, running, verdict

NO_POLLS = 600.0
"""Seconds between two polls that no test waits for: what happens earlier, the services have told each other."""
NO_ANSWER = "service.peers.KernelProbe.answered = lambda self: False"
"""As if no node's kernel answered."""


class Nodes:
    """A service for each node, in the order of the addresses, and what listens there."""

    def __init__(self, listeners: dict[str, socket.socket], services: list[Running]) -> None:
        self.addresses = list(listeners)
        self.listeners = listeners
        self.services = services

    def wait_until_ready(self) -> None:
        for service in self.services:
            service.wait_for_systemd(b"READY=1")
        self.wait_until_all_hear()

    def wait_until_all_hear(self) -> None:
        for service, own in zip(self.services, self.addresses, strict=True):
            heard = sorted(f"{address} heard" for address in self.addresses if address != own)
            service.wait(lambda service=service, heard=heard: peers(service) == heard)  # type: ignore[misc]


def peers(service: Running) -> list[str]:
    """The service's list of those that it hears."""
    return (service.folder / "peers").read_text().splitlines()


@contextlib.contextmanager
def cluster(
    tmp_path: Path,
    *pythons: str,
    interval: float = NO_POLLS,
    keys: tuple[str, ...] = (),
    patch: str = "",
    answers: tuple[Script, ...] = (),
    protocol: str = "udp",
    probe: bool = True,
) -> Iterator[Nodes]:
    """A node for each of these interpreters, whose input is up. Its drain flags are in `drained/NUMBER`."""
    with contextlib.ExitStack() as stack:
        scripts = answers or tuple(Script(UP) for _ in pythons)
        addresses = [stack.enter_context(serving(script)) for script in scripts]
        listeners = {
            address: stack.enter_context(listening(address, protocol=protocol)) for address in addresses
        }
        services = []
        for number, (own, python) in enumerate(zip(addresses, pythons, strict=True)):
            folder = tmp_path / f"node{number}"
            nodes: dict[str, dict[str, object]] = {}
            for address in addresses:
                (folder / address).mkdir(parents=True)
                (folder / address / ID).touch()
                port = listeners[address].getsockname()[1]
                file = str(folder / address / ID)
                sockets = [{"protocol": protocol, "port": port, "probe": probe}]
                nodes[address] = {ID: {"sockets": sockets, "verdict": file, **UNWEIGHED}}
            (folder / "reasons").touch()
            (tmp_path / "drained" / str(number)).mkdir(parents=True)
            systemd = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            key = keys[number] if keys else KEY
            services.append(
                stack.enter_context(
                    running(
                        folder,
                        nodes,
                        listeners,
                        own,
                        systemd,
                        python=python,
                        patch=patch,
                        drained=tmp_path / "drained" / str(number),
                        key=key,
                        interval=interval,
                    )
                )
            )
        yield Nodes(listeners, services)


@pytest.mark.parametrize("python", INTERPRETERS)
def test_all_nodes_know_at_once_that_a_port_has_closed(python: str, tmp_path: Path) -> None:
    """No poll is due; services on different versions of Python understand each other."""
    with cluster(tmp_path, python, sys.executable, python) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        nodes.listeners[first].close()
        listed = verdict(first, "nobody_listens", "nobody listens at its port any more")
        for service in nodes.services:
            service.wait(lambda service=service: service.verdict(first) == "1\n")  # type: ignore[misc]
            service.wait(lambda service=service: service.reasons() == [listed])  # type: ignore[misc]
            why = f"{ID} at {first} is down: nobody listens at its port any more"
            service.wait(lambda service=service, why=why: service.lines() == [why])  # type: ignore[misc]


def test_all_nodes_take_an_input_back_whose_port_is_bound_again(tmp_path: Path) -> None:
    with cluster(tmp_path, sys.executable, sys.executable, interval=0.1) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        port = nodes.listeners[first].getsockname()[1]
        nodes.listeners[first].close()
        for service in nodes.services:
            service.wait(lambda service=service: service.verdict(first) == "1\n")  # type: ignore[misc]
        with listening(first, port):
            for service in nodes.services:
                service.wait(lambda service=service: service.verdict(first) == "")  # type: ignore[misc]
                service.wait(lambda service=service: service.reasons() == [])  # type: ignore[misc]


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_all_nodes_know_that_one_is_leaving(python: str, tmp_path: Path) -> None:
    """Its drain flag is on that node alone; the API and the port are as ever."""
    with cluster(tmp_path, python, python, interval=0.1) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        flag = tmp_path / "drained" / "0" / first
        flag.touch()
        own, other = nodes.services
        other.wait(lambda: other.reasons() == [verdict(first, "leaving", "its Logstash is about to stop")])
        assert other.verdict(first) == "1\n"
        own.wait(lambda: [each["state"] for each in own.reasons()] == ["drained"])
        flag.unlink()
        other.wait(lambda: other.verdict(first) == "")


def test_what_only_the_own_service_finds_is_told(tmp_path: Path) -> None:
    """Such as a blocked output, which takes several polls."""
    patch = """\
import os
refine = service.InputState.refine
def found(state, outcome):
    if state.ip == own and os.path.exists(folder + "/blocked"):
        return service.script.DefinitelyDown("blocked", "words")
    return refine(state, outcome)
service.InputState.refine = found
"""
    with cluster(tmp_path, sys.executable, sys.executable, interval=0.1, patch=patch) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        (tmp_path / "node0" / "blocked").touch()
        other = nodes.services[1]
        other.wait(lambda: other.reasons_for(first) == ["blocked"])
        assert other.verdict(first) == "1\n"


def test_a_node_that_is_silent_and_whose_kernel_answers_nothing_is_out(tmp_path: Path) -> None:
    with cluster(tmp_path, sys.executable, sys.executable, patch=NO_ANSWER) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        nodes.services[0].process.kill()
        other = nodes.services[1]
        other.wait(lambda: other.verdict(first) == "1\n")
        why = f"{ID} at {first} is down: the node is silent: it is off or cut off"
        other.wait(lambda: other.lines() == [why])
        assert other.reasons_for(first) == ["silent"]
        other.wait(lambda: peers(other) == [f"{first} silent"])


def test_a_service_that_stands_still_takes_its_node_out_of_no_pool(tmp_path: Path) -> None:
    """Its Logstash takes events all the same; and when the service goes on, it is heard again."""
    with cluster(tmp_path, sys.executable, sys.executable) as nodes:
        nodes.wait_until_ready()
        first, other = nodes.addresses[0], nodes.services[1]
        os.kill(nodes.services[0].process.pid, signal.SIGSTOP)
        other.wait(lambda: peers(other) == [f"{first} silent"])
        assert (other.verdict(first), other.lines()) == ("", [])
        os.kill(nodes.services[0].process.pid, signal.SIGCONT)
        nodes.services[0].wait(lambda: peers(other) == [f"{first} heard"])
        assert [(service.lines(), service.reasons()) for service in nodes.services] == [([], []), ([], [])]


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_service_that_stood_still_takes_no_other_node_for_silent(python: str, tmp_path: Path) -> None:
    """As on a virtual machine that is paused: its clock has gone on, and messages wait."""
    with cluster(tmp_path, python, python, patch=NO_ANSWER) as nodes:
        nodes.wait_until_ready()
        service = nodes.services[0]
        for _ in range(3):
            os.kill(service.process.pid, signal.SIGSTOP)
            time.sleep(0.7)  # twice as long as a silence lasts until a node counts as gone
            os.kill(service.process.pid, signal.SIGCONT)
            service.sign_of_life = 0
            service.wait(lambda: service.sign_of_life > 0)
        assert (service.verdict(nodes.addresses[1]), service.lines()) == ("", [])


def test_a_service_that_starts_again_is_heard_again(tmp_path: Path) -> None:
    with cluster(tmp_path, sys.executable, sys.executable) as nodes:
        nodes.wait_until_ready()
        first, other = nodes.addresses[0], nodes.services[1]
        nodes.services[0].process.kill()
        nodes.services[0].process.wait()
        other.wait(lambda: peers(other) == [f"{first} silent"])
        folder = tmp_path / "node0"
        (folder / "notify").unlink()
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
            running(folder, {address: {} for address in nodes.addresses}, nodes.listeners, first, systemd),
        ):
            other.wait(lambda: peers(other) == [f"{first} heard"])
        assert other.lines() == []


def test_a_service_without_the_key_is_not_heard_until_it_has_it(tmp_path: Path) -> None:
    """The deploy gives it the key while it runs."""
    for other_key in ("", "another key, as long as the first"):
        folder = tmp_path / (other_key[:3] or "none")
        with cluster(folder, sys.executable, sys.executable, keys=(KEY, other_key)) as nodes:
            first, second = nodes.services
            for service in nodes.services:
                service.wait_for_systemd(b"READY=1")
                service.wait(lambda service=service: peers(service) != [])  # type: ignore[misc]
            nodes.listeners[nodes.addresses[0]].close()
            first.wait(lambda first=first: first.verdict(nodes.addresses[0]) == "1\n")  # type: ignore[misc]
            assert peers(first) == [f"{nodes.addresses[1]} silent"]
            assert peers(second) == [f"{nodes.addresses[0]} silent"]
            assert second.verdict(nodes.addresses[0]) == ""
            (folder / "node1" / "key").write_text(KEY)
            second.wait(lambda second=second: second.verdict(nodes.addresses[0]) == "1\n")  # type: ignore[misc]
            nodes.wait_until_all_hear()


def test_where_the_kernel_does_not_say_that_a_port_was_closed_it_is_asked(tmp_path: Path) -> None:
    """As that of EL 7."""
    patch = """\
def refused(*_):
    raise EnvironmentError
service.listeners._attach = refused
"""
    with cluster(tmp_path, sys.executable, sys.executable, patch=patch) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        nodes.listeners[first].close()
        for service in nodes.services:
            service.wait(lambda service=service: service.verdict(first) == "1\n")  # type: ignore[misc]


@pytest.mark.parametrize("python", INTERPRETERS)
def test_where_the_kernel_says_that_a_port_was_closed_it_need_not_be_asked(
    python: str, tmp_path: Path
) -> None:
    patch = "service.peers.TICK = 600; service.peers.SILENT_AFTER = 6000"
    with cluster(tmp_path, python, python, patch=patch) as nodes:
        service, first = nodes.services[0], nodes.addresses[0]
        service.wait_for_systemd(b"READY=1")
        service.wait(lambda: peers(service) != [])
        nodes.listeners[first].close()
        service.wait(lambda: service.reasons_for(first) == ["nobody_listens"])


def test_without_the_kernels_list_of_sockets_the_polls_find_it(tmp_path: Path) -> None:
    patch = "service.listeners.Kernel.find = lambda self, request: None"
    with cluster(tmp_path, sys.executable, sys.executable, interval=0.1, patch=patch) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        nodes.listeners[first].close()
        for service in nodes.services:
            service.wait(lambda service=service: service.verdict(first) == "1\n")  # type: ignore[misc]


@pytest.mark.parametrize("settled", [True, False])
def test_a_node_that_tells_what_it_finds_is_polled_less_often(settled: bool, tmp_path: Path) -> None:
    """While all is well there."""
    patch = f"""\
poll = service.NodePoller.poll
def counted(poller):
    with open(folder + ("/own" if poller.ip == own else "/other"), "a") as polls:
        polls.write(".")
    poll(poller)
service.NodePoller.poll = counted
service.RELAXED = 600
{"" if settled else "service.InputState.settled = lambda state: False"}
"""
    with cluster(tmp_path, sys.executable, sys.executable, interval=0.05, patch=patch) as nodes:
        nodes.wait_until_ready()
        service = nodes.services[0]

        def polls(kind: str) -> int:
            return (service.folder / kind).stat().st_size

        own, other = polls("own"), polls("other")
        service.wait(lambda: polls("own") > own + 10)
        assert (polls("other") <= other + 2) == settled


def test_a_datagram_that_is_no_message_changes_nothing(tmp_path: Path) -> None:
    """Whoever sends it, and from wherever; the service goes on."""
    with cluster(tmp_path, sys.executable, sys.executable) as nodes:
        nodes.wait_until_ready()
        first, second = nodes.addresses
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((second, 0))
            for datagram in (b"", b"?", b"leaving", b"\0" * 31, os.urandom(1000), b"{" * 2000):
                stranger.sendto(datagram, (first, 9600))
        service = nodes.services[0]
        service.sign_of_life = 0
        service.wait(lambda: service.sign_of_life > 0)
        assert (service.lines(), service.reasons(), peers(service)) == ([], [], [f"{second} heard"])


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_refused_probe_says_nothing_where_the_nodes_own_service_says_that_it_is_up(
    python: str, tmp_path: Path
) -> None:
    """Each node's firewall rejects the others' probes. What really closes is down at once."""
    patch = "service.REFUSED_AFTER, probed = 0.5, service.script.PortProbe.refused\n"
    patch += "service.script.PortProbe.refused = lambda probe: probe.target[0] != own or probed(probe)"
    with cluster(tmp_path, python, python, patch=patch, interval=0.1) as nodes:
        first, second = nodes.addresses
        for service, other in zip(nodes.services, (second, first), strict=True):
            service.wait(lambda service=service, other=other: service.reasons_for(other) == ["probe_refused"])  # type: ignore[misc]
            service.wait(lambda service=service, other=other: service.verdict(other) == "")  # type: ignore[misc]
        nodes.listeners[first].close()
        nodes.services[1].wait(lambda: nodes.services[1].reasons_for(first) == ["nobody_listens"])
        assert nodes.services[1].verdict(first) == "1\n"


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
@pytest.mark.parametrize(("protocol", "probe"), [("tcp", True), ("tcp", False), ("udp", False)])
def test_a_port_that_no_probe_may_touch_is_watched_by_its_own_kernel_alone(
    python: str, protocol: str, probe: bool, tmp_path: Path
) -> None:
    """No connection and no datagram comes there, and yet all nodes know when nothing listens any more, and when it does."""
    with cluster(tmp_path, python, python, interval=0.05, protocol=protocol, probe=probe) as nodes:
        nodes.wait_until_ready()
        first = nodes.addresses[0]
        listener = nodes.listeners[first]
        listener.settimeout(1)
        with pytest.raises(TimeoutError):
            _ = listener.accept() if protocol == "tcp" else listener.recv(100)
        port = listener.getsockname()[1]
        listener.close()
        for service in nodes.services:
            service.wait(lambda service=service: service.verdict(first) == "1\n")  # type: ignore[misc]
            service.wait(lambda service=service: service.reasons_for(first) == ["nobody_listens"])  # type: ignore[misc]
        with listening(first, port, protocol):
            for service in nodes.services:
                service.wait(lambda service=service: service.verdict(first) == "")  # type: ignore[misc]


@pytest.mark.parametrize("found", ["None", "False"])
def test_an_input_that_never_bound_its_port_is_down_for_certain(found: str, tmp_path: Path) -> None:
    """Its API lists it, and no firewall is suspected. So it is where the kernel has no module to ask."""
    patch = f"service.REFUSED_AFTER = 0; service.listeners.Kernel.find = lambda self, request: {found}"
    with cluster(
        tmp_path, sys.executable, sys.executable, interval=0.05, protocol="tcp", patch=patch
    ) as nodes:
        first = nodes.addresses[0]
        port = nodes.listeners[first].getsockname()[1]
        nodes.listeners[first].close()
        for service in nodes.services:
            service.wait(lambda service=service: service.verdict(first) == "1\n")  # type: ignore[misc]
            service.wait(lambda service=service: service.reasons_for(first) == ["nobody_listens"])  # type: ignore[misc]
        with listening(first, port, "tcp"):
            for service in nodes.services:
                service.wait(lambda service=service: service.verdict(first) == "")  # type: ignore[misc]
