"""How many events the cluster takes, and where the first one is lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster import Cluster, ClusterError
from facts.events import FileEnds
from remote.commands import CommandFailed
from tests.unit.clusters import make_cluster
from verification.capacity import command, run
from verification.capacity.result import MENDS, PLACES, Capacity, Moment, Step, places, rates
from verification.capacity.run import Plan, _target, prepare
from verification.events import Sent
from verification.why.trace import Counters, PipelineCounts, SocketState

INVENTORY = str(Path(__file__).parents[2] / "inventory.py")
KEY = "UDP", "10.77.0.10:5514"


def counters(events: int) -> Counters:
    """A node that has taken its half of twice as many events."""
    return Counters(
        packets={KEY: 2 * events},
        forwarded={(*KEY, "10.77.0.11:5514"): events, (*KEY, "10.77.0.12:5514"): events},
        sockets={("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 0, 5)]},
        card=3,
        inputs={"udp-5514": events},
        pipelines={"main": PipelineCounts(events, events, ())},
    )


def moment(events: int) -> Moment:
    return Moment({"stash1": counters(events), "stash2": counters(events)}, master="stash2")


Change = Callable[[Moment], object]


def set_on(name: str, **values: Any) -> Change:
    def change(after: Moment) -> None:
        for key, value in values.items():
            setattr(after.counters[name], key, value)

    return change


def forwarded(first: int, second: int) -> dict[tuple[str, str, str], int]:
    return {(*KEY, "10.77.0.11:5514"): first, (*KEY, "10.77.0.12:5514"): second}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


def found(cluster: Cluster, received: int, *changes: Change) -> dict[str, int]:
    """Where 200 events, sent after 100 of others, were lost."""
    after = moment(150)
    for change in changes:
        change(after)
    return places(cluster, cluster.virtual_servers[0], moment(50), after, 200, received)


BLOCKED = set_on(
    "stash1",
    inputs={"udp-5514": 80},
    pipelines={"main": PipelineCounts(80, 50, ("file",))},
    sockets={("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 9999, 5)]},
)
"""An output of this node's is: its queue is full, and something waits in its socket."""


def test_nothing_is_lost_where_all_arrive(cluster: Cluster) -> None:
    assert found(cluster, 200) == {}


