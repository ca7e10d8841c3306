"""The health service, run as systemd runs it, against real HTTP servers."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.unit.test_check_script import (
    INTERPRETERS,
    LIMIT,
    OK_8,
    ROOT,
    Answer,
    body,
    drip,
    endless,
    hang,
    pipelines,
    raw,
    serving,
)

SERVICE = ROOT / "files" / "logstash_ha_health.py"
ID = "udp-5514"
UP = body(pipelines(main=[ID]))
GONE = body(pipelines(main=["other"]))
PEERLESS = "127.9.9.1"
LOST = body(b"", status=500)


class Running:
    """The service, with what it says to systemd and to the journal."""

    def __init__(
        self,
        folder: Path,
        process: subprocess.Popen[bytes],
        systemd: socket.socket,
        listeners: dict[str, socket.socket],
    ) -> None:
        self.listeners = listeners
        self.folder = folder
        self.process = process
        self.systemd = systemd

    def verdict(self, address: str, input_id: str = ID) -> str:
        return (self.folder / address / input_id).read_text()

    def pace(self, address: str) -> str:
        return (self.folder / "slow" / address / ID).read_text()

    def lines(self) -> list[str]:
        return (self.folder / "journal").read_text().splitlines()

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < end, self.lines()
            assert self.process.poll() is None, self.lines()
            time.sleep(0.01)

    def told(self, message: bytes) -> None:
        """Waits until systemd has been told this."""

        def heard() -> bool:
            with contextlib.suppress(TimeoutError):
                return self.systemd.recv(100) == message
            return False

        self.wait(heard)


@contextlib.contextmanager
def listening(address: str, port: int = 0) -> Iterator[socket.socket]:
    """A UDP socket at this address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((address, port))
        yield listener


@contextlib.contextmanager
def health(
    *addresses: str,
    inputs: tuple[str, ...] = (ID,),
    python: str = sys.executable,
    timeout: float = 2.0,
    before: str = "",
    patch: str = "",
    drained: Path = Path("/nonexistent"),
    alone: bool = False,
    own: str = "127.9.9.9",
    paced: bool = False,
    slow: str = "",
    apart: bool = False,
) -> Iterator[Running]:
    """The service for these addresses and inputs, whose verdicts were `before`; `patch` is Python run ahead of it.

    Beside them is a node with all inputs up, unless they are to be `alone`. Somebody listens at the inputs' port.
    With `paced`, keepalived wants to know who is slow, and has been told `slow` of all. With `apart`, it wants to know of
    the link, which is the loopback interface of a network namespace of the service's own.
    """
    with (
        contextlib.ExitStack() as stack,
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        serving(body(pipelines(main=list(inputs)))) as peer,
    ):
        folder = Path(name)
        befores = {**({} if alone else {peer: ""}), **dict.fromkeys(addresses, before)}
        for address, verdict in befores.items():
            (folder / address).mkdir()
            for input_id in inputs:
                (folder / address / input_id).write_text(verdict)
                if paced:
                    (folder / "slow" / address).mkdir(parents=True)
                    (folder / "slow" / address / input_id).write_text(slow)
        (folder / "reasons").touch()
        if apart:
            (folder / "away").touch()
        listeners = {address: stack.enter_context(listening(address)) for address in befores}
        settings = folder / "settings.json"
        settings.write_text(
            json.dumps(
                {
                    "folder": name,
                    "interval": 0.05,
                    "timeout": timeout,
                    "own": own,
                    "interface": "lo",
                    "nodes": {
                        address: {each: ["udp", listener.getsockname()[1]] for each in inputs}
                        for address, listener in listeners.items()
                    },
                }
            )
        )
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(0.1)
        code = f"""\
import sys, time
sys.path.insert(0, {str(SERVICE.parent)!r})
import logstash_ha_health as service
service.script.DRAINED = {str(drained)!r}
{patch}
sys.exit(service.main([{str(settings)!r}]))
"""
        with (folder / "journal").open("wb") as journal:
            process = subprocess.Popen(
                [*(["unshare", "--net"] if apart else []), python, "-B", "-c", code],
                cwd="/",
                env={"NOTIFY_SOCKET": str(folder / "notify")},
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
            )
        try:
            yield Running(folder, process, systemd, listeners)
        finally:
            process.kill()
            process.wait(LIMIT)
        assert "Traceback" not in (folder / "journal").read_text()


