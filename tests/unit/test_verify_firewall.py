"""The verdict on the firewall's rules."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from desired import firewalld
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


def test_a_firewalld_that_fell_back_to_its_stock_rules_is_reported(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], firewall=lambda it: it.update(state="FAILED"))
    (problem,) = judge(cluster, observations).problems
    assert (problem.check, problem.node, problem.status) == ("firewall", "stash1", Status.WRONG)
    assert "has fallen back to its stock rules; keepalived waits" in problem.what
    assert "journalctl -u firewalld" in problem.do


TCP: dict[str, Any] = {"inputs": [{"id": "tcp-6514", "port": 6514, "protocol": "tcp"}]}


@pytest.mark.parametrize(
    ("table", "text", "what"),
    [
        (
            [],
            "7 of 8",
            "nftables' table logstash_ha lacks: ip postrouting ip daddr 10.77.0.12 tcp dport 6514",
        ),
        (["ip postrouting x"], "8 of 8", "still has, from an earlier deploy: ip postrouting x"),
        (None, "?", "the table of our own could not be read"),
    ],
)
def test_the_table_of_our_own_is_judged_with_the_rules(
    tmp_path: Path, table: list[str] | None, text: str, what: str
) -> None:
    cluster = shaped(tmp_path, **TCP)
    observations = all_well(cluster)
    assert judge(cluster, observations).ok
    own = observations["stash1"].table or []
    changed = [*own, *table] if table else table
    observations["stash1"] = replace(observations["stash1"], table=changed)
    report = judge(cluster, observations)
    (problem,) = report.problems
    assert (problem.check, problem.node) == ("firewall", "stash1")
    assert what in problem.what
    assert status(report, "firewall", "stash1")[1] == text


def test_direct_rules_are_judged_where_they_translate(tmp_path: Path) -> None:
    """The other node has a table: its unit is not needed here."""
    cluster = shaped(tmp_path, **TCP)
    observations = all_well(cluster)
    rules = firewalld.desired_rules(cluster, cluster.nodes[0], own_table=False)
    seen = observations["stash1"].firewall
    assert seen
    observations["stash1"] = replace(
        observations["stash1"],
        own_table=False,
        table=None,
        firewall={**seen, "runtime": rules, "permanent": rules},
    )
    report = judge(cluster, observations)
    assert report.ok
    assert status(report, "logstash-ha-nftables", "stash1") == (Status.OK, "not needed")
    assert status(report, "logstash-ha-nftables", "stash2") == (Status.OK, "running")


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


def bind(target: str, *sources: str) -> Any:
    """For `firewall`: these sources are bound to the zone `internal`, which has none of the rules."""
    zone = {"target": target, "sources": list(sources), "runtime": [], "permanent": []}
    return lambda it: it["source_zones"].update(internal=zone)


@pytest.mark.parametrize(
    ("target", "source", "text", "what", "do"),
    [
        ("default", "10.77.0.12", "8 of 12", "zone internal lacks, now and after a reload: rule ", "deploy"),
        ("default", "52:54:00:00:00:01", "8 of 16", "zone internal lacks, now and after a reload: rule ", "deploy"),
        ("DROP", "10.77.0.0/26", "denied", "10.77.0.11 is bound to firewalld's zone internal, which denies all", "--remove-source=10.77.0.0/26"),
        ("%%REJECT%%", "10.77.0.101", "denied", "10.77.0.101 is bound to firewalld's zone internal", "--permanent --zone=internal"),
    ],
)  # fmt: skip
def test_sources_of_other_zones_are_judged_where_they_come_in(
    cluster: Cluster, target: str, source: str, text: str, what: str, do: str
) -> None:
    assert_reported_once(cluster, ({"firewall": bind(target, source)}, "firewall", text, what, do))


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("ACCEPT", "10.77.0.0/24"),
        ("DROP", "ipset:blocked"),
        ("DROP", "10.77.1.0/24"),
        ("default", "10.77.1.0/24"),
    ],
)
def test_other_zones_that_harm_nothing_are_not_reported(cluster: Cluster, target: str, source: str) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], firewall=bind(target, source))
    assert judge(cluster, observations).problems == ()


SET = "logstash-ha-ipv4"


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (lambda it: it["sets"][SET].update(runtime=None), f"firewalld has no ipset {SET} now"),
        (lambda it: it["sets"].clear(), f"firewalld has no ipset {SET} now"),
        (lambda it: it["sets"][SET].update(permanent=None), f"firewalld has no ipset {SET} after a reload"),
        (lambda it: it["sets"][SET]["runtime"].pop(), f"ipset {SET} lacks, now: 198.51.100.16"),
        (lambda it: it["sets"][SET]["permanent"].pop(), f"ipset {SET} lacks, after a reload: 198.51.100.16"),
        (lambda it: it["sets"][SET]["runtime"].append("192.0.2.1"), f"ipset {SET} still has 192.0.2.1"),
    ],
)
def test_an_ipset_of_senders_is_judged_by_its_entries(tmp_path: Path, fault: Any, what: str) -> None:
    cluster = shaped(tmp_path, senders=[f"198.51.100.{number}" for number in range(17)])
    assert_reported_once(cluster, ({"firewall": fault}, "firewall", "8 of 8", what, "deploy"))
