"""sudo that asks for a password gets it over standard input: the commands really run, by a stand-in for sudo."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gevent
import pytest
from pyinfra.api import Config, Host, Inventory, State, StringCommand
from pyinfra.connectors import ssh, util
from pyinfra.connectors.util import (
    CommandOutput,
    OutputLine,
    extract_control_arguments,
    make_unix_command,
    write_stdin,
)

from facts.machine import parse_machine
from remote import sudo
from remote.commands import looking
from tests.unit.machine import SHELLS

PASSWORD = "Aa1 h'un\"ter\\22 $x"
SUDO = """#!/bin/sh
echo "$*" >>{folder}/arguments
tr '\\0' '\\n' </proc/$PPID/cmdline >>{folder}/arguments
asks={asks} from=
while true; do case $1 in
    -A) from=$SUDO_ASKPASS ;; -S) from=stdin ;; -p) prompt=$2; shift ;; -H|-n|-k) ;; -u) shift ;; *) break ;;
esac; shift; done
[ -n "$from" ] || [ $asks = no ] || {{ echo 'sudo: a password is required' >&2; exit 1; }}
attempts=0
while [ $asks = yes ]; do
    if [ $from = stdin ]; then IFS= read -r given || break; else given=$($from "$prompt"); fi
    attempts=$((attempts + 1)); echo attempt >>{folder}/attempts
    [ "$given" != "$(cat {folder}/password)" ] || break
    [ $attempts -lt 3 ] || {{ given=; break; }}
    echo 'Sorry, try again.' >&2