class Script:
    """Answers one after the other; the last one for ever. `given` counts them."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.given = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        answer = self.answers[min(self.given, len(self.answers) - 1)]
        self.given += 1
        answer(handler)

    def now(self, answer: Answer) -> None:
        self.answers = [answer]


@pytest.mark.parametrize("python", INTERPRETERS)
def test_down_and_up_again(python: str) -> None:
    """keepalived is told of each change, and the journal why; systemd, once the verdict is settled."""
    script = Script(UP)
    with serving(script) as address, health(address, python=python) as service:
        service.told(b"READY=1")
        service.told(b"WATCHDOG=1")
        assert (service.verdict(address), service.lines()) == ("", [])
        script.now(GONE)
        service.wait(lambda: service.verdict(address) == "1\n")
        script.now(body(OK_8))
        service.wait(lambda: service.verdict(address) == "")
        service.wait(lambda: len(service.lines()) == 2)
        assert service.lines() == [
            f"{ID} at {address} is down: no such input; there are: other",
            f"{ID} at {address} is up, in pipeline main",
        ]


FAILURES: dict[str, tuple[Answer, str]] = {
    "hung": (hang, "no whole answer within 0.3 s"),
    "slow": (drip, "no whole answer within 0.3 s"),
    "500": (LOST, "HTTP status 500"),
    "truncated": (body(b"{}", length=99), "the answer is truncated: 2 of 99 bytes"),
    "huge": (endless, ""),  # over 8 MiB, or late
    "garbage": (raw(b"\x15\x03\x01\0\x02\x02\n"), "not HTTP"),
    "silence": (raw(b""), "closed without an answer"),
    "no JSON": (body(b"<html>"), "not JSON"),
    "no pipelines": (body(b'{"pipelines": {}}'), "no pipeline is there"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_ways_to_be_down(name: str) -> None:
    answer, words = FAILURES[name]
    with serving(answer) as address, health(address, timeout=0.3) as service:
        service.told(b"READY=1")
        assert service.verdict(address) == "1\n"
        (line,) = service.lines()
        assert line.startswith(f"{ID} at {address} is down: ")
        assert words in line


def died(times: int) -> Answer:
    """An input whose listener has died so often."""
    plugin = {"id": ID, "errors": {"listener": times}}
    return body(json.dumps({"pipelines": {"main": {"plugins": {"inputs": [plugin]}}}}).encode())


@pytest.mark.parametrize("python", INTERPRETERS)
def test_nobody_listens(python: str) -> None:
    """Though the API lists the input: its pipeline was stopped, or Logstash is about to end."""
    with serving(UP) as address, health(address, python=python) as service:
        service.told(b"READY=1")
        assert service.verdict(address) == ""
        port = service.listeners[address].getsockname()[1]
        service.listeners[address].close()
        service.wait(lambda: service.verdict(address) == "1\n")
        why = f"{ID} at {address} is down: nobody listens at its port, though Logstash lists it\n"
        service.wait(lambda: why in (service.folder / "reasons").read_text())
        with listening(address, port):
            service.wait(lambda: service.verdict(address) == "")
            service.wait(lambda: (service.folder / "reasons").read_text() == "")


def test_no_event_is_made_by_asking() -> None:
    with serving(UP) as address, health(address) as service:
        service.told(b"READY=1")
        service.listeners[address].settimeout(LIMIT)
        assert [service.listeners[address].recv(100) for _ in range(5)] == [b""] * 5


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_node_that_is_about_to_leave(python: str, tmp_path: Path) -> None:
    """The service there, which is this one, tells it while a file says so; the API and the port are as ever."""
    drained = tmp_path / "drained"
    drained.mkdir()
    here = "here = threading.current_thread; check = service.script.check_drained; "
    only_the_porter = (
        f"import threading; {here}"
        "service.script.check_drained = lambda ip: check(ip) if isinstance(here(), service.Porter) else None"
    )
    with (
        serving(body(OK_8)) as address,
        health(address, python=python, own=address, patch=only_the_porter, drained=drained) as service,
    ):
        service.told(b"READY=1")
        assert service.verdict(address) == ""
        (drained / address).touch()
        service.wait(lambda: service.verdict(address) == "1\n")
        why = f"{ID} at {address} is down: its Logstash is about to stop\n"
        service.wait(lambda: (service.folder / "reasons").read_text() == why)
        (drained / address).unlink()
        service.wait(lambda: service.verdict(address) == "")


def test_a_new_reason_is_told() -> None:
    script = Script(GONE)
    with serving(script) as address, health(address) as service:
        service.wait(lambda: "no such input" in (service.folder / "reasons").read_text())
        script.now(LOST)
        service.wait(lambda: "HTTP status 500" in (service.folder / "reasons").read_text())
        assert service.verdict(address) == "1\n"


def test_a_listener_that_dies_again_and_again() -> None:
    """Another program has its port: that answers to nobody, and the API lists the input."""
    script = Script(died(3))
    with (
        serving(script) as address,
        health(address, patch="service.RETRY = 0.2") as service,
    ):
        service.wait(lambda: script.given > 5)
        assert (service.verdict(address), service.lines()) == ("", [])  # it may have been long ago
        script.now(died(4))
        service.wait(lambda: service.verdict(address) == "1\n")
        service.wait(lambda: "can't bind its port" in "".join(service.lines()))
        service.wait(lambda: service.verdict(address) == "")


def blocked(out: int, pressure: float = 2.0) -> Answer:
    """What a real Logstash says while its input waits for room in the queue."""
    document = json.loads(OK_8)
    pipeline = document["pipelines"]["main"]
    pipeline["flow"]["queue_backpressure"]["current"] = pressure
    pipeline["events"]["out"] = out
    return body(json.dumps(document).encode())


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_blocked_output(python: str) -> None:
    """A full queue that moves is slow, and nothing else; one from which nothing goes out takes no event."""
    script = Script(*(blocked(number) for number in range(10)))
    patch = "service.STUCK = 0.3; service.SLOW = 60"
    with serving(script) as address, health(address, python=python, patch=patch) as service:
        service.wait(lambda: script.given == 9)
        assert (service.verdict(address), service.lines()) == ("", [])
        service.wait(lambda: service.verdict(address) == "1\n")
        service.wait(lambda: "its queue is full, and no event leaves it" in "".join(service.lines()))
        script.now(blocked(11))
        service.wait(lambda: service.verdict(address) == "")
        script.now(blocked(11, pressure=0.2))
        taken = script.given
        service.wait(lambda: script.given > taken + 10)
        assert service.verdict(address) == ""


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_slow_node_weighs_less(python: str) -> None:
    """For as long as its queue is full, and some time after that; a moment of either says nothing."""
    script = Script(*(blocked(number) for number in range(1000)))
    patch = "service.SLOW = service.EASED = 0.3"
    with serving(script) as address, health(address, python=python, patch=patch, paced=True) as service:
        assert service.pace(address) == ""
        service.wait(lambda: service.pace(address) == "1\n")
        why = f"{ID} at {address} is slow: its queue is full, though events leave it"
        service.wait(lambda: (service.folder / "reasons").read_text() == f"{why}\n")
        service.wait(lambda: service.lines() == [why])
        assert service.verdict(address) == ""
        script.now(UP)
        service.wait(lambda: service.pace(address) == "")
        service.wait(lambda: service.lines() == [why, f"{ID} at {address} is no longer slow"])
        assert (service.folder / "reasons").read_text() == ""


def test_a_slow_node_that_goes_down_is_down_and_not_slow() -> None:
    script = Script(*(blocked(number) for number in range(1000)))
    patch = "service.SLOW = 0.1"
    with serving(script) as address, health(address, patch=patch, paced=True) as service:
        service.wait(lambda: service.pace(address) == "1\n")
        script.now(GONE)
        service.wait(lambda: service.verdict(address) == "1\n")
        service.wait(lambda: service.pace(address) == "")
        service.wait(lambda: "is down" in (service.folder / "reasons").read_text())
        script.now(UP)
        service.wait(lambda: (service.folder / "reasons").read_text() == "")
        assert service.pace(address) == ""


def test_a_new_service_knows_who_is_slow() -> None:
    with (
        serving(UP) as address,
        health(address, patch="service.EASED = 0.3", paced=True, slow="1\n") as service,
    ):
        service.wait(lambda: service.pace(address) == "")
        service.wait(lambda: f"{ID} at {address} is no longer slow" in service.lines())


def test_when_all_are_blocked_one_stays() -> None:
    script = Script(blocked(1))
    with serving(script) as address, health(address, alone=True, patch="service.STUCK = 0.2") as service:
        service.wait(lambda: "its queue is full" in (service.folder / "reasons").read_text())
        assert service.verdict(address) == ""
        assert "it stays in the pool, as the last one" in service.lines()[0]


def test_refused() -> None:
    with serving(UP) as address:
        pass
    with health(address) as service:
        service.told(b"READY=1")
        assert service.verdict(address) == "1\n"
        assert "connection refused" in service.lines()[0]


def test_a_hung_node_delays_no_other() -> None:
    """The first poll of one node still hangs when the other's verdict has come and gone."""
    hung, script = Script(hang), Script(GONE)
    with (
        serving(hung) as bad,
        serving(script) as good,
        health(bad, good, timeout=LIMIT) as service,
    ):
        service.wait(lambda: service.verdict(good) == "1\n")
        script.now(UP)
        service.wait(lambda: service.verdict(good) == "")
        assert hung.given <= 1
        assert service.verdict(bad) == ""


