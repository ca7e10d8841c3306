"""The verdict on a cluster as a whole, from what was seen on its nodes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from desired import sysctl
from tests.unit.clusters import make_cluster
from tests.unit.observations import (
    SHAPES,
    SYSLOG,
    all_well,
    change,
    fail_check,
    hold,
    pop_real,
    shaped,
    shown,
    status,
    stop,
)
from verification.judge import judge
from verification.observe import Observation
from verification.report import Report, Status, VipReport


def test_a_cluster_that_is_well_has_no_problems(cluster: Cluster) -> None:
    report = judge(cluster, all_well(cluster))
    assert report.ok
    assert report.problems == ()
    assert report.vips == {
        "10.77.0.10": VipReport(("stash2",), {"udp-5514": ("stash1", "stash2")}),
    }
    assert {cell.status for row in report.rows for cell in row.cells.values()} == {Status.OK}
    assert status(report, "vip", "stash2") == (Status.OK, "holds it")
    assert status(report, "ipvs", "stash1") == (Status.OK, "2 of 2")
    assert status(report, "selinux", "stash1") == (Status.OK, "enforcing")


@pytest.mark.parametrize(
    ("part", "checks"),
    [
        (
            "services",
            [
                "logstash-ha-health",
                "logstash",
                "logstash-ha-leave",
                "keepalived",
                "logstash-ha-firewall",
                "firewalld",
            ],
        ),
        ("sysctl", ["sysctl"]),
        ("selinux", ["selinux"]),
        ("firewall", ["firewall"]),
        ("health", ["health"]),
        ("held", ["vip"]),
        ("loopback", ["vip"]),
    ],
)
def test_what_could_not_be_read_is_no_success(cluster: Cluster, part: str, checks: list[str]) -> None:
    observations = all_well(cluster)
    nothing: dict[str, Any] = {part: None}
    observations["stash1"] = replace(observations["stash1"], **nothing)
    report = judge(cluster, observations)
    assert not report.ok
    assert [(problem.check, problem.node, problem.status) for problem in report.problems] == [
        (check, "stash1", Status.UNKNOWN) for check in checks
    ]
    assert all(status(report, check, "stash1") == (Status.UNKNOWN, "?") for check in checks)


def test_only_what_mends_itself_may_settle(cluster: Cluster) -> None:
    """Only what keepalived repairs by itself, or a slow answer causes: not with another cause beside it."""
    observations = all_well(cluster)
    assert not judge(cluster, observations).may_settle
    observations["stash1"] = change(observations["stash1"], virtual_servers=pop_real(0))
    assert judge(cluster, observations).may_settle
    observations["stash2"] = replace(observations["stash2"], held={"10.77.0.10": []})
    assert judge(cluster, observations).may_settle
    observations["stash1"] = replace(observations["stash1"], heartbeat=60)
    assert judge(cluster, observations).may_settle
    frozen = change(
        observations["stash2"], conditions=lambda it: it["logstash-ha-health"].update(frozen=True)
    )
    assert not judge(cluster, {**observations, "stash2": frozen}).may_settle
    observations["stash2"] = change(observations["stash2"], services=stop("logstash"))
    assert not judge(cluster, observations).may_settle


def test_an_unreachable_node_is_one_problem_and_the_rest_of_it_is_unknown(cluster: Cluster) -> None:
    """It has its own row and problem; the rest of it is unknown, and nobody else is blamed for it."""
    observations = {**all_well(cluster), "stash1": Observation(unreachable="Could not connect (timed out)")}
    report = judge(cluster, observations)
    assert not report.ok
    (problem,) = report.problems
    assert (problem.check, problem.node) == ("ssh", "stash1")
    assert "Could not connect (timed out)" in problem.what
    assert status(report, "ssh", "stash1") == (Status.WRONG, "no")
    assert status(report, "logstash", "stash1") == (Status.UNKNOWN, "?")
    assert status(report, "health", "stash2") == (Status.OK, "2 of 2")


@pytest.mark.parametrize(
    ("said", "do"),
    [
        ("sudo: 1 incorrect password attempt", "type the password that it has on stash1, or correct "),
        ("sudo: a password is required", "run this on a terminal, which asks for the password, or give "),
        ("", "is it up, and does `ssh` with sudo work from here?"),
    ],
)
def test_a_node_without_sudo_comes_with_what_to_do(cluster: Cluster, said: str, do: str) -> None:
    report = judge(
        cluster,
        {
            **all_well(cluster),
            "stash1": Observation(unreachable=f"no sudo ({said or 'no answer'})", no_sudo=said),
        },
    )
    assert report.problems[0].do.startswith(do)


def test_an_unreachable_nodes_dead_input_is_reported_as_what_follows(cluster: Cluster) -> None:
    """The others' checks fail, which follows."""
    observations = {
        name: change(seen, health=fail_check("10.77.0.11"), virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, {**observations, "stash1": Observation(unreachable="no route")})
    assert [(problem.check, problem.node) for problem in report.problems] == [
        ("ssh", "stash1"),
        ("health", "stash1"),
    ]
    assert report.problems[1].do == "get that machine back, as above"


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_can_be_well(tmp_path: Path, name: str) -> None:
    cluster = shaped(tmp_path, **SHAPES[name])
    report = judge(cluster, all_well(cluster))
    assert report.problems == ()
    assert report.ok
    assert {cell.status for row in report.rows for cell in row.cells.values()} == {Status.OK}
    assert all(len(vip_report.holders) == 1 for vip_report in report.vips.values())


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_can_be_empty(tmp_path: Path, name: str) -> None:
    """Nodes on which nothing was ever done: everything is wrong, and nothing breaks."""
    cluster = shaped(tmp_path, **SHAPES[name])
    fresh = Observation(
        el=9,
        services={},
        units={},
        sysctl={"runtime": dict.fromkeys(sysctl.kernel_settings(cluster, cluster.nodes[0]), ""), "lines": []},
        selinux={"mode": "Enforcing", "boot": "", "denied": []},
        record={},
        health={"missing": "user keepalived_script", "checks": []},
        held={str(vip): [] for vip in cluster.vips},
        loopback=[],
    )
    report = judge(cluster, dict.fromkeys((node.name for node in cluster.nodes), fresh))
    assert not report.ok
    good = [row.check for row in report.rows if Status.OK in {cell.status for cell in row.cells.values()}]
    assert set(good) <= {"ssh", "vip", "selinux"} | ({"firewall"} if name == "no firewalld" else set())
    assert shown(report)


def rows(report: Report) -> list[tuple[str, str | None, str | None]]:
    return [(row.check, row.input, row.vip) for row in report.rows]


def test_there_is_a_row_for_each_input_and_vip(tmp_path: Path) -> None:
    """Health by input id; IPVS by input id and VIP, TCP and IPv6 too."""
    cluster = shaped(tmp_path, families=(4, 6), inputs=[SYSLOG])
    assert rows(judge(cluster, all_well(cluster)))[-8:] == [
        ("health", "syslog-udp", None),
        ("health", "syslog-tcp", None),
        ("ipvs", "syslog-udp", "10.77.0.10"),
        ("ipvs", "syslog-udp", "fd00:77::10"),
        ("ipvs", "syslog-tcp", "10.77.0.10"),
        ("ipvs", "syslog-tcp", "fd00:77::10"),
        ("vip", None, "10.77.0.10"),
        ("vip", None, "fd00:77::10"),
    ]


def test_warnings_of_the_model_are_problems_of_the_cluster(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, inputs=[{"id": "flows", "port": 2055}])
    report = judge(cluster, all_well(cluster))
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.check, problem.node) == (Status.WARNING, "inventory", None)
    assert problem.what.startswith("inputs.0.scheduler: flows looks like NetFlow")
    assert problem.do == "choose 'sh' or 'mh', so that a sender sticks to its node"
    assert "ALL GOOD, 1 thing to look at" in " ".join(shown(report, width=200).split())


