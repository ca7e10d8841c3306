"""`verify.py why` on the command line."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest

from cluster import ClusterError
from tests.unit.clusters import make_cluster
from tests.unit.test_capacity import locally
from tests.unit.test_why_steps import all_well_seen, nothing_came
from verification.why import command, run, trace
from verification.why.run import _address, _check_input, look
from verification.why.way import Seen

INVENTORY = str(Path(__file__).parents[2] / "inventory.py")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which sender? Write its IP address, or --send"),
        (["10.77.0.101", "--from", "sender"], "--from is for --send"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["10.77.0.101", "--seconds", "0"], "--seconds: 0 is out of range; choose 1 to 120"),
        (["10.77.0.101", "udp-99"], "why: 'udp-99' is not an input of the cluster; choose from udp-5514"),
        (["10.77.0.101", "--send", "--from", "stash1"], "--from: stash1 is a node"),
    ],
)
def test_it_could_not_look_where_the_question_is_wrong(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*arguments, "--inventory", INVENTORY]) == 2
    assert words in capsys.readouterr().err
    assert command.main([*arguments, "--inventory", INVENTORY, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert words in document["error"]
    assert document["ok"] is False


def test_a_sender_is_an_address_of_a_family_that_a_vip_has(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    assert _address(cluster, "198.51.100.7", None) == ip_address("198.51.100.7")
    with pytest.raises(ClusterError, match=r"'loghost' is not an IP address"):
        _address(cluster, "loghost", None)
    with pytest.raises(ClusterError, match=r"is IPv6, and no VIP is"):
        _address(cluster, "fd77::101", None)


def test_an_input_may_be_named_by_its_id_or_that_of_one_protocol(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, inputs=[{"id": "syslog", "port": 5514, "protocol": "both"}])
    for name in ("syslog", "syslog-udp", "syslog-tcp", None):
        _check_input(cluster, name)
    with pytest.raises(ClusterError, match="choose from syslog-udp, syslog-tcp, syslog"):
        _check_input(cluster, "udp")


@pytest.mark.parametrize(("broken", "status"), [(False, 0), (True, 1)])
def test_the_exit_status_says_whether_a_step_is_wrong(
    broken: bool,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: Seen = all_well_seen(make_cluster(tmp_path))
    if broken:
        nothing_came(seen)
    monkeypatch.setattr(command, "look", lambda *_: seen)
    assert command.main(["10.77.0.101"]) == status
    assert ("IT BREAKS HERE" if broken else "NO STEP IS WRONG") in capsys.readouterr().out


def test_a_look_has_a_bound() -> None:
    with pytest.raises(ClusterError, match="choose 1 to 120"):
        look(INVENTORY, "10.77.0.101", None, 500, False, None)


def test_the_program_for_nodes_is_run_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It really runs, on this machine, which has no such interface and no packets."""
    monkeypatch.setattr(run, "run", locally)
    monkeypatch.setattr(trace, "SETTLING", 0)
    cluster = make_cluster(tmp_path, interface="gone0")
    found = run._trace(cluster.nodes[0], cast(Any, None), cluster, ip_address("10.77.0.101"), 0.1)
    assert found
    assert list(found.errors) == ["gone0"]
    assert (found.frames, found.missed, found.answers) == ([], 0, {})
    assert "all" in found.rp_filter


def test_a_node_on_which_it_can_not_run_has_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = make_cluster(tmp_path)
    monkeypatch.setattr(run, "run", lambda *_, **__: ["Killed"])
    assert run._trace(cluster.nodes[0], cast(Any, None), cluster, ip_address("10.77.0.101"), 0.1) is None
