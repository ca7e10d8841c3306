"""sudo that asks for a password: the password goes over standard input, and is in no list of processes, log or file.

pyinfra's own way has it in a command (`env PYINFRA_SUDO_PASSWORD=…`), which everybody on the machine can see.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from getpass import getpass
from typing import Any

from gevent.lock import RLock
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.connectors import ssh
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command

from desired.requirements import no_sudo
from facts.machine import MachineState, needs_terminal
from remote.commands import READ_TIMEOUT, connector_arguments, looking, wait_for_looks

VARIABLE = "LOGSTASH_HA_SUDO_PASSWORD"
"""The environment variable in which the user's own shell has the password: only the user and root can see it. It is also the
prompt that sudo gives to its askpass program (sudo(8), -A and -p): printenv(1), which prints the variable."""

_asked: list[str] = []
"""What the user has typed: nothing where there is none to give."""
_lock = RLock()

_tried: dict[tuple[str, str], str] = {}
"""By host and password: what sudo has said against it; nothing where it is right. A wrong one is not tried again, however often
this process looks at the host."""
_locks: defaultdict[str, RLock] = defaultdict(RLock)

Connect = Callable[..., tuple[bool, CommandOutput]]
"""As the method `run_shell_command` of pyinfra's connectors."""


def use_stdin(host: Host) -> None:
    """Let this host's commands give sudo the password over standard input, where there is one."""
    connector = host.connector
    if "run_shell_command" in vars(connector):
        return
    vars(connector)["run_shell_command"] = _Sudo(host, connector.run_shell_command)
    # Where sudo asks, pyinfra would, too, in the midst of its work, and put the answer into a command.
    vars(ssh)["execute_command_with_sudo_retry"] = lambda host, arguments, execute: execute()


class _Sudo:
    """What takes the place of a connector's `run_shell_command`."""

    def __init__(self, host: Host, original: Connect) -> None:
        self._host = host
        self._original = original

    def __call__(
        self, command: StringCommand, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        password = arguments.pop("_sudo_password", None) or _typed()
        if password and arguments.get("_sudo"):
            if objection := self.objection(password, arguments):
                return False, CommandOutput([OutputLine("stderr", no_sudo(self._host.name, objection))])
            command, arguments = _with_password(command, arguments, password)
        return self._original(command, print_output=print_output, print_input=print_input, **arguments)

    def objection(self, password: str, arguments: dict[str, Any], again: bool = False) -> str:
        """What sudo says against this password; nothing where it is right. One that was right is only tried once more if `again`.

        With -A, sudo would ask for a wrong one three times at once, which can lock the account. With -S it ends when there is no
        second line to read.
        """
        with _locks[self._host.name]:
            key = self._host.name, password
            if _tried.get(key) or (key in _tried and not again):
                return _tried[key]
            options, inner = _options(arguments)
            trial = StringCommand(
                "LC_ALL=C sudo -S -k -p ''",
                *options,
                make_unix_command(StringCommand("true"), **inner),
            )
            with looking():
                done, output = self._original(trial, _stdin=[password], _timeout=READ_TIMEOUT)
            if done:
                _tried[key] = ""
            elif output.stderr_lines:
                _tried[key] = output.stderr_lines[-1]
            else:  # the connection broke
                return "no answer"
            return _tried[key]


def _options(arguments: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Of pyinfra's arguments for the connector: sudo's options, and those for what sudo runs."""
    options: list[Any] = ["-H"]
    options += ["-i"] if arguments.get("_use_sudo_login") else []
    options += ["-E"] if arguments.get("_preserve_sudo_env") else []
    options += ["-u", QuoteString(arguments["_sudo_user"])] if arguments.get("_sudo_user") else []
    names = ("_env", "_chdir", "_shell_executable")
    return options, {name: arguments[name] for name in names if name in arguments}


def _with_password(
    command: StringCommand, arguments: dict[str, Any], password: str
) -> tuple[StringCommand, dict[str, Any]]:
    """A command and pyinfra's arguments for the connector, changed to run it by sudo with this password."""
    options, inner = _options(arguments)
    wrapped = StringCommand(
        # The shell reads no more than the first line: the rest is the command's.
        f"IFS= read -r {VARIABLE} && export {VARIABLE} && SUDO_ASKPASS=$(command -v printenv) exec sudo -A -p {VARIABLE}",
        *options,
        make_unix_command(command, **inner),
    )
    stdin = arguments.get("_stdin") or []
    if hasattr(stdin, "readlines"):
        stdin = stdin.readlines()
    lines = [password, *([stdin] if isinstance(stdin, str) else stdin)]
    taken = ("_sudo", "_sudo_user", "_use_sudo_login", "_preserve_sudo_env", *inner)
    rest = {name: value for name, value in arguments.items() if name not in taken}
    return wrapped, {**rest, "_stdin": lines}


def allowed(host: Host, machine: MachineState) -> MachineState:
    """What `facts.machine.Machine` has found on the host, with `root` as it is with a password for sudo.

    Where sudo asks for a password, and pyinfra has none for it, the user is asked once for all hosts of this process, if there is
    a terminal. The password is tried once, so that a wrong one does not lock the account by each further command.
    """
    if machine["root"] in ("", "yes") or needs_terminal(machine) or not _argument(host, "_sudo"):
        return machine
    with _lock:
        password = _argument(host, "_sudo_password") or _typed() or _ask()
    if password:
        use_stdin(host)
        sudo: _Sudo = vars(host.connector)["run_shell_command"]
        machine["root"] = sudo.objection(password, connector_arguments(host), again=True) or "yes"
    return machine


def _argument(host: Host, name: str) -> Any:
    """One of pyinfra's arguments, from the inventory or the command line."""
    return host.data.get(name) or getattr(host.state.config, name.removeprefix("_").upper())


def _typed() -> str:
    return next(iter(_asked), "")


def _ask() -> str:
    """Ask the user for the password, who may press Enter to give none."""
    if not _asked and sys.stdin.isatty():
        wait_for_looks()
        _asked.append(getpass("sudo password on the nodes: "))
    return _typed()