LEFT_OUT = Observation(left_out=True)


def test_a_node_that_was_left_out_is_not_judged(cluster: Cluster) -> None:
    """It has no cell; that its input is down, and that it holds the VIP, nobody can say."""
    observations = {
        name: change(seen, health=fail_check("10.77.0.12"), virtual_servers=pop_real(1))
        for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, {**observations, "stash2": LEFT_OUT})
    assert report.ok
    assert report.problems == ()
    assert report.left_out == ("stash2",)
    assert report.vips["10.77.0.10"] == VipReport((), {"udp-5514": ()})
    assert all(list(row.cells) == ["stash1"] for row in report.rows)
    assert status(report, "health", "stash1") == (Status.WARNING, "1 of 2")
    assert status(report, "ipvs", "stash1") == (Status.WARNING, "1 of 2")
    assert status(report, "logstash", "stash1") == (Status.OK, "running")


def test_what_is_wrong_beside_a_node_that_was_left_out_is_wrong(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], services=stop("logstash"))
    report = judge(cluster, {**observations, "stash2": LEFT_OUT})
    assert not report.ok
    assert [(problem.check, problem.node) for problem in report.problems] == [("logstash", "stash1")]
    assert status(report, "logstash", "stash1") == (Status.WRONG, "stopped")


def test_what_two_nodes_show_is_wrong_though_a_third_was_left_out(tmp_path: Path) -> None:
    """Two of them hold the VIP, which needs no third one to be seen."""
    cluster = make_cluster(tmp_path, 3)
    observations = all_well(cluster)
    hold(observations, "10.77.0.10", "stash1", "stash2")
    report = judge(cluster, {**observations, "stash3": LEFT_OUT})
    (problem,) = report.problems
    assert problem.what.startswith("stash1 and stash2 all hold 10.77.0.10:")
    assert not report.ok


def test_a_vip_that_two_nodes_do_not_hold_may_be_on_the_one_that_was_left_out(tmp_path: Path) -> None:
    """Of two VIPs, the other one is judged all the same."""
    cluster = make_cluster(tmp_path, 3, vip=["10.77.0.10", "10.77.0.20"])
    observations = all_well(cluster)
    hold(observations, "10.77.0.10", "stash1", "stash2")
    hold(observations, "10.77.0.20")
    report = judge(cluster, {**observations, "stash3": LEFT_OUT})
    assert [problem.node for problem in report.problems] == [None]
    assert report.problems[0].what.startswith("stash1 and stash2 all hold 10.77.0.10:")
