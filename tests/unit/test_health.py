"""The health service, run as systemd runs it, against real HTTP servers."""

import contextlib
import itertools
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
from typing import Any

import pytest

from tests.unit.interpreters import LIMIT
from tests.unit.test_check_script import (
    INTERPRETERS,
    OK_8,
    OLDEST_AND_NEWEST,
    ROOT,
    Answer,
    body,
    drip,
    endless,
    hang,
    loopback,
    pipelines,
    raw,
    serving,
)
from tests.until import until

SERVICE = ROOT / "files" / "logstash_ha_health.py"
ID = "udp-5514"
UP = body(pipelines(main=[ID]))
GONE = body(pipelines(main=["other"]))
Verdict = dict[str, Any]
"""A line of the `reasons` file."""
LOST = body(b"", status=500)
KEY = "0123456789abcdef" * 4
UNWEIGHED: dict[str, object] = {"reduction": None, "weight": 1, "holds": 100}
"""The settings of an input for which keepalived follows no weight."""
COLD = {"rate": 1000, "seconds": 12}


class Running:
    """The service, with what it tells keepalived, systemd, the journal and whoever reads its `reasons`."""

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

    def reduction(self, address: str) -> str:
        return (self.folder / "reductions" / address / ID).read_text()

    @property
    def request(self) -> Path:
        """The file by which it asks for a reload of keepalived."""
        return self.folder / "reload" / "keepalived"

    def link_fault(self) -> str:
        return (self.folder / "link_fault").read_text()

    def reasons(self) -> list[Verdict]:
        return [json.loads(line) for line in (self.folder / "reasons").read_text("ascii").splitlines()]

    def reasons_for(self, address: str, input_id: str = ID) -> list[str]:
        """The `reason` of this input, if it is listed."""
        return [
            verdict["reason"]
            for verdict in self.reasons()
            if (verdict["address"], verdict["input"]) == (address, input_id)
        ]

    @property
    def sign_of_life(self) -> float:
        """When the service showed that it lives, in seconds since the epoch; a test may set it."""
        return (self.folder / "reasons").stat().st_mtime

    @sign_of_life.setter
    def sign_of_life(self, seconds: float) -> None:
        os.utime(self.folder / "reasons", (seconds, seconds))

    def lines(self) -> list[str]:
        return (self.folder / "journal").read_text().splitlines()

    def wait(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            held = condition()
            assert held or self.process.poll() is None, self.lines()
            return held

        until(holds, LIMIT, self.lines)

    def wait_for_systemd(self, message: bytes) -> None:
        """Waits until systemd gets this message."""

        def received() -> bool:
            with contextlib.suppress(TimeoutError):
                return self.systemd.recv(100) == message
            return False

        self.wait(received)


@contextlib.contextmanager
def listening(address: str, port: int = 0, protocol: str = "udp") -> Iterator[socket.socket]:
    """A socket at this address."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        if protocol == "tcp":
            listener.listen()
        yield listener


def verdict(address: str, reason: str, message: str, **more: Any) -> Verdict:
    """A line of the `reasons` file, for an input that is down unless `more` says otherwise."""
    return {"input": ID, "address": address, "state": "down", "reason": reason, "message": message, **more}


@contextlib.contextmanager
def health(
    *addresses: str,
    inputs: tuple[str, ...] = (ID,),
    python: str = sys.executable,
    timeout: float = 2.0,
    before: str = "",
    reasons: str = "",
    patch: str = "",
    drained: Path = Path("/nonexistent"),
    alone: bool = False,
    own: str | None = None,
    reduction: str | None = None,
    with_link: bool = False,
) -> Iterator[Running]:
    """The service for these addresses and inputs, whose verdicts were `before`; `patch` is Python that runs ahead of it.

    Beside them is a node with all inputs up, unless they are to be `alone`. Something listens at each input's port. With
    `reduction`, keepalived follows how much of its weight a node gets, and that was in its files before. With `with_link`, it follows the
    link, too, which is the loopback interface of a network namespace of the service's own.
    """
    with (
        contextlib.ExitStack() as stack,
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        serving(body(pipelines(main=list(inputs)))) as peer,
    ):
        folder = Path(name)
        befores = {**({} if alone else {peer: ""}), **dict.fromkeys(addresses, before)}
        listeners = {address: stack.enter_context(listening(address)) for address in befores}
        nodes: dict[str, dict[str, object]] = {}
        for address, content in befores.items():
            nodes[address] = {}
            (folder / address).mkdir()
            (folder / "reductions" / address).mkdir(parents=True)
            for input_id in inputs:
                verdict_file = folder / address / input_id
                reduction_file = folder / "reductions" / address / input_id
                verdict_file.write_text(content)
                if reduction is not None:
                    reduction_file.write_text(reduction)
                nodes[address][input_id] = {
                    "sockets": [
                        {"protocol": "udp", "port": listeners[address].getsockname()[1], "probe": True}
                    ],
                    "verdict": str(verdict_file),
                    **UNWEIGHED,
                    "reduction": None if reduction is None else str(reduction_file),
                }
        (folder / "reasons").write_text(reasons)
        with running(
            folder,
            nodes,
            listeners,
            own or loopback(),
            systemd,
            python=python,
            timeout=timeout,
            patch=f"service.flags.RESTS_AFTER = 0.2\n{patch}",
            drained=drained,
            with_link=with_link,
        ) as service:
            yield service


@contextlib.contextmanager
def running(
    folder: Path,
    nodes: dict[str, dict[str, object]],
    listeners: dict[str, socket.socket],
    own: str,
    systemd: socket.socket,
    *,
    python: str = sys.executable,
    timeout: float = 2.0,
    patch: str = "",
    drained: Path = Path("/nonexistent"),
    with_link: bool = False,
    key: str = KEY,
    interval: float = 0.05,
    interface: str = "lo",
    within: tuple[str, ...] = (),
    metrics: dict[str, object] | None = None,
) -> Iterator[Running]:
    """The service of the node at `own`, with its files in this folder; `within` is the command that starts it."""
    (folder / "peers").touch()
    (folder / "reload").mkdir(exist_ok=True)
    (folder / "maintenance").touch()
    if with_link:
        (folder / "link_fault").touch()
        within = within or ("unshare", "--net")
    if key:
        (folder / "key").write_text(key)
    fault = str(folder / "link_fault") if with_link else None
    settings = folder / "settings.json"
    settings.write_text(
        json.dumps(
            {
                "access": str(folder / "access.json"),
                "previous_access": str(folder / "previous.json"),
                "interval": interval,
                "timeout": timeout,
                "own": own,
                "key": str(folder / "key"),
                "vips": ["192.0.2.10"],
                "reasons": str(folder / "reasons"),
                "peers": str(folder / "peers"),
                "links": [{"interface": interface, "addresses": [own], "fault": fault}],
                "reload": str(folder / "reload" / "keepalived"),
                "maintenance": str(folder / "maintenance"),
                "cold": COLD,
                "metrics": metrics,
                "nodes": nodes,
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
service.script.MAINTENANCE = {str(drained / "maintenance")!r}
own, folder = {own!r}, {str(folder)!r}
{patch}
sys.exit(service.main([{str(settings)!r}]))
"""
    with (folder / "journal").open("wb") as journal:
        process = subprocess.Popen(
            [*within, python, "-B", "-c", code],
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
def test_keepalived_hears_each_change_the_journal_why_and_systemd_that_the_first_verdict_is_there(
    python: str,
) -> None:
    script = Script(UP)
    with serving(script) as address, health(address, python=python) as service:
        service.wait_for_systemd(b"READY=1")
        service.wait_for_systemd(b"WATCHDOG=1")
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


FAILURES: dict[str, tuple[Answer, str, str]] = {
    "hung": (hang, "hung", "no whole answer within 0.3 s"),
    "slow": (drip, "hung", "no whole answer within 0.3 s"),
    "500": (LOST, "http_status", "HTTP status 500"),
    "truncated": (body(b"{}", length=99), "truncated", "the answer is truncated: 2 of 99 bytes"),
    "huge": (endless, "too_long|hung", ""),  # over 8 MiB, or late
    "garbage": (raw(b"\x15\x03\x01\0\x02\x02\n"), "not_http", "not HTTP"),
    "silence": (raw(b""), "closed", "closed without an answer"),
    "no JSON": (body(b"<html>"), "not_json", "not JSON"),
    "no pipelines": (body(b'{"pipelines": {}}'), "no_pipeline", "no pipeline is there"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_an_answer_without_the_input_takes_it_out_and_the_reason_is_listed(name: str) -> None:
    answer, reasons, words = FAILURES[name]
    timeout = 0.3 if "hung" in reasons else LIMIT
    with serving(answer) as address, health(address, timeout=timeout) as service:
        service.wait_for_systemd(b"READY=1")
        assert service.verdict(address) == "1\n"
        (line,) = service.lines()
        assert line.startswith(f"{ID} at {address} is down: ")
        assert words in line
        (listed,) = service.reasons()
        assert listed["reason"] in reasons.split("|")
        assert listed == verdict(address, listed["reason"], line.partition(" is down: ")[2])


def listener_errors(times: int) -> Answer:
    """An input whose listener has failed so often."""
    plugin = {"id": ID, "errors": {"listener": times}}
    return body(json.dumps({"pipelines": {"main": {"plugins": {"inputs": [plugin]}}}}).encode())


@pytest.mark.parametrize("python", INTERPRETERS)
def test_an_input_is_down_while_nothing_listens_at_its_port(python: str) -> None:
    """Though the API lists the input: its pipeline was stopped, or Logstash is about to end."""
    with serving(UP) as address, health(address, python=python) as service:
        service.wait_for_systemd(b"READY=1")
        assert service.verdict(address) == ""
        port = service.listeners[address].getsockname()[1]
        service.listeners[address].close()
        service.wait(lambda: service.verdict(address) == "1\n")
        message = "nobody listens at its port, though Logstash lists it"
        listed = verdict(address, "nobody_listens", message, pipeline="main")
        service.wait(lambda: service.reasons() == [listed])
        with listening(address, port):
            service.wait(lambda: service.verdict(address) == "")
            service.wait(lambda: service.reasons() == [])


RUNS = body(
    json.dumps(
        {"version": "9.3.8", "pipelines": {"main": {"hash": "1", "plugins": {"inputs": [{"id": ID}]}}}}
    ).encode()
)
"""The input is up, in a Logstash that would tell if its pipeline did not run."""
REFUSED = "though a probe of its port is refused: a firewall rejects it"


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_refusals_that_last_while_the_pipeline_runs_take_no_input_out(python: str) -> None:
    """A firewall rejects the probes. Kernels limit how often they say so: not each poll sees it."""
    patch = "service.REFUSED_AFTER = 1"
    with serving(RUNS) as address, health(address, python=python, patch=patch) as service:
        service.wait_for_systemd(b"READY=1")
        service.listeners[address].close()
        service.wait(lambda: service.reasons_for(address) == ["nobody_listens"])
        service.wait(lambda: service.verdict(address) == "")
        listed = verdict(address, "probe_refused", REFUSED, state="up", pipeline="main")
        service.wait(lambda: service.reasons() == [listed])
        service.wait(lambda: f"{ID} at {address} is up, {REFUSED}" in service.lines())


def test_refusals_take_an_input_out_where_the_api_does_not_tell_whether_its_pipeline_runs() -> None:
    """Before Logstash 7.3."""
    patch = "service.REFUSED_AFTER = 0"
    script = Script(UP)
    with serving(script) as address, health(address, patch=patch) as service:
        service.wait_for_systemd(b"READY=1")
        service.listeners[address].close()
        service.wait(lambda: service.verdict(address) == "1\n")
        polls = script.given
        service.wait(lambda: script.given > polls + 5)
        assert (service.verdict(address), service.reasons_for(address)) == ("1\n", ["nobody_listens"])


def test_a_new_service_goes_on_with_an_input_whose_probes_are_refused() -> None:
    with serving(RUNS) as address:
        listed = verdict(address, "probe_refused", REFUSED, state="up", pipeline="main")
        with health(address, reasons=json.dumps(listed), patch="service.script.PortProbe.refused = lambda self: True") as service:  # fmt: skip
            service.wait_for_systemd(b"READY=1")
            assert (service.verdict(address), service.reasons_for(address)) == ("", ["probe_refused"])


def test_one_with_a_refused_probe_is_the_last_one_rather_than_one_that_died() -> None:
    first, second = Script(UP), Script(UP)
    with serving(first) as refused, serving(second) as dying, health(refused, dying, alone=True) as service:
        service.wait_for_systemd(b"READY=1")
        service.listeners[refused].close()
        service.wait(lambda: service.verdict(refused) == "1\n")
        second.now(GONE)
        service.wait(lambda: (service.verdict(refused), service.verdict(dying)) == ("", "1\n"))
        service.wait(lambda: len(service.lines()) == 3)
        assert f"{ID} at {refused} is in the pool, as the last one: only a refused probe speaks against it" in service.lines()  # fmt: skip
        assert {each["address"]: each.get("kept") for each in service.reasons()} == {refused: True, dying: None}  # fmt: skip
        second.now(UP)
        service.wait(lambda: (service.verdict(refused), service.verdict(dying)) == ("1\n", ""))


def test_the_probe_of_a_port_is_an_empty_datagram_of_which_no_event_is_made() -> None:
    with serving(UP) as address, health(address) as service:
        service.wait_for_systemd(b"READY=1")
        service.listeners[address].settimeout(LIMIT)
        assert [service.listeners[address].recv(100) for _ in range(5)] == [b""] * 5


def test_another_kind_of_reason_is_listed_and_written_to_the_journal() -> None:
    script = Script(GONE)
    with serving(script) as address, health(address) as service:
        service.wait(lambda: service.reasons_for(address) == ["no_such_input"])
        script.now(LOST)
        service.wait(lambda: service.reasons_for(address) == ["http_status"])
        assert service.verdict(address) == "1\n"
        service.wait(lambda: len(service.lines()) == 2)
        assert service.lines()[1] == f"{ID} at {address} is down: HTTP status 500"


def test_a_node_that_is_off_is_written_to_the_journal_once() -> None:
    """Its address is asked for again and again: for some polls there is no connection, and for the next ones no route."""
    off = """\
asked, answers = service.api.NodeApi.ask, []
def ask(self, ip, timeout):
    if not os.path.exists(os.path.join(folder, "off")) or ip == own:
        return asked(self, ip, timeout)
    if len(answers) == 10:
        open(os.path.join(folder, "asked"), "w").close()
    answers.append(ip)
    reason = "network_error" if len(answers) % 4 == 0 else "no_connection"
    raise service.script.Down(reason, reason)
service.api.NodeApi.ask = ask
import os
"""
    with serving(UP) as own, serving(UP) as address, health(own, address, own=own, alone=True, patch=off) as service:  # fmt: skip
        service.wait_for_systemd(b"READY=1")
        (service.folder / "off").touch()
        service.wait((service.folder / "asked").exists)
        assert service.lines() == [f"{ID} at {address} is down: no_connection"]
        assert set(service.reasons_for(address)) <= {"no_connection", "network_error"}


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_the_same_reason_in_other_words_is_listed_but_not_written_to_the_journal(python: str) -> None:
    """A message whose details change with each poll would fill the journal."""
    answers = [body(pipelines(main=[f"other-{number}"])) for number in range(20)]
    script = Script(*answers)
    with serving(script) as address, health(address, python=python) as service:
        last = verdict(address, "no_such_input", "no such input; there are: other-19")
        service.wait(lambda: service.reasons() == [last])
        (line,) = service.lines()
        assert line.startswith(f"{ID} at {address} is down: no such input; there are: other-")


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_what_is_down_is_listed_in_the_order_of_inputs_and_addresses(python: str) -> None:
    with serving(GONE) as one, serving(LOST) as two, health(one, two, inputs=("b", ID, "a"), python=python) as service:  # fmt: skip
        service.wait(lambda: len(service.reasons()) == 6)
        assert [(each["input"], each["address"]) for each in service.reasons()] == [
            (input_id, address) for input_id in ("a", "b", ID) for address in sorted((one, two))
        ]
        assert {each["reason"] for each in service.reasons() if each["address"] == one} == {"no_such_input"}
        assert {each["reason"] for each in service.reasons() if each["address"] == two} == {"http_status"}


def test_an_input_whose_listener_fails_again_is_down_for_some_time() -> None:
    """Another program has its port: that answers to nobody, and the API lists the input."""
    script = Script(listener_errors(3))
    with (
        serving(script) as address,
        health(address, patch="service.BIND_RETRY = 0.2") as service,
    ):
        service.wait(lambda: script.given > 5)
        assert (service.verdict(address), service.lines()) == ("", [])  # it may have been long ago
        script.now(listener_errors(4))
        service.wait(lambda: service.verdict(address) == "1\n")
        service.wait(lambda: "can't bind its port" in "".join(service.lines()))
        message = "can't bind its port: another program has it"
        assert service.reasons() == [verdict(address, "bind_failed", message, pipeline="main")]
        service.wait(lambda: service.verdict(address) == "")


def blocked(out: int, pressure: float = 2.0) -> Answer:
    """What a real Logstash says while its input waits for room in the queue."""
    document = json.loads(OK_8)
    pipeline = document["pipelines"]["main"]
    pipeline["flow"]["queue_backpressure"]["current"] = pressure
    pipeline["events"]["out"] = out
    return body(json.dumps(document).encode())


def moving(start: int = 0) -> Answer:
    """What it says while events leave the full queue: at each answer one more."""
    out = itertools.count(start)
    return lambda handler: blocked(next(out))(handler)


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_full_queue_takes_an_input_out_where_no_event_leaves_it(python: str) -> None:
    """A full queue that moves is slow, and nothing else; one from which nothing goes out takes no event."""
    script = Script(*(blocked(number) for number in range(10)))
    patch = "service.BLOCKED_AFTER = 0.3; service.SLOW_AFTER = 60"
    with serving(script) as address, health(address, python=python, patch=patch) as service:
        service.wait(lambda: script.given == 9)
        assert (service.verdict(address), service.lines()) == ("", [])
        service.wait(lambda: service.verdict(address) == "1\n")
        service.wait(lambda: "its queue is full, and no event leaves it" in "".join(service.lines()))
        message = "its queue is full, and no event leaves it: an output is blocked"
        assert service.reasons() == [verdict(address, "blocked", message, pipeline="main")]
        script.now(moving(10))  # events leave it again
        service.wait(lambda: service.verdict(address) == "")
        script.now(blocked(11, pressure=0.2))
        taken = script.given
        service.wait(lambda: script.given > taken + 10)
        assert service.verdict(address) == ""


@pytest.mark.parametrize("python", INTERPRETERS)
def test_keepalived_hears_which_input_is_slow(python: str) -> None:
    """For as long as its queue is full, and some time after that; a moment of either changes nothing."""
    script = Script(moving())
    patch = "service.SLOW_AFTER = service.NOT_SLOW_AFTER = 0.3"
    with serving(script) as address, health(address, python=python, patch=patch, reduction="") as service:
        assert service.reduction(address) == ""
        service.wait(lambda: service.reduction(address) == "50\n")
        why = f"{ID} at {address} is slow: its queue is full, though events leave it"
        message = "its queue is full, though events leave it"
        listed = verdict(address, "queue_full", message, state="slow", pipeline="main")
        service.wait(lambda: service.reasons() == [listed])
        service.wait(lambda: service.lines() == [why])
        assert service.verdict(address) == ""
        script.now(UP)
        service.wait(lambda: service.reduction(address) == "")
        service.wait(lambda: service.lines() == [why, f"{ID} at {address} is no longer slow"])
        assert service.reasons() == []


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_weight_that_is_whole_again_is_written_out_while_keepalived_looks(python: str) -> None:
    """1.3.5 leaves a weight as it is by an empty file, and looks at none of an input that is down."""
    script = Script(moving())
    patch = "service.SLOW_AFTER = service.NOT_SLOW_AFTER = 0.1\nservice.flags.RESTS_AFTER = 1e9"
    with serving(script) as address, health(address, python=python, patch=patch, reduction="") as service:
        service.wait(lambda: service.reduction(address) == "50\n")
        script.now(UP)
        service.wait(lambda: service.reduction(address) == "0\n")
        polls = script.given
        service.wait(lambda: script.given > polls + 10)
        assert service.reduction(address) == "0\n"


def test_a_slow_input_is_listed_where_keepalived_does_not_follow_that() -> None:
    script = Script(moving())
    with serving(script) as address, health(address, patch="service.SLOW_AFTER = 0.1") as service:
        service.wait(lambda: [each["state"] for each in service.reasons()] == ["slow"])
        assert not (service.folder / "reductions" / address / ID).exists()


def test_a_slow_node_that_goes_down_is_down_and_not_slow() -> None:
    script = Script(moving())
    patch = "service.SLOW_AFTER = 0.1"
    with serving(script) as address, health(address, patch=patch, reduction="") as service:
        service.wait(lambda: service.reduction(address) == "50\n")
        script.now(GONE)
        service.wait(lambda: service.verdict(address) == "1\n")
        service.wait(lambda: service.reduction(address) == "0\n")
        service.wait(lambda: [each["state"] for each in service.reasons()] == ["down"])
        polls = script.given
        service.wait(lambda: script.given > polls + 10)
        assert service.reduction(address) == "0\n"
        script.now(UP)
        service.wait(lambda: service.reasons() == [])
        service.wait(lambda: service.reduction(address) == "")
        paths = [service.folder / folder / ID for folder in (address, f"reductions/{address}")]
        up, rested = (path.stat().st_mtime for path in paths)
        assert rested >= up + 0.2


def test_a_new_service_knows_which_input_is_slow() -> None:
    with serving(UP) as address:
        listed = verdict(address, "queue_full", "its queue is full", state="slow")
        patch = "service.NOT_SLOW_AFTER = 0.3"
        with health(address, patch=patch, reduction="50\n", reasons=json.dumps(listed) + "\n") as service:
            service.wait(lambda: service.reduction(address) == "")
            service.wait(lambda: f"{ID} at {address} is no longer slow" in service.lines())


def test_a_reduction_that_nothing_accounts_for_is_over() -> None:
    with serving(UP) as address, health(address, reduction="50\n") as service:
        service.wait(lambda: service.reduction(address) == "")
        assert service.lines() == []


def test_where_the_output_is_blocked_on_all_nodes_one_stays_in_the_pool() -> None:
    script = Script(blocked(1))
    with (
        serving(script) as address,
        health(address, alone=True, patch="service.BLOCKED_AFTER = 0.2") as service,
    ):
        service.wait(lambda: service.reasons_for(address) == ["blocked"])
        assert service.verdict(address) == ""
        assert [each["kept"] for each in service.reasons()] == [True]
        service.wait(lambda: len(service.lines()) == 1)
        assert "it stays in the pool, as the last one" in service.lines()[0]


def test_a_refused_connection_takes_the_input_down_at_once() -> None:
    with serving(UP) as address:
        pass
    with health(address) as service:
        service.wait_for_systemd(b"READY=1")
        assert service.verdict(address) == "1\n"
        assert "connection refused" in service.lines()[0]
        assert service.reasons_for(address) == ["refused"]


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
def test_one_lost_poll_takes_no_input_out_and_one_good_poll_brings_none_back(
    before: str, answers: list[Answer], changes: int
) -> None:
    script = Script(*answers)
    with serving(script) as address, health(address, before=before) as service:
        service.wait(lambda: script.given > len(answers) + 3)
        assert len(service.lines()) == changes
        assert service.verdict(address) == before


@pytest.mark.parametrize("python", INTERPRETERS)
def test_one_that_comes_and_goes_is_waited_for(python: str) -> None:
    """A Logstash that crashes again and again takes events each time it is there, and loses them."""
    script, hold_times = Script(UP), "service.FIRST_HOLD, service.LONGEST_HOLD = 0.3, 0.5"
    with serving(script) as address, health(address, python=python, patch=hold_times) as service:
        service.wait_for_systemd(b"READY=1")
        for hold in (0, 0.3, 0.5, 0.5):
            script.now(GONE)
            service.wait(lambda: service.verdict(address) == "1\n")
            start = time.monotonic()
            script.now(UP)
            service.wait(lambda: service.verdict(address) == "")
            assert time.monotonic() - start >= hold
        words = f"{ID} at {address} is down: it comes and goes, and must be good for 0.5 s first"
        assert words in service.lines()


def test_an_input_that_comes_and_goes_is_listed_with_that_reason() -> None:
    script = Script(UP)
    with serving(script) as address, health(address, patch="service.FIRST_HOLD = 60") as service:
        service.wait_for_systemd(b"READY=1")
        script.now(GONE)
        service.wait(lambda: service.verdict(address) == "1\n")
        script.now(UP)
        service.wait(lambda: service.verdict(address) == "")
        script.now(GONE)
        service.wait(lambda: service.verdict(address) == "1\n")
        script.now(UP)
        message = "it comes and goes, and must be good for 60 s first"
        listed = verdict(address, "flapping", message, pipeline="main")
        service.wait(lambda: service.reasons() == [listed])


def test_one_that_has_been_up_for_long_is_not_waited_for() -> None:
    script, steady = Script(UP), "service.FIRST_HOLD, service.STEADY_TIME = 60, 0.2"
    with serving(script) as address, health(address, patch=steady) as service:
        for _ in range(3):
            service.wait(lambda: service.verdict(address) == "")
            taken = script.given
            service.wait(lambda taken=taken: script.given > taken + 8)  # type: ignore[misc]  # each takes 0.05 s
            script.now(GONE)
            service.wait(lambda: service.verdict(address) == "1\n")
            script.now(UP)
        service.wait(lambda: service.verdict(address) == "")


def test_a_verdict_is_written_in_place_and_only_when_it_changes() -> None:
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


def test_a_new_service_goes_on_with_the_verdicts_of_one_that_died() -> None:
    """The verdict outlives the service, and the next one goes on with it."""
    script = Script(GONE)
    with serving(script) as address, health(address) as service:
        service.wait_for_systemd(b"READY=1")
        service.process.kill()
        service.process.wait(LIMIT)
        assert service.verdict(address) == "1\n"
    with serving(script) as address, health(address, before="1\n") as service:
        service.wait_for_systemd(b"READY=1")
        assert (service.verdict(address), service.lines()) == ("1\n", [])


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_new_service_goes_on_with_the_reasons_of_one_that_died(python: str) -> None:
    """So the journal has the reason again only if that is another one."""
    with serving(LOST) as failing, serving(GONE) as other, serving(hang) as hung:
        before = [
            verdict(failing, "http_status", "HTTP status 503"),
            verdict(other, "refused", "connection refused"),
            verdict(hung, "http_status", "HTTP status 501"),
        ]
        reasons = "".join(f"{json.dumps(each)}\n" for each in before)
        with health(
            failing,
            other,
            hung,
            before="1\n",
            reasons=reasons,
            python=python,
            timeout=LIMIT,
            patch="service.QUIET = 0.2",
        ) as service:
            service.wait(lambda: service.reasons_for(other) == ["no_such_input"])
            service.wait(lambda: verdict(failing, "http_status", "HTTP status 500") in service.reasons())
            service.wait(lambda: len(service.lines()) == 1)
            assert service.lines() == [f"{ID} at {other} is down: no such input; there are: other"]
            assert before[2] in service.reasons()


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
@pytest.mark.parametrize(("before", "answer", "reasons"), [("", UP, []), ("1\n", GONE, ["no_such_input"])])
def test_a_new_service_drops_lines_that_are_no_verdicts_or_no_longer_true(
    before: str, answer: Answer, reasons: list[str], python: str
) -> None:
    """Also the sentences of an older version. None of them counts as the reason before."""
    with serving(answer) as address:
        lines = [
            json.dumps(verdict(address, "queue_full", "neither slow any more nor up", state="slow")),
            f"{ID} at {address} is down: HTTP status 500",
            "{",
            "[]",
            "[" * 100_000,
            "\N{SNOWMAN}",
            "1",
            json.dumps({"input": ID, "address": address}),
            json.dumps(verdict(address, "of_another_version", "words")),
            json.dumps(verdict(address, "refused", "words", state="up")),
            json.dumps(verdict(address, "refused", "words", state=["down"])),
            json.dumps(verdict("192.0.2.1", "refused", "of a node that has gone")),
        ]
        listed = "\n".join(lines)
        with health(address, before=before, reasons=listed, python=python) as service:
            service.wait_for_systemd(b"READY=1")
            assert [each["reason"] for each in service.reasons()] == reasons
            assert service.lines() == []


def test_a_new_service_drops_the_reason_of_an_input_that_is_up() -> None:
    with serving(UP) as address:
        reasons = json.dumps(verdict(address, "refused", "words"))
        with health(address, reasons=reasons) as service:
            service.wait_for_systemd(b"READY=1")
            assert (service.verdict(address), service.reasons(), service.lines()) == ("", [], [])


def test_a_new_service_knows_which_input_is_kept_as_the_last_one() -> None:
    script = Script(GONE)
    with serving(script) as address:
        kept = verdict(address, "no_such_input", "no such input; there are: other", kept=True)
        with health(address, alone=True, reasons=json.dumps(kept)) as service:
            service.wait_for_systemd(b"READY=1")
            asked = script.given
            service.wait(lambda: script.given > asked + 5)
            assert (service.verdict(address), service.reasons(), service.lines()) == ("", [kept], [])
            script.now(UP)
            service.wait(lambda: service.lines() == [f"{ID} at {address} is up, in pipeline main"])
            assert (service.verdict(address), service.reasons()) == ("", [])


def test_a_new_service_releases_the_last_one_where_another_node_has_the_input_by_now() -> None:
    with serving(GONE) as address:
        kept = verdict(address, "no_such_input", "no such input; there are: other", kept=True)
        with health(address, reasons=json.dumps(kept)) as service:
            service.wait(lambda: service.verdict(address) == "1\n")
            service.wait(lambda: service.lines() == [f"{ID} at {address} is out of the pool"])
            assert service.reasons() == [verdict(address, kept["reason"], kept["message"])]


def test_a_new_service_says_whom_it_releases_before_its_first_look_at_that_node_is_over() -> None:
    """The journal has what the last service said: that the node stays in the pool."""
    with serving(hang) as address:
        kept = verdict(address, "no_such_input", "no such input; there are: other", kept=True)
        with health(address, reasons=json.dumps(kept), timeout=2 * LIMIT) as service:
            service.wait(lambda: service.lines() == [f"{ID} at {address} is out of the pool"])


def test_a_drained_node_is_out_of_the_pools(tmp_path: Path) -> None:
    with serving(UP) as address, health(address, drained=tmp_path) as service:
        service.wait_for_systemd(b"READY=1")
        flag = tmp_path / address
        flag.touch()
        service.wait(lambda: service.verdict(address) == "1\n")
        listed = verdict(address, "drained", "drained, to be restarted or stopped", state="drained")
        service.wait(lambda: service.reasons() == [listed])
        flag.unlink()
        service.wait(lambda: service.verdict(address) == "")
        service.wait(lambda: len(service.lines()) == 2)
        assert service.lines()[0] == f"{ID} at {address} is down: drained, to be restarted or stopped"


NOTE = {"by": "alice@laptop", "since": 1795788120, "until": None}
IN_MAINTENANCE = "in maintenance since 2026-11-27 14:02 UTC, by alice@laptop"


def note(folder: Path, address: str, **parts: object) -> Path:
    """The file that says that this node is in maintenance, where `health` looks with `drained=folder`."""
    (folder / "maintenance").mkdir(exist_ok=True)
    file = folder / "maintenance" / address
    file.write_text(json.dumps({**NOTE, **parts}))
    return file


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_node_in_maintenance_is_out_and_holds_no_vip_from_the_start(tmp_path: Path, python: str) -> None:
    """keepalived starts when this service says that it is ready: as after a reboot."""
    with serving(UP) as address:
        file = note(tmp_path, address)
        with health(address, drained=tmp_path, own=address, python=python) as service:
            service.wait_for_systemd(b"READY=1")
            flag = service.folder / "maintenance"
            assert (flag.read_text(), service.verdict(address)) == ("1\n", "1\n")
            listed = verdict(address, "maintenance", IN_MAINTENANCE, state="maintenance")
            assert service.reasons() == [listed]
            file.unlink()
            service.wait(lambda: (flag.read_text(), service.verdict(address)) == ("", ""))
            assert f"this node is {IN_MAINTENANCE}: keepalived takes no part" in service.lines()
            over = "the maintenance of this node is over: keepalived takes part again"
            service.wait(lambda: over in service.lines())


def test_a_maintenance_ends_when_its_time_is_up(tmp_path: Path) -> None:
    with serving(UP) as address:
        note(tmp_path, address, until=int(time.time()) + 600)
        with health(address, drained=tmp_path, own=address) as service:
            service.wait_for_systemd(b"READY=1")
            assert service.reasons_for(address) == ["maintenance"]
            note(tmp_path, address, until=int(time.time()) + 1)
            service.wait(lambda: (service.folder / "maintenance").read_text() == "")
            service.wait(lambda: service.verdict(address) == "")


def test_a_node_in_maintenance_is_not_the_last_one_that_stays(tmp_path: Path) -> None:
    """The other one has failed before: it stays, as somebody wants this one out."""
    failing = Script(UP)
    with (
        serving(UP) as one,
        serving(failing) as two,
        health(one, two, alone=True, drained=tmp_path) as service,
    ):
        service.wait_for_systemd(b"READY=1")
        failing.now(GONE)
        service.wait(lambda: service.verdict(two) == "1\n")
        note(tmp_path, one)
        service.wait(lambda: (service.verdict(one), service.verdict(two)) == ("1\n", ""))

        def kept() -> dict[str, bool | None]:
            return {each["address"]: each.get("kept") for each in service.reasons()}

        service.wait(lambda: kept() == {one: None, two: True})  # the reasons are written after the verdicts


def test_the_last_one_stays_until_another_is_up() -> None:
    first, second = Script(UP), Script(UP)
    with serving(first) as one, serving(second) as two, health(one, two, alone=True) as service:
        service.wait_for_systemd(b"READY=1")
        first.now(GONE)
        service.wait(lambda: service.verdict(one) == "1\n")
        second.now(GONE)
        service.wait(lambda: len(service.lines()) == 2)
        down = "is down: no such input; there are: other"
        assert service.lines()[1] == f"{ID} at {two} {down}; it stays in the pool, as the last one"
        assert (service.verdict(one), service.verdict(two)) == ("1\n", "")
        assert {each["address"]: each.get("kept") for each in service.reasons()} == {one: None, two: True}
        first.now(UP)
        service.wait(lambda: (service.verdict(one), service.verdict(two)) == ("", "1\n"))
        service.wait(lambda: len(service.lines()) == 4)
        assert service.lines()[3] == f"{ID} at {two} is out of the pool"
        assert service.reasons() == [verdict(two, "no_such_input", "no such input; there are: other")]


def test_the_last_one_comes_back_by_itself() -> None:
    script = Script(UP)
    with serving(script) as address, health(address, alone=True) as service:
        service.wait_for_systemd(b"READY=1")
        script.now(GONE)
        service.wait(lambda: len(service.lines()) == 1)
        script.now(UP)
        service.wait(lambda: len(service.lines()) == 2)
        assert service.lines()[1] == f"{ID} at {address} is up, in pipeline main"
        assert service.verdict(address) == ""


def test_where_none_was_up_none_is_kept() -> None:
    with serving(GONE) as one, serving(GONE) as two, health(one, two, before="1\n", alone=True) as service:
        service.wait_for_systemd(b"READY=1")
        assert (service.verdict(one), service.verdict(two), service.lines()) == ("1\n", "1\n", [])


def test_each_input_has_its_own_last_one() -> None:
    first, second = Script(body(pipelines(main=[ID]))), Script(body(pipelines(main=["b"])))
    with serving(first) as one, serving(second) as two, health(one, two, inputs=(ID, "b"), alone=True) as service:  # fmt: skip
        service.wait_for_systemd(b"READY=1")
        verdicts = {(address, each): service.verdict(address, each) for address in (one, two) for each in (ID, "b")}  # fmt: skip
        assert verdicts == {(one, ID): "", (one, "b"): "1\n", (two, ID): "1\n", (two, "b"): ""}


def test_one_request_asks_for_all_inputs_of_a_node() -> None:
    """The first answer is enough for all, and there is no second one."""
    script = Script(body(pipelines(main=[ID, "b"], second=["c"])), hang)
    with serving(script) as address, health(address, inputs=(ID, "b", "c", "d"), timeout=LIMIT) as service:
        service.wait_for_systemd(b"READY=1")
        assert [service.verdict(address, each) for each in (ID, "b", "c", "d")] == ["", "", "", "1\n"]


def silent(systemd: socket.socket) -> bool:
    """Whether nothing comes for ten times as long as it takes to give a sign of life."""
    systemd.settimeout(1)
    try:
        systemd.recv(100)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_about_once_a_second_it_shows_that_it_lives(python: str) -> None:
    """By the time of the `reasons` file, as well as to systemd."""
    with serving(UP) as address, health(address, python=python) as service:
        service.wait_for_systemd(b"READY=1")
        for _ in range(2):
            service.sign_of_life = 0
            start = time.time()
            service.wait(lambda: service.sign_of_life > 0)
            assert start - 0.1 < service.sign_of_life < start + 5
        assert service.reasons() == []


def test_it_shows_no_more_that_it_lives_when_a_poll_never_ends() -> None:
    """So that systemd starts it again, and others see by the `reasons` file that nothing there is sure to be true."""
    patch = "service.POLL_GRACE = 0; service.script.check_inputs = lambda *_, **__: time.sleep(60)"
    with health("127.0.0.1", patch=patch) as service:
        service.wait_for_systemd(b"WATCHDOG=1")
        assert service.sign_of_life > time.time() - LIMIT
        service.wait(lambda: silent(service.systemd))
        service.sign_of_life = 0
        assert silent(service.systemd)
        assert service.sign_of_life == 0
        assert service.process.poll() is None


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_another_reason_is_no_sign_of_life(python: str) -> None:
    """One node's polls go on and change the file, while another one's are stuck."""
    stuck, script = loopback(), Script(GONE)
    patch = f"""\
service.POLL_GRACE, check_inputs = 0, service.script.check_inputs
def stuck_for_one(ip, *arguments, **options):
    return time.sleep(60) if ip == {stuck!r} else check_inputs(ip, *arguments, **options)
service.script.check_inputs = stuck_for_one
"""
    with (
        serving(script) as address,
        health(stuck, address, python=python, patch=patch, timeout=0.5) as service,
    ):
        service.wait(lambda: service.reasons_for(address) == ["no_such_input"])
        service.wait(lambda: silent(service.systemd))
        last = service.sign_of_life
        script.now(LOST)
        service.wait(lambda: service.reasons_for(address) == ["http_status"])
        service.wait(lambda: service.sign_of_life == last)


@pytest.mark.parametrize("python", INTERPRETERS)
def test_it_ends_with_one_line_when_it_can_not_write_a_verdict(python: str) -> None:
    """systemd starts it again."""
    script = Script(UP)
    with serving(script) as address, health(address, python=python) as service:
        service.wait_for_systemd(b"READY=1")
        (service.folder / address / ID).unlink()
        script.now(GONE)
        assert service.process.wait(LIMIT) == 1
        (line,) = service.lines()
        assert line.startswith("the verdict can't be written: ")
        assert ID in line


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_it_ends_with_one_line_when_it_can_not_show_that_it_lives(python: str) -> None:
    with serving(UP) as address, health(address, python=python) as service:
        service.wait_for_systemd(b"READY=1")
        (service.folder / "reasons").unlink()
        assert service.process.wait(LIMIT) == 1
        (line,) = service.lines()
        reasons = service.folder / "reasons"
        assert line == f"the sign of life can't be written to {reasons}: No such file or directory"


OLD_SETTINGS = """{
    "folder": "/run/keepalived-health", "interval": 0.5, "timeout": 2.0, "own": "127.0.0.1", "interface": "lo",
    "nodes": {"127.0.0.1": {"udp-5514": ["udp", 5514]}}, "reasons": "/dev/null", "link_fault": null
}"""


@pytest.mark.parametrize(
    "settings",
    [None, "{", "{}", "[]", "7", '{"reasons": "/dev/null", "nodes": {"127.0.0.1": []}}', OLD_SETTINGS],
)
def test_settings_that_can_not_be_used_are_refused_in_one_line(settings: str | None, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "setting",
    [
        "interval",
        "timeout",
        "own",
        "links",
        "key",
        "vips",
        "reasons",
        "peers",
        "reload",
        "maintenance",
        "cold",
        "metrics",
        "access",
        "previous_access",
        "nodes",
    ],
)
def test_a_setting_that_is_missing_is_named(setting: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    for name in ("reasons", "link_fault", "maintenance"):
        (tmp_path / name).touch()
    settings = {
        "interval": 0.5,
        "timeout": 2.0,
        "own": loopback(),
        "links": [{"interface": "lo", "addresses": [loopback()], "fault": f"{tmp_path}/link_fault"}],
        "key": f"{tmp_path}/key",
        "vips": ["192.0.2.10"],
        "reasons": f"{tmp_path}/reasons",
        "peers": f"{tmp_path}/peers",
        "reload": f"{tmp_path}/reload/keepalived",
        "maintenance": f"{tmp_path}/maintenance",
        "cold": COLD,
        "metrics": None,
        "access": f"{tmp_path}/access.json",
        "previous_access": f"{tmp_path}/previous.json",
        "nodes": {"127.0.0.1": {}},
    }
    file.write_text(json.dumps({key: value for key, value in settings.items() if key != setting}))
    done = subprocess.run(
        [sys.executable, "-B", str(SERVICE), str(file)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{file}: the setting {setting} is missing\n"


@pytest.mark.parametrize("python", INTERPRETERS)
def test_help_prints_the_usage_and_ends_with_status_0(python: str) -> None:
    """The deploy runs this before it installs the service."""
    done = subprocess.run(
        [python, "-B", str(SERVICE), "--help"], capture_output=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"usage: logstash_ha_health.py SETTINGS\n", b"")


@pytest.mark.parametrize("python", INTERPRETERS)
def test_keepalived_is_kept_in_fault_for_some_time_after_the_link_is_back(python: str) -> None:
    """Also where it was down for a moment only."""

    def link(service: Running, *states: str) -> None:
        commands = "".join(f"link set lo {state}\n" for state in states)
        subprocess.run(
            ["nsenter", f"--net=/proc/{service.process.pid}/ns/net", "ip", "-batch", "-"],
            input=commands,
            text=True,
            check=True,
        )

    patch = "service.links.LINK_HOLD = 0.5"
    with health(loopback(), python=python, alone=True, with_link=True, patch=patch) as service:
        service.wait(lambda: service.link_fault() == "1\n")
        for states in (("up",), ("down", "up"), ("down", "up", "down", "up")):
            start = time.monotonic()
            link(service, *states)
            service.wait(lambda: service.link_fault() == "1\n")
            service.wait(lambda: service.link_fault() == "")
            assert time.monotonic() > start + 0.5
        link(service, "down")
        service.wait(lambda: service.link_fault() == "1\n")
    assert service.process.returncode == -9


@pytest.mark.parametrize("python", INTERPRETERS)
def test_keepalived_is_kept_in_fault_for_some_time_after_its_start(python: str) -> None:
    """Its unit raises the flag, also while it is raised already. There is no keepalived whose sockets it could wait for."""
    patch = "service.links.LINK_HOLD, service.flags.LOOK, service.links.START_TIME = 2, 0.1, 0"
    with health(loopback(), python=python, alone=True, with_link=True, patch=patch) as service:
        flag = service.folder / "link_fault"
        service.wait(lambda: service.link_fault() == "1\n")
        enter = ["nsenter", f"--net=/proc/{service.process.pid}/ns/net", "ip"]
        subprocess.run([*enter, "link", "set", "lo", "up"], check=True)
        service.wait(lambda: service.link_fault() == "")
        flag.write_text("1\n")
        raised = time.monotonic()
        until(lambda: time.monotonic() > raised + 0.5)
        raised = time.monotonic()
        flag.write_text("1\n")
        service.wait(lambda: service.link_fault() == "")
        assert time.monotonic() > raised + 2


def test_while_the_link_is_down_the_flag_stays_raised_whatever_others_write() -> None:
    with health(
        loopback(), alone=True, with_link=True, patch="service.links.LINK_HOLD = service.links.START_TIME = 0"
    ) as service:
        flag = service.folder / "link_fault"
        service.wait(lambda: service.link_fault() == "1\n")
        flag.write_text("")
        service.wait(lambda: service.link_fault() == "1\n")
        flag.write_text("1\n")
        service.wait(lambda: "keepalived starts: it takes no part yet" in service.lines())
        assert service.link_fault() == "1\n"
        enter = ["nsenter", f"--net=/proc/{service.process.pid}/ns/net", "ip"]
        subprocess.run([*enter, "link", "set", "lo", "up"], check=True)
        service.wait(lambda: service.link_fault() == "")


def test_keepalived_is_kept_in_fault_until_the_link_has_the_nodes_address() -> None:
    patch = "service.links.LINK_HOLD = 0"
    with health(loopback(), alone=True, with_link=True, own="192.0.2.1", patch=patch) as service:
        enter = ["nsenter", f"--net=/proc/{service.process.pid}/ns/net", "ip"]
        service.wait(lambda: service.link_fault() == "1\n")
        subprocess.run([*enter, "link", "set", "lo", "up"], check=True)
        time.sleep(0.5)  # it must not be believed in all that time
        assert service.link_fault() == "1\n"
        subprocess.run([*enter, "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
        service.wait(lambda: service.link_fault() == "")
