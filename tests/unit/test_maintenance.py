"""A node in maintenance: what an operator asks for, how it leaves and comes back, and who refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster, ClusterError
from desired.maintenance import Note, Request, render, request
from facts.maintenance import Maintenance
from operations import maintenance
from remote.maintenance import leave
from tests.unit.clusters import make_cluster
from tests.unit.machine import SHELLS, ShellMachine
from tests.unit.test_activation import Make, SimulatedCluster, make  # noqa: F401  a fixture
from verification.activity import Activity
from verification.finding import Observations
from verification.judge import judge
from verification.monitor import plugin
from verification.observe import Observation
from verification.page import picture
from verification.report import Status
from verification.show import document

from .observations import all_well, change, fail_check, pop_real, shown, status, stop

NOW = datetime(2026, 11, 27, 14, 2, tzinfo=timezone(timedelta(hours=1)))
NOTE: Any = {"by": "alice@laptop", "since": int(NOW.timestamp()), "until": None, "patch": None}


def test_what_is_asked_for() -> None:
    assert request({}, NOW) == Request(back=False, last=False, until=None)
    assert request({"back": "yes", "ssh_user": "bob"}, NOW).back
    assert request({"last": True, "hours": 1.5}, NOW) == Request(False, True, int(NOW.timestamp()) + 5400)
    later = request({"until": "2026-11-27T15:02"}, NOW), request({"until": "2026-11-27T14:02+00:00"}, NOW)
    assert {each.until for each in later} == {int(NOW.timestamp()) + 3600}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"bakc": "yes"}, "bakc: not known; --data can be back, last, hours, until"),
        ({"back": "maybe"}, "back: maybe is neither yes nor no; write back=yes, or leave it out"),
        ({"hours": 0}, "hours: 0 is not a number from 0.0166667 to 8760; write hours=2"),
        ({"hours": "two"}, "hours: two is not a number from 0.0166667 to 8760; write hours=2"),
        ({"until": "tomorrow"}, "until: tomorrow is not a time; write it as 2026-11-27T14:02, or give hours=2"),
        ({"until": "2026-11-27T14:01"}, "until: 2026-11-27T14:01 is over; give a time in the future, or back=yes"),
        ({"until": "2028-01-01"}, "until: 2028-01-01 is more than a year away; leave it out, and end it with back=yes"),
        ({"until": "2026-11-28", "hours": 2}, "hours: until is given, too; leave one of them out"),
        ({"back": "yes", "hours": 2}, "hours: back=yes ends the maintenance; leave hours out"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused_with_its_mend(data: dict[str, Any], says: str) -> None:
    with pytest.raises(ClusterError) as refused:
        request(data, NOW)
    assert str(refused.value) == says


@pytest.fixture(params=SHELLS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> ShellMachine:
    return ShellMachine(tmp_path, request.param)


FOLDER = "/var/lib/logstash-ha/maintenance"


def test_the_fact_knows_who_is_in_maintenance_now(machine: ShellMachine) -> None:
    assert machine.fact(Maintenance, folder=FOLDER) == {}
    note = Note("alice@laptop", 1795788120)
    machine.write(f"{FOLDER}/192.0.2.11", render(note) + "\n")
    machine.write(f"{FOLDER}/192.0.2.12", render(Note("bob", 1, until=2)) + "\n")  # over
    machine.write(f"{FOLDER}/2001:db8::13", render(Note("eve", 1, until=4000000000)))
    machine.write(f"{FOLDER}/192.0.2.14", '{"by": "ali')
    assert {
        address: Note(**state) for address, state in machine.fact(Maintenance, folder=FOLDER).items()
    } == {
        "192.0.2.11": note,
        "2001:db8::13": Note("eve", 1, 4000000000),
        "192.0.2.14": Note("", 0),
    }


def enter(simulation: SimulatedCluster, **arguments: Any) -> None:
    simulation.run_operations(maintenance.entered, [{"el": 9, **arguments}])


@pytest.fixture
def cluster_of_two(make: Make) -> SimulatedCluster:  # noqa: F811
    """A run for stash1, which holds the VIP."""
    return make(master="stash1", limit="stash1")


def test_a_node_leaves_all_pools_and_hands_the_vip_over(cluster_of_two: SimulatedCluster) -> None:
    enter(cluster_of_two)
    stash1, stash2 = cluster_of_two.members.values()
    assert stash1.maintenance == stash2.maintenance == {str(stash1.node.address)}
    assert (stash1.holds_vip, stash2.holds_vip) == (False, True)
    assert stash2.pool == {"stash2"}
    assert cluster_of_two.failed == []
    host = cluster_of_two.state.inventory.get_host("stash1")
    assert leave(cluster_of_two.state, host, cluster_of_two.cluster)
    assert stash1.maintenance == stash2.maintenance == set()
    assert stash2.pool == {"stash1", "stash2"}
    assert cluster_of_two.failed == []


@pytest.mark.parametrize("fault", ["dead", "in maintenance", "unfit"])
def test_the_last_one_stays(cluster_of_two: SimulatedCluster, fault: str) -> None:
    stash1, stash2 = cluster_of_two.members.values()
    if fault == "dead":
        stash2.sick = True
        cluster_of_two.sleep(0)
    elif fault == "unfit":
        stash2.up = {"logstash"}
    else:
        for member in (stash1, stash2):
            member.maintenance.add(str(stash2.node.address))
    before = {*stash1.maintenance}
    enter(cluster_of_two)
    assert cluster_of_two.failed == ["stash1"]
    assert stash1.holds_vip
    assert stash1.maintenance == stash2.maintenance == before
    what = "no other node can hold the VIP" if fault == "unfit" else "no other node takes UDP 10.77.0.10:5514"
    assert any(f"it stays: {what}" in line and "--data last=yes" in line for line in cluster_of_two.log)


def test_the_last_one_goes_at_a_plain_word(cluster_of_two: SimulatedCluster) -> None:
    cluster_of_two.members["stash2"].up = set()
    enter(cluster_of_two, last=True)
    assert cluster_of_two.failed == []
    assert not cluster_of_two.members["stash1"].holds_vip


def test_a_node_that_does_not_get_out_has_its_place_again(cluster_of_two: SimulatedCluster) -> None:
    """As where its health service does not run."""
    stash1, stash2 = cluster_of_two.members.values()
    stash1.frozen = stash2.frozen = True
    stash1.up.discard("keepalived")
    enter(cluster_of_two)
    assert cluster_of_two.failed == ["stash1"]
    assert stash1.maintenance == stash2.maintenance == set()


def known(observations: Observations, cluster: Cluster, *names: str) -> None:
    """On these nodes, the first one is known to be in maintenance."""
    for name, seen in observations.items():
        notes = {str(cluster.nodes[0].address): NOTE} if name in names else {}
        observations[name] = replace(seen, maintenance=notes)


def test_a_maintenance_is_a_finding_of_its_own_and_no_failure(tmp_path: Path) -> None:
    """Whatever is wrong on that node: its Logstash is off here."""
    cluster = make_cluster(tmp_path)
    own = str(cluster.nodes[0].address)
    seen = all_well(cluster)
    known(seen, cluster, "stash1", "stash2")
    seen["stash1"] = change(seen["stash1"], services=stop("logstash"), health=fail_check(own))
    seen["stash2"] = change(seen["stash2"], health=fail_check(own), virtual_servers=pop_real(0))
    report = judge(cluster, seen)
    assert report.ok
    text = "is in maintenance since 2026-11-27 13:02 UTC, by alice@laptop: it gets no events and holds no VIP"
    (problem,) = (each for each in report.problems if each.check == "maintenance")
    assert (problem.status, problem.node, problem.what) == (Status.WARNING, "stash1", text)
    assert "--data back=yes" in problem.do
    assert text in shown(report, width=200)
    assert document(report, None)["maintenance"] == {"stash1": NOTE}
    assert plugin(report, None)[0] == 1
    assert ("in maintenance", Status.WARNING) in picture(report, Activity({}, ())).nodes[0].lines
    assert status(report, "logstash", "stash1")[0] is Status.WARNING


def test_a_machine_in_maintenance_may_be_off(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    seen = all_well(cluster)
    known(seen, cluster, "stash2")
    seen["stash1"] = Observation(unreachable="no route")
    own = str(cluster.nodes[0].address)
    seen["stash2"] = change(seen["stash2"], health=fail_check(own), virtual_servers=pop_real(0))
    report = judge(cluster, seen)
    assert report.ok
    assert report.maintenance == {"stash1": Note(**NOTE)}


def test_what_is_wrong_elsewhere_stays_wrong(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    seen = all_well(cluster)
    known(seen, cluster, "stash1", "stash2")
    seen["stash2"] = change(seen["stash2"], services=stop("logstash"))
    report = judge(cluster, seen)
    assert not report.ok
    assert status(report, "logstash", "stash2")[0] is Status.WRONG


def test_a_director_that_missed_the_end_is_named(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    seen = all_well(cluster)
    known(seen, cluster, "stash2")
    report = judge(cluster, seen)
    assert report.maintenance == {}
    (problem,) = report.problems
    assert problem.what.startswith("is no longer in maintenance, but stash2 would take it so")
