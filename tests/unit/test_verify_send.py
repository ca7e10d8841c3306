"""The test with events: sending them, waiting for them, and the verdict on what arrived."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api import FactBase, Host, State, StringCommand

from cluster import Cluster, ClusterError, checks
from facts.events import TAG, EventCounts
from tests.unit.clusters import make_cluster
from verification import send
from verification.report import Report, Row, Status, VipReport
from verification.send import (
    LIMIT,
    QUIET,
    SETTLED,
    Delivery,
    InputDelivery,
    Seen,
    Sent,
    check_size,
    tally,
    targets,
    wait,
)
from verification.spread import bounds

SCRIPT = Path(__file__).parents[2] / "files" / "send_events.py"
SOURCE = "10.77.0.101"
Numbers = dict[str, list[int]]


def pythons() -> list[str]:
    """The Python that runs the tests, and old ones where they are at hand."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    old = [path for version in ("2.7", "3.6") for path in sorted(pyenv.glob(f"{version}.*/bin/python"))[:1]]
    return [sys.executable, *map(str, old)]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path, inputs=[{"id": "a", "port": 5514}, {"id": "b", "port": 5515}])


def report(cluster: Cluster, *pool: str, rows: tuple[Row, ...] = ()) -> Report:
    """All is well; `pool` takes the events of every input, by default every node that may."""
    vips = {
        str(vip): VipReport(
            ("stash1",),
            {
                server.input_id: pool or tuple(real.node.name for real in server.real_servers if real.weight)
                for server in cluster.virtual_servers
            },
        )
        for vip in cluster.vips
    }
    return Report(tuple(node.name for node in cluster.nodes), vips, rows, ())


def judged(
    cluster: Cluster,
    arrived: dict[int, Numbers],
    sent: dict[int, Sent] | None = None,
    counts: dict[str, dict[str, int]] | None = None,
    pool: tuple[str, ...] = (),
    count: int = 4,
    unread: tuple[str, ...] = (),
) -> Delivery:
    """The verdict on the numbers that arrived on each node, by target; four are sent to each."""
    aims = targets(cluster, count)
    seen = {node.name: Seen() for node in cluster.nodes if node.name not in unread}
    for place, numbers in arrived.items():
        for name, found in numbers.items():
            seen[name].events += [(place, number) for number in found]
    for name, counted in (counts or {}).items():
        seen[name].counts = counted
    said = {aim.place: Sent(count, source=SOURCE) for aim in aims} | (sent or {})
    return tally(cluster, report(cluster, *pool), "5eed", "sender", aims, said, seen)


GOOD: Numbers = {"stash1": [1, 3], "stash2": [2, 4]}


def test_each_event_once(cluster: Cluster) -> None:
    delivery = judged(cluster, {0: GOOD, 1: GOOD})
    assert delivery.ok
    assert delivery.problems == ()
    assert delivery.inputs[0] == InputDelivery(
        input="a",
        vips=("10.77.0.10",),
        counted="events",
        sent=4,
        refused=0,
        received={"stash1": 2, "stash2": 2},
        lost=0,
        duplicated=0,
    )


@pytest.mark.parametrize(
    ("stash1", "stash2", "lost", "duplicated"),
    [
        ([1], [2, 4], 1, 0),
        ([], [], 4, 0),
        ([1, 3], [2, 4, 1], 0, 1),
        ([1, 3, 3, 3], [2, 4], 0, 2),
        ([1, 1], [2, 4], 1, 1),
    ],
)
def test_lost_and_duplicated(
    cluster: Cluster, stash1: list[int], stash2: list[int], lost: int, duplicated: int
) -> None:
    delivery = judged(cluster, {0: {"stash1": stash1, "stash2": stash2}, 1: GOOD})
    assert not delivery.ok
    assert (delivery.inputs[0].lost, delivery.inputs[0].duplicated) == (lost, duplicated)
    assert len(delivery.problems) == (lost > 0) + (duplicated > 0)
    assert all(each.what.startswith("a at 10.77.0.10: ") for each in delivery.problems)
    assert (delivery.inputs[1].lost, delivery.inputs[1].duplicated) == (0, 0)


def test_a_node_of_the_pool_that_gets_none(cluster: Cluster) -> None:
    delivery = judged(cluster, {0: {"stash1": [1, 2, 3, 4]}, 1: GOOD})
    (problem,) = delivery.problems
    assert not delivery.ok
    assert problem.node == "stash2"
    assert "got none" in problem.what


