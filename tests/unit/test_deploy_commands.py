"""The shell commands of operations and facts, really run, in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import StringCommand
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeState, create_host

from facts.files import File, Text
from facts.sysctl import Sysctl
from operations import files, keepalived, logstash, services, sysctl
from operations.files import TextFile
from operations.services import Unit


def commands(operation: Any, facts: Mapping[str, Any], **arguments: Any) -> list[StringCommand]:
    """What the operation yields on a machine with these facts."""
    state = FakeState()
    with ctx_state.use(state), ctx_host.use(create_host(state, facts=dict(facts))):
        return list(operation._inner(**arguments))


Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of stand-in programs, found before the machine's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def sh(programs: Path) -> Shell:
    """Runs a command by the plainest shell there is, as pyinfra does."""

    def run(command: StringCommand | str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        if isinstance(command, StringCommand):
            stdin = stdin or str(command.connector_arguments.get("_stdin", ""))
            command = command.get_raw_value()
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", "-c", command], input=stdin, capture_output=True, text=True, env=environment, timeout=30
        )

    return run


def program(programs: Path, name: str, script: str) -> None:
    path = programs / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def put(path: Path, **arguments: Any) -> StringCommand:
    """The command that puts `new` into a file that is not there."""
    facts = {"files.File": {f"path={path}": None}}
    (command,) = commands(files.put, facts, file=TextFile(str(path), "new\n", **arguments))
    return command


def test_put_makes_the_file_and_its_folder(tmp_path: Path, sh: Shell) -> None:
    path = tmp_path / "made" / "file.conf"
    done = sh(
        put(path, mode="640", check='test "$(cat "$new")" = new; touch "$work/scratch"', then=f"cat {path}")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "new\n", "")
    assert path.stat().st_mode & 0o7777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_put_keeps_the_old_file_when_the_check_fails(tmp_path: Path, sh: Shell) -> None:
    path = tmp_path / "etc" / "file.conf"
    path.parent.mkdir()
    path.write_text("old\n")
    done = sh(put(path, check="echo line 1 is bad >&2; false", then="echo done"))
    assert done.returncode != 0
    assert (done.stdout, done.stderr) == ("", "line 1 is bad\n")
    assert path.read_text() == "old\n"
    assert list(path.parent.iterdir()) == [path]


def test_put_refuses_half_a_file(tmp_path: Path, sh: Shell) -> None:
    path = tmp_path / "etc" / "file.conf"
    done = sh(put(path), stdin="ne")
    assert done.returncode != 0
    assert done.stderr == f"{path}: the upload broke off\n"
    assert list(path.parent.iterdir()) == []


def test_put_makes_the_unit_forget(tmp_path: Path, sh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MARKERS", tmp_path)
    marker = tmp_path / "logstash.sha256"
    marker.touch()
    assert sh(put(tmp_path / "etc" / "file.conf", read_by="logstash", check="false")).returncode != 0
    assert marker.exists()
    assert sh(put(tmp_path / "etc" / "file.conf", read_by="logstash")).returncode == 0
    assert not marker.exists()


def test_what_put_wrote_is_what_the_fact_finds(tmp_path: Path, sh: Shell) -> None:
    path = tmp_path / "etc" / "keepalived.conf"
    content = "authentication {\n    auth_pass hunter22\n}\n"
    facts = {"files.File": {f"path={path}": None}}
    file = TextFile(str(path), content, mode="600")
    (command,) = commands(files.put, facts, file=file)
    assert sh(command).returncode == 0
    found = sh(File().command(str(path)))
    state = File().process(found.stdout.splitlines())
    assert commands(files.put, {"files.File": {f"path={path}": state}}, file=file) == []
    shown = sh(Text().command(str(path)))
    assert shown.stdout.splitlines() == ["authentication {", "    auth_pass ********", "}"]


@pytest.mark.parametrize(
    ("key", "value"), [("sha256", "0" * 64), ("mode", "600"), ("user", "logstash"), ("group", "logstash")]
)
def test_put_again_when_one_thing_differs(key: str, value: str) -> None:
    file = TextFile("/etc/x", "new\n")
    state = {"mode": "644", "user": "root", "group": "root", "sha256": file.sha256}
    assert commands(files.put, {"files.File": {"path=/etc/x": state}}, file=file) == []
    assert len(commands(files.put, {"files.File": {"path=/etc/x": {**state, key: value}}}, file=file)) == 1


def test_no_file_is_no_failure(tmp_path: Path, sh: Shell) -> None:
    for fact in (File(), Text()):
        found = sh(fact.command(str(tmp_path / "absent")))
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("version", "said", "status", "good"),
    [
        ("2.2.8", "", 0, True),
        ("2.2.8", "(Line 3) Unknown keyword 'dely_loop'", 1, False),
        ("2.1.5", "", 0, True),
        ("2.1.5", "(Line 3) Unknown keyword 'dely_loop'", 0, False),
        ("2.2.4", "", 143, False),
        ("1.3.5", "keepalived: unrecognized option '--config-test'", 1, True),
    ],
)
def test_keepalived_decides_on_its_configuration(
    programs: Path, tmp_path: Path, sh: Shell, version: str, said: str, status: int, good: bool
) -> None:
    test = f'test -z "$3" || {{ echo "{said}" >&2; exit {status}; }}'
    program(
        programs,
        "keepalived",
        f'[ $# -gt 1 ] || {{ echo "Keepalived v{version} (08/20,2018)" >&2; exit 0; }}\n{test}',
    )
    path = tmp_path / "etc" / "keepalived.conf"
    done = sh(put(path, check=keepalived.CONF_CHECK))
    assert path.exists() == good == (done.returncode == 0), done.stderr
    assert (said in done.stderr) or good


def test_keepalived_2_2_7_is_asked_as_root(programs: Path, tmp_path: Path, sh: Shell) -> None:
    """It would kill itself on another script_user."""
    tested = tmp_path / "tested"
    program(
        programs,
        "keepalived",
        f'[ $# -gt 1 ] || {{ echo "Keepalived v2.2.7 (01/16,2022)" >&2; exit 0; }}\ncat "$3" >{tested}',
    )
    path = tmp_path / "etc" / "keepalived.conf"
    facts = {"files.File": {f"path={path}": None}}
    content = "script_user keepalived_script\nenable_script_security\n"
    (command,) = commands(files.put, facts, file=TextFile(str(path), content, check=keepalived.CONF_CHECK))
    assert sh(command).returncode == 0
    assert tested.read_text() == "script_user root\nenable_script_security\n"
    assert path.read_text() == content


def test_logstash_checks_all_files_of_conf_d_together(
    programs: Path, tmp_path: Path, sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "theirs.conf").write_text("theirs\n")
    (folder / "logstash-ha.conf").write_text("old\n")
    program(programs, "chown", ":")
    script = f'for argument; do last=$argument; done; {{ cat $last; echo "$@"; }} >{tmp_path}/tested'
    program(programs, "runuser", script)
    check = logstash.PIPELINE_CHECK.replace(logstash.PIPELINES, str(folder))
    done = sh(put(folder / "logstash-ha.conf", check=check))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (
        (tmp_path / "tested")
        .read_text()
        .startswith("new\ntheirs\n-u logstash -- /usr/share/logstash/bin/logstash --config.test_and_exit")
    )
    assert (folder / "logstash-ha.conf").read_text() == "new\n"


FATAL = r'[FATAL][a] The configuration is invalid. Reason: Expected one of [ \t\r\n], "#"'


@pytest.mark.parametrize(
    ("console", "log", "reason"),
    [
        ("Sending Logstash logs to /x", f"[INFO ][a] Starting\n{FATAL}", FATAL),
        (FATAL, FATAL, FATAL),
        ("ERROR: Setting bogus doesn't exist", "", "ERROR: Setting bogus doesn't exist"),
    ],
)
def test_logstash_says_why_it_refuses(
    programs: Path, tmp_path: Path, sh: Shell, console: str, log: str, reason: str
) -> None:
    (tmp_path / "console").write_text(console)
    (tmp_path / "log").write_text(log)
    program(programs, "chown", ":")
    program(
        programs, "runuser", f'mkdir -p "$9"; cp {tmp_path}/log "$9/x.log"; cat {tmp_path}/console; exit 1'
    )
    done = sh(put(tmp_path / "etc" / "x.conf", check=logstash.PIPELINE_CHECK))
    assert done.returncode == 1
    assert done.stderr == f"Logstash refuses it: {reason}\n"
    assert not (tmp_path / "etc" / "x.conf").exists()


def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> StringCommand:
    """The command that starts a unit that is down."""
    monkeypatch.setattr("facts.services.MARKERS", tmp_path / "markers")
    facts = {
        "services.Unit": {
            "files=['/etc/x/a'], unit=logstash": {
                "service": {"enabled": True, "active": False, "stale": False},
                "marker": [],
                "package": "logstash-1",
                "files": {},
            }
        }
    }
    own, other = TextFile("/etc/x/a", "", read_by="logstash"), TextFile("/etc/x/b", "")
    (command,) = commands(services.up, facts, unit=Unit("logstash", **arguments), files=[own, other])
    return command


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_up_waits_for_the_probe_and_notes_what_was_read(
    programs: Path, tmp_path: Path, sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, "systemctl", f'echo "$@" >>{tmp_path}/calls')
    program(programs, "sleep", f"touch {tmp_path}/ready")
    done = sh(up(tmp_path, monkeypatch, probe=f"test -f {tmp_path}/ready"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text() == "restart logstash\n"
    marker = (tmp_path / "markers" / "logstash.sha256").read_text()
    assert marker.splitlines() == ["logstash-1", f"{EMPTY}  /etc/x/a"]


def test_up_is_bounded_and_says_why(
    programs: Path, tmp_path: Path, sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, "systemctl", ":")
    program(programs, "journalctl", "echo Started logstash.service")
    (tmp_path / "log").write_text("Address in use\n")
    done = sh(
        up(tmp_path, monkeypatch, probe="echo no such input; false", bound=1, log=str(tmp_path / "log"))
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "logstash is not up after 1 s: no such input",
        "Started logstash.service",
        "Address in use",
    ]
    assert not (tmp_path / "markers").exists()


def test_up_fails_when_the_unit_does(
    programs: Path, tmp_path: Path, sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, "systemctl", "exit 5")
    program(programs, "journalctl", ":")
    done = sh(up(tmp_path, monkeypatch, probe="true"))
    assert (done.returncode, done.stderr) == (1, "logstash could not restart\n")
    assert not (tmp_path / "markers").exists()


def test_the_stig_line_becomes_a_comment(tmp_path: Path, sh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "sysctl.conf"
    conf.write_text("# net.ipv4.ip_forward = 0\nnet.ipv4.ip_forward=0\nnet.ipv4.ip_forward_use_pmtu = 0\n")
    monkeypatch.setattr(sysctl, "CONF", conf)
    facts = {
        "sysctl.Sysctl": {
            "keys=['net.ipv4.ip_forward']": {
                "runtime": {"net.ipv4.ip_forward": "1"},
                "conf": {"net.ipv4.ip_forward": "0"},
            }
        }
    }
    (command,) = commands(sysctl.effective, facts, settings={"net.ipv4.ip_forward": "1"}, file="/nowhere")
    assert sh(command).returncode == 0
    assert conf.read_text().splitlines() == [
        "# net.ipv4.ip_forward = 0",
        "# net.ipv4.ip_forward=0",
        "net.ipv4.ip_forward_use_pmtu = 0",
    ]


def test_the_kernel_is_asked(sh: Shell) -> None:
    found = sh(Sysctl().command(["net.ipv4.ip_forward", "net.ipv4.ip_nonlocal_bind"]))
    assert found.returncode == 0
    expected = {
        key: Path(f"/proc/sys/{key.replace('.', '/')}").read_text().strip()
        for key in ("net.ipv4.ip_forward", "net.ipv4.ip_nonlocal_bind")
    }
    assert Sysctl().process(found.stdout.splitlines())["runtime"] == expected
