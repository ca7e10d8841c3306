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

from cluster import Cluster, Node, VirtualServer
from desired import firewalld, sysctl, vip
from desired.unit import fingerprint
from desired.units import unit_names
from facts.ipvs import VirtualServerState, socket_name
from facts.services import UnitState
from tests.unit.clusters import make_cluster
from verification.finding import Observations
from verification.judge import judge
from verification.observe import Observation, unit_files
from verification.report import Problem, Report, Status, VipReport
from verification.send import Delivery, InputDelivery
from verification.show import document, failure, show


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


def virtual_server(server: VirtualServer) -> VirtualServerState:
    """As IPVS has it when all is well."""
    return {
        "protocol": server.protocol,
        "address": socket_name(server.vip, server.port),
        "scheduler": server.input.scheduler,
        "flags": ["ops"] if server.ops else [],
        "real_servers": [
            {
                "address": socket_name(real.address, real.port),
                "forward": "Route" if server.forwarding == "dr" else "Masq",
                "weight": real.weight,
            }
            for real in server.real_servers
        ],
    }


RUNNING = {"enabled": True, "active": True, "stale": False}


def unit_states(cluster: Cluster, node: Node) -> dict[str, UnitState]:
    """Each unit has read what is meant."""
    return {
        unit: {
            "service": {"enabled": True, "active": True, "stale": False},
            "fingerprint": fingerprint(unit, files, f"{unit}-1.0"),
            "package": f"{unit}-1.0",
            "files": {file.path: file.sha256 for file in files},
            "good": [file.path for file in files],
        }
        for unit, files in unit_files(cluster, node, 9).items()
    }


def seen_on(cluster: Cluster, node: Node) -> Observation:
    """All is well; the last node holds the VIP, or of several each node in turn."""
    rules = firewalld.rules(cluster, node) + firewalld.direct_rules(cluster, node)
    holders = {
        str(each.vip): max(each.priorities, key=lambda name: each.priorities[name])
        if each.preempt and len(set(each.priorities.values())) > 1
        else cluster.nodes[-1].name
        for each in cluster.vrrp_instances
    }
    return Observation(
        el=9,
        services={unit: {**RUNNING} for unit in unit_names(cluster)},  # type: ignore[typeddict-item]
        units=unit_states(cluster, node),
        sysctl={"runtime": sysctl.kernel_settings(cluster), "lines": []},
        selinux={"mode": "Enforcing", "denied": []},
        firewall={"zone": "public", "runtime": list(rules), "permanent": list(rules)},
        record={"rich": [f"public {rule}" for rule in rules]},
        health={
            "missing": None,
            "checks": [
                {"address": str(each.address), "input": id, "status": 0, "message": "up"}
                for each in cluster.nodes
                for id in {server.input_id: None for server in cluster.virtual_servers}
            ],
        },
        virtual_servers=[virtual_server(server) for server in cluster.virtual_servers],
        held={vip: ["eth0"] if name == node.name else [] for vip, name in holders.items()},
        loopback=["127.0.0.1", "::1"] + [str(vip) for vip in cluster.vips if "dr" in cluster.forwardings],
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
    assert report.vips == {
        "10.77.0.10": VipReport(("stash2",), {"udp-5514": ("stash1", "stash2")}),
    }
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


def line(path: str) -> dict[str, object]:
    """A line of a sysctl.d file, against what is meant."""
    return {"path": path, "number": 1, "text": "", "key": "net.ipv4.ip_forward", "value": "0"}


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
        {"sysctl": lambda it: it["lines"].append(line("/etc/sysctl.conf"))},
        "sysctl",
        "differ",
        "/etc/sysctl.conf sets net.ipv4.ip_forward to 0, which wins at the next boot",
        "deploy",
    ),
    "sysctl after a boot, by somebody's file": (
        {"sysctl": lambda it: it["lines"].append(line("/etc/sysctl.d/99-hard.conf"))},
        "sysctl",
        "differ",
        "/etc/sysctl.d/99-hard.conf sets net.ipv4.ip_forward to 0, which wins at the next boot",
        "take the line out of /etc/sysctl.d/99-hard.conf",
    ),
    "file changed by hand": (
        {"units": lambda it: it["logstash"]["files"].update({"/etc/logstash/logstash.yml": "0ther"})},
        "logstash",
        "changed",
        "logstash has not read /etc/logstash/logstash.yml, which changed after it came up",
        "--dry --diff",
    ),
    "file gone": (
        {"units": lambda it: it["keepalived"]["files"].clear()},
        "keepalived",
        "changed",
        "keepalived has not read /etc/keepalived/keepalived.conf",
        "--dry --diff",
    ),
    "sysctl unread": (
        {"sysctl": lambda it: it["runtime"].clear()},
        "sysctl",
        "?",
        "could not be read",
        "sysctl net.ipv4",
    ),
    "denied": (
        {"selinux": lambda it: it["denied"].append('avc: denied { watch } for comm="keepalived"')},
        "selinux",
        "enforcing",
        'SELinux is enforcing and denies keepalived what it needs: avc: denied { watch } for comm="keepalived"',
        "restorecon",
    ),
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
    assert report.vips["10.77.0.10"].holders == ("stash2",)