@pytest.mark.parametrize(
    ("before", "answers", "changes"),
    [
        ("", [UP, LOST, UP], 0),  # one lost poll
        ("", [UP, LOST, UP, LOST, UP], 0),  # and another one, not in a row
        ("", [UP, LOST, LOST, UP], 0),
        ("", [UP, LOST, LOST, LOST, UP], 2),
        ("", [UP, GONE, UP], 2),  # no doubt: at once
        ("1\n", [LOST, UP, LOST], 0),
        ("1\n", [GONE, UP, GONE, UP, GONE], 0),
        ("1\n", [GONE, UP, UP, GONE], 2),
    ],
)
def test_damping(before: str, answers: list[Answer], changes: int) -> None:
    script = Script(*answers)
    with serving(script) as address, health(address, before=before) as service:
        service.wait(lambda: script.given > len(answers) + 3)
        assert len(service.lines()) == changes
        assert service.verdict(address) == before


@pytest.mark.parametrize("python", INTERPRETERS)
def test_one_that_comes_and_goes_is_waited_for(python: str) -> None:
    """A Logstash that crashes again and again takes events each time it is there, and loses them."""
    script, good = Script(UP), "service.HOLD, service.LONGEST = 0.3, 0.5"
    with serving(script) as address, health(address, python=python, patch=good) as service:
        service.told(b"READY=1")
        for hold in (0, 0.3, 0.5, 0.5):
            script.now(GONE)
            service.wait(lambda: service.verdict(address) == "1\n")
            script.now(UP)
            start = time.monotonic()
            service.wait(lambda: service.verdict(address) == "")
            assert time.monotonic() - start >= hold
        words = f"{ID} at {address} is down: it comes and goes, and must be good for 0.5 s first"
        assert words in service.lines()


