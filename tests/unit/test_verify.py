"""The verdict on a cluster, and how it is shown: from observations made up here."""

import copy
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster import Cluster, Node
from facts.ipvs import VirtualServerState
from operations import firewalld
from tests.unit.clusters import make_cluster
from verification.judge import UNITS, Observation, Problem, Report, Status, judge
from verification.send import Delivery, InputDelivery
from verification.show import document, failure, show

Observations = dict[str, Observation]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


def virtual_server(cluster: Cluster) -> VirtualServerState:
    return {
        "protocol": "UDP",
        "address": "10.77.0.10:5514",
        "scheduler": "rr",
        "flags": ["ops"],
        "real_servers": [
            {"address": f"{node.address}:5514", "forward": "Masq", "weight": 1} for node in cluster.nodes
        ],
    }


def seen_on(cluster: Cluster, node: Node) -> Observation:
    """All is well; the last node holds the VIP."""
    rules = firewalld.rules(cluster, node)
    return Observation(
        services={unit: {"enabled": True, "active": True, "stale": False} for unit in UNITS},
        sysctl={"runtime": {"net.ipv4.ip_forward": "1", "net.ipv4.ip_nonlocal_bind": "1"}, "conf": {}},
        selinux={"mode": "Enforcing", "active": True, "persistent": True},
        firewall={"zone": "public", "runtime": list(rules), "permanent": list(rules)},
        health={
            "missing": None,
            "checks": [
                {"address": str(each.address), "input": "udp-5514", "status": 0, "message": "up"}
                for each in cluster.nodes
            ],
        },
        virtual_servers=[virtual_server(cluster)],
        interfaces=["eth0"] if node == cluster.nodes[-1] else [],
    )


def all_well(cluster: Cluster) -> Observations:
    return {node.name: seen_on(cluster, node) for node in cluster.nodes}


def status(report: Report, check: str, node: str) -> tuple[Status, str]:
    """A cell, with its text."""
    cell = next(row for row in report.rows if row.check == check).cells[node]
    return cell.status, cell.text


def change(seen: Observation, **parts: Callable[[Any], object]) -> Observation:
    """A copy in which each function has changed its part."""
    seen = copy.deepcopy(seen)
    for name, function in parts.items():
        function(getattr(seen, name))
    return seen


def test_all_is_well(cluster: Cluster) -> None:
    report = judge(cluster, all_well(cluster))
    assert report.ok
    assert report.problems == ()
    assert report.holders == ("stash2",)
    assert report.pool == {"udp-5514": ("stash1", "stash2")}
    assert {cell.status for row in report.rows for cell in row.cells.values()} == {Status.OK}
    assert status(report, "vip", "stash2") == (Status.OK, "holds it")
    assert status(report, "ipvs", "stash1") == (Status.OK, "2 of 2")
    assert status(report, "selinux", "stash1") == (Status.OK, "enforcing")


def stop(unit: str) -> Callable[[Any], object]:
    return lambda services: services[unit].update(active=False)


def fail_check(address: str) -> Callable[[Any], object]:
    """The health script's answer when this address refuses."""

    def function(health: Any) -> None:
        for check in health["checks"]:
            if check["address"] == address:
                check.update(status=1, message=f"udp-5514 at {address} is down: connection refused: stopped?")

    return function


def real(number: int, **values: object) -> Callable[[Any], object]:
    return lambda servers: servers[0]["real_servers"][number].update(values)


def pop_real(number: int) -> Callable[[Any], object]:
    return lambda servers: servers[0]["real_servers"].pop(number)


OTHER = {"protocol": "TCP", "address": "10.77.0.10:80", "scheduler": "rr", "flags": [], "real_servers": []}
ELSEWHERE = {**OTHER, "address": "192.0.2.1:80"}
INTRUDER = {"address": "10.77.0.99:5514", "forward": "Masq", "weight": 1}
STIG = {"net.ipv4.ip_forward": "0"}

