"""What a node does before its Logstash stops: it waits until it is out of the pools, unless it is out of them already."""

import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from desired.files import desired_files
from desired.health import LEAVE_FILE, LEAVE_TIME
from desired.paths import DRAINED
from tests.unit.clusters import make_cluster


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """The drain flag of stash1; nothing has made it yet."""
    return tmp_path / "drained/10.77.0.11"


def stop(tmp_path: Path, running: bool = True) -> list[str]:
    """How long the unit's ExecStop sleeps: what it gives to sleep(1)."""
    cluster = make_cluster(tmp_path)
    text = desired_files(cluster, cluster.nodes[0], 9)[LEAVE_FILE].content
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStop="))
    assert "$" not in line  # systemd would put a variable there
    slept = tmp_path / "slept"
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name, script in {
        "systemctl": f"exit {0 if running else 3}",
        "sleep": f'echo "$1" >>{slept}',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    command = shlex.split(line.removeprefix("ExecStop=-").replace(DRAINED, str(tmp_path / "drained")))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(command, env=environment, check=False)
    return slept.read_text().split() if slept.exists() else []


def test_it_waits_until_all_nodes_know(tmp_path: Path, flag: Path) -> None:
    assert stop(tmp_path) == [f"{LEAVE_TIME:g}"]
    assert flag.exists()


def test_it_does_not_wait_where_the_deploy_has_drained_it(tmp_path: Path, flag: Path) -> None:
    flag.parent.mkdir()
    flag.touch()
    os.utime(flag, (time.time() - 60,) * 2)
    assert stop(tmp_path) == []
    assert flag.stat().st_mtime > time.time() - 30  # it does not expire while Logstash stops


def test_a_flag_that_is_about_to_expire_is_not_the_deploys(tmp_path: Path, flag: Path) -> None:
    flag.parent.mkdir()
    flag.touch()
    os.utime(flag, (time.time() - 290,) * 2)
    assert stop(tmp_path) == [f"{LEAVE_TIME:g}"]


def test_it_does_nothing_after_a_crash(tmp_path: Path, flag: Path) -> None:
    assert stop(tmp_path, running=False) == []
    assert not flag.exists()