def test_one_that_has_been_steady_is_not() -> None:
    script, steady = Script(UP), "service.HOLD, service.STEADY = 60, 0.2"
    with serving(script) as address, health(address, patch=steady) as service:
        for _ in range(3):
            service.wait(lambda: service.verdict(address) == "")
            taken = script.given
            service.wait(lambda taken=taken: script.given > taken + 8)  # type: ignore[misc]  # each takes 0.05 s
            script.now(GONE)
            service.wait(lambda: service.verdict(address) == "1\n")
            script.now(UP)
        service.wait(lambda: service.verdict(address) == "")


def test_written_on_change_only() -> None:
    script = Script(UP)
    with serving(script) as address, health(address) as service:
        file = service.folder / address / ID
        os.utime(file, times=(0, 0))
        service.wait(lambda: script.given > 10)
        assert file.stat().st_mtime == 0
        inode = file.stat().st_ino
        script.now(GONE)
        service.wait(lambda: service.verdict(address) == "1\n")
        os.utime(file, times=(0, 0))
        service.wait(lambda: script.given > 20)
        assert (file.stat().st_mtime, file.stat().st_ino) == (0, inode)


def test_it_dies_and_comes_back() -> None:
    """The verdict outlives the service, and the next one goes on with it."""
    script = Script(GONE)
    with serving(script) as address, health(address) as service:
        service.told(b"READY=1")
        service.process.kill()
        service.process.wait(LIMIT)
        assert service.verdict(address) == "1\n"
    with serving(script) as address, health(address, before="1\n") as service:
        service.told(b"READY=1")
        assert (service.verdict(address), service.lines()) == ("1\n", [])


