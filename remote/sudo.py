"""sudo that asks for a password: the password goes over standard input, and is in no list of processes, log or file.

pyinfra's own way has it in a command (`env PYINFRA_SUDO_PASSWORD=…`), which everybody on the machine can see.
"""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Any

from gevent.lock import RLock
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.connectors.util import make_unix_command

from facts.machine import MachineState, needs_terminal
from remote.commands import CommandFailed, run

VARIABLE = "LOGSTASH_HA_SUDO_PASSWORD"
"""The environment variable in which the user's own shell has the password: only the user and root can see it. It is also the
prompt that sudo gives to its askpass program (sudo(8), -A and -p): printenv(1), which prints the variable."""

_asked: list[str] = []
_lock = RLock()


def use_stdin(host: Host) -> None:
    """Let this host's commands give sudo the password over standard input, where there is one."""
    connector = host.connector
    if "run_shell_command" in vars(connector):
        return
    original = connector.run_shell_command

    def run_shell_command(
        command: StringCommand, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> Any:
        password = arguments.pop("_sudo_password", None) or next(iter(_asked), None)
        if password and arguments.get("_sudo"):
            command, arguments = _with_password(command, arguments, password)
        return original(command, print_output=print_output, print_input=print_input, **arguments)

    vars(connector)["run_shell_command"] = run_shell_command


def _with_password(
    command: StringCommand, arguments: dict[str, Any], password: str
) -> tuple[StringCommand, dict[str, Any]]:
    """A command and pyinfra's arguments for the connector, changed to run it by sudo with this password."""
    taken = (
        "_sudo",
        "_sudo_user",
        "_use_sudo_login",
        "_preserve_sudo_env",
        "_env",
        "_chdir",
        "_shell_executable",
    )
    found = {name: arguments[name] for name in taken if name in arguments}
    options: list[Any] = ["-H", "-A", "-p", VARIABLE]
    options += ["-i"] if found.get("_use_sudo_login") else []
    options += ["-E"] if found.get("_preserve_sudo_env") else []
    options += ["-u", QuoteString(found["_sudo_user"])] if found.get("_sudo_user") else []
    inner = {name: found[name] for name in ("_env", "_chdir", "_shell_executable") if name in found}
    wrapped = StringCommand(
        # The shell reads no more than the first line: the rest is the command's.
        f"IFS= read -r {VARIABLE} && export {VARIABLE} && SUDO_ASKPASS=$(command -v printenv) exec sudo",
        *options,
        make_unix_command(command, **inner),
    )
    stdin = arguments.get("_stdin") or []
    if hasattr(stdin, "readlines"):
        stdin = stdin.readlines()
    lines = [password, *([stdin] if isinstance(stdin, str) else stdin)]
    rest = {name: value for name, value in arguments.items() if name not in taken}
    return wrapped, {**rest, "_stdin": lines}


def allowed(host: Host, machine: MachineState) -> MachineState:
    """What `facts.machine.Machine` has found on the host, with `root` as it is with a password for sudo.

    Where sudo asks for a password, and pyinfra has none for it, the user is asked once for all hosts of this process, if there is
    a terminal. The password is tried once, so that a wrong one does not lock the account by each further command.
    """
    if machine["root"] in ("", "yes") or needs_terminal(machine):
        return machine
    with _lock:
        if not _argument(host, "_sudo") or not (_argument(host, "_sudo_password") or _asked or _ask()):
            return machine
    use_stdin(host)
    try:
        run(host, "true")
    except CommandFailed as failure:
        machine["root"] = failure.lines[-1] if failure.lines else "sudo fails"
    else:
        machine["root"] = "yes"
    return machine


def _argument(host: Host, name: str) -> Any:
    """One of pyinfra's arguments, from the inventory or the command line."""
    return host.data.get(name) or getattr(host.state.config, name.removeprefix("_").upper())


def _ask() -> bool:
    """Ask the user for the password, who may press Enter to give none."""
    if not sys.stdin.isatty():
        return False
    if password := getpass("sudo password on the nodes: "):
        _asked.append(password)
    return bool(password)