# What happens to stash1, the check that tells, its cell, and words of what is wrong and what to do.
ONE_FAULT: dict[str, tuple[dict[str, Callable[[Any], object]], str, str, str, str]] = {
    "service stopped": (
        {"services": stop("firewalld")},
        "firewalld",
        "stopped",
        "does not run",
        "systemctl start firewalld",
    ),
    "service disabled": (
        {"services": lambda it: it["logstash"].update(enabled=False)},
        "logstash",
        "disabled",
        "would not start at boot",
        "systemctl enable logstash",
    ),
    "service stopped and disabled": (
        {"services": lambda it: it["firewalld"].update(enabled=False, active=False)},
        "firewalld",
        "stopped",
        "does not run, and would not start at boot",
        "systemctl enable --now firewalld",
    ),
    "service unknown": (
        {"services": lambda it: it.pop("logstash")},
        "logstash",
        "?",
        "state of logstash",
        "systemctl status",
    ),
    "sysctl": (
        {"sysctl": lambda it: it["runtime"].update(STIG)},
        "sysctl",
        "differ",
        "net.ipv4.ip_forward is 0, not 1",
        "deploy",
    ),
    "sysctl after a boot": (
        {"sysctl": lambda it: it["conf"].update(STIG)},
        "sysctl",
        "differ",
        "/etc/sysctl.conf sets net.ipv4.ip_forward to 0, which wins at the next boot",
        "deploy",
    ),
    "sysctl unread": (
        {"sysctl": lambda it: it["runtime"].clear()},
        "sysctl",
        "?",
        "could not be read",
        "sysctl net.ipv4",
    ),
    "boolean off": (
        {"selinux": lambda it: it.update(active=False, mode="Permissive")},
        "selinux",
        "permissive",
        "SELinux is permissive and nis_enabled is off now",
        "setsebool -P nis_enabled on",
    ),
    "boolean off after a boot": (
        {"selinux": lambda it: it.update(persistent=False)},
        "selinux",
        "enforcing",
        "nis_enabled is off at the next boot",
        "setsebool -P",
    ),
    "boolean unknown": (
        {"selinux": lambda it: it.update(active=None)},
        "selinux",
        "enforcing",
        "no boolean nis_enabled",
        "policy",
    ),
    "rule missing": (
        {"firewall": lambda it: (it["runtime"].pop(0), it["permanent"].pop(0))},
        "firewall",
        "5 of 6",
        'now and after a reload: rule family="ipv4" source address="10.77.0.11" protocol value="vrrp" accept',
        "deploy",
    ),
    "rules missing now": (
        {"firewall": lambda it: it["runtime"].clear()},
        "firewall",
        "0 of 6",
        "and 5 more",
        "deploy",
    ),
    "rule missing after a reload": (
        {"firewall": lambda it: it["permanent"].pop()},
        "firewall",
        "5 of 6",
        "lacks, after a reload:",
        "deploy",
    ),
    "script missing": (
        {"health": lambda it: it.update(missing="user keepalived_script", checks=[])},
        "health",
        "no script",
        "user keepalived_script is missing",
        "deploy",
    ),
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
        "its scheduler is wlc, not rr",
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
        "10.77.0.12:5514 is Route with weight 1, not Masq with 1",
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


@pytest.mark.parametrize("name", ONE_FAULT)
def test_one_fault_on_one_node(cluster: Cluster, name: str) -> None:
    """It is told once, at its node, with what to do; nothing else is blamed."""
    changes, check, text, what, do = ONE_FAULT[name]
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], **changes)
    report = judge(cluster, observations)
    assert not report.ok
    (problem,) = report.problems
    assert (problem.check, problem.node) == (check, "stash1")
    assert what in problem.what
    assert do in problem.do
    assert status(report, check, "stash1") == (problem.status, text)
    assert problem.status is (Status.UNKNOWN if text == "?" else Status.WRONG)
    assert status(report, check, "stash2")[0] is Status.OK
    assert report.holders == ("stash2",)


@pytest.mark.parametrize(
    ("part", "checks"),
    [
        ("services", ["logstash", "keepalived", "firewalld"]),
        ("sysctl", ["sysctl"]),
        ("selinux", ["selinux"]),
        ("firewall", ["firewall"]),
        ("health", ["health"]),
        ("interfaces", ["vip"]),
    ],
)
def test_what_could_not_be_read_is_no_success(cluster: Cluster, part: str, checks: list[str]) -> None:
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], **{part: None})
    report = judge(cluster, observations)
    assert not report.ok
    assert [(each.check, each.node, each.status) for each in report.problems] == [
        (check, "stash1", Status.UNKNOWN) for check in checks
    ]
    assert all(status(report, check, "stash1") == (Status.UNKNOWN, "?") for check in checks)


def test_no_ipvs(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], virtual_servers=None)
    (problem,) = judge(cluster, observations).problems
    assert "ip_vs is not loaded" in problem.what


def test_selinux_disabled_is_no_fault(cluster: Cluster) -> None:
    observations = all_well(cluster)
    off = replace(observations["stash1"], selinux={"mode": "Disabled", "active": None, "persistent": False})
    report = judge(cluster, {**observations, "stash1": off})
    assert report.ok
    assert status(report, "selinux", "stash1") == (Status.OK, "disabled")


