"""The verdict on the firewall's rules."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster import Cluster
from tests.unit.observations import Fault, all_well, assert_reported_once, change, shaped, status, stop
from verification.judge import judge
from verification.report import Status

FAULTS: dict[str, Fault] = {
    "rule missing": (
        {"firewall": lambda it: (it["runtime"].pop(0), it["permanent"].pop(0))},
        "firewall",
        "7 of 8",
        'now and after a reload: rule family="ipv4" source address="10.77.0.11" protocol value="vrrp" accept',
        "deploy",
    ),
    "rules missing now": (
        {"firewall": lambda it: it["runtime"].clear()},
        "firewall",
        "0 of 8",
        "and 7 more",
        "deploy",
    ),
    "rule missing after a reload": (
        {"firewall": lambda it: it["permanent"].pop()},
        "firewall",
        "7 of 8",
        "lacks, after a reload:",
        "deploy",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_on_one_node_is_reported_once(cluster: Cluster, name: str) -> None:
    assert_reported_once(cluster, FAULTS[name])


def test_a_stopped_firewalld_is_reported_and_not_its_rules(cluster: Cluster) -> None:
    """Its rules go with it, and are not blamed."""
    observations = all_well(cluster)
    stopped = change(observations["stash1"], services=stop("firewalld"))
    report = judge(cluster, {**observations, "stash1": replace(stopped, firewall=None)})
    assert [(problem.check, problem.node) for problem in report.problems] == [("firewalld", "stash1")]
    assert status(report, "firewall", "stash1") == (Status.WRONG, "none")


def test_no_firewalld_is_the_users_choice(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, firewall="none")
    report = judge(cluster, all_well(cluster))
    assert status(report, "firewall", "stash1") == (Status.OK, "yours")
    assert "firewalld" not in {row.check for row in report.rows}


OTHERS = 'rule family="ipv4" source address="192.0.2.1" accept'


DENY = 'rule family="ipv4" source address="192.0.2.1" drop'


@pytest.mark.parametrize(
    ("rule", "recorded", "verdict", "what"),
    [
        (OTHERS, False, None, ""),
        (DENY, False, Status.WARNING, f"others' rules in zone public may keep events out: {DENY}"),
        (OTHERS, True, Status.WRONG, f"zone public still has, from an earlier deploy: {OTHERS}"),
    ],
)
def test_rules_that_are_not_desired_are_judged_by_who_made_them(
    cluster: Cluster, rule: str, recorded: bool, verdict: Status | None, what: str
) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"],
        firewall=lambda it: it["permanent"].append(rule),
        record=lambda it: it["rich"].append(f"public {rule}") if recorded else None,
    )
    report = judge(cluster, observations)
    assert [(problem.status, problem.what) for problem in report.problems] == (
        [(verdict, what)] if verdict else []
    )
