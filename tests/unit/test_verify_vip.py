"""The verdict on who holds each VIP."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from tests.unit.clusters import make_cluster
from tests.unit.observations import SHAPES, all_well, change, hold, shaped, status, stop
from verification.judge import judge
from verification.observe import Observation
from verification.report import Status, VipReport


def test_a_split_brain_is_reported_for_the_cluster(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], held={"10.77.0.10": ["eth0"]})
    report = judge(cluster, observations)
    assert not report.ok
    assert report.vips["10.77.0.10"] == VipReport(("stash1", "stash2"), {"udp-5514": ()})
    (problem,) = report.problems
    assert problem.node is None
    assert "stash1 and stash2 all hold 10.77.0.10" in problem.what
    assert "Where it was put there by hand: `ip addr del 10.77.0.10/32 dev eth0` there" in problem.do
    assert status(report, "vip", "stash1") == (Status.WRONG, "holds it")


def test_a_vip_that_no_node_holds_is_reported(cluster: Cluster) -> None:
    observations = {name: replace(seen, held={"10.77.0.10": []}) for name, seen in all_well(cluster).items()}
    report = judge(cluster, observations)
    (problem,) = report.problems
    assert not report.ok
    assert report.vips["10.77.0.10"].holders == ()
    assert problem.what == "no node holds 10.77.0.10: all events are lost"


def test_a_vip_on_the_wrong_interface_is_reported(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash2"] = replace(observations["stash2"], held={"10.77.0.10": ["eth1", "eth0"]})
    (problem,) = judge(cluster, observations).problems
    assert problem.node == "stash2"
    assert "holds 10.77.0.10 on eth1 and eth0, not on eth0 alone" in problem.what
    assert problem.do == "take it away there: `ip addr del 10.77.0.10/32 dev eth1`; keepalived adds it"


def test_a_vip_whose_holder_is_unreachable_is_held_by_no_node_that_was_seen(cluster: Cluster) -> None:
    observations = {**all_well(cluster), "stash2": Observation(unreachable="no route")}
    report = judge(cluster, observations)
    assert report.problems[-1].what == "no node that could be looked at holds 10.77.0.10: all events are lost"


def test_several_vips_are_shared_out(tmp_path: Path) -> None:
    """One that is not where it belongs is a warning; and none, where the node that it prefers is down."""
    cluster = shaped(tmp_path, **SHAPES["a VIP for each node"])
    observations = all_well(cluster)
    report = judge(cluster, observations)
    assert {vip: each.holders for vip, each in report.vips.items()} == {
        "10.77.0.10": ("stash1",),
        "10.77.0.20": ("stash2",),
    }
    hold(observations, "10.77.0.10", "stash2")
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.check, problem.node) == (Status.WARNING, "vip", "stash1")
    assert problem.what == "stash2 holds 10.77.0.10, which stash1 should take while it is up"
    observations["stash1"] = change(observations["stash1"], services=stop("keepalived"))
    assert [problem.check for problem in judge(cluster, observations).problems] == ["keepalived"]


@pytest.mark.parametrize(("settings", "warned"), [({}, True), ({"preempt": False}, False)])
def test_priorities_decide_who_should_hold_the_vip(
    tmp_path: Path, settings: dict[str, Any], warned: bool
) -> None:
    """Not where nodes do not preempt."""
    nodes = [
        {"name": f"stash{n}", "address": f"10.77.0.{10 + n}", "priority": priority}
        for n, priority in ((1, 150), (2, 100))
    ]
    cluster = Cluster.model_validate(
        {**make_cluster(tmp_path).model_dump(mode="json", by_alias=True), "nodes": nodes, **settings}
    )
    observations = all_well(cluster)
    hold(observations, "10.77.0.10", "stash2")
    report = judge(cluster, observations)
    assert report.ok
    assert [problem.status for problem in report.problems] == [Status.WARNING] * warned


def test_a_split_brain_of_one_vip_of_two_is_reported_for_that_vip(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["a VIP for each node"])
    observations = all_well(cluster)
    hold(observations, "10.77.0.20", "stash1", "stash2")
    (problem,) = judge(cluster, observations).problems
    assert problem.what.startswith("stash1 and stash2 all hold 10.77.0.20:")
    hold(observations, "10.77.0.20")
    assert [problem.what for problem in judge(cluster, observations).problems] == [
        "no node holds 10.77.0.20: all events are lost"
    ]


def test_both_families_belong_on_one_node(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, families=(4, 6))
    observations = all_well(cluster)
    hold(observations, "fd00:77::10", "stash1")
    report = judge(cluster, observations)
    assert not report.ok
    (problem,) = report.problems
    assert problem.what == (
        "10.77.0.10 is on stash2 and fd00:77::10 is on stash1: the pair belongs on one node"
    )


def test_the_vip_is_on_loopback_with_direct_routing_only(tmp_path: Path) -> None:
    """With direct routing it must be there, else it must not."""
    for name, missing in (("direct routing", True), ("recipe", False)):
        cluster = shaped(tmp_path, **SHAPES[name])
        observations = all_well(cluster)
        loopback = ["127.0.0.1"] if missing else ["127.0.0.1", "10.77.0.10"]
        observations["stash1"] = replace(observations["stash1"], loopback=loopback)
        report = judge(cluster, observations)
        assert not report.ok
        (problem,) = report.problems
        assert (problem.check, problem.node) == ("vip", "stash1")
        assert ("lacks 10.77.0.10 on lo" if missing else "has 10.77.0.10 on lo") in problem.what
