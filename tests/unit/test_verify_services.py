"""The verdict on each service: that it runs, starts at boot, and has read its files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from desired import vip
from tests.unit.observations import (
    SHAPES,
    Change,
    Fault,
    all_well,
    assert_reported_once,
    change,
    shaped,
    status,
    stop,
)
from verification.judge import judge
from verification.report import Status

FAULTS: dict[str, Fault] = {
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
    "health service stopped": (
        {"services": stop("logstash-ha-health")},
        "logstash-ha-health",
        "stopped",
        "logstash-ha-health does not run",
        "systemctl start logstash-ha-health",
    ),
    "interface made anew": (
        {"advert_sockets": lambda it: it.remove(4)},
        "keepalived",
        "deaf",
        "keepalived has no socket for adverts of IPv4, and can't take the VIP: eth0 was made anew",
        "`systemctl try-reload-or-restart keepalived`",
    ),
    "service masked": (
        {
            "services": lambda it: it["keepalived"].update(enabled=False),
            "conditions": lambda it: it["keepalived"].update(masked=True),
        },
        "keepalived",
        "disabled",
        "keepalived runs, but is masked, and would not start at boot",
        "`systemctl unmask keepalived && systemctl enable keepalived`",
    ),
    "service masked and stopped": (
        {
            "services": lambda it: it["keepalived"].update(enabled=False, active=False),
            "conditions": lambda it: it["keepalived"].update(masked=True),
        },
        "keepalived",
        "stopped",
        "keepalived does not run, and would not start at boot",
        "`systemctl unmask keepalived && systemctl enable --now keepalived`",
    ),
    "service frozen": (
        {"conditions": lambda it: it["keepalived"].update(frozen=True)},
        "keepalived",
        "frozen",
        "keepalived runs, but a process of it is stopped",
        "`systemctl kill -s CONT keepalived`, or `systemctl thaw keepalived`",
    ),
    "health service disabled": (
        {"services": lambda it: it["logstash-ha-health"].update(enabled=False)},
        "logstash-ha-health",
        "disabled",
        "logstash-ha-health runs, but would not start at boot",
        "systemctl enable logstash-ha-health",
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
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_on_one_node_is_reported_once(cluster: Cluster, name: str) -> None:
    assert_reported_once(cluster, FAULTS[name])


@pytest.mark.parametrize(
    ("heartbeat", "what", "do"),
    [
        (11, "it last renewed its verdicts 11 s ago", "`systemctl restart logstash-ha-health`"),
        (86400, "it last renewed its verdicts 86400 s ago", "`systemctl restart logstash-ha-health`"),
        (
            -3600,
            "it last renewed its verdicts before the clock was set back, 3600 s in the future",
            "`systemctl restart logstash-ha-health`",
        ),
        (
            None,
            "/run/keepalived-health/reasons is missing",
            "`systemd-tmpfiles --create /etc/tmpfiles.d/logstash-ha-health.conf`, "
            "then `systemctl restart logstash-ha-health`",
        ),
    ],
)
def test_a_frozen_health_service_is_reported(
    cluster: Cluster, heartbeat: int | None, what: str, do: str
) -> None:
    """It runs, and systemd may not have noticed yet; keepalived can't notice."""
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], heartbeat=heartbeat)
    report = judge(cluster, observations)
    assert not report.ok
    (problem,) = report.problems
    assert (problem.status, problem.check, problem.node) == (Status.WRONG, "logstash-ha-health", "stash1")
    assert problem.what == f"logstash-ha-health runs, but {what}: keepalived goes by old verdicts"
    assert problem.do == do
    assert status(report, "logstash-ha-health", "stash1") == (Status.WRONG, "stale")
    assert status(report, "logstash-ha-health", "stash2") == (Status.OK, "running")


def test_each_family_of_vips_needs_its_own_sockets_for_adverts(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, (4, 6))
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], advert_sockets=[4])
    (problem,) = judge(cluster, observations).problems
    assert problem.what.startswith("keepalived has no socket for adverts of IPv6, ")