@pytest.mark.parametrize(
    ("part", "checks"),
    [
        ("services", ["logstash-ha-health", "logstash", "logstash-ha-leave", "keepalived", "firewalld"]),
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
    off = replace(
        observations["stash1"],
        selinux={"mode": "Disabled", "denied": []},
    )
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
    assert report.vips["10.77.0.10"].pool == {"udp-5514": ("stash2",)}
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


def test_the_last_one_in_the_pool(cluster: Cluster) -> None:
    """No check passes, and the health service leaves one node in."""

    def fail_both(health: Any) -> None:
        fail_check("10.77.0.11")(health)
        fail_check("10.77.0.12")(health)

    observations = {
        name: change(seen, health=fail_both, virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    problems = {each.what for each in judge(cluster, observations).problems if each.check == "ipvs"}
    assert problems == {"udp-5514: no node's check passes; stash2 stays in the pool, as the last one"}


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
    observations["stash1"] = replace(observations["stash1"], held={"10.77.0.10": ["eth0"]})
    report = judge(cluster, observations)
    assert not report.ok
    assert report.vips["10.77.0.10"] == VipReport(("stash1", "stash2"), {"udp-5514": ()})
    (problem,) = report.problems
    assert problem.node is None
    assert "stash1 and stash2 all hold 10.77.0.10" in problem.what
    assert status(report, "vip", "stash1") == (Status.WRONG, "holds it")


def test_nobody_holds_the_vip(cluster: Cluster) -> None:
    observations = {name: replace(seen, held={"10.77.0.10": []}) for name, seen in all_well(cluster).items()}
    report = judge(cluster, observations)
    (problem,) = report.problems
    assert not report.ok
    assert report.vips["10.77.0.10"].holders == ()
    assert problem.what == "no node holds 10.77.0.10: all events are lost"


def test_vip_on_the_wrong_interface(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash2"] = replace(observations["stash2"], held={"10.77.0.10": ["eth1", "eth0"]})
    (problem,) = judge(cluster, observations).problems
    assert problem.node == "stash2"
    assert "holds 10.77.0.10 on eth1 and eth0, not on eth0 alone" in problem.what


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
    assert report.problems[-1].what == "nobody takes udp-5514 at 10.77.0.10: all these events are lost"


def test_what_may_settle(cluster: Cluster) -> None:
    """Only what keepalived mends by itself, or a slow answer causes: not with another cause beside it."""
    observations = all_well(cluster)
    assert not judge(cluster, observations).may_settle
    observations["stash1"] = change(observations["stash1"], virtual_servers=pop_real(0))
    assert judge(cluster, observations).may_settle
    observations["stash2"] = replace(observations["stash2"], held={"10.77.0.10": []})
    assert judge(cluster, observations).may_settle
    observations["stash2"] = change(observations["stash2"], services=stop("logstash"))
    assert not judge(cluster, observations).may_settle


def test_weight_0_is_not_in_the_pool(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash2"] = change(observations["stash2"], virtual_servers=real(0, weight=0))
    assert judge(cluster, observations).vips["10.77.0.10"].pool == {"udp-5514": ("stash2",)}


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
    result = InputDelivery("udp-5514", ("10.77.0.10",), "events", 4, 0, received, lost, 0)
    return Delivery("5eed", "sender", (result,), problems)


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
        "firewall 8 of 8 8 of 8",
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
    observations = {name: replace(seen, held={"10.77.0.10": []}) for name, seen in all_well(cluster).items()}
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
        "selinux": lambda it: it.update(mode="Permissive", denied=["avc: denied"]),
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
        "nodes": ["str"],
        "vips": {"10.77.0.10": {"holders": ["str"], "pool": {"udp-5514": ["str"]}}},
        "checks": [
            {
                "check": "str",
                "input": "NoneType",
                "vip": "NoneType",
                "nodes": {"stash1": cell, "stash2": cell},
            }
        ],
        "problems": [{"status": "str", "check": "str", "node": "str", "what": "str", "do": "str"}],
        "send": {
            "run": "str",
            "sender": "str",
            "inputs": [
                {
                    "input": "str",
                    "vips": ["str"],
                    "counted": "str",
                    "sent": "int",
                    "refused": "int",
                    "received": {"stash1": "int", "stash2": "int"},
                    "lost": "int",
                    "duplicated": "int",
                }
            ],
        },
    }
    assert json.loads(text)["version"] == 2
    checks = [(row["check"], row["input"], row["vip"]) for row in json.loads(text)["checks"]]
    assert checks == [
        ("ssh", None, None),
        ("logstash-ha-health", None, None),
        ("logstash", None, None),
        ("logstash-ha-leave", None, None),
        ("keepalived", None, None),
        ("firewalld", None, None),
        ("sysctl", None, None),
        ("selinux", None, None),
        ("firewall", None, None),
        ("health", "udp-5514", None),
        ("ipvs", "udp-5514", "10.77.0.10"),
        ("vip", None, "10.77.0.10"),
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
    assert failure("no node") == {"version": 2, "error": "no node", "ok": False}


SYSLOG = {"id": "syslog", "port": 514, "server_port": 5514, "protocol": "both"}
SHAPES: dict[str, dict[str, Any]] = {
    "recipe": {},
    "five nodes": {"nodes": 5},
    "IPv6": {"families": (6,)},
    "both families": {"families": (4, 6)},
    "a VIP for each node": {"vip": ["10.77.0.10", "10.77.0.20"]},
    "both protocols": {"inputs": [SYSLOG]},
    "weights": {
        "inputs": [{"id": "a", "port": 5514, "scheduler": "wrr", "weights": {"stash1": 3, "stash2": 0}}]
    },
    "sticky": {"inputs": [{"id": "a", "port": 2055, "scheduler": "sh", "codec": "netflow", "ops": False}]},
    "direct routing": {"inputs": [{"id": "a", "port": 5514, "protocol": "both", "forwarding": "dr"}]},
    "direct routing in both families": {
        "families": (4, 6),
        "inputs": [{"id": "a", "port": 5514, "protocol": "tcp", "forwarding": "dr"}],
    },
    "no firewalld": {"firewall": "none"},
}


def shaped(folder: Path, families: tuple[int, ...] = (4,), nodes: int = 2, **settings: Any) -> Cluster:
    """A cluster of this shape; `families` gives its nodes and VIPs addresses of these."""
    networks = {4: ("10.77.0.{}", "10.77.0.0/24"), 6: ("fd00:77::{}", "fd00:77::/64")}
    chosen = [networks[family] for family in families]
    recipe = make_cluster(folder, nodes).model_dump(mode="json", by_alias=True)
    if families != (4,):
        recipe |= {
            "nodes": [
                {"name": node["name"], "address": [address.format(11 + n) for address, _ in chosen]}
                for n, node in enumerate(recipe["nodes"])
            ],
            "network": [network for _, network in chosen],
            "vip": [address.format(10) for address, _ in chosen],
            "senders": [address.format(101) for address, _ in chosen],
            "vrrp": 3,
            "auth_pass_file": None,
        }
    return Cluster.model_validate({**recipe, **settings})


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_can_be_well(tmp_path: Path, name: str) -> None:
    cluster = shaped(tmp_path, **SHAPES[name])
    report = judge(cluster, all_well(cluster))
    assert report.problems == ()
    assert report.ok
    assert {cell.status for row in report.rows for cell in row.cells.values()} == {Status.OK}
    assert all(len(each.holders) == 1 for each in report.vips.values())


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_can_be_empty(tmp_path: Path, name: str) -> None:
    """Nodes on which nothing was ever done: everything is wrong, and nothing breaks."""
    cluster = shaped(tmp_path, **SHAPES[name])
    fresh = Observation(
        el=9,
        services={},
        units={},
        sysctl={"runtime": dict.fromkeys(sysctl.kernel_settings(cluster), ""), "lines": []},
        selinux={"mode": "Enforcing", "denied": []},
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


def test_rows_of_inputs_and_vips(tmp_path: Path) -> None:
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


def test_ipvs_is_told_as_ipvsadm_writes_it(tmp_path: Path) -> None:
    """Literally, so that the model and this test can't be wrong together."""
    cluster = shaped(tmp_path, families=(6,), inputs=[SYSLOG])
    observations = all_well(cluster)
    state: VirtualServerState = {
        "protocol": "TCP",
        "address": "[fd00:77::10]:514",
        "scheduler": "rr",
        "flags": [],
        "real_servers": [
            {"address": "[fd00:77::11]:5514", "forward": "Masq", "weight": 1},
            {"address": "[fd00:77::12]:5514", "forward": "Masq", "weight": 1},
        ],
    }
    for seen in observations.values():
        assert seen.virtual_servers is not None
        seen.virtual_servers[1] = copy.deepcopy(state)
    assert judge(cluster, observations).ok
    observations["stash1"] = change(observations["stash1"], virtual_servers=lambda it: it.pop())
    assert [problem.what for problem in judge(cluster, observations).problems] == [
        "IPVS has no virtual server TCP [fd00:77::10]:514"
    ]


@pytest.mark.parametrize(
    ("shape", "values", "what"),
    [
        ("direct routing", {"forward": "Masq"}, "is Masq with weight 1, not Route with 1"),
        ("weights", {"weight": 3}, "10.77.0.11:5514 is Masq with weight 3, not Masq with 6"),
        ("both protocols", {"address": "10.77.0.11:514"}, "10.77.0.11:514 is a real server, but none of"),
        ("IPv6", {"forward": "Tunnel"}, "[fd00:77::11]:5514 is Tunnel with weight 1"),
    ],
)
def test_real_server_of_a_shape(tmp_path: Path, shape: str, values: dict[str, object], what: str) -> None:
    cluster = shaped(tmp_path, **SHAPES[shape])
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], virtual_servers=real(0, **values))
    problem = judge(cluster, observations).problems[0]
    assert what in problem.what
    assert problem.check == "ipvs"


def test_flags_without_ops(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["sticky"])
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"], virtual_servers=lambda it: it[0].update(flags=["ops"])
    )
    assert "its flags are ops, not none" in judge(cluster, observations).problems[0].what


SLOW = "its queue is full, though events leave it"


@pytest.mark.parametrize("weight", [6, 3])
def test_a_slow_node_is_told_once_and_may_weigh_less(tmp_path: Path, weight: int) -> None:
    cluster = shaped(tmp_path, **SHAPES["weights"])
    observations = all_well(cluster)
    for name, seen in observations.items():
        assert seen.health
        for check in seen.health["checks"]:
            if check["address"] == "10.77.0.11":
                check["message"] = f"a at 10.77.0.11 is slow: {SLOW}"
        observations[name] = change(seen, virtual_servers=real(0, weight=weight))
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.node, problem.what) == (Status.WARNING, "stash1", f"a is slow: {SLOW}")
    (row,) = (row for row in report.rows if row.check == "health")
    assert {(cell.status, cell.text) for cell in row.cells.values()} == {(Status.WARNING, "2 of 2")}


def test_weight_0_takes_nothing(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["weights"])
    assert judge(cluster, all_well(cluster)).vips["10.77.0.10"].pool == {"a": ("stash1",)}


def hold(observations: Observations, vip: str, *nodes: str) -> None:
    """These nodes, and no others, hold the VIP."""
    for name, seen in observations.items():
        assert seen.held is not None
        seen.held[vip] = ["eth0"] if name in nodes else []


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
    assert [each.check for each in judge(cluster, observations).problems] == ["keepalived"]


@pytest.mark.parametrize(("settings", "warned"), [({}, True), ({"preempt": False}, False)])
def test_priorities_say_who_holds_it(tmp_path: Path, settings: dict[str, Any], warned: bool) -> None:
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
    assert [each.status for each in report.problems] == [Status.WARNING] * warned


def test_split_brain_of_one_vip_of_two(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["a VIP for each node"])
    observations = all_well(cluster)
    hold(observations, "10.77.0.20", "stash1", "stash2")
    (problem,) = judge(cluster, observations).problems
    assert problem.what.startswith("stash1 and stash2 all hold 10.77.0.20:")
    hold(observations, "10.77.0.20")
    assert [each.what for each in judge(cluster, observations).problems] == [
        "no node holds 10.77.0.20: all events are lost"
    ]


def test_both_families_are_on_one_node(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, families=(4, 6))
    observations = all_well(cluster)
    hold(observations, "fd00:77::10", "stash1")
    report = judge(cluster, observations)
    assert not report.ok
    (problem,) = report.problems
    assert problem.what == (
        "10.77.0.10 is on stash2 and fd00:77::10 is on stash1: the pair belongs on one node"
    )


def test_vip_on_loopback(tmp_path: Path) -> None:
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


def test_service_of_the_vip(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["direct routing"])
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], services=stop(vip.UNIT))
    (problem,) = judge(cluster, observations).problems
    assert (problem.check, problem.node) == ("logstash-ha-vip", "stash1")


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
def test_rules_that_are_not_meant(
    cluster: Cluster, rule: str, recorded: bool, verdict: Status | None, what: str
) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"],
        firewall=lambda it: it["permanent"].append(rule),
        record=lambda it: it["rich"].append(f"public {rule}") if recorded else None,
    )
    report = judge(cluster, observations)
    assert [(each.status, each.what) for each in report.problems] == ([(verdict, what)] if verdict else [])