def test_drained(tmp_path: Path) -> None:
    with serving(UP) as address, health(address, drained=tmp_path) as service:
        service.told(b"READY=1")
        flag = tmp_path / address
        flag.touch()
        service.wait(lambda: service.verdict(address) == "1\n")
        flag.unlink()
        service.wait(lambda: service.verdict(address) == "")
        service.wait(lambda: len(service.lines()) == 2)
        assert service.lines()[0] == f"{ID} at {address} is down: drained, to be restarted or stopped"


def test_the_last_one_stays_until_another_is_up() -> None:
    first, second = Script(UP), Script(UP)
    with serving(first) as one, serving(second) as two, health(one, two, alone=True) as service:
        service.told(b"READY=1")
        first.now(GONE)
        service.wait(lambda: service.verdict(one) == "1\n")
        second.now(GONE)
        service.wait(lambda: len(service.lines()) == 2)
        down = "is down: no such input; there are: other"
        assert service.lines()[1] == f"{ID} at {two} {down}; it stays in the pool, as the last one"
        assert (service.verdict(one), service.verdict(two)) == ("1\n", "")
        first.now(UP)
        service.wait(lambda: (service.verdict(one), service.verdict(two)) == ("", "1\n"))
        service.wait(lambda: len(service.lines()) == 4)
        assert service.lines()[3] == f"{ID} at {two} is out of the pool"


def test_the_last_one_comes_back_by_itself() -> None:
    script = Script(UP)
    with serving(script) as address, health(address, alone=True) as service:
        service.told(b"READY=1")
        script.now(GONE)
        service.wait(lambda: len(service.lines()) == 1)
        script.now(UP)
        service.wait(lambda: len(service.lines()) == 2)
        assert service.lines()[1] == f"{ID} at {address} is up, in pipeline main"
        assert service.verdict(address) == ""


def test_where_none_was_up_none_is_kept() -> None:
    with serving(GONE) as one, serving(GONE) as two, health(one, two, before="1\n", alone=True) as service:
        service.told(b"READY=1")
        assert (service.verdict(one), service.verdict(two), service.lines()) == ("1\n", "1\n", [])


def test_each_input_has_its_own_last_one() -> None:
    first, second = Script(body(pipelines(main=[ID]))), Script(body(pipelines(main=["b"])))
    with serving(first) as one, serving(second) as two, health(one, two, inputs=(ID, "b"), alone=True) as service:  # fmt: skip
        service.told(b"READY=1")
        verdicts = {(address, each): service.verdict(address, each) for address in (one, two) for each in (ID, "b")}  # fmt: skip
        assert verdicts == {(one, ID): "", (one, "b"): "1\n", (two, ID): "1\n", (two, "b"): ""}