def test_one_node_in_the_pool_gets_all(cluster: Cluster) -> None:
    delivery = judged(cluster, {0: {"stash1": [1, 2, 3, 4]}, 1: {"stash1": [1, 2, 3, 4]}}, pool=("stash1",))
    assert delivery.ok
    assert delivery.problems == ()


def test_fewer_events_than_nodes(cluster: Cluster) -> None:
    delivery = judged(cluster, {0: {"stash1": [1]}, 1: {"stash2": [1]}}, count=1)
    assert delivery.ok
    assert delivery.problems == ()


@pytest.mark.parametrize(("stash1", "warnings"), [([1, 2, 3], 1), ([1, 3], 0)])
def test_uneven_spread_is_a_warning(cluster: Cluster, stash1: list[int], warnings: int) -> None:
    stash2 = [number for number in (1, 2, 3, 4) if number not in stash1]
    delivery = judged(cluster, {0: {"stash1": stash1, "stash2": stash2}, 1: GOOD})
    assert delivery.ok
    assert [each.status for each in delivery.problems] == [Status.WARNING] * warnings


@pytest.mark.parametrize(
    ("weights", "units", "expected"),
    [
        ({"a": 1, "b": 1}, 4, {"a": (2, 2), "b": (2, 2)}),
        ({"a": 1, "b": 1}, 5, {"a": (2, 3), "b": (2, 3)}),
        ({"a": 3, "b": 1}, 8, {"a": (6, 6), "b": (2, 2)}),
        ({"a": 300, "b": 100}, 9, {"a": (6, 7), "b": (2, 3)}),
        ({"a": 5, "b": 3}, 3, {"a": (0, 3), "b": (0, 3)}),
        ({"a": 7}, 3, {"a": (3, 3)}),
        ({}, 3, {}),
    ],
)
def test_turns_by_weight(weights: dict[str, int], units: int, expected: dict[str, tuple[int, int]]) -> None:
    assert bounds(weights, units) == expected


def turns(weights: dict[str, int]) -> Iterator[str]:
    """IPVS's wrr: whoever has the weight in hand, which sinks by what all have in common (ip_vs_wrr.c)."""
    while True:
        for level in range(max(weights.values()), 0, -1):
            yield from (name for name, weight in weights.items() if weight >= level)


@pytest.mark.parametrize("weights", [{"a": 3, "b": 1}, {"a": 5, "b": 3, "c": 2}, {"a": 1, "b": 1, "c": 9}])
def test_bounds_hold_for_every_row_of_turns(weights: dict[str, int]) -> None:
    cycle = sum(weights.values())
    source = turns(weights)
    row = [next(source) for _ in range(5 * cycle)]
    for start in range(cycle):
        for length in range(1, 3 * cycle):
            part = row[start : start + length]
            for name, (low, high) in bounds(weights, length).items():
                assert low <= part.count(name) <= high


def one(tmp_path: Path, **input: Any) -> Cluster:
    return make_cluster(tmp_path, inputs=[{"id": "a", "port": 5514, **input}])


WEIGHTS = {"scheduler": "wrr", "weights": {"stash1": 3}}
FLOWS = {"protocol": "tcp"}


@pytest.mark.parametrize(
    ("input", "arrived", "status", "words"),
    [
        (WEIGHTS, {"stash1": [1, 2, 3], "stash2": [4]}, None, ""),
        (WEIGHTS, GOOD, Status.WARNING, "spread unevenly: stash1 2, stash2 2"),
        ({"scheduler": "sh"}, {"stash2": [1, 2, 3, 4]}, None, ""),
        ({"scheduler": "mh"}, GOOD, Status.WRONG, "one sender's events came to several nodes"),
        ({"scheduler": "lc"}, {"stash2": [1, 2, 3, 4]}, None, ""),
        ({"scheduler": "wlc"}, {"stash1": [1], "stash2": [2, 3, 4]}, None, ""),
        (FLOWS, GOOD, None, ""),
        ({"ops": False}, {"stash1": [1, 2, 3], "stash2": [4]}, Status.WARNING, "unevenly"),
        (FLOWS, {"stash1": [1, 2, 3, 4]}, Status.WRONG, "got none"),
    ],
)
def test_spread_is_what_the_scheduler_means(
    tmp_path: Path, input: dict[str, Any], arrived: Numbers, status: Status | None, words: str
) -> None:
    delivery = judged(one(tmp_path, **input), {0: arrived})
    assert [each.status for each in delivery.problems] == ([status] if status else [])
    assert all(words in each.what for each in delivery.problems)