def test_deploy_that_was_broken_off(cluster: Cluster) -> None:
    """Its files wait; that the service does not run with them yet is not told twice."""
    observations = all_well(cluster)
    staged = "/etc/logstash/.logstash.yml.staged"

    def wait(found: Any) -> None:
        found["logstash"]["files"][staged] = found["logstash"]["files"]["/etc/logstash/logstash.yml"]
        found["logstash"]["files"]["/etc/logstash/logstash.yml"] = "0ld"
        marker = found["logstash"]["fingerprint"]
        marker[1:] = [
            each if "logstash.yml" not in each else "0ld  /etc/logstash/logstash.yml" for each in marker[1:]
        ]

    observations["stash1"] = change(observations["stash1"], units=wait)
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.node, problem.do) == (Status.WARNING, "stash1", "run the deploy again")
    assert problem.what == (
        "a deploy was interrupted: new content for /etc/logstash/logstash.yml waits for logstash"
    )


def other_marker(line: str | None, package: str = "logstash-1.0") -> Callable[[Any], object]:
    """The service came up with another package, or with another file on disk, too."""

    def function(found: Any) -> None:
        unit = found["logstash"]
        unit["fingerprint"][0] = package
        if line:
            sha256, path = line.split("  ")
            unit["fingerprint"] = [each for each in unit["fingerprint"] if not each.endswith(path)] + [line]
            unit["files"][path] = sha256

    return function