def test_one_request_for_all_inputs() -> None:
    script = Script(body(pipelines(main=[ID, "b"], second=["c"])))
    with serving(script) as address, health(address, inputs=(ID, "b", "c", "d")) as service:
        service.told(b"READY=1")
        assert script.given <= 3  # until systemd is told, some polls may follow the first
        assert [service.verdict(address, each) for each in (ID, "b", "c", "d")] == ["", "", "", "1\n"]


def silent(systemd: socket.socket) -> bool:
    """Whether nothing comes for ten times as long as it takes to give a sign of life."""
    systemd.settimeout(1)
    try:
        systemd.recv(100)
    except TimeoutError:
        return True
    return False


def test_watchdog_when_a_poll_never_ends() -> None:
    """No more signs of life, so that systemd starts it again."""
    patch = "service.PATIENCE = 0; service.script.check = lambda *_: time.sleep(60)"
    with health("127.0.0.1", patch=patch) as service:
        service.told(b"WATCHDOG=1")
        service.wait(lambda: silent(service.systemd))
        assert service.process.poll() is None


@pytest.mark.parametrize("python", INTERPRETERS)
def test_it_ends_when_it_cannot_tell(python: str) -> None:
    """With one line that says why; systemd starts it again."""
    script = Script(UP)
    with serving(script) as address, health(address, python=python) as service:
        service.told(b"READY=1")
        (service.folder / address / ID).unlink()
        script.now(GONE)
        assert service.process.wait(LIMIT) == 1
        (line,) = service.lines()
        assert line.startswith("the verdict can't be written: ")
        assert ID in line


@pytest.mark.parametrize("settings", [None, "{", "{}", '{"nodes": {"127.0.0.1": []}}'])
def test_settings_that_can_not_be_used(settings: str | None, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    if settings is not None:
        file.write_text(settings)
    done = subprocess.run(
        [sys.executable, "-B", str(SERVICE), str(file)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{file}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("python", INTERPRETERS)
def test_help(python: str) -> None:
    """What the deploy runs before it puts the service in its place."""
    done = subprocess.run(
        [python, "-B", str(SERVICE), "--help"], capture_output=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"usage: logstash_ha_health.py SETTINGS\n", b"")


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_link_that_comes_back_is_no_link_for_some_time(python: str) -> None:
    """Nor is one that was away for a moment."""

    def link(service: Running, *states: str) -> None:
        commands = "".join(f"link set lo {state}\n" for state in states)
        subprocess.run(
            ["nsenter", f"--net=/proc/{service.process.pid}/ns/net", "ip", "-batch", "-"],
            input=commands,
            text=True,
            check=True,
        )

    with health(PEERLESS, python=python, alone=True, apart=True, patch="service.BACK = 0.5") as service:

        def away() -> str:
            return (service.folder / "away").read_text()

        service.wait(lambda: away() == "1\n")
        for states in (("up",), ("down", "up"), ("down", "up", "down", "up")):
            start = time.monotonic()
            link(service, *states)
            service.wait(lambda: away() == "1\n")
            service.wait(lambda: away() == "")
            assert time.monotonic() > start + 0.5
        link(service, "down")
        service.wait(lambda: away() == "1\n")
    assert service.process.returncode == -9


def test_a_link_without_the_nodes_address_is_none() -> None:
    with health(PEERLESS, alone=True, apart=True, own="192.0.2.1", patch="service.BACK = 0") as service:
        enter = ["nsenter", f"--net=/proc/{service.process.pid}/ns/net", "ip"]
        service.wait(lambda: (service.folder / "away").read_text() == "1\n")
        subprocess.run([*enter, "link", "set", "lo", "up"], check=True)
        time.sleep(0.5)  # it must not be believed in all that time
        assert (service.folder / "away").read_text() == "1\n"
        subprocess.run([*enter, "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
        service.wait(lambda: (service.folder / "away").read_text() == "")
