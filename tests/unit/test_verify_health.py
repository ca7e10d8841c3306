"""The verdict on the inputs' health, as the nodes see each other."""

from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from tests.unit.observations import (
    SHAPES,
    Fault,
    all_well,
    assert_reported_once,
    change,
    fail_check,
    pop_real,
    real,
    shaped,
    status,
    stop,
)
from verification.judge import judge
from verification.report import Status

FAULTS: dict[str, Fault] = {
    "script missing": (
        {"health": lambda it: it.update(missing="user keepalived_script", checks=[])},
        "health",
        "no script",
        "user keepalived_script is missing",
        "deploy",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_on_one_node_is_reported_once(cluster: Cluster, name: str) -> None:
    assert_reported_once(cluster, FAULTS[name])


def test_a_stopped_logstash_is_reported_with_its_input_and_not_with_the_pools(cluster: Cluster) -> None:
    """The cause and the input that is down are told; that it is out of the pools follows, and is not."""
    observations = {
        name: change(seen, health=fail_check("10.77.0.11"), virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    observations["stash1"] = change(observations["stash1"], services=stop("logstash"))
    report = judge(cluster, observations)
    assert not report.ok
    assert [(problem.check, problem.node) for problem in report.problems] == [
        ("logstash", "stash1"),
        ("health", "stash1"),
    ]
    assert report.problems[1].what == "udp-5514 is down: connection refused: stopped?"
    assert report.problems[1].do == "start Logstash, as above"
    assert report.vips["10.77.0.10"].pool == {"udp-5514": ("stash2",)}
    assert status(report, "health", "stash2") == (Status.WRONG, "1 of 2")
    assert status(report, "ipvs", "stash2") == (Status.WRONG, "1 of 2")


def test_an_input_that_is_down_though_logstash_runs_points_to_its_log(cluster: Cluster) -> None:
    observations = {
        name: change(seen, health=fail_check("10.77.0.11"), virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    (problem,) = judge(cluster, observations).problems
    assert "logstash-plain.log" in problem.do


def test_an_input_that_is_down_for_one_node_only_points_to_the_way_there(cluster: Cluster) -> None:
    """Then it is the way there that is at fault."""
    observations = all_well(cluster)
    observations["stash2"] = change(
        observations["stash2"], health=fail_check("10.77.0.11"), virtual_servers=pop_real(0)
    )
    (problem,) = judge(cluster, observations).problems
    assert problem.node == "stash1"
    assert problem.what.startswith("udp-5514 is down, as stash2 sees it: connection refused")
    assert "can stash2 reach 10.77.0.11:9600?" in problem.do


def test_a_script_without_a_verdict_is_reported_with_its_last_words(cluster: Cluster) -> None:
    def function(health: Any) -> None:
        health["checks"][0].update(state="down", reason="script_failed", message="it says nothing")

    observations = {
        name: change(seen, health=function, virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    (problem,) = judge(cluster, observations).problems
    assert problem.what == "udp-5514 is down: it says nothing"
    assert problem.reason == "script_failed"


SLOW = "its queue is full, though events leave it"


@pytest.mark.parametrize("weight", [300, 150])
def test_a_slow_node_is_reported_once_and_may_weigh_less(tmp_path: Path, weight: int) -> None:
    cluster = shaped(tmp_path, **SHAPES["weights"])
    observations = all_well(cluster)
    for name, seen in observations.items():
        assert seen.health
        for check in seen.health["checks"]:
            if check["address"] == "10.77.0.11":
                check["state"], check["reason"], check["message"] = "slow", "queue_full", SLOW
        observations[name] = change(seen, virtual_servers=real(0, weight=weight))
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.node, problem.what) == (Status.WARNING, "stash1", f"a is slow: {SLOW}")
    (row,) = (row for row in report.rows if row.check == "health")
    assert {(cell.status, cell.text) for cell in row.cells.values()} == {(Status.WARNING, "2 of 2")}


@pytest.mark.parametrize(("weight", "ok"), [(300, True), (42, True), (3, True), (0, False), (301, False)])
def test_a_node_that_comes_back_slowly_is_reported_once_and_may_weigh_less(
    tmp_path: Path, weight: int, ok: bool
) -> None:
    """Each director has a share of its own for it."""
    cluster = shaped(tmp_path, **SHAPES["weights"])
    message = "coming back at 14 % of its weight, until its Logstash is warm"
    observations = all_well(cluster)
    for name, seen in observations.items():
        assert seen.health
        for check in seen.health["checks"]:
            if check["address"] == "10.77.0.11":
                check["reason"], check["message"] = "slow_start", message
        observations[name] = change(seen, virtual_servers=real(0, weight=weight))
    report = judge(cluster, observations)
    assert report.ok is ok
    found = [problem for problem in report.problems if problem.check == "health"]
    assert [(problem.status, problem.node, problem.what, problem.reason) for problem in found] == [
        (Status.WARNING, "stash1", f"a is {message}", "slow_start")
    ]


def test_a_drained_node_is_reported_once(cluster: Cluster) -> None:
    """It is told once, whatever its inputs, and nothing else is blamed."""

    def drain(health: Any) -> None:
        for check in health["checks"]:
            if check["address"] == "10.77.0.11":
                check.update(state="drained", reason="drained", message="drained, to be restarted or stopped")

    observations = {
        name: change(seen, health=drain, virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.check, problem.node) == (Status.WARNING, "health", "stash1")
    assert problem.what == "is drained, to be restarted or stopped: it gets no events"
    assert problem.reason == "drained"
    assert problem.do.endswith("or `rm /etc/keepalived/drained/10.77.0.11` on stash1 and stash2")
    assert status(report, "health", "stash2") == (Status.WARNING, "1 of 2")
    assert status(report, "ipvs", "stash2") == (Status.WARNING, "1 of 2")
    assert report.vips["10.77.0.10"].pool == {"udp-5514": ("stash2",)}


def test_a_port_that_one_node_alone_finds_closed_is_named(cluster: Cluster) -> None:
    def refuse(health: Any) -> None:
        health["checks"][0].update(
            state="down", reason="nobody_listens", message="nobody listens at its port"
        )

    observations = all_well(cluster)
    observations["stash2"] = change(observations["stash2"], health=refuse, virtual_servers=pop_real(0))
    (problem,) = judge(cluster, observations).problems
    assert "can stash2 reach UDP 10.77.0.11:5514?" in problem.do


def test_a_firewall_that_rejects_probes_is_a_warning(cluster: Cluster) -> None:

    def reject(health: Any) -> None:
        health["checks"][1].update(reason="probe_refused", message="though a probe of its port is refused")

    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], health=reject)
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.node, problem.reason) == (Status.WARNING, "stash2", "probe_refused")
    assert problem.what == "udp-5514 is up, but a firewall rejects what stash1 sends to its port"
    assert problem.do.startswith("let stash1 reach UDP 10.77.0.12:5514, and UDP and TCP port 9600: ")
    assert status(report, "health", "stash1") == (Status.WARNING, "2 of 2")
    assert status(report, "health", "stash2") == (Status.OK, "2 of 2")
