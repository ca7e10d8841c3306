"""How a report is shown: as a table, and as JSON."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cluster import Cluster
from tests.unit.clusters import make_cluster
from tests.unit.observations import STIG, all_well, change, shaped, shown, stop
from verification.judge import judge
from verification.observe import Observation
from verification.report import Delivery, InputDelivery, Problem, Status
from verification.show import document, failure, show


def delivery(lost: int = 0, problems: tuple[Problem, ...] = ()) -> Delivery:
    received = {"stash1": 2 - lost, "stash2": 2}
    result = InputDelivery("udp-5514", ("10.77.0.10",), "events", 4, 0, received, lost, 0)
    return Delivery("5eed", "sender", (result,), problems)


def test_the_table_shows_that_all_is_well(cluster: Cluster) -> None:
    text = shown(judge(cluster, all_well(cluster)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "ALL GOOD VIP 10.77.0.10 on stash2 pool: stash1, stash2"
    for line in [
        "stash1 stash2",
        "ssh reached reached",
        "logstash running running",
        "sysctl as desired as desired",
        "SELinux enforcing enforcing",
        "firewall 8 of 8 8 of 8",
        "health udp-5514 2 of 2 2 of 2",
        "IPVS udp-5514 2 of 2 2 of 2",
        "VIP - holds it",
    ]:
        assert line in lines
    assert "!" not in text
    assert text.isprintable() or "\x1b" not in text


def test_the_table_shows_what_is_wrong_and_what_to_do(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], services=stop("firewalld"))
    text = shown(judge(cluster, observations))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0].startswith("WRONG, 1 thing to fix VIP 10.77.0.10 on stash2")
    assert "firewalld ! stopped running" in lines
    assert "! stash1: firewalld does not run" in lines
    assert any(line.startswith("-> `systemctl start firewalld`") for line in lines)


def test_the_table_shows_a_problem_of_two_nodes_once(cluster: Cluster) -> None:
    observations = {
        name: change(seen, services=stop("firewalld")) for name, seen in all_well(cluster).items()
    }
    report = judge(cluster, observations)
    assert len(report.problems) == 2
    text = shown(report)
    assert "WRONG, 1 thing to fix" in text
    assert "! stash1, stash2: firewalld does not run" in text
    assert text.count("does not run") == 1


def test_the_table_shows_that_no_node_holds_the_vip(cluster: Cluster) -> None:
    observations = {name: replace(seen, held={"10.77.0.10": []}) for name, seen in all_well(cluster).items()}
    text = shown(judge(cluster, observations))
    assert "VIP 10.77.0.10 on no node" in text
    assert "pool: empty" in text


def test_the_table_shows_what_was_delivered(cluster: Cluster) -> None:
    problem = Problem(Status.WRONG, "send", None, "udp-5514: 1 of 4 events are lost", "send slower")
    text = shown(judge(cluster, all_well(cluster)), delivery(lost=1, problems=(problem,)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "udp-5514 4 1 2 1 0" in lines
    assert lines[0].startswith("WRONG, 1 thing to fix")
    assert "! cluster: udp-5514: 1 of 4 events are lost" in lines


def test_the_table_of_several_vips_names_each(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, families=(4, 6))
    lines = [
        " ".join(line.split()) for line in shown(judge(cluster, all_well(cluster)), width=200).splitlines()
    ]
    assert lines[0] == "ALL GOOD VIP 10.77.0.10 on stash2, fd00:77::10 on stash2 pool: stash1, stash2"
    assert "IPVS udp-5514 fd00:77::10 2 of 2 2 of 2" in lines
    assert "VIP fd00:77::10 - holds it" in lines


def test_the_table_marks_what_the_api_counted(cluster: Cluster) -> None:
    result = InputDelivery("udp-5514", ("10.77.0.10",), "api", 4, 0, {"stash1": 3, "stash2": 2}, 0, None)
    text = shown(judge(cluster, all_well(cluster)), Delivery("5eed", "sender", (result,), ()))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "udp-5514* 4 3 2 0 -" in lines
    assert "* counted by Logstash's API, where other senders' events count too" in lines


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_the_table_fits_80_columns(tmp_path: Path, nodes: int) -> None:
    """Also with every cell wrong: no line of the table is broken."""
    cluster = make_cluster(tmp_path, nodes)
    faults = {
        "services": lambda it: [service.update(active=False, enabled=False) for service in it.values()],
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


def test_the_table_without_a_terminal_is_plain_ascii(cluster: Cluster) -> None:
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
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def test_the_json_keeps_its_shape(cluster: Cluster) -> None:
    """What readers rely on; see DOCUMENT_VERSION before this changes."""
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], services=stop("firewalld"))
    address = str(cluster.nodes[0].address)
    note = {"by": "alice@laptop", "since": 1795788120, "until": None, "patch": None}
    observations["stash1"] = replace(observations["stash1"], maintenance={address: note})  # type: ignore[dict-item]
    text = json.dumps(document(judge(cluster, observations), delivery()))
    cell = {"status": "str", "text": "str"}
    assert shape(json.loads(text)) == {
        "version": "int",
        "error": "NoneType",
        "ok": "bool",
        "nodes": ["str"],
        "maintenance": {"stash1": {"by": "str", "since": "int", "until": "NoneType", "patch": "NoneType"}},
        "vips": {"10.77.0.10": {"holders": ["str"], "pool": {"udp-5514": ["str"]}}},
        "checks": [
            {
                "check": "str",
                "input": "NoneType",
                "vip": "NoneType",
                "nodes": {"stash1": cell, "stash2": cell},
            }
        ],
        "problems": [
            {
                "status": "str",
                "check": "str",
                "node": "str",
                "what": "str",
                "do": "str",
                "reason": "NoneType",
            }
        ],
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
        ("logstash-ha-firewall", None, None),
        ("firewalld", None, None),
        ("sysctl", None, None),
        ("selinux", None, None),
        ("firewall", None, None),
        ("health", "udp-5514", None),
        ("ipvs", "udp-5514", "10.77.0.10"),
        ("vip", None, "10.77.0.10"),
    ]


def test_the_json_without_a_test_has_no_events(cluster: Cluster) -> None:
    content = document(judge(cluster, all_well(cluster)), None)
    assert content["send"] is None
    assert content["ok"] is True
    assert content["problems"] == []


def test_the_json_of_a_bad_delivery_is_not_ok(cluster: Cluster) -> None:
    problem = Problem(Status.WRONG, "send", None, "lost", "send slower")
    content = document(judge(cluster, all_well(cluster)), delivery(1, (problem,)))
    assert content["ok"] is False
    assert content["problems"][0]["check"] == "send"


def test_the_json_of_a_failure_has_its_error() -> None:
    assert failure("no node") == {"version": 2, "error": "no node", "ok": False}


def test_the_table_names_the_nodes_that_were_left_out(cluster: Cluster) -> None:
    """Who holds the VIP, and who gets events, is not known without them."""
    observations = {**all_well(cluster), "stash2": Observation(left_out=True)}
    lines = [" ".join(line.split()) for line in shown(judge(cluster, observations)).splitlines()]
    assert lines[0] == "ALL GOOD VIP 10.77.0.10 on no node that was looked at pool: not seen"
    assert lines[1] == "not looked at, as this run is for other nodes: stash2"
    assert "logstash running left out" in lines
    observations = {**all_well(cluster), "stash1": Observation(left_out=True)}
    (first, *_) = shown(judge(cluster, observations)).splitlines()
    assert " ".join(first.split()) == "ALL GOOD VIP 10.77.0.10 on stash2 pool: stash1, stash2"
