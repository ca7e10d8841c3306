"""The connections that a deploy uses: none is missing, none is delayed, and no password is in the log."""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
from contextlib import suppress
from functools import cache
from typing import Any

import click
from paramiko import ProxyCommand
from pyinfra import logger
from pyinfra.api import Host, State, arguments, output

from cluster import Cluster, ClusterError, is_node
from facts.files import mask
from remote import sudo


class _PasswordFilter(logging.Filter):
    """Hides passwords in everything that pyinfra logs, such as a failed command's output."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (masked := mask(message)) != message:
            record.msg, record.args = masked, None
        return True


def _echo(message: Any = None, **options: Any) -> None:
    click.echo(mask(message) if isinstance(message, str) else message, **options)


def hide_passwords() -> None:
    """Hide passwords from now on in pyinfra's log, and in the commands and output that it shows with `-v` as they come."""
    if not any(isinstance(present, _PasswordFilter) for present in logger.filters):
        logger.addFilter(_PasswordFilter())
    if output.is_output_active():
        output.set_echo(_echo)


def prepare(host: Host) -> None:
    """Make a connected host's session as all that follows needs it: all that is sent arrives, no command waits, and sudo gets a
    password by stdin."""
    sudo.use_stdin(host)
    adjust_transport(host)


def adjust_transport(host: Host) -> None:
    """The part of `prepare` that each new connection to a host needs."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    if transport:
        send_at_once(transport.sock)
        send_whole(transport.sock)


def send_at_once(connection: Any) -> None:
    """Set TCP_NODELAY: without it each command waits some 40 ms for an acknowledgement.

    Behind a jump host or a ProxyCommand the transport has no socket, and there is nothing to set.
    """
    if hasattr(connection, "setsockopt"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def send_whole(connection: Any) -> None:
    """Have a ProxyCommand say how much of what it was given it has taken.

    gevent's pipe takes what fits, and paramiko goes on as if that were all: what is larger than the pipe has a gap, and sshd ends
    the connection (docs/upstream.md). Told how much was taken, paramiko sends the rest.
    """
    if isinstance(connection, ProxyCommand):
        pipe = connection.process.stdin
        assert pipe
        connection.send = pipe.write  # type: ignore[method-assign, assignment]


def _end(proxy: ProxyCommand) -> None:
    with suppress(ProcessLookupError):
        proxy.process.terminate()


# The program has ended by itself where a node can't be reached. paramiko's own way raises then, and prints a traceback at the very end
# of each command that knows the node.
ProxyCommand.close = _end  # type: ignore[method-assign, assignment]


def _receive(proxy: ProxyCommand, size: int) -> bytes:
    """What has come, and nothing at the end: paramiko waits for as much as `size`, and looks for more of it without a pause after
    the end, too."""
    pipe = proxy.process.stdout
    assert pipe
    if not select.select([pipe], [], [], proxy.timeout)[0]:
        raise TimeoutError
    return os.read(pipe.fileno(), size)


ProxyCommand.recv = _receive  # type: ignore[method-assign, assignment]

# pyinfra evaluates the same annotations for each operation and each fact (docs/upstream.md).
arguments.all_global_arguments = cache(arguments.all_global_arguments)


def require_turns() -> None:
    """Raise `ClusterError` where nodes would not wait for each other: pyinfra's `--no-wait` takes no notice of `_serial`.

    An option is in the command line alone: pyinfra keeps it nowhere.
    """
    if "--no-wait" in sys.argv:
        raise ClusterError("--no-wait: all nodes would restart at the same time; leave it out")


def members_in_run(state: State, cluster: Cluster) -> list[Host]:
    """The cluster's nodes that this run does not leave out by `--limit` or `--exclude`."""
    members = [state.inventory.get_host(name) for name in cluster.node_names]
    return [member for member in members if state.is_host_in_limit(member)]


def require_all_connected(host: Host) -> None:
    """Raise `ClusterError` when a node that is in the run's limit could not be reached.

    With `-y`, pyinfra would go on without it.
    """
    state = host.state
    for member in filter(is_node, host.inventory):
        if state.is_host_in_limit(member) and member not in state.activated_hosts:
            raise ClusterError(
                f"{member.name}: can't be reached by ssh (the reason is above); fix that, "
                f"or leave it out with --exclude {member.name}"
            )