done
[ $asks = no ] || [ "$given" = "$(cat {folder}/password)" ] || {{
    echo "sudo: $attempts incorrect password attempts" >&2; exit 1
}}
exec env -u LOGSTASH_HA_SUDO_PASSWORD "$@"
"""


class Connector:
    """A way to this machine, as pyinfra's connector for ssh."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder, self.shell = folder, shell
        self.shown: list[str] = []

    def run_shell_command(
        self, command: StringCommand, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        stdin = extract_control_arguments(arguments).get("_stdin")  # type: ignore[arg-type]
        text = make_unix_command(command, **arguments).get_raw_value()
        self.shown.append(text)
        buffer = io.BytesIO()
        buffer.close = lambda: None  # type: ignore[method-assign]
        if stdin:
            write_stdin(stdin, buffer)
        done = subprocess.run(
            ["sh", "-c", text],
            executable=f"/bin/{self.shell}",
            input=buffer.getvalue(),
            capture_output=True,
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"},
            check=False,
        )
        out = [OutputLine("stdout", line) for line in done.stdout.decode().splitlines()]
        err = [OutputLine("stderr", line) for line in done.stderr.decode().splitlines()]
        return done.returncode == 0, CommandOutput(out + err)


@pytest.fixture(params=SHELLS)
def connector(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Connector:
    monkeypatch.setattr(sudo, "_asked", [])
    monkeypatch.setattr(sudo, "_tried", {})
    (tmp_path / "password").write_text(PASSWORD)
    return Connector(tmp_path, request.param)


def host(connector: Connector, asks: bool = True, **data: Any) -> Host:
    """A host whose sudo asks for a password, or does not."""
    program = connector.folder / "sudo"
    program.write_text(SUDO.format(folder=connector.folder, asks="yes" if asks else "no"))
    program.chmod(0o755)
    inventory = Inventory((["stash1"], {"_sudo": True, **data}))
    state = State(inventory, Config())
    found = state.inventory.get_host("stash1")
    found.connector = connector  # type: ignore[assignment]
    sudo.use_stdin(found)
    sudo.use_stdin(found)
    return found


def said(connector: Connector) -> str:
    """All that the commands and the lists of processes had."""
    return "\n".join(connector.shown) + (connector.folder / "arguments").read_text()


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("stdin", [None, "one\ntwo\n", ["one", "two"], io.StringIO("one\ntwo\n")])
def test_a_command_gets_its_own_standard_input_and_nobody_sees_the_password(
    connector: Connector, asks: bool, stdin: Any
) -> None:
    if isinstance(stdin, io.StringIO):
        stdin.seek(0)
    done, output = host(connector, asks).run_shell_command(
        StringCommand("cat; env"),
        _sudo=True,
        _sudo_password=PASSWORD,
        _stdin=stdin,
        _env={"NAME": "a b"},
        _chdir="/",
        _timeout=5,
    )
    assert done, output.stderr
    assert output.stdout_lines[: 2 if stdin else 0] == (["one", "two"] if stdin else [])
    assert {"NAME=a b", "PWD=/"} <= {*output.stdout_lines}
    assert "hunter" not in said(connector) + output.stdout
    assert 'un"ter' not in said(connector) + output.stdout


def test_without_a_password_or_sudo_the_command_is_pyinfras_own(connector: Connector) -> None:
    machine = host(connector, asks=False)
    assert machine.run_shell_command(StringCommand("true"), _sudo=True)[0]
    assert machine.run_shell_command(StringCommand("true"), _sudo=False, _sudo_password=PASSWORD)[0]
    assert connector.shown == ["sudo -H -n sh -c true", "sh -c true"]


def root(text: str) -> Any:
    return parse_machine([f"root {text}"])


REQUIRED = "sudo: a password is required"


WRONG = "sudo: 1 incorrect password attempts"


def attempts(connector: Connector) -> int:
    """How many passwords sudo was given."""
    file = connector.folder / "attempts"
    return len(file.read_text().split()) if file.exists() else 0


def test_the_inventorys_password_is_tried_before_it_is_used(connector: Connector) -> None:
    right = host(connector, _sudo_password=PASSWORD)
    assert sudo.allowed(right, root(REQUIRED))["root"] == "yes"
    assert attempts(connector) == 1
    assert right.run_shell_command(StringCommand("true"), _sudo=True, _sudo_password=PASSWORD)[0]
    assert attempts(connector) == 2
    assert "hunter" not in said(connector)


def test_a_wrong_password_is_tried_once_however_often_a_host_is_looked_at(connector: Connector) -> None:
    """Some attempts lock the account: a session that looks again and again would do that, and sudo, which takes three at once."""
    for _ in range(3):  # a session, or a look of `verify.py --watch`
        machine = host(connector, _sudo_password="other")
        done, output = machine.run_shell_command(
            StringCommand("true"), _sudo=True, _sudo_password="other", _stdin="one\ntwo\n"
        )
        assert not done
        assert output.stderr.startswith(f"no sudo ({WRONG}); type the password that it has on stash1, or ")
        assert sudo.allowed(machine, root(REQUIRED))["root"] == WRONG
    assert attempts(connector) == 1
    assert sudo.allowed(host(connector, _sudo_password=PASSWORD), root(REQUIRED))["root"] == "yes"


def test_a_password_that_is_not_right_any_more_is_tried_once(connector: Connector) -> None:
    assert sudo.allowed(host(connector, _sudo_password=PASSWORD), root(REQUIRED))["root"] == "yes"
    (connector.folder / "password").write_text("changed")
    for _ in range(3):
        machine = host(connector, _sudo_password=PASSWORD)
        assert sudo.allowed(machine, root(REQUIRED))["root"] == WRONG
        assert not machine.run_shell_command(StringCommand("true"), _sudo=True, _sudo_password=PASSWORD)[0]
    assert attempts(connector) == 2


@pytest.mark.parametrize("answer", [PASSWORD, "other", ""])
def test_the_user_is_asked_once_for_all_hosts_and_only_on_a_terminal(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    asked: list[str] = []

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return answer

    monkeypatch.setattr(sudo, "getpass", getpass)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert sudo.allowed(host(connector), root(REQUIRED))["root"] == REQUIRED
    assert asked == connector.shown == []
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    expected = {PASSWORD: "yes", "other": WRONG, "": REQUIRED}[answer]
    for _ in range(2):
        machine = host(connector)
        assert sudo.allowed(machine, root(REQUIRED))["root"] == expected
        assert machine.run_shell_command(StringCommand("true"), _sudo=True)[0] == (answer == PASSWORD)
    assert len(asked) == 1


def test_the_user_is_asked_when_nothing_is_being_read(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All stands still while somebody types: another node's answer would come too late."""
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    read: list[str] = []
    monkeypatch.setattr(sudo, "getpass", lambda prompt: ",".join(read))

    def look() -> None:
        with looking():
            gevent.sleep(0.1)
            read.append("read")

    looks = [gevent.spawn(look)]
    gevent.sleep(0)
    sudo.allowed(host(connector), root(REQUIRED))
    gevent.joinall(looks)
    assert sudo._asked == ["read"]


def test_pyinfra_does_not_ask_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would in the midst of a run, and put the answer into a command."""
    monkeypatch.setattr(util, "getpass", lambda prompt: pytest.fail("it asks"))
    monkeypatch.setattr(ssh, "execute_command_with_sudo_retry", util.execute_command_with_sudo_retry)
    inventory = Inventory((["stash1"], {"_sudo": True}))
    found = State(inventory, Config()).inventory.get_host("stash1")
    streams = [io.StringIO() for _ in range(3)]
    streams[2].write(REQUIRED)
    streams[2].seek(0)
    streams[1].channel = Mock()  # type: ignore[attr-defined]
    streams[1].channel.recv_exit_status.return_value = 1  # type: ignore[attr-defined]
    found.connector.client = Mock()  # type: ignore[attr-defined]
    found.connector.client.exec_command.return_value = streams  # type: ignore[attr-defined]
    sudo.use_stdin(found)
    done, output = found.run_shell_command(StringCommand("true"), _sudo=True)
    assert not done
    assert output.stderr_lines == [REQUIRED]


@pytest.mark.parametrize("text", ["yes", "", "sudo: sorry, you must have a tty to run sudo"])
def test_where_a_password_does_not_help_nothing_is_tried(connector: Connector, text: str) -> None:
    machine = host(connector, _sudo_password=PASSWORD)
    assert sudo.allowed(machine, root(text))["root"] == text
    assert connector.shown == []


def test_who_logs_in_without_sudo_is_not_asked(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    machine = host(connector, _sudo=False)
    assert sudo.allowed(machine, root(REQUIRED))["root"] == REQUIRED
    assert connector.shown == []