@pytest.mark.parametrize(
    ("changes", "received", "expected"),
    [
        # Nine did not get past the card of the MASTER.
        (
            [
                set_on("stash2", packets={KEY: 291}, forwarded=forwarded(145, 146), card=12),
                set_on("stash1", inputs={"udp-5514": 145}, pipelines={"main": PipelineCounts(145, 145, ())}),
                set_on("stash2", inputs={"udp-5514": 146}, pipelines={"main": PipelineCounts(146, 146, ())}),
            ],
            191,
            {"card": 9},
        ),
        # The same, and no card has counted them.
        (
            [
                set_on("stash2", packets={KEY: 291}, forwarded=forwarded(145, 146)),
                set_on("stash1", inputs={"udp-5514": 145}, pipelines={"main": PipelineCounts(145, 145, ())}),
                set_on("stash2", inputs={"udp-5514": 146}, pipelines={"main": PipelineCounts(146, 146, ())}),
            ],
            191,
            {"before_ipvs": 9},
        ),
        # IPVS had no node, and counted none of them.
        (
            [
                set_on("stash2", packets={KEY: 100}, forwarded={}),
                set_on("stash1", inputs={"udp-5514": 50}, pipelines={"main": PipelineCounts(50, 50, ())}),
                set_on("stash2", inputs={"udp-5514": 50}, pipelines={"main": PipelineCounts(50, 50, ())}),
            ],
            0,
            {"ipvs": 200},
        ),
        # An output is blocked: most wait in the socket, and the node has left the pool.
        (
            [
                set_on("stash2", forwarded={(*KEY, "10.77.0.12:5514"): 150}),
                BLOCKED,
            ],
            100,
            {"queue": 100},
        ),
        # The same before it has left the pool.
        (
            [
                BLOCKED,
            ],
            100,
            {"queue": 100},
        ),
        # A Logstash hangs, and so does its API.
        (
            [
                set_on(
                    "stash1",
                    inputs=None,
                    pipelines={},
                    sockets={("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 9999, 5)]},
                ),
            ],
            100,
            {"queue": 100},
        ),
        # It was killed, and counts from 0.
        (
            [
                set_on("stash2", forwarded={(*KEY, "10.77.0.12:5514"): 150}),
                set_on(
                    "stash1",
                    inputs={"udp-5514": 0},
                    pipelines={"main": PipelineCounts(0, 0, ())},
                    sockets={("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 0, 0)]},
                ),
            ],
            100,
            {"network": 100},
        ),
        (
            [set_on("stash1", inputs={"udp-5514": 130}, pipelines={"main": PipelineCounts(130, 130, ())})],
            180,
            {"network": 20},
        ),
        (
            [
                set_on(
                    "stash1",
                    inputs={"udp-5514": 130},
                    pipelines={"main": PipelineCounts(130, 130, ())},
                    sockets={("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 0, 25)]},
                )
            ],
            180,
            {"socket": 20},
        ),
        ([set_on("stash1", pipelines={"main": PipelineCounts(150, 110, ("file",))})], 160, {"queue": 40}),
        ([], 170, {"output": 30}),
    ],
)
def test_the_place_of_a_loss_is_found(
    cluster: Cluster, changes: list[Change], received: int, expected: dict[str, int]
) -> None:
    assert found(cluster, received, *changes) == expected


def step(rate: float, received: int, **values: Any) -> Step:
    return replace(Step(rate, round(rate * 5), 5.0, {"stash1": received}), **values)


def test_the_place_with_most_of_a_loss_is_named_and_the_first_of_equal_ones() -> None:
    assert step(100, 460, places={"socket": 30, "output": 10}).place == "socket"
    assert step(100, 460, places={"socket": 20, "card": 20}).place == "card"
    assert step(100, 500, places={}).place is None
    assert list(MENDS) == list(PLACES)


def test_a_ramp_doubles_up_to_the_highest_rate() -> None:
    assert rates(500, 3000) == [500, 1000, 2000, 3000]
    assert rates(500, 500) == [500]


def test_what_a_ramp_has_shown() -> None:
    keeps, behind, loses = step(500, 2500), step(1000, 5000, waiting={"stash1": 4096}), step(2000, 9000)
    whole = Capacity("loghost", "udp-5514", "10.77.0.10", (keeps, behind, loses))
    assert (whole.kept_up, whole.lossless, whole.end) == (keeps, behind, "loss")
    assert replace(whole, steps=(keeps, behind)).end == "most"
    late = step(1000, 5000, seconds=8.0)
    assert replace(whole, steps=(keeps, late)).end == "sender"


def test_only_an_input_whose_events_can_be_counted_is_measured(tmp_path: Path) -> None:
    inputs = [{"id": "tcp", "port": 5600, "protocol": "tcp"}, {"id": "udp", "port": 5514}]
    cluster = make_cluster(tmp_path, inputs=inputs)
    assert _target(cluster, None).server.input_id == _target(cluster, "udp").server.input_id == "udp"
    with pytest.raises(
        ClusterError, match="tcp can't be measured: only an input that takes lines of text by UDP"
    ):
        _target(cluster, "tcp")


@pytest.mark.parametrize(
    ("most", "seconds", "words"),
    [
        (400, 5, "--most: 400 is out of range"),
        (1e6, 5, "--most: 1e"),
        (1000, 0, "--seconds: 0 is"),
        (1000, 999, "--seconds: 999"),
    ],
)
def test_a_ramp_has_bounds(most: float, seconds: float, words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        prepare(INVENTORY, None, None, most, seconds)


def plan(cluster: Cluster) -> Plan:
    sender = cast(Any, SimpleNamespace(name="loghost"))
    return Plan(cluster, _target(cluster, None), "stash2", sender, {}, rates(500, 4000), 5)


def test_a_ramp_ends_with_the_first_loss(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([step(500, 2500), step(1000, 4000), step(2000, 0)])
    monkeypatch.setattr(run, "_count", lambda plan, settling: moment(0))
    monkeypatch.setattr(run, "_step", lambda plan, rate, before: (next(made), before))
    shown: list[Step] = []
    assert [each.rate for each in run.ramp(plan(cluster), shown.append).steps] == [500, 1000]
    assert len(shown) == 2


def test_a_ramp_ends_where_the_sender_can_not_keep_pace(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter([step(500, 2500, seconds=9.0), step(1000, 5000)])
    monkeypatch.setattr(run, "_count", lambda plan, settling: moment(0))
    monkeypatch.setattr(run, "_step", lambda plan, rate, before: (next(made), before))
    assert run.ramp(plan(cluster), lambda step: None).end == "sender"


def locally(host: object, command: str, timeout: int) -> list[str]:
    """In the place of a command on a node: on this machine, which has none of the cluster's."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=timeout, check=True)
    return done.stdout.splitlines()


def test_one_rate_is_sent_and_counted(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program for nodes really runs, and counts nothing here; of 50 events 3 do not arrive."""
    written = {
        "stash1": [(0, number) for number in range(1, 26)],
        "stash2": [(0, number) for number in range(26, 48)],
    }

    def read(host: Any, fact: type, **arguments: Any) -> Any:
        return {} if fact is FileEnds else written[host.name]

    made = replace(
        plan(cluster), hosts={node: cast(Any, SimpleNamespace(name=node.name)) for node in cluster.nodes}
    )
    monkeypatch.setattr(run, "run", locally)
    monkeypatch.setattr(run, "read", read)
    monkeypatch.setattr(run, "SETTLING", 0)
    monkeypatch.setattr(run, "wait_for_events", lambda collect, enough: collect())
    monkeypatch.setattr(run, "send_events", lambda *_: {0: Sent(sent=50, seconds=5.0)})
    found, after = run._step(made, 10, run._count(made, 0))
    assert (found.sent, found.lost, found.received) == (50, 3, {"stash1": 25, "stash2": 22})
    assert found.places["ipvs"] == 50
    assert found.waiting == {"stash1": 0, "stash2": 0}
    assert set(after.counters) == {"stash1", "stash2"}


def test_a_node_that_can_not_be_counted_on_ends_it(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(host: object, command: str, timeout: int) -> list[str]:
        raise CommandFailed(["no Python there"])

    made = replace(plan(cluster), hosts={cluster.nodes[0]: cast(Any, SimpleNamespace(name="stash1"))})
    monkeypatch.setattr(run, "run", fails)
    with pytest.raises(ClusterError, match="stash1: could not be counted on \\(no Python there\\)"):
        run._count(made, 0)


def test_what_is_sent_is_ended_where_it_is_interrupted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "send_events", interrupted)
    monkeypatch.setattr(run, "stop_sending", lambda sender, name: ended.append(name))
    with pytest.raises(KeyboardInterrupt):
        run._step(plan(cluster), 500, moment(0))
    assert len(ended) == 1


@pytest.fixture
def measured(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command with a plan and a result; what was done is noted."""
    done: list[str] = []
    lost = step(1000, 4000, places={"socket": 1000})
    capacity = Capacity("loghost", "udp-5514", "10.77.0.10", (step(500, 2500), lost))
    monkeypatch.setattr(command, "prepare", lambda *_: plan(cluster))

    def ramp(*_: object) -> Capacity:
        done.append("sent")
        return capacity

    monkeypatch.setattr(command, "ramp", ramp)
    return done


def test_nothing_is_sent_without_a_yes(
    measured: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda text: "n")
    assert command.main([]) == 2
    assert not measured
    assert "up to 37500 lines of text in your pipeline" in capsys.readouterr().out.replace("\n", " ")


def test_it_says_where_it_was_lost_and_what_to_do(
    measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--yes"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert measured == ["sent"]
    assert "none lost at 500 events a second" in text
    assert "first lost at 1000 events a second: 1000 of 5000" in text
    assert "the nodes' sockets, whose buffer was full" in text


def test_its_json(measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--yes", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["version"], document["ok"], document["end"], document["place"]) == (
        1,
        False,
        "loss",
        "socket",
    )
    assert document["lossless"] == 500
    assert document["do"].startswith("a larger buffer holds longer bursts (`events_per_second`: 1000 came)")
    with pytest.raises(SystemExit):
        command.main(["--json"])
