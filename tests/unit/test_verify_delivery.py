"""The events of a test are sent, waited for and collected."""

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr
from pyinfra.api import FactBase, Host, State, StringCommand

from cluster import Cluster, ClusterError, checks
from cluster.certificates import fingerprint, read_certificates
from facts.events import TAG, EventCounts
from tests.certificates import Authority
from tests.unit.clusters import make_cluster
from tests.unit.events import GOOD, judged, own_pipeline, pythons, report
from verification import delivery
from verification.delivery import (
    LIMIT,
    QUIET,
    SETTLED,
    all_arrived,
    check_size,
    choose_targets,
    wait_for_events,
)
from verification.events import Arrived, Sent
from verification.tally import NO_ROUTE


@pytest.fixture
def own(tmp_path: Path) -> Cluster:
    return own_pipeline(tmp_path)


SCRIPT = Path(__file__).parents[2] / "files" / "send_events.py"


def test_each_virtual_server_that_takes_text_is_a_target_and_the_others_are_reported(tmp_path: Path) -> None:
    """Each virtual server; those whose codec takes no text are left out, which is told."""
    cluster = make_cluster(
        tmp_path,
        vip=["10.77.0.10", "10.77.0.20"],
        inputs=[
            {"id": "syslog", "port": 5514, "protocol": "both", "codec": "line"},
            {"id": "flows", "port": 2055, "codec": "netflow", "scheduler": "sh"},
        ],
    )
    targets = choose_targets(cluster, 100)
    assert [
        (target.index, target.server.input_id, str(target.server.vip), target.flows) for target in targets
    ] == [
        (0, "syslog-udp", "10.77.0.10", 1),
        (1, "syslog-udp", "10.77.0.20", 1),
        (2, "syslog-tcp", "10.77.0.10", 4),
        (3, "syslog-tcp", "10.77.0.20", 4),
    ]
    delivery = judged(cluster, dict.fromkeys(range(4), GOOD))
    assert delivery.ok
    assert [problem.what for problem in delivery.problems] == [
        "flows was not tested: its codec netflow does not take lines of text"
    ]


def test_all_have_arrived_by_number_or_by_count(own: Cluster) -> None:
    """Every number, and as many as were sent where Logstash counts."""
    targets = choose_targets(own, 2)
    sent = {target.index: Sent(2) for target in targets}
    events = [(2, 1), (2, 2), (3, 1), (3, 2)]
    assert all_arrived(targets, sent, {"x": Arrived(events, {"a": 3}), "y": Arrived([], {"a": 1})})
    assert not all_arrived(targets, sent, {"x": Arrived(events, {"a": 3})})
    assert not all_arrived(targets, sent, {"x": Arrived([*events[:3], (3, 1)], {"a": 4})})


class Clock:
    """A clock that `sleep` moves, and events that come at their time."""

    def __init__(self, *times: float) -> None:
        self.now = 0.0
        self.times = times

    def collect(self) -> dict[str, Arrived]:
        events = [(0, n) for n, time in enumerate(self.times) if time <= self.now]
        return {"stash1": Arrived(events[::2]), "stash2": Arrived(counts={"a": len(events[1::2])})}

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def total(self, found: dict[str, Arrived]) -> int:
        return len(found["stash1"].events) + found["stash2"].counts["a"]

    def wait(self, expected: int) -> int:
        return self.total(
            wait_for_events(self.collect, lambda found: self.total(found) >= expected, self.time, self.sleep)
        )


def test_waiting_ends_when_all_came_and_no_more_do() -> None:
    clock = Clock(0.2, 2)
    assert clock.wait(2) == 2
    assert 2 + SETTLED <= clock.now < 3 + SETTLED


def test_waiting_sees_a_late_duplicate() -> None:
    assert Clock(0.2, 2, 4).wait(2) == 3


def test_waiting_gives_up_what_does_not_come() -> None:
    clock = Clock(0.2, 5)
    assert clock.wait(3) == 2
    assert 5 + QUIET <= clock.now < 6 + QUIET


def test_waiting_is_bounded_though_events_come_for_ever() -> None:
    clock = Clock(*range(1000))
    clock.wait(5)
    assert LIMIT <= clock.now < LIMIT + 1