def test_sockets_that_could_not_be_read_are_no_fault(cluster: Cluster) -> None:
    observations = {name: replace(seen, advert_sockets=None) for name, seen in all_well(cluster).items()}
    assert judge(cluster, observations).ok


@pytest.mark.parametrize("heartbeat", [-5, -1, 0, 1, 10])
def test_a_recent_heartbeat_is_good(cluster: Cluster, heartbeat: int) -> None:
    """Also one that a clock which was just set makes a few seconds too new."""
    observations = {name: replace(seen, heartbeat=heartbeat) for name, seen in all_well(cluster).items()}
    assert judge(cluster, observations).problems == ()


@pytest.mark.parametrize("heartbeat", [None, 3600])
def test_a_stopped_health_service_is_stopped_and_not_stale(cluster: Cluster, heartbeat: int | None) -> None:
    observations = all_well(cluster)
    stopped = change(observations["stash1"], services=stop("logstash-ha-health"))
    report = judge(cluster, {**observations, "stash1": replace(stopped, heartbeat=heartbeat)})
    (problem,) = report.problems
    assert problem.what == "logstash-ha-health does not run"
    assert status(report, "logstash-ha-health", "stash1") == (Status.WRONG, "stopped")


def test_a_stopped_keepalived_is_reported_and_not_its_virtual_servers(cluster: Cluster) -> None:
    """Its virtual servers go with it, and are not blamed."""
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"], services=stop("keepalived"), virtual_servers=lambda it: it.clear()
    )
    report = judge(cluster, observations)
    assert [(problem.check, problem.node) for problem in report.problems] == [("keepalived", "stash1")]
    assert status(report, "ipvs", "stash1") == (Status.WRONG, "none")


def test_the_service_of_the_vip_on_loopback_is_judged(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, **SHAPES["direct routing"])
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], services=stop(vip.UNIT))
    (problem,) = judge(cluster, observations).problems
    assert (problem.check, problem.node) == ("logstash-ha-vip", "stash1")


def test_files_of_an_interrupted_deploy_wait_for_their_service(cluster: Cluster) -> None:
    """Its files wait; that the service does not run with them yet is not told twice."""
    observations = all_well(cluster)
    staged = "/etc/logstash/.logstash.yml.staged"

    def wait(found: Any) -> None:
        found["logstash"]["files"][staged] = found["logstash"]["files"]["/etc/logstash/logstash.yml"]
        found["logstash"]["files"]["/etc/logstash/logstash.yml"] = "0ld"
        marker = found["logstash"]["fingerprint"]
        marker[1:] = [
            known if "logstash.yml" not in known else "0ld  /etc/logstash/logstash.yml"
            for known in marker[1:]
        ]

    observations["stash1"] = change(observations["stash1"], units=wait)
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.node, problem.do) == (Status.WARNING, "stash1", "run the deploy again")
    assert problem.what == (
        "a deploy was interrupted: new content for /etc/logstash/logstash.yml waits for logstash"
    )


def other_fingerprint(line: str | None, package: str = "logstash-1.0") -> Change:
    """The service came up with another package, or with another file on disk, too."""

    def function(found: Any) -> None:
        unit = found["logstash"]
        unit["fingerprint"][0] = package
        if line:
            sha256, path = line.split("  ")
            unit["fingerprint"] = [known for known in unit["fingerprint"] if not known.endswith(path)] + [
                line
            ]
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
def test_a_service_that_runs_with_something_else_is_a_warning(
    cluster: Cluster, line: str | None, package: str, what: str
) -> None:
    """It works, so it is a warning."""
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], units=other_fingerprint(line, package))
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert problem.status is Status.WARNING
    assert what in problem.what


