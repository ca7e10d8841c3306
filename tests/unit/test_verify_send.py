"""The test with events: sending them, waiting for them, and the verdict on what arrived."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster, ClusterError
from tests.unit.clusters import make_cluster
from verification.judge import Report, Row, Status
from verification.send import LIMIT, QUIET, SETTLED, Delivery, Events, Sent, check_size, tally, wait

SCRIPT = Path(__file__).parents[2] / "files" / "send_events.py"


def pythons() -> list[str]:
    """The Python that runs the tests, and old ones where they are at hand."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    old = [path for version in ("2.7", "3.6") for path in sorted(pyenv.glob(f"{version}.*/bin/python"))[:1]]
    return [sys.executable, *map(str, old)]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path, inputs=[{"id": "a", "port": 5514}, {"id": "b", "port": 5515}])


def report(*pool: str, rows: tuple[Row, ...] = ()) -> Report:
    return Report("10.77.0.10", ("stash1", "stash2"), ("stash1",), {"a": pool, "b": pool}, rows, ())


def events(port: int, *numbers: int) -> Events:
    return [(port, number) for number in numbers]


B = {"stash1": events(5515, 1, 3), "stash2": events(5515, 2, 4)}
"""The second input's four events, all well."""


def judged(
    cluster: Cluster, stash1: Events, stash2: Events, source: str = "10.77.0.101", refused: int = 0
) -> Delivery:
    arrived = {"stash1": stash1 + B["stash1"], "stash2": stash2 + B["stash2"]}
    return tally(cluster, report("stash1", "stash2"), "5eed", "sender", Sent(8, refused, source), arrived)


def test_each_event_once(cluster: Cluster) -> None:
    delivery = judged(cluster, events(5514, 1, 3), events(5514, 2, 4))
    assert delivery.ok
    assert delivery.problems == ()
    assert delivery.inputs["a"].sent == 4
    assert delivery.inputs["a"].received == {"stash1": 2, "stash2": 2}
    assert (delivery.inputs["a"].lost, delivery.inputs["a"].duplicated) == (0, 0)


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
    delivery = judged(cluster, events(5514, *stash1), events(5514, *stash2))
    assert not delivery.ok
    assert (delivery.inputs["a"].lost, delivery.inputs["a"].duplicated) == (lost, duplicated)
    assert len(delivery.problems) == (lost > 0) + (duplicated > 0)
    assert all(each.what.startswith("a: ") for each in delivery.problems)
    assert (delivery.inputs["b"].lost, delivery.inputs["b"].duplicated) == (0, 0)


def test_a_node_of_the_pool_that_gets_none(cluster: Cluster) -> None:
    delivery = judged(cluster, events(5514, 1, 2, 3, 4), [])
    (problem,) = delivery.problems
    assert not delivery.ok
    assert problem.node == "stash2"
    assert "got none" in problem.what


def test_one_node_in_the_pool_gets_all(cluster: Cluster) -> None:
    arrived: dict[str, Events] = {"stash1": [*events(5514, 1, 2), *events(5515, 1, 2)], "stash2": []}
    delivery = tally(cluster, report("stash1"), "5eed", "sender", Sent(4, 0, "10.77.0.101"), arrived)
    assert delivery.ok
    assert delivery.problems == ()


def test_fewer_events_than_nodes(cluster: Cluster) -> None:
    arrived: dict[str, Events] = {"stash1": events(5514, 1), "stash2": events(5515, 1)}
    delivery = tally(
        cluster, report("stash1", "stash2"), "5eed", "sender", Sent(2, 0, "10.77.0.101"), arrived
    )
    assert delivery.ok
    assert delivery.problems == ()


@pytest.mark.parametrize(("stash1", "warnings"), [([1, 2, 3], 1), ([1, 3], 0)])
def test_uneven_spread_is_a_warning(cluster: Cluster, stash1: list[int], warnings: int) -> None:
    stash2 = [number for number in (1, 2, 3, 4) if number not in stash1]
    delivery = judged(cluster, events(5514, *stash1), events(5514, *stash2))
    assert delivery.ok
    assert [each.status for each in delivery.problems] == [Status.WARNING] * warnings


def test_odd_count_is_even_enough(cluster: Cluster) -> None:
    arrived = {"stash1": events(5514, 1, 3) + events(5515, 2), "stash2": events(5514, 2) + events(5515, 1, 3)}
    delivery = tally(
        cluster, report("stash1", "stash2"), "5eed", "sender", Sent(6, 0, "10.77.0.101"), arrived
    )
    assert delivery.ok
    assert delivery.problems == ()


def test_loss_has_its_cause_and_mend(cluster: Cluster) -> None:
    """In this order: the sender is not allowed, it is refused, the cluster is bad, it is too fast."""
    none: tuple[Events, Events] = ([], [])
    some = (events(5514, 1), events(5514, 2, 4))
    assert (
        "10.77.0.102 is not among the senders"
        in judged(cluster, *none, source="10.77.0.102").problems[0].what
    )
    assert "10.77.0.10 refused 3" in judged(cluster, *none, refused=3).problems[0].what
    assert "--rate" in judged(cluster, *some).problems[0].do
    assert "tcpdump -ni eth0 udp" in judged(cluster, *none).problems[0].do


def test_node_that_could_not_be_read(cluster: Cluster) -> None:
    """It is told when events are missing, which may be there."""
    arrived = {"stash1": events(5514, 1) + events(5515, 1)}
    delivery = tally(cluster, report("stash1"), "5eed", "sender", Sent(2, 0, "10.77.0.101"), arrived)
    assert delivery.ok
    assert delivery.problems == ()
    arrived = {"stash1": events(5515, 1)}
    delivery = tally(cluster, report("stash1"), "5eed", "sender", Sent(2, 0, "10.77.0.101"), arrived)
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

    def look(self) -> dict[str, Events]:
        return {"stash1": [(5514, n) for n, time in enumerate(self.times) if time <= self.now], "stash2": []}

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, expected: int) -> int:
        return len(wait(self.look, expected, self.time, self.sleep)["stash1"])


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


@pytest.fixture
def receivers() -> Iterator[list[socket.socket]]:
    """Two udp inputs on loopback."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
        each.settimeout(5)
    yield sockets
    for each in sockets:
        each.close()


def sender(python: str, *arguments: str) -> Sent:
    """What the script says, run as `verify.py --send` runs it on a sender."""
    done = subprocess.run(
        [python, "-c", SCRIPT.read_text(), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    sent, refused, source = done.stdout.split()
    return Sent(int(sent), int(refused), source)


@pytest.mark.parametrize("python", pythons())
def test_sender(receivers: list[socket.socket], python: str) -> None:
    """Each port gets its events, in order, and no faster than the rate."""
    ports = [str(each.getsockname()[1]) for each in receivers]
    start = time.monotonic()
    assert sender(python, "tag 5eed", "25", "100", "127.0.0.1", *ports) == Sent(50, 0, "127.0.0.1")
    assert time.monotonic() - start >= 49 / 100
    for receiver, port in zip(receivers, ports, strict=True):
        datagrams = [receiver.recv(1000).decode() for _ in range(25)]
        assert datagrams == [f"tag 5eed {port} {number}" for number in range(1, 26)]
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(1000)


@pytest.mark.parametrize("python", pythons())
def test_sender_is_refused(receivers: list[socket.socket], python: str) -> None:
    """Refusals are counted, and stop nothing."""
    port = str(receivers[0].getsockname()[1])
    receivers[0].close()
    sent = sender(python, "tag 5eed", "10", "100", "127.0.0.1", port)
    assert sent.sent == 10
    assert sent.refused >= 5