@pytest.mark.parametrize(
    ("line", "package", "what"),
    [
        (
            "0ld  /etc/logstash/logstash.yml",
            "logstash-1.0",
            "not with the logstash.yml that inventory.py means",
        ),
        ("0ld  /etc/logstash/gone.yml", "logstash-1.0", "not with the gone.yml that inventory.py means"),
        (None, "logstash-0.9", "not with the logstash that is installed now"),
    ],
)
def test_service_that_runs_with_something_else(
    cluster: Cluster, line: str | None, package: str, what: str
) -> None:
    """It works, so it is a warning."""
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], units=other_marker(line, package))
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert problem.status is Status.WARNING
    assert what in problem.what


def test_drained_node(cluster: Cluster) -> None:
    """It is told once, whatever its inputs, and nothing else is blamed."""

    def drain(health: Any) -> None:
        for check in health["checks"]:
            if check["address"] == "10.77.0.11":
                message = f"{check['input']} at 10.77.0.11 is down: drained, to be restarted or stopped"
                check.update(status=1, message=message)

    observations = {
        name: change(seen, health=drain, virtual_servers=pop_real(0))
        for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.check, problem.node) == (Status.WARNING, "health", "stash1")
    assert problem.what == "is drained, to be restarted or stopped: it gets no events"
    assert status(report, "health", "stash2") == (Status.WARNING, "1 of 2")
    assert status(report, "ipvs", "stash2") == (Status.WARNING, "1 of 2")
    assert report.vips["10.77.0.10"].pool == {"udp-5514": ("stash2",)}