def test_connections_are_what_is_spread(tmp_path: Path) -> None:
    """Six lines over four connections: two connections a node is even, whatever they carry."""
    cluster = one(tmp_path, **FLOWS)
    assert targets(cluster, 6)[0].flows == 4
    assert judged(cluster, {0: {"stash1": [1, 5, 2, 6], "stash2": [3, 4]}}, count=6).problems == ()
    uneven = {"stash1": [1, 5, 3, 4], "stash2": [2, 6]}
    assert "unevenly" in judged(cluster, {0: uneven}, count=6).problems[0].what


def test_targets(tmp_path: Path) -> None:
    """Each virtual server; those whose codec takes no text are left out, which is told."""
    cluster = make_cluster(
        tmp_path,
        vip=["10.77.0.10", "10.77.0.20"],
        inputs=[
            {"id": "syslog", "port": 5514, "protocol": "both", "codec": "line"},
            {"id": "flows", "port": 2055, "codec": "netflow", "scheduler": "sh"},
        ],
    )
    aims = targets(cluster, 100)
    assert [(aim.place, aim.server.input_id, str(aim.server.vip), aim.flows) for aim in aims] == [
        (0, "syslog-udp", "10.77.0.10", 1),
        (1, "syslog-udp", "10.77.0.20", 1),
        (2, "syslog-tcp", "10.77.0.10", 4),
        (3, "syslog-tcp", "10.77.0.20", 4),
    ]
    delivery = judged(cluster, dict.fromkeys(range(4), GOOD))
    assert delivery.ok
    assert [each.what for each in delivery.problems] == [
        "flows was not tested: its codec netflow does not take lines of text"
    ]


@pytest.fixture
def own(tmp_path: Path) -> Cluster:
    """A pipeline with files of the user's, at two VIPs."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "output.conf").write_text("output { stdout {} }\n")
    return make_cluster(
        tmp_path,
        pipelines=folder,
        vip=["10.77.0.10", "10.77.0.20"],
        inputs=[{"id": "a", "port": 5514}, {"id": "b", "port": 5515, "pipeline": "other"}],
    )


def test_a_users_own_pipeline_is_counted_by_the_api(own: Cluster) -> None:
    """All VIPs together, as one input takes them; others may send too."""
    assert [aim.numbered for aim in targets(own, 4)] == [False, False, True, True]
    files: dict[int, Numbers] = {2: GOOD, 3: GOOD}
    delivery = judged(own, files, counts={"stash1": {"a": 5}, "stash2": {"a": 4, "b": 99}})
    assert delivery.ok
    result = delivery.inputs[0]
    assert (result.input, result.vips, result.counted) == ("a", ("10.77.0.10", "10.77.0.20"), "api")
    assert (result.sent, result.received) == (8, {"stash1": 5, "stash2": 4})
    assert (result.lost, result.duplicated) == (0, None)
    assert [each.vips for each in delivery.inputs[1:]] == [("10.77.0.10",), ("10.77.0.20",)]
    delivery = judged(own, files, counts={"stash1": {"a": 5}})
    assert not delivery.ok
    assert delivery.problems[0].what.startswith("a at 10.77.0.10 and 10.77.0.20: 3 of 8 events are lost")


def test_enough_has_come(own: Cluster) -> None:
    """Every number, and as many as were sent where Logstash counts."""
    aims = targets(own, 2)
    sent = {aim.place: Sent(2) for aim in aims}
    events = [(2, 1), (2, 2), (3, 1), (3, 2)]
    assert send._all_came(aims, sent, {"x": Seen(events, {"a": 3}), "y": Seen([], {"a": 1})})
    assert not send._all_came(aims, sent, {"x": Seen(events, {"a": 3})})
    assert not send._all_came(aims, sent, {"x": Seen([*events[:3], (3, 1)], {"a": 4})})


def test_odd_count_is_even_enough(cluster: Cluster) -> None:
    arrived: dict[int, Numbers] = {
        0: {"stash1": [1, 3], "stash2": [2]},
        1: {"stash1": [2], "stash2": [1, 3]},
    }
    delivery = judged(cluster, arrived, count=3)
    assert delivery.ok
    assert delivery.problems == ()


def test_loss_has_its_cause_and_mend(cluster: Cluster) -> None:
    """In this order: the sender is not allowed, it is refused, the cluster is bad, it is too fast."""

    def first(numbers: Numbers, **sent: Any) -> Any:
        said = {0: Sent(4, **{"source": SOURCE, **sent})}
        return judged(cluster, {0: numbers, 1: GOOD}, said).problems[0]

    some: Numbers = {"stash1": [1], "stash2": [2, 4]}
    assert "10.77.0.102 is not among its senders" in first({}, source="10.77.0.102").what
    assert "10.77.0.10 refused 3" in first({}, refused=3).what
    assert "--rate" in first(some).do
    assert "tcpdump -ni eth0 port 5514" in first({}).do


def test_senders_of_an_input(tmp_path: Path) -> None:
    """An input's own list decides."""
    cluster = one(tmp_path, senders=["192.0.2.0/24"])
    assert "10.77.0.101 is not among its senders" in judged(cluster, {}).problems[0].what