def test_logstash_stopped(cluster: Cluster) -> None:
    """The cause and the input that is down are told; that it is out of the pools follows, and is not."""
    observations = {
        name: change(seen, health=fail_check("10.77.0.11"), virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    observations["stash1"] = change(observations["stash1"], services=stop("logstash"))
    report = judge(cluster, observations)
    assert not report.ok
    assert [(each.check, each.node) for each in report.problems] == [
        ("logstash", "stash1"),
        ("health", "stash1"),
    ]
    assert report.problems[1].what == "udp-5514 is down: connection refused: stopped?"
    assert report.problems[1].do == "start Logstash, as above"
    assert report.pool == {"udp-5514": ("stash2",)}
    assert status(report, "health", "stash2") == (Status.WRONG, "1 of 2")
    assert status(report, "ipvs", "stash2") == (Status.WRONG, "1 of 2")


def test_input_down_though_logstash_runs(cluster: Cluster) -> None:
    observations = {
        name: change(seen, health=fail_check("10.77.0.11"), virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    (problem,) = judge(cluster, observations).problems
    assert "logstash-plain.log" in problem.do


def test_input_down_for_one_node_only(cluster: Cluster) -> None:
    """Then it is the way there that is at fault."""
    observations = all_well(cluster)
    observations["stash2"] = change(
        observations["stash2"], health=fail_check("10.77.0.11"), virtual_servers=pop_real(0)
    )
    (problem,) = judge(cluster, observations).problems
    assert problem.node == "stash1"
    assert problem.what.startswith("udp-5514 is down, as stash2 sees it: connection refused")
    assert "can stash2 reach 10.77.0.11:9600?" in problem.do


def test_failing_check_without_a_message(cluster: Cluster) -> None:
    def function(health: Any) -> None:
        health["checks"][0].update(status=126, message="")

    observations = {
        name: change(seen, health=function, virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    (problem,) = judge(cluster, observations).problems
    assert problem.what == "udp-5514 is down: the script ended with status 126"


def test_dead_input_still_in_the_pool(cluster: Cluster) -> None:
    observations = {
        name: change(seen, health=fail_check("10.77.0.11")) for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, observations)
    assert [each.check for each in report.problems] == ["health", "ipvs", "ipvs"]
    assert "stash1 is in the pool, though its check fails" in report.problems[1].what


def test_keepalived_stopped(cluster: Cluster) -> None:
    """Its virtual servers go with it, and are not blamed."""
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"], services=stop("keepalived"), virtual_servers=lambda it: it.clear()
    )
    report = judge(cluster, observations)
    assert [(each.check, each.node) for each in report.problems] == [("keepalived", "stash1")]
    assert status(report, "ipvs", "stash1") == (Status.WRONG, "none")


def test_firewalld_stopped(cluster: Cluster) -> None:
    """Its rules go with it, and are not blamed."""
    observations = all_well(cluster)
    stopped = change(observations["stash1"], services=stop("firewalld"))
    report = judge(cluster, {**observations, "stash1": replace(stopped, firewall=None)})
    assert [(each.check, each.node) for each in report.problems] == [("firewalld", "stash1")]
    assert status(report, "firewall", "stash1") == (Status.WRONG, "none")


def test_strange_virtual_servers(cluster: Cluster) -> None:
    """At the VIP they are wrong; elsewhere they may be somebody's."""
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], virtual_servers=lambda it: it.append(ELSEWHERE))
    report = judge(cluster, observations)
    assert report.ok
    assert [(each.status, each.node) for each in report.problems] == [(Status.WARNING, "stash1")]
    observations["stash2"] = change(observations["stash2"], virtual_servers=lambda it: it.append(OTHER))
    report = judge(cluster, observations)
    assert not report.ok
    assert [(each.status, each.node) for each in report.problems][1] == (Status.WRONG, "stash2")
    assert "TCP 10.77.0.10:80" in report.problems[1].what


def test_split_brain(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], interfaces=["eth0"])
    report = judge(cluster, observations)
    assert not report.ok
    assert report.holders == ("stash1", "stash2")
    assert report.pool == {"udp-5514": ()}
    (problem,) = report.problems
    assert problem.node is None
    assert "stash1 and stash2 all hold 10.77.0.10" in problem.what
    assert status(report, "vip", "stash1") == (Status.WRONG, "holds it")


def test_nobody_holds_the_vip(cluster: Cluster) -> None:
    observations = {name: replace(seen, interfaces=[]) for name, seen in all_well(cluster).items()}
    report = judge(cluster, observations)
    (problem,) = report.problems
    assert not report.ok
    assert report.holders == ()
    assert problem.what == "no node holds 10.77.0.10: all events are lost"


def test_vip_on_the_wrong_interface(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash2"] = replace(observations["stash2"], interfaces=["lo", "eth0"])
    (problem,) = judge(cluster, observations).problems
    assert problem.node == "stash2"
    assert "holds the VIP on lo and eth0, not on eth0 alone" in problem.what


def test_empty_pool(cluster: Cluster) -> None:
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
    assert [each.check for each in report.problems] == ["health", "health", "ipvs"]
    assert report.problems[-1].what == "nobody takes udp-5514: all its events are lost"


def test_what_may_settle(cluster: Cluster) -> None:
    """Only what keepalived mends by itself, or a slow answer causes: not with another cause beside it."""
    observations = all_well(cluster)
    assert not judge(cluster, observations).may_settle
    observations["stash1"] = change(observations["stash1"], virtual_servers=pop_real(0))
    assert judge(cluster, observations).may_settle
    observations["stash2"] = replace(observations["stash2"], interfaces=[])
    assert judge(cluster, observations).may_settle
    observations["stash2"] = change(observations["stash2"], services=stop("logstash"))
    assert not judge(cluster, observations).may_settle


def test_weight_0_is_not_in_the_pool(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash2"] = change(observations["stash2"], virtual_servers=real(0, weight=0))
    assert judge(cluster, observations).pool == {"udp-5514": ("stash2",)}


def test_unreachable_node(cluster: Cluster) -> None:
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


def test_unreachable_node_whose_input_is_down(cluster: Cluster) -> None:
    """The others' checks fail, which follows."""
    observations = {
        name: change(seen, health=fail_check("10.77.0.11"), virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, {**observations, "stash1": Observation(unreachable="no route")})
    assert [(each.check, each.node) for each in report.problems] == [("ssh", "stash1"), ("health", "stash1")]
    assert report.problems[1].do == "get that machine back, as above"


def test_unreachable_holder(cluster: Cluster) -> None:
    observations = {**all_well(cluster), "stash2": Observation(unreachable="no route")}
    report = judge(cluster, observations)
    assert report.problems[-1].what == "no node that could be looked at holds 10.77.0.10: all events are lost"


def delivery(lost: int = 0, problems: tuple[Problem, ...] = ()) -> Delivery:
    received = {"stash1": 2 - lost, "stash2": 2}
    return Delivery(
        "5eed", "sender", "10.77.0.101", 0, {"udp-5514": InputDelivery(4, received, lost, 0)}, problems
    )


def shown(report: Report, sent: Delivery | None = None, width: int = 80, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, **options)
    show(console, report, sent)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_table_when_all_is_well(cluster: Cluster) -> None:
    text = shown(judge(cluster, all_well(cluster)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "ALL GOOD VIP 10.77.0.10 on stash2 pool: stash1, stash2"
    for line in [
        "stash1 stash2",
        "ssh reached reached",
        "logstash running running",
        "sysctl as meant as meant",
        "SELinux enforcing enforcing",
        "firewall 6 of 6 6 of 6",
        "health udp-5514 2 of 2 2 of 2",
        "IPVS udp-5514 2 of 2 2 of 2",
        "VIP - holds it",
    ]:
        assert line in lines
    assert "!" not in text
    assert text.isprintable() or "\x1b" not in text


def test_table_when_something_is_wrong(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], services=stop("firewalld"))
    text = shown(judge(cluster, observations))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0].startswith("WRONG, 1 thing to mend VIP 10.77.0.10 on stash2")
    assert "firewalld ! stopped running" in lines
    assert "! stash1: firewalld does not run" in lines
    assert any(line.startswith("-> `systemctl start firewalld`") for line in lines)


def test_table_tells_a_problem_of_two_nodes_once(cluster: Cluster) -> None:
    observations = {
        name: change(seen, services=stop("firewalld")) for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, observations)
    assert len(report.problems) == 2
    text = shown(report)
    assert "WRONG, 1 thing to mend" in text
    assert "! stash1, stash2: firewalld does not run" in text
    assert text.count("does not run") == 1


def test_table_without_a_holder(cluster: Cluster) -> None:
    observations = {name: replace(seen, interfaces=[]) for name, seen in all_well(cluster).items()}
    text = shown(judge(cluster, observations))
    assert "VIP 10.77.0.10 on no node" in text
    assert "pool: empty" in text


def test_table_of_a_delivery(cluster: Cluster) -> None:
    problem = Problem(Status.WRONG, "send", None, "udp-5514: 1 of 4 events are lost", "send slower")
    text = shown(judge(cluster, all_well(cluster)), delivery(lost=1, problems=(problem,)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "udp-5514 4 1 2 1 0" in lines
    assert lines[0].startswith("WRONG, 1 thing to mend")
    assert "! cluster: udp-5514: 1 of 4 events are lost" in lines


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_table_fits_80_columns(tmp_path: Path, nodes: int) -> None:
    """Also with every cell wrong: no line of the table is broken."""
    cluster = make_cluster(tmp_path, nodes)
    faults = {
        "services": lambda it: [each.update(active=False, enabled=False) for each in it.values()],
        "sysctl": lambda it: it["runtime"].update(STIG),
        "selinux": lambda it: it.update(mode="Permissive", active=False),
        "firewall": lambda it: it["runtime"].clear(),
        "health": lambda it: it.update(missing="user keepalived_script", checks=[]),
        "virtual_servers": lambda it: it.clear(),
    }
    for observations in (
        all_well(cluster),
        {name: change(seen, **faults) for name, seen in all_well(cluster).items()},
    ):
        report = judge(cluster, observations)
        lines = shown(report).splitlines()
        assert all(len(line) <= 80 for line in lines)
        rows = [
            next(line for line in lines if line.split()[:1] == [name])
            for name in ("ssh", "VIP", "sysctl", "SELinux")
        ]
        assert all(len(line.split()) >= nodes + 1 for line in rows)
        start = next(n for n, line in enumerate(lines) if line.split() == list(report.nodes))
        assert len([line for line in lines[start + 2 : start + 2 + len(report.rows)] if line.strip()]) == len(
            report.rows
        )


def test_table_without_a_terminal_is_plain_ascii(cluster: Cluster) -> None:
    observations = {**all_well(cluster), "stash1": Observation(unreachable="no route")}
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    show(Console(file=stream, width=80, highlight=False), judge(cluster, observations), delivery())
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    assert b"\x1b" not in stream.buffer.getvalue()


def shape(value: object) -> object:
    """The keys and types of a JSON value."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


def test_json_is_stable(cluster: Cluster) -> None:
    """What readers rely on; see VERSION before this changes."""
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], services=stop("firewalld"))
    text = json.dumps(document(judge(cluster, observations), delivery()))
    cell = {"status": "str", "text": "str"}
    assert shape(json.loads(text)) == {
        "version": "int",
        "error": "NoneType",
        "ok": "bool",
        "vip": "str",
        "holders": ["str"],
        "pool": {"udp-5514": ["str"]},
        "nodes": ["str"],
        "checks": [{"check": "str", "input": "NoneType", "nodes": {"stash1": cell, "stash2": cell}}],
        "problems": [{"status": "str", "check": "str", "node": "str", "what": "str", "do": "str"}],
        "send": {
            "run": "str",
            "sender": "str",
            "source": "str",
            "refused": "int",
            "inputs": {
                "udp-5514": {
                    "sent": "int",
                    "received": {"stash1": "int", "stash2": "int"},
                    "lost": "int",
                    "duplicated": "int",
                }
            },
        },
    }
    assert json.loads(text)["version"] == 1
    checks = [(row["check"], row["input"]) for row in json.loads(text)["checks"]]
    assert checks == [
        ("ssh", None),
        ("logstash", None),
        ("keepalived", None),
        ("firewalld", None),
        ("sysctl", None),
        ("selinux", None),
        ("firewall", None),
        ("health", "udp-5514"),
        ("ipvs", "udp-5514"),
        ("vip", None),
    ]


def test_json_without_sending(cluster: Cluster) -> None:
    content = document(judge(cluster, all_well(cluster)), None)
    assert content["send"] is None
    assert content["ok"] is True
    assert content["problems"] == []


def test_json_of_a_bad_delivery(cluster: Cluster) -> None:
    problem = Problem(Status.WRONG, "send", None, "lost", "send slower")
    content = document(judge(cluster, all_well(cluster)), delivery(1, (problem,)))
    assert content["ok"] is False
    assert content["problems"][0]["check"] == "send"


def test_json_of_a_failure() -> None:
    assert failure("no node") == {"version": 1, "error": "no node", "ok": False}