def test_warnings_of_the_model(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, inputs=[{"id": "flows", "port": 2055}])
    report = judge(cluster, all_well(cluster))
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.check, problem.node) == (Status.WARNING, "inventory", None)
    assert problem.what.startswith("inputs.0.scheduler: flows looks like NetFlow")
    assert problem.do == "choose 'sh' or 'mh', so that a sender sticks to its node"
    assert "ALL GOOD, 1 thing to look at" in " ".join(shown(report, width=200).split())


def test_table_of_several_vips(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, families=(4, 6))
    lines = [
        " ".join(each.split()) for each in shown(judge(cluster, all_well(cluster)), width=200).splitlines()
    ]
    assert lines[0] == "ALL GOOD VIP 10.77.0.10 on stash2, fd00:77::10 on stash2 pool: stash1, stash2"
    assert "IPVS udp-5514 fd00:77::10 2 of 2 2 of 2" in lines
    assert "VIP fd00:77::10 - holds it" in lines


def test_table_of_what_the_api_counted(cluster: Cluster) -> None:
    result = InputDelivery("udp-5514", ("10.77.0.10",), "api", 4, 0, {"stash1": 3, "stash2": 2}, 0, None)
    text = shown(judge(cluster, all_well(cluster)), Delivery("5eed", "sender", (result,), ()))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "udp-5514* 4 3 2 0 -" in lines
    assert "* counted by Logstash's API, where other senders' events count too" in lines