def test_sender_without_ipv6(tmp_path: Path) -> None:
    """It is said plainly, and no event counts as lost."""
    cluster = Cluster.model_validate(
        make_cluster(tmp_path).model_dump(mode="json", by_alias=True)
        | {
            "nodes": [
                {"name": f"stash{n}", "address": [f"10.77.0.{10 + n}", f"fd00:77::{10 + n}"]} for n in (1, 2)
            ],
            "network": ["10.77.0.0/24", "fd00:77::/64"],
            "vip": ["10.77.0.10", "fd00:77::10"],
            "vrrp": 3,
            "auth_pass_file": None,
        }
    )
    failed = Sent(0, error="Network is unreachable", errno=101)
    delivery = judged(cluster, {0: GOOD}, {1: failed})
    assert delivery.ok
    assert [(each.status, each.what) for each in delivery.problems] == [
        (Status.WARNING, "fd00:77::10 was not tested: sender has no IPv6 (network is unreachable)")
    ]
    delivery = judged(cluster, {1: GOOD}, {0: failed})
    assert not delivery.ok


@pytest.mark.parametrize(
    ("sent", "do"),
    [
        (Sent(0, error="Connection refused", errno=111), "nobody listens"),
        (Sent(0, error="no answer within 5 s"), "drops"),
        (Sent(2, source=SOURCE, error="Broken pipe", errno=32), "did a node go down meanwhile?"),
    ],
)
def test_connection_that_breaks(tmp_path: Path, sent: Sent, do: str) -> None:
    delivery = judged(one(tmp_path, **FLOWS), {0: {"stash1": [1], "stash2": [2]}}, {0: sent})
    assert not delivery.ok
    (problem,) = delivery.problems
    assert problem.what == f"a at 10.77.0.10: {sent.error} after {sent.sent} events"
    assert do in problem.do


def test_node_that_could_not_be_read(cluster: Cluster) -> None:
    """It is told when events are missing, which may be there."""
    all_on_one: Numbers = {"stash1": [1]}
    delivery = judged(cluster, {0: all_on_one, 1: all_on_one}, pool=("stash1",), count=1, unread=("stash2",))
    assert delivery.ok
    assert delivery.problems == ()
    delivery = judged(cluster, {1: all_on_one}, pool=("stash1",), count=1, unread=("stash2",))
    assert not delivery.ok
    assert [(each.node, each.status) for each in delivery.problems] == [
        (None, Status.WRONG),
        ("stash2", Status.UNKNOWN),
    ]


class Clock:
    """A clock that `sleep` moves, and events that come at their time."""

    def __init__(self, *times: float) -> None:
        self.now = 0.0
        self.times = times

    def look(self) -> dict[str, Seen]:
        events = [(0, n) for n, time in enumerate(self.times) if time <= self.now]
        return {"stash1": Seen(events[::2]), "stash2": Seen(counts={"a": len(events[1::2])})}

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def total(self, found: dict[str, Seen]) -> int:
        return len(found["stash1"].events) + found["stash2"].counts["a"]

    def wait(self, expected: int) -> int:
        return self.total(wait(self.look, lambda found: self.total(found) >= expected, self.time, self.sleep))


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


def test_mend_of_a_slow_rate_is_true() -> None:
    with pytest.raises(ClusterError, match="choose 201 or more"):
        check_size(60_000, 100, 2)
    check_size(60_000, 201, 2)
    check_size(4, 100, 1)


