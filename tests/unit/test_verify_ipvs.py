"""The verdict on IPVS: virtual servers, their real servers, and who gets events."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from facts.ipvs import VirtualServerState
from tests.unit.observations import (
    SHAPES,
    SYSLOG,
    Fault,
    all_well,
    assert_reported_once,
    change,
    fail_check,
    pop_real,
    real,
    shaped,
)
from verification.judge import judge
from verification.monitor import metrics
from verification.report import Status

OTHER = {"protocol": "TCP", "address": "10.77.0.10:80", "scheduler": "rr", "flags": [], "real_servers": []}


ELSEWHERE = {**OTHER, "address": "192.0.2.1:80"}


INTRUDER = {"address": "10.77.0.99:5514", "forward": "Masq", "weight": 1}


FAULTS: dict[str, Fault] = {
    "virtual server missing": (
        {"virtual_servers": lambda it: it.clear()},
        "ipvs",
        "none",
        "no virtual server UDP 10.77.0.10:5514",
        "journalctl -u keepalived",
    ),
    "scheduler": (
        {"virtual_servers": lambda it: it[0].update(scheduler="wlc")},
        "ipvs",
        "2 of 2",
        "its scheduler is wlc, not wrr",
        "deploy",
    ),
    "no ops": (
        {"virtual_servers": lambda it: it[0].update(flags=[])},
        "ipvs",
        "2 of 2",
        "its flags are none, not ops",
        "deploy",
    ),
    "not NAT": (
        {"virtual_servers": real(1, forward="Route")},
        "ipvs",
        "1 of 2",
        "10.77.0.12:5514 is Route with weight 100, not Masq with 100",
        "deploy",
    ),
    "weight 0": (
        {"virtual_servers": real(0, weight=0)},
        "ipvs",
        "1 of 2",
        "10.77.0.11:5514 is Masq with weight 0",
        "deploy",
    ),
    "a real server too many": (
        {"virtual_servers": lambda it: it[0]["real_servers"].append(INTRUDER)},
        "ipvs",
        "2 of 2",
        "10.77.0.99:5514 is a real server, but none of the cluster's",
        "deploy",
    ),
    "a healthy real server missing": (
        {"virtual_servers": pop_real(1)},
        "ipvs",
        "1 of 2",
        "stash2 is not in the pool, though its check passes",
        "verify again",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_on_one_node_is_reported_once(cluster: Cluster, name: str) -> None:
    assert_reported_once(cluster, FAULTS[name])


@pytest.mark.parametrize("name", ["scheduler", "no ops", "not NAT", "weight 0", "a real server too many"])
def test_what_was_changed_by_hand_is_mended_by_a_restart(cluster: Cluster, name: str) -> None:
    """A deploy does nothing where keepalived runs with its files, and a reload leaves IPVS as it is."""
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], **FAULTS[name][0])
    (problem,) = judge(cluster, observations).problems
    assert problem.do == "`systemctl restart keepalived`; if it comes back: run the deploy again"


def test_a_verdict_that_the_health_service_does_not_share_is_named(cluster: Cluster) -> None:
    """The file was written by hand: the service writes it anew when it starts. Where a poll has just failed, the service
    has not made up its mind yet."""
    path = "/run/keepalived-health/10.77.0.12/udp-5514"
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"], virtual_servers=pop_real(1), raised=lambda it: it.append(path)
    )
    (problem,) = judge(cluster, observations).problems
    assert problem.what.endswith(f"{path} says otherwise than the health service")
    assert problem.do == "`systemctl restart logstash-ha-health`, which writes it anew"
    observations["stash1"] = change(all_well(cluster)["stash1"], health=fail_check("10.77.0.12"))
    problems = judge(cluster, observations).problems
    assert all("says otherwise" not in problem.what for problem in problems)


def test_a_kernel_without_ipvs_is_reported(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], virtual_servers=None)
    (problem,) = judge(cluster, observations).problems
    assert "ip_vs is not loaded" in problem.what


def test_a_dead_input_that_is_still_in_the_pool_is_reported(cluster: Cluster) -> None:
    observations = {
        name: change(seen, health=fail_check("10.77.0.11")) for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, observations)
    assert [problem.check for problem in report.problems] == ["health", "ipvs", "ipvs"]
    assert "stash1 is in the pool, though its check fails" in report.problems[1].what


def test_the_last_node_stays_in_the_pool_though_no_check_passes(cluster: Cluster) -> None:
    """No check passes, and the health service leaves one node in."""

    def fail_both(health: Any) -> None:
        fail_check("10.77.0.11")(health)
        fail_check("10.77.0.12")(health)

    observations = {
        name: change(seen, health=fail_both, virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    problems = {problem.what for problem in judge(cluster, observations).problems if problem.check == "ipvs"}
    assert problems == {"udp-5514: no node's check passes; stash2 stays in the pool, as the last one"}


def test_unmanaged_virtual_servers_are_wrong_at_the_vip_only(cluster: Cluster) -> None:
    """At the VIP they are wrong; elsewhere they may be somebody's."""
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], virtual_servers=lambda it: it.append(ELSEWHERE))
    report = judge(cluster, observations)
    assert report.ok
    assert [(problem.status, problem.node) for problem in report.problems] == [(Status.WARNING, "stash1")]
    observations["stash2"] = change(observations["stash2"], virtual_servers=lambda it: it.append(OTHER))
    report = judge(cluster, observations)
    assert not report.ok
    assert [(problem.status, problem.node) for problem in report.problems][1] == (Status.WRONG, "stash2")
    assert "TCP 10.77.0.10:80" in report.problems[1].what
    assert "`ipvsadm -D -t 192.0.2.1:80`" in report.problems[0].do
    assert "`ipvsadm -D -t 10.77.0.10:80`" in report.problems[1].do