@pytest.mark.parametrize(
    ("count", "rate", "word"),
    [
        (0, 100, "--send"),
        (100_001, 10_000, "--send"),
        (4, 0, "--rate"),
        (4, 20_000, "--rate"),
        (4, float("nan"), "--rate"),
        (70_000, 100, "--rate"),
    ],
)
def test_size_is_bounded(count: int, rate: float, word: str) -> None:
    with pytest.raises(ClusterError, match=f"^{word}: .*choose"):
        check_size(count, rate, 1)


def test_the_rate_that_is_proposed_is_high_enough() -> None:
    with pytest.raises(ClusterError, match="choose 201 or more"):
        check_size(60_000, 100, 2)
    check_size(60_000, 201, 2)
    check_size(4, 100, 1)


class Receiver:
    """An input on loopback: the lines or datagrams that came, by the port or socket that they came over."""

    def __init__(self, protocol: str, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.protocol, self.address, self.tls = protocol, address, tls
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        self.socket = socket.socket(family, kind)
        self.socket.bind((address, 0))
        self.socket.settimeout(5)
        if protocol == "tcp":
            self.socket.listen()
        self.port: int = self.socket.getsockname()[1]

    def target(
        self, index: int, flows: int, certificate: str | None = None, client: bool = False
    ) -> list[Any]:
        return [index, self.protocol, self.address, self.port, flows, certificate, client]

    def datagrams(self, count: int) -> list[tuple[str, int]]:
        """So many, and no more, each with its source port."""
        received = [self.socket.recvfrom(1000) for _ in range(count)]
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(1000)
        return [(data.decode(), address[1]) for data, address in received]

    def streams(self, count: int) -> list[str]:
        """All that came over so many connections."""
        connections = [self.accept() for _ in range(count)]
        found = []
        for connection in connections:
            with connection, connection.makefile() as stream:
                found.append(stream.read())
        return found

    def accept(self) -> socket.socket:
        connection, _ = self.socket.accept()
        return self.tls.wrap_socket(connection, server_side=True) if self.tls else connection

    def wait_for_end(self, count: int) -> list[str]:
        """The errors of so many connections, whose sender does not like what it sees."""
        errors = []
        for _ in range(count):
            connection, _ = self.socket.accept()
            assert self.tls
            try:
                with self.tls.wrap_socket(connection, server_side=True) as wrapped:
                    assert wrapped.recv(100) == b""
            except OSError as error:
                errors.append(str(error))
        return errors


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    """Two udp inputs and a tcp input."""
    found = [Receiver("udp"), Receiver("udp", "::1"), Receiver("tcp")]
    yield found
    for receiver in found:
        receiver.socket.close()


def sender(
    python: str, count: int, rate: int, targets: list[list[Any]], clients: dict[str, str] | None = None
) -> list[Sent]:
    """What the script says, run as `verify.py --send` runs it on a sender; how long it took is looked at here."""
    start = time.monotonic()
    done = subprocess.run(
        [python, "-c", SCRIPT.read_text(), f"{TAG} 5eed", str(count), str(rate), json.dumps(targets)],
        input=json.dumps(clients or {}),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    results = [Sent(**json.loads(line)) for line in done.stdout.splitlines()]
    assert all(0 <= result.seconds < time.monotonic() - start for result in results)
    return [result._replace(seconds=0) for result in results]


@pytest.mark.parametrize("python", pythons())
def test_a_sender_sends_all_events_in_order_over_its_flows_and_no_faster_than_the_rate(
    receivers: list[Receiver], python: str
) -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(receivers[2].streams(3)))
    thread.start()
    start = time.monotonic()
    targets = [receivers[0].target(4, 1), receivers[1].target(5, 2), receivers[2].target(6, 3)]
    assert sender(python, 10, 100, targets) == [
        Sent(10, 0, "127.0.0.1"),
        Sent(10, 0, "::1"),
        Sent(10, 0, "127.0.0.1"),
    ]
    assert time.monotonic() - start >= 29 / 100
    thread.join(10)
    one, two = receivers[0].datagrams(10), receivers[1].datagrams(10)
    assert [text for text, _ in one] == [f"{TAG} 5eed 4 {number}" for number in range(1, 11)]
    assert len({port for _, port in one}) == 1
    assert [text for text, _ in two] == [f"{TAG} 5eed 5 {number}" for number in range(1, 11)]
    assert [port == two[0][1] for _, port in two] == [True, False] * 5
    assert sorted(found) == sorted(
        "".join(f"{TAG} 5eed 6 {number}\n" for number in range(1, 11) if number % 3 == flow)
        for flow in range(3)
    )


@pytest.mark.parametrize("python", pythons())
def test_refused_datagrams_are_counted_and_a_refused_connection_stops_its_target_alone(
    receivers: list[Receiver], python: str
) -> None:
    for receiver in (receivers[0], receivers[2]):
        receiver.socket.close()
    udp, tcp, other = sender(
        python, 10, 100, [receivers[0].target(0, 1), receivers[2].target(1, 2), receivers[1].target(2, 1)]
    )
    assert udp.sent == 10
    assert udp.refused >= 5
    assert tcp == Sent(0, 0, None, "Connection refused", 111)
    assert other.sent == 10


def tls_receiver(folder: Path, clients_ca: Authority | None = None) -> tuple[Receiver, str]:
    """A tcp input with TLS, and the SHA-256 of its certificate; with a CA it wants certificates from that."""
    made = Authority(folder).issue("logs", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made["certificate"], made["key"])
    if clients_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients_ca.ca_file)
    (own, *_) = read_certificates(Path(made["certificate"]).read_text())
    return Receiver("tcp", tls=context), fingerprint(own)


