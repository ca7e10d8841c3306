"""What a deploy has put on a machine is removed again: the commands of both really run."""

from __future__ import annotations

import os
from pathlib import Path

from desired.paths import RECORD
from desired.sysctl import FILE as SYSCTL_FILE
from desired.textfile import TextFile
from desired.unit import Unit
from facts.record import Record
from operations import files, record, services, sysctl, undo, users
from tests.unit.machine import ShellMachine

THEIRS, OURS, SAME = "/etc/x/theirs.conf", "/etc/x/drop.in.d/ours.conf", "/etc/x/same.conf"
CONF = "/etc/sysctl.conf"


def tree(machine: ShellMachine) -> dict[str, tuple[int, str]]:
    """All files in /etc and its folders: mode and text by path."""
    return {
        str(path.relative_to(machine.root)): (path.stat().st_mode & 0o7777, path.read_text())
        for folder, _, names in os.walk(machine.root / "etc")
        for path in (Path(folder) / name for name in names)
    }


def test_a_deploy_undone_leaves_the_machine_as_it_was(machine: ShellMachine) -> None:
    for name in ("systemctl", "sysctl", "journalctl"):
        machine.program(name, ":")
    machine.write(THEIRS, "theirs\n", mode=0o640)
    machine.write(SAME, "same\n")
    machine.write(CONF, "a = 1\nnet.ipv4.ip_forward = 0\n", mode=0o600)
    before = tree(machine)

    for text in ("first", "second"):
        desired = [
            TextFile(THEIRS, f"{text}\n", read_by="logstash"),
            TextFile(OURS, f"{text}\n"),
            TextFile(SAME, "same\n"),
        ]
        runs = machine.run(files.put, files=desired)
        runs += machine.run(sysctl.effective, settings={"net.ipv4.ip_forward": "1"}, file=SYSCTL_FILE)
        state = {"enabled": False, "active": False, "stale": False}
        present = {"service": state, "fingerprint": [], "package": "", "files": {}, "good": []}
        runs.append(machine.sh(services.activation_script(Unit("logstash", probe="true"), desired, present)))  # type: ignore[arg-type]
        assert [run.stderr for run in runs if run.returncode] == []
    machine.run(files.put, files=[TextFile(THEIRS, "never activated\n", read_by="logstash")])
    assert tree(machine) != before

    for _ in range(2):  # the second time, nothing is left to do
        for operation in (undo.files, record.removed):
            assert [run.stderr for run in machine.run(operation) if run.returncode] == []
    assert tree(machine) == before
    assert not machine.path(OURS).parent.exists()
    assert not machine.path("/var/lib/logstash-ha").exists()
    for operation in (undo.rules, undo.files, undo.users, record.removed):
        assert machine.commands(operation) == []


def test_users_and_packages_of_others_stay(machine: ShellMachine) -> None:
    """Only what is in the record is removed."""
    machine.program("useradd", ":")
    machine.program("getent", ":")
    machine.run(users.system, user="keepalived_script")
    assert machine.fact(Record, path=RECORD) == {"user": ["keepalived_script"]}
    (command,) = machine.commands(undo.users)
    assert command.get_raw_value() == "! id keepalived_script >/dev/null 2>&1 || userdel keepalived_script"
    assert machine.commands(undo.packages, manager="dnf") == []