class Receiver:
    """An input on loopback: the lines or datagrams that came, by the port or socket that they came over."""

    def __init__(self, protocol: str, address: str = "127.0.0.1") -> None:
        self.protocol, self.address = protocol, address
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        self.socket = socket.socket(family, kind)
        self.socket.bind((address, 0))
        self.socket.settimeout(5)
        if protocol == "tcp":
            self.socket.listen()
        self.port: int = self.socket.getsockname()[1]

    def target(self, place: int, flows: int) -> list[Any]:
        return [place, self.protocol, self.address, self.port, flows]

    def datagrams(self, count: int) -> list[tuple[str, int]]:
        """So many, and no more, each with its source port."""
        received = [self.socket.recvfrom(1000) for _ in range(count)]
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(1000)
        return [(data.decode(), address[1]) for data, address in received]

    def streams(self, count: int) -> list[str]:
        """All that came over so many connections."""
        found = []
        for _ in range(count):
            connection, _ = self.socket.accept()
            with connection, connection.makefile() as stream:
                found.append(stream.read())
        return found


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    """Two udp inputs and a tcp input."""
    found = [Receiver("udp"), Receiver("udp", "::1"), Receiver("tcp")]
    yield found
    for each in found:
        each.socket.close()


def sender(python: str, count: int, rate: int, aims: list[list[Any]]) -> list[Sent]:
    """What the script says, run as `verify.py --send` runs it on a sender."""
    done = subprocess.run(
        [python, "-c", SCRIPT.read_text(), f"{TAG} 5eed", str(count), str(rate), json.dumps(aims)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return [Sent(**json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("python", pythons())
def test_a_sender_sends_all_events_in_order_over_its_flows_and_no_faster_than_the_rate(
    receivers: list[Receiver], python: str
) -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(receivers[2].streams(3)))
    thread.start()
    start = time.monotonic()
    aims = [receivers[0].target(4, 1), receivers[1].target(5, 2), receivers[2].target(6, 3)]
    assert sender(python, 10, 100, aims) == [
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
    for each in (receivers[0], receivers[2]):
        each.socket.close()
    udp, tcp, other = sender(
        python, 10, 100, [receivers[0].target(0, 1), receivers[2].target(1, 2), receivers[1].target(2, 1)]
    )
    assert udp.sent == 10
    assert udp.refused >= 5
    assert tcp == Sent(0, 0, None, "Connection refused", 111)
    assert other.sent == 10


NO_IPV6 = """\
import errno, socket
class Unreachable(socket.socket):
    def connect(self, address):
        raise OSError(errno.ENETUNREACH, "")
socket.socket = Unreachable
"""


def test_a_sender_without_a_route_reports_its_systems_error() -> None:
    """It is one that the verdict knows."""
    target = json.dumps([[0, "udp", "fd00:77::10", 5514, 1]])
    done = subprocess.run(
        [sys.executable, "-c", NO_IPV6 + SCRIPT.read_text(), TAG, "4", "100", target],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    sent = Sent(**json.loads(done.stdout))
    assert (sent.sent, sent.error) == (0, "Network is unreachable")
    assert sent.errno in send.NO_ROUTE


class Loopback:
    """A cluster on this machine's loopback: one node takes all and writes it down, and the facts really run."""

    connected = True

    def __init__(self, folder: Path, receivers: list[Receiver], name: str) -> None:
        self.folder, self.receivers, self.name = folder, receivers, name
        self.state, self.inventory = self, self

    def get_host(self, name: str) -> "Loopback":
        return Loopback(self.folder, self.receivers, name)

    def run_shell_command(self, command: StringCommand, _timeout: int) -> tuple[bool, Any]:
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


def test_deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr(send, "read", host.read)
    monkeypatch.setattr(send, "SETTLED", 0.1)
    delivery = send.deliver(cast(State, host), cluster, report(cluster), cast(Host, host), 3, 100)
    assert delivery.problems == ()
    assert [(each.input, each.counted, each.sent, each.received) for each in delivery.inputs] == [
        ("a", "events", 3, {"stash1": 3, "stash2": 0}),
        ("b", "events", 3, {"stash1": 3, "stash2": 0}),
        ("c", "api", 3, {"stash1": 3, "stash2": 0}),
    ]
    assert [(each.lost, each.duplicated) for each in delivery.inputs] == [(0, 0), (0, 0), (0, None)]
    for each in receivers:
        each.socket.close()