def test_an_empty_pool_is_reported_last(cluster: Cluster) -> None:
    """Both inputs are down: that nobody takes events is told last."""

    def empty(servers: Any) -> None:
        servers[0]["real_servers"].clear()

    observations = {
        name: change(
            change(seen, health=fail_check("10.77.0.11")),
            health=fail_check("10.77.0.12"),
            virtual_servers=empty,
        )
        for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, observations)
    assert [problem.check for problem in report.problems] == ["health", "health", "ipvs"]
    assert report.problems[-1].what == "nobody takes udp-5514 at 10.77.0.10: all these events are lost"


def test_a_real_server_with_weight_0_is_not_in_the_pool(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash2"] = change(observations["stash2"], virtual_servers=real(0, weight=0))
    assert judge(cluster, observations).vips["10.77.0.10"].pool == {"udp-5514": ("stash2",)}


def test_a_node_with_weight_0_takes_no_events(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["weights"])
    assert judge(cluster, all_well(cluster)).vips["10.77.0.10"].pool == {"a": ("stash1",)}


def test_each_protocol_of_one_input_has_a_pool_and_a_row_of_its_own(tmp_path: Path) -> None:
    """A plugin may take both by one input of Logstash's; what is wrong with UDP is not hidden by TCP, nor the other way round."""
    cluster = shaped(tmp_path, inputs=[{**SYSLOG, "plugin": "syslog"}])
    observations = all_well(cluster)
    observations["stash2"] = change(observations["stash2"], virtual_servers=pop_real(0))
    report = judge(cluster, observations)
    vip = report.vips["10.77.0.10"]
    assert vip.pool == {"syslog udp": ("stash2",), "syslog tcp": ("stash1", "stash2")}
    assert [problem.what for problem in report.problems] == [
        "syslog udp in IPVS: stash1 is not in the pool, though its check passes"
    ]
    labels = {"check": "ipvs", "vip": "10.77.0.10", "node": "stash2"}
    gauges = {
        name: metrics(report, None).get_sample_value("logstash_ha_check", {**labels, "input": name})
        for name in vip.pool
    }
    assert gauges == {"syslog udp": 2, "syslog tcp": 0}


def test_ipvs_is_named_as_ipvsadm_writes_it(tmp_path: Path) -> None:
    """Literally, so that the model and this test can't be wrong together."""
    cluster = shaped(tmp_path, families=(6,), inputs=[SYSLOG])
    observations = all_well(cluster)
    state: VirtualServerState = {
        "protocol": "TCP",
        "address": "[fd00:77::10]:514",
        "scheduler": "wrr",
        "flags": [],
        "real_servers": [
            {"address": "[fd00:77::11]:5514", "forward": "Masq", "weight": 100},
            {"address": "[fd00:77::12]:5514", "forward": "Masq", "weight": 100},
        ],
    }
    for seen in observations.values():
        assert seen.virtual_servers is not None
        seen.virtual_servers[1] = copy.deepcopy(state)
    assert judge(cluster, observations).ok
    observations["stash1"] = change(observations["stash1"], virtual_servers=lambda it: it.pop(1))
    assert [problem.what for problem in judge(cluster, observations).problems] == [
        "IPVS has no virtual server TCP [fd00:77::10]:514"
    ]


@pytest.mark.parametrize(
    ("shape", "values", "what"),
    [
        ("direct routing", {"forward": "Masq"}, "is Masq with weight 100, not Route with 100"),
        ("weights", {"weight": 3}, "10.77.0.11:5514 is Masq with weight 3, not Masq with 300"),
        ("both protocols", {"address": "10.77.0.11:514"}, "10.77.0.11:514 is a real server, but none of"),
        ("IPv6", {"forward": "Tunnel"}, "[fd00:77::11]:5514 is Tunnel with weight 100"),
    ],
)
def test_a_real_server_that_differs_is_described_in_each_shape(
    tmp_path: Path, shape: str, values: dict[str, object], what: str
) -> None:
    cluster = shaped(tmp_path, **SHAPES[shape])
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], virtual_servers=real(0, **values))
    problem = judge(cluster, observations).problems[0]
    assert what in problem.what
    assert problem.check == "ipvs"


def test_one_packet_scheduling_that_is_not_desired_is_reported(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["sticky"])
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"], virtual_servers=lambda it: it[0].update(flags=["ops"])
    )
    assert "its flags are ops, not none" in judge(cluster, observations).problems[0].what