@pytest.mark.parametrize("python", pythons())
def test_a_sender_speaks_tls_with_the_one_whose_certificate_it_is(python: str, tmp_path: Path) -> None:
    """Whoever signed it; each event arrives, up to the last."""
    receiver, certificate = tls_receiver(tmp_path)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(receiver.streams(3)))
    thread.start()
    assert sender(python, 10, 100, [receiver.target(6, 3, certificate)]) == [Sent(10, 0, "127.0.0.1")]
    thread.join(10)
    assert sorted("".join(found).splitlines()) == sorted(f"{TAG} 5eed 6 {number}" for number in range(1, 11))
    receiver.socket.close()


@pytest.mark.parametrize("python", pythons())
def test_a_sender_sends_nothing_to_one_with_another_certificate(python: str, tmp_path: Path) -> None:
    receiver, certificate = tls_receiver(tmp_path)
    thread = threading.Thread(target=receiver.wait_for_end, args=(1,))
    thread.start()
    (sent,) = sender(python, 10, 100, [receiver.target(6, 1, "0" * 64)])
    thread.join(10)
    assert (sent.sent, sent.errno) == (0, None)
    assert sent.error == f"TLS: another certificate, with the SHA-256 {certificate}"
    receiver.socket.close()


@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("newest", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("known", [True, False])
def test_a_sender_shows_its_own_certificate(python: str, newest: str, known: bool, tmp_path: Path) -> None:
    """What it has is on no command line, and in no file afterwards. A certificate that is not liked is the error's reason."""
    for name in ("trusted", "other", "server"):
        (tmp_path / name).mkdir()
    trusted = Authority(tmp_path / "trusted")
    made = (trusted if known else Authority(tmp_path / "other")).issue("sender", "sender.example.com")
    client = Path(made["certificate"]).read_text() + Path(made["key"]).read_text()
    receiver, certificate = tls_receiver(tmp_path / "server", trusted)
    assert receiver.tls
    receiver.tls.maximum_version = ssl.TLSVersion[newest]
    found: list[str] = []

    def take() -> None:
        with contextlib.suppress(ssl.SSLError):
            found.extend(receiver.streams(1))

    thread = threading.Thread(target=take)
    thread.start()
    (sent,) = sender(python, 10, 100, [receiver.target(6, 1, certificate, client=True)], {"6": client})
    thread.join(10)
    receiver.socket.close()
    if known:
        assert sent == Sent(10, 0, "127.0.0.1")
        assert "".join(found).splitlines() == [f"{TAG} 5eed 6 {number}" for number in range(1, 11)]
    else:
        assert found == []
        assert re.fullmatch(
            r"TLS: \w*ALERT_UNKNOWN_CA|Connection reset by peer|Broken pipe", sent.error or ""
        )


@pytest.mark.parametrize("python", pythons())
def test_a_sender_says_that_there_is_no_tls(receivers: list[Receiver], python: str) -> None:
    def answer() -> None:
        connection, _ = receivers[2].socket.accept()
        with connection:
            connection.sendall(b"220 mail.example.com\r\n")
            connection.recv(1000)

    thread = threading.Thread(target=answer)
    thread.start()
    (sent,) = sender(python, 10, 100, [receivers[2].target(6, 1, "0" * 64)])
    thread.join(10)
    assert sent.sent == 0
    assert (sent.error or "").startswith("TLS: ")


def test_an_input_with_tls_is_tested_by_its_certificate_unless_senders_need_one_that_nobody_names(
    tmp_path: Path,
) -> None:
    """Of text that no input takes, verify.py says why none was sent."""
    authority = Authority(tmp_path)
    tls = authority.issue("logs", "10.77.0.10")
    own = authority.issue("sender", "sender.example.com")
    client = {f"client_{name}": path for name, path in own.items()}
    cluster = make_cluster(
        tmp_path,
        inputs=[
            {"id": "open", "port": 6514, "protocol": "tcp", "tls": tls},
            {"id": "closed", "port": 6515, "protocol": "tcp", "tls": {**tls, "ca": str(authority.ca_file)}},
            {
                "id": "shown",
                "port": 6516,
                "protocol": "tcp",
                "tls": {**tls, "ca": str(authority.ca_file), **client},
            },
            {"id": "beats", "port": 5044, "plugin": "beats"},
            {"id": "known", "port": 5045, "plugin": "beats", "text": True},
            {"id": "unknown", "port": 5700, "plugin": "acme", "protocol": "udp"},
            {"id": "none", "port": 5701, "text": False},
        ],
    )
    targets = choose_targets(cluster, 4)
    shown = fingerprint(read_certificates(Path(tls["certificate"]).read_text())[0])
    assert [(target.server.input_id, target.certificate, bool(target.client)) for target in targets] == [
        ("open", shown, False),
        ("shown", shown, True),
        ("known", None, False),
    ]
    secret = targets[1].client
    assert secret
    assert secret.get_secret_value().count("-----BEGIN CERTIFICATE-----") == 1
    key = secret.get_secret_value().partition("-----BEGIN PRIVATE KEY-----")[2].splitlines()[1]
    assert key not in repr(targets) + repr(cluster)
    assert cluster.masked().tls_files["shown"].client == SecretStr("********")
    delivery = judged(cluster, dict.fromkeys([target.index for target in targets], GOOD))
    assert delivery.ok
    assert [problem.what for problem in delivery.problems] == [
        "closed was not tested: its senders need certificates, and its `tls` names none for verify.py (`client_certificate`, `client_key`)",
        "beats was not tested: its plugin beats does not take lines of text",
        "unknown was not tested: its plugin acme does not take lines of text",
        "none was not tested: its `text` is False in the inventory",
    ]


NO_IPV6 = """\
import errno, socket
class Unreachable(socket.socket):
    def connect(self, address):
        raise OSError(errno.ENETUNREACH, "")
socket.socket = Unreachable
"""


def test_a_sender_without_a_route_reports_its_systems_error() -> None:
    """It is one that the verdict knows."""
    target = json.dumps([[0, "udp", "fd00:77::10", 5514, 1, None, False]])
    done = subprocess.run(
        [sys.executable, "-c", NO_IPV6 + SCRIPT.read_text(), TAG, "4", "100", target],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    sent = Sent(**json.loads(done.stdout))
    assert (sent.sent, sent.error) == (0, "Network is unreachable")
    assert sent.errno in NO_ROUTE


@pytest.mark.parametrize("python", pythons())
def test_a_sender_that_is_told_to_stop_says_what_it_has_sent(receivers: list[Receiver], python: str) -> None:
    with subprocess.Popen(
        [
            *(python, "-c", SCRIPT.read_text(), f"{TAG} 5eed", "100000", "100"),
            json.dumps([receivers[0].target(4, 1)]),
        ],
        stdout=subprocess.PIPE,
    ) as process:
        receivers[0].socket.settimeout(20)
        for _ in range(5):
            receivers[0].socket.recv(100)
        process.terminate()
        output, _ = process.communicate(timeout=10)
    sent = Sent(**json.loads(output))
    assert process.returncode == 0
    assert (5 <= sent.sent < 1000, sent.refused, sent.error) == (True, 0, None)


class Loopback:
    """A cluster on this machine's loopback: one node takes all and writes it down, and the facts really run."""

    connected = True

    def __init__(self, folder: Path, receivers: list[Receiver], name: str) -> None:
        self.folder, self.receivers, self.name = folder, receivers, name
        self.state, self.inventory = self, self

    def get_host(self, name: str) -> "Loopback":
        return Loopback(self.folder, self.receivers, name)

    def run_shell_command(self, command: StringCommand, _timeout: int, _stdin: str) -> tuple[bool, Any]:
        """As the sender; then the inputs take what came, a pipeline a file."""
        done = subprocess.run(
            ["/bin/sh", "-c", str(command)], capture_output=True, text=True, timeout=20, check=False
        )
        stash1 = self.folder / "stash1"
        for receiver, file in zip(
            self.receivers, ("events.json", "events-other.json", "counted"), strict=True
        ):
            lines = (
                receiver.streams(3)
                if receiver.protocol == "tcp"
                else [f"{text}\n" for text, _ in receiver.datagrams(3)]
            )
            (stash1 / file).write_text("".join(lines))
        return done.returncode == 0, SimpleNamespace(
            stdout_lines=done.stdout.splitlines(), stderr_lines=done.stderr.splitlines()
        )

    def read(self, host: "Loopback", fact: type[FactBase[Any]], **arguments: Any) -> Any:
        if fact is EventCounts:
            counted = self.folder / host.name / "counted"
            return {"c": 70 + (len(counted.read_text().splitlines()) if counted.exists() else 0)}
        command = str(fact().command(**arguments)).replace("/var/log/logstash", f"{self.folder}/{host.name}")
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
        return fact().process(
            [
                line.replace(f"{self.folder}/{host.name}", "/var/log/logstash")
                for line in done.stdout.splitlines()
            ]
        )


def test_a_delivery_is_sent_collected_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the plan to the verdict: udp into one pipeline, tcp into another, and one that the API counts."""
    monkeypatch.setattr(checks, "UNUSABLE", {})  # the nodes are this machine
    receivers = [Receiver("udp", "127.0.0.10"), Receiver("tcp", "127.0.0.10"), Receiver("udp", "127.0.0.10")]
    (tmp_path / "pipelines" / "mine").mkdir(parents=True)
    (tmp_path / "pipelines" / "mine" / "output.conf").write_text("output { stdout {} }\n")
    for name in ("stash1", "stash2"):
        (tmp_path / name).mkdir()
    cluster = Cluster.model_validate(
        make_cluster(tmp_path).model_dump(mode="json", by_alias=True)
        | {
            "nodes": [{"name": f"stash{n}", "address": f"127.0.0.{10 + n}"} for n in (1, 2)],
            "network": "127.0.0.0/24",
            "vip": "127.0.0.10",
            "senders": ["127.0.0.0/8"],
            "pipelines": str(tmp_path / "pipelines"),
            "inputs": [
                {"id": "a", "port": receivers[0].port, "scheduler": "sh"},
                {
                    "id": "b",
                    "port": receivers[1].port,
                    "protocol": "tcp",
                    "scheduler": "sh",
                    "pipeline": "other",
                },
                {"id": "c", "port": receivers[2].port, "pipeline": "mine"},
            ],
        }
    )
    host = Loopback(tmp_path, receivers, "sender")
    monkeypatch.setattr(delivery, "read", host.read)
    monkeypatch.setattr(delivery, "SETTLED", 0.1)
    result = delivery.deliver(cast(State, host), cluster, report(cluster), cast(Host, host), 3, 100)
    assert result.problems == ()
    assert [
        (delivered.input, delivered.counted, delivered.sent, delivered.received)
        for delivered in result.inputs
    ] == [
        ("a", "events", 3, {"stash1": 3, "stash2": 0}),
        ("b", "events", 3, {"stash1": 3, "stash2": 0}),
        ("c", "api", 3, {"stash1": 3, "stash2": 0}),
    ]
    assert [(delivered.lost, delivered.duplicated) for delivered in result.inputs] == [
        (0, 0),
        (0, 0),
        (0, None),
    ]
    for receiver in receivers:
        receiver.socket.close()
