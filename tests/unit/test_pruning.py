"""What an earlier deploy has put on a machine under a name of its own goes: the commands really run."""

from __future__ import annotations

from pathlib import Path

import pytest

from desired.files import desired_files
from desired.paths import RECORD
from desired.textfile import TextFile
from facts.record import Record
from operations import files
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine

OLD, NEW, THEIRS = "/etc/keepalived/old_name.py", "/etc/keepalived/new_name.py", "/etc/x/theirs.conf"


@pytest.fixture
def fresh(machine: ShellMachine) -> ShellMachine:
    """A machine whose folders no package owns."""
    for name in ("chown", "systemctl", "restorecon"):
        machine.program(name, ":")
    machine.program("rpm", "false")
    return machine


@pytest.fixture
def deployed(fresh: ShellMachine) -> ShellMachine:
    """A machine on which an earlier version of this project has put its files."""
    fresh.write(THEIRS, "theirs\n", mode=0o640)
    put(fresh, TextFile(OLD, "old\n", mode="755"), TextFile(THEIRS, "ours\n"))
    return fresh


def put(machine: ShellMachine, *texts: TextFile) -> None:
    for done in machine.run(files.put, files=list(texts)):
        assert (done.returncode, done.stderr) == (0, "")


def prune(machine: ShellMachine, *texts: TextFile) -> None:
    for done in machine.run(files.pruned, files=list(texts), kept=[]):
        assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_has_another_name_now_goes_under_its_old_one(deployed: ShellMachine) -> None:
    new = TextFile(NEW, "new\n", mode="755")
    put(deployed, new)
    prune(deployed, new, TextFile(THEIRS, "ours\n"))
    assert not deployed.path(OLD).exists()
    assert deployed.path(NEW).read_text() == "new\n"
    assert deployed.path(THEIRS).read_text() == "ours\n"
    assert deployed.fact(Record, path=RECORD) == {"file": [THEIRS, NEW]}
    assert deployed.commands(files.pruned, files=[new, TextFile(THEIRS, "ours\n")], kept=[]) == []


def test_what_stood_in_its_place_before_is_put_back(deployed: ShellMachine) -> None:
    prune(deployed, TextFile(OLD, "old\n"))
    assert deployed.path(THEIRS).read_text() == "theirs\n"
    assert deployed.path(THEIRS).stat().st_mode & 0o777 == 0o640


def test_a_file_that_waits_for_its_unit_goes_too(deployed: ShellMachine) -> None:
    staged = TextFile("/etc/logstash/x.conf", "x\n", read_by="logstash")
    put(deployed, staged)
    prune(deployed, TextFile(OLD, "old\n"), TextFile(THEIRS, "ours\n"))
    assert not deployed.path(staged.staged).exists()


def test_an_empty_folder_goes_where_the_deploy_has_made_it(fresh: ShellMachine) -> None:
    """The one with metrics is of others: node_exporter reads it."""
    ours, metrics = "/etc/systemd/system/x.service.d/ours.conf", "/var/lib/node_exporter/logstash_ha.prom"
    put(fresh, TextFile(ours, "ours\n"), TextFile(metrics, "0\n"))
    prune(fresh)
    assert not fresh.path(ours).parent.exists()
    assert not fresh.path(metrics).exists()
    assert fresh.path(metrics).parent.is_dir()


def test_what_is_in_no_record_stays(machine: ShellMachine) -> None:
    machine.write(OLD, "somebody's own\n")
    assert machine.commands(files.pruned, files=[], kept=[]) == []


def test_all_that_is_desired_stays(machine: ShellMachine, tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    desired = list(desired_files(cluster, cluster.nodes[0], 9).values())
    machine.write(RECORD, "".join(f"file {file.path}\n" for file in desired))
    assert machine.commands(files.pruned, files=desired, kept=[]) == []
