"""The lock on a node: who has it, and whether that run still goes on."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from remote.lock import _TAKE, named, parse
from tests.unit.machine import SHELLS


def take(folder: Path, shell: str, token: str) -> list[str]:
    """As a run does that has this token: what the node says."""
    note = json.dumps({"by": f"{token}@laptop", "pid": 1, "since": 0, "command": "deploy.py", "token": token})
    script = _TAKE.format(folder=folder, mine=shlex.quote(note), token=token)
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_run_that_goes_on_keeps_the_lock(tmp_path: Path, shell: str) -> None:
    """Its session is a process that lives as long as this test: no sshd is above it here, so it is the outermost one."""
    assert take(tmp_path, shell, "alice") == ["taken"]
    assert take(tmp_path, shell, "alice") == ["taken"]  # again, as after a step that broke
    (held,) = take(tmp_path, shell, "bob")
    word, _, rest = held.partition(" ")
    holder = parse(rest)
    assert (word, holder.by, holder.pid, holder.command) == ("held", "alice@laptop", 1, "deploy.py")
    assert Path(f"/proc/{holder.session}").exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("lock", ["{gone} 12", "{alive} 12", "nonsense"])
def test_a_run_that_is_over_does_not(tmp_path: Path, shell: str, lock: str) -> None:
    """Its session has ended, and perhaps another process has its number now."""
    with subprocess.Popen(["sleep", "60"]) as alive, subprocess.Popen(["true"]) as gone:
        gone.wait()
        line = lock.format(gone=gone.pid, alive=alive.pid)
        (tmp_path / "lock").write_text(f'{line}\n{{"by": "alice@laptop", "token": "alice"}}\n')
        said = take(tmp_path, shell, "bob")
        alive.terminate()
    assert [each.split()[0] for each in said] == ["stale", "taken"]
    assert parse(said[0].partition(" ")[2]).by == "alice@laptop"
    assert take(tmp_path, shell, "alice")[0].startswith("held ")


def test_the_session_is_the_nearest_sshd(tmp_path: Path) -> None:
    """Whatever is between: sudo, shells; and its name may have parentheses and blanks, as in OpenSSH 9.8."""
    sshd = tmp_path / "sshd-session"
    sshd.symlink_to("/bin/bash")
    note = json.dumps({"by": "alice", "token": "alice"})
    script = _TAKE.format(folder=tmp_path, mine=shlex.quote(note), token="alice")
    (tmp_path / "take").write_text(script)
    inner = f"dash -c 'dash {tmp_path}/take; true'; echo $$; true"
    done = subprocess.run([str(sshd), "-c", inner], capture_output=True, text=True, check=True)
    taken, pid = done.stdout.split()
    assert taken == "taken"
    assert (tmp_path / "lock").read_text().split()[0] == pid
    assert take(tmp_path, "dash", "bob")[0].startswith("stale ")


@pytest.mark.parametrize(
    ("command_line", "name"),
    [
        ("/venv/bin/pyinfra -y logs/inventory.py deploy.py --limit stash1", "inventory.py deploy.py"),
        ("pyinfra inventory.py maintain.py --data back=yes", "inventory.py maintain.py"),
        ("drills/__main__.py logstash-killed --yes", "logstash-killed --yes"),
        ("/usr/bin/program", "program"),
    ],
)
def test_a_run_is_named_by_what_it_runs(command_line: str, name: str) -> None:
    assert named(command_line.split()) == name
