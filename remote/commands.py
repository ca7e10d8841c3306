"""Facts and commands on any host of a run, whichever host the present operation is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from paramiko import SSHException
from pyinfra import logger
from pyinfra.api import FactBase, Host, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.facts import get_fact

from remote.snapshot import Change, reading, refused

READ_TIMEOUT = 40
"""Seconds for a fact."""
RUN_TIMEOUT = 600
"""Seconds for a command that changes something."""


class CommandFailed(Exception):
    """A command has failed, or its connection; `lines` say why."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines) or "it says nothing")
        self.lines = lines


_looks: set[object] = set()


@contextmanager
def looking() -> Iterator[None]:
    """A look at a host, which `wait_for_looks` waits for."""
    look = object()
    _looks.add(look)
    try:
        yield
    finally:
        _looks.remove(look)


def wait_for_looks() -> None:
    """Wait until nothing is being read. Before a question to the user: all stands still while somebody types, and what is
    read meanwhile would have taken too long."""
    while _looks:
        gevent.sleep(0.02)


def read(host: Host, fact: type[FactBase[Any]], timeout: int = READ_TIMEOUT, **arguments: Any) -> Any:
    """A fact of this host, or its default when its command fails; the host stays in the run then."""
    kwargs = {"_timeout": timeout, **arguments}
    with reading(), looking():
        return get_fact(host.state, host, fact, kwargs=kwargs, apply_failed_hosts=False)


def connector_arguments(host: Host) -> dict[str, Any]:
    """How the inventory and the command line have pyinfra run commands on this host, such as by sudo."""
    arguments, _ = pop_global_arguments(host.state, host, {})
    return {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}


def run(host: Host, command: str | Change, stdin: str | None = None, timeout: int = RUN_TIMEOUT) -> list[str]:
    """Run a shell command as root, in the way that the inventory sets. Returns the lines that it prints, which are not logged.

    Raises `CommandFailed`, also where this run may change nothing (`remote.lock`).
    """
    if refusal := refused(host.state):
        raise CommandFailed([refusal])
    connector = {**connector_arguments(host), "_stdin": stdin, "_timeout": timeout}
    as_command = command if isinstance(command, Change) else StringCommand(command)
    try:
        succeeded, output = host.run_shell_command(as_command, **connector)
    except (OSError, SSHException) as error:
        raise CommandFailed([f"the connection broke: {str(error) or 'no reason is given'}"]) from None
    if not succeeded:
        raise CommandFailed(output.stderr_lines)
    return list(output.stdout_lines)


def succeeds(host: Host, command: str | Change, stdin: str | None = None, timeout: int = RUN_TIMEOUT) -> bool:
    """Whether `run` succeeds; the reason of a failure is logged."""
    try:
        run(host, command, stdin, timeout)
    except CommandFailed as failure:
        for line in failure.lines:
            log_error(host, line)
        return False
    return True


def log_error(host: Host, line: str) -> None:
    """Write an error to pyinfra's log, with the host's name."""
    logger.error(f"{host.print_prefix}{line}")