def test_a_health_service_that_does_not_hear_another_one_is_warned_of(cluster: Cluster) -> None:
    first, second = cluster.nodes
    observations = all_well(cluster)
    observations["stash1"] = replace(observations["stash1"], peers={str(second.address): False})
    report = judge(cluster, observations)
    (problem,) = report.problems
    assert (problem.status, problem.node) == (Status.WARNING, first.name)
    assert "hears nothing from stash2" in problem.what
    assert "UDP port 9600" in problem.do
    assert status(report, "logstash-ha-health", "stash1") == (Status.WARNING, "unheard")
    assert status(report, "logstash-ha-health", "stash2") == (Status.OK, "running")


@pytest.mark.parametrize("heard", [{}, None])
def test_a_health_service_of_an_earlier_version_hears_nobody(
    cluster: Cluster, heard: dict[str, bool] | None
) -> None:
    """It has no list of those that it hears."""
    observations = {name: replace(seen, peers=heard) for name, seen in all_well(cluster).items()}
    assert judge(cluster, observations).problems == ()


def test_a_stopped_health_service_is_not_unheard_too(cluster: Cluster) -> None:
    observations = all_well(cluster)
    address = str(cluster.nodes[1].address)
    observations["stash1"] = replace(observations["stash1"], peers={address: False})
    observations["stash2"] = change(
        observations["stash2"], services=lambda states: states["logstash-ha-health"].update(active=False)
    )
    assert status(judge(cluster, observations), "logstash-ha-health", "stash1") == (Status.OK, "running")


def test_a_pipeline_file_of_others_is_warned_of_before_logstash_joins_it(tmp_path: Path) -> None:
    """In the folder of each pipeline; the deploy's own ones, and the user's that it puts there, are no others'."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "filter.conf").write_text("filter { }\n")
    cluster = shaped(tmp_path, pipelines=str(tmp_path / "own"))
    observations = all_well(cluster)
    own = ["/etc/logstash/conf.d/filter.conf", "/etc/logstash/conf.d/logstash-ha.conf"]
    theirs = ["/etc/logstash/conf.d/a.conf", "/etc/logstash/conf.d/z.conf"]
    observations["stash1"] = replace(observations["stash1"], pipeline_files=own)
    assert judge(cluster, observations).problems == ()
    observations["stash1"] = replace(observations["stash1"], pipeline_files=[*own, *theirs])
    report = judge(cluster, observations)
    assert report.ok
    (problem,) = report.problems
    assert (problem.status, problem.check, problem.node) == (Status.WARNING, "logstash", "stash1")
    assert problem.what.startswith(
        "/etc/logstash/conf.d/a.conf, and 1 more is not the deploy's, and Logstash's next"
    )
    assert "name it in `pipelines` in inventory.py" in problem.do
    assert status(report, "logstash", "stash1") == (Status.WARNING, "joined")


@pytest.mark.parametrize(
    ("unit", "drop_in", "warned"),
    [
        ("keepalived", "/etc/systemd/system/keepalived.service.d/override.conf", True),
        ("keepalived", "/etc/systemd/system/keepalived.service.d/restart.conf", False),
        ("logstash-ha-health", "/run/systemd/system/logstash-ha-health.service.d/x.conf", True),
        ("logstash", "/etc/systemd/system/logstash.service.d/limits.conf", False),
    ],
)
def test_a_drop_in_of_others_is_warned_of_where_the_unit_is_ours(
    cluster: Cluster, unit: str, drop_in: str, warned: bool
) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"], conditions=lambda it: it[unit]["drop_ins"].append(drop_in)
    )
    report = judge(cluster, observations)
    assert report.ok
    assert [(problem.status, problem.check, problem.node) for problem in report.problems] == [
        (Status.WARNING, unit, "stash1")
    ] * warned
    assert all(drop_in in problem.what for problem in report.problems)


def test_a_frozen_keepalived_is_reported_and_not_its_pools(cluster: Cluster) -> None:
    """It follows nothing, so what is wrong in IPVS follows from that."""
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"],
        conditions=lambda it: it["keepalived"].update(frozen=True),
        virtual_servers=lambda it: it.clear(),
    )
    assert [problem.check for problem in judge(cluster, observations).problems] == ["keepalived"]
