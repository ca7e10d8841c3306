"""What is counted of the events of a test, and what is said about it."""

from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from tests.unit.clusters import make_cluster
from tests.unit.events import GOOD, SOURCE, Numbers, judged, one_input, own_pipeline
from verification.delivery import choose_targets
from verification.events import Sent
from verification.report import InputDelivery, Status


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path, inputs=[{"id": "a", "port": 5514}, {"id": "b", "port": 5515}])


@pytest.fixture
def own(tmp_path: Path) -> Cluster:
    return own_pipeline(tmp_path)


def test_events_that_all_came_once_are_no_problem(cluster: Cluster) -> None:
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
def test_lost_and_duplicated_events_are_counted(
    cluster: Cluster, stash1: list[int], stash2: list[int], lost: int, duplicated: int
) -> None:
    delivery = judged(cluster, {0: {"stash1": stash1, "stash2": stash2}, 1: GOOD})
    assert not delivery.ok
    assert (delivery.inputs[0].lost, delivery.inputs[0].duplicated) == (lost, duplicated)
    assert len(delivery.problems) == (lost > 0) + (duplicated > 0)
    assert all(problem.what.startswith("a at 10.77.0.10: ") for problem in delivery.problems)
    assert (delivery.inputs[1].lost, delivery.inputs[1].duplicated) == (0, 0)


def test_a_users_own_pipeline_is_counted_by_the_api(own: Cluster) -> None:
    """All VIPs together, as one input takes them; others may send too."""
    assert [target.numbered for target in choose_targets(own, 4)] == [False, False, True, True]
    files: dict[int, Numbers] = {2: GOOD, 3: GOOD}
    delivery = judged(own, files, counts={"stash1": {"a": 5}, "stash2": {"a": 4, "b": 99}})
    assert delivery.ok
    result = delivery.inputs[0]
    assert (result.input, result.vips, result.counted) == ("a", ("10.77.0.10", "10.77.0.20"), "api")
    assert (result.sent, result.received) == (8, {"stash1": 5, "stash2": 4})
    assert (result.lost, result.duplicated) == (0, None)
    assert [delivered.vips for delivered in delivery.inputs[1:]] == [("10.77.0.10",), ("10.77.0.20",)]
    delivery = judged(own, files, counts={"stash1": {"a": 5}})
    assert not delivery.ok
    assert delivery.problems[0].what.startswith("a at 10.77.0.10 and 10.77.0.20: 3 of 8 events are lost")


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


def test_an_inputs_own_senders_decide_whether_a_loss_is_the_senders(tmp_path: Path) -> None:
    """An input's own list decides."""
    cluster = one_input(tmp_path, senders=["192.0.2.0/24"])
    assert "10.77.0.101 is not among its senders" in judged(cluster, {}).problems[0].what


def test_a_vip_that_the_sender_has_no_ipv6_for_is_not_tested(tmp_path: Path) -> None:
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
    assert [(problem.status, problem.what) for problem in delivery.problems] == [
        (Status.WARNING, "fd00:77::10 was not tested: sender has no IPv6 (network is unreachable)")
    ]
    delivery = judged(cluster, {1: GOOD}, {0: failed})
    assert not delivery.ok


FLOWS = {"protocol": "tcp"}


@pytest.mark.parametrize(
    ("sent", "do"),
    [
        (Sent(0, error="Connection refused", errno=111), "nobody listens"),
        (Sent(0, error="no answer within 5 s"), "drops"),
        (Sent(2, source=SOURCE, error="Broken pipe", errno=32), "did a node go down meanwhile?"),
    ],
)
def test_a_connection_that_breaks_is_reported_with_its_mend(tmp_path: Path, sent: Sent, do: str) -> None:
    delivery = judged(one_input(tmp_path, **FLOWS), {0: {"stash1": [1], "stash2": [2]}}, {0: sent})
    assert not delivery.ok
    (problem,) = delivery.problems
    assert problem.what == f"a at 10.77.0.10: {sent.error} after {sent.sent} events"
    assert do in problem.do


def test_a_node_that_could_not_be_read_is_reported_when_events_are_missing(cluster: Cluster) -> None:
    """It is told when events are missing, which may be there."""
    all_on_one: Numbers = {"stash1": [1]}
    delivery = judged(cluster, {0: all_on_one, 1: all_on_one}, pool=("stash1",), count=1, unread=("stash2",))
    assert delivery.ok
    assert delivery.problems == ()
    delivery = judged(cluster, {1: all_on_one}, pool=("stash1",), count=1, unread=("stash2",))
    assert not delivery.ok
    assert [(problem.node, problem.status) for problem in delivery.problems] == [
        (None, Status.WRONG),
        ("stash2", Status.UNKNOWN),
    ]
