"""The connections that a deploy uses: none is missing, none is delayed, and no password is in the log."""

from __future__ import annotations

import logging
import socket

from pyinfra import logger
from pyinfra.api import Host

from cluster import ClusterError
from facts.files import mask


class _PasswordFilter(logging.Filter):
    """Hides keepalived's password in everything that pyinfra logs, such as a failed command's output."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "auth_pass" in (message := record.getMessage()):
            record.msg, record.args = mask(message), None
        return True


def hide_passwords() -> None:
    """Hide passwords in pyinfra's log from now on."""
    if not any(isinstance(present, _PasswordFilter) for present in logger.filters):
        logger.addFilter(_PasswordFilter())


def send_at_once(host: Host) -> None:
    """Set TCP_NODELAY: without it each command waits some 40 ms for an acknowledgement.

    Behind a jump host or a ProxyCommand the transport has no socket, and there is nothing to set.
    """
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    if transport and hasattr(transport.sock, "setsockopt"):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def require_all_connected(host: Host, group: str) -> None:
    """Raise `ClusterError` when a host that is in this group and in the run's limit could not be reached.

    With `-y`, pyinfra would go on without it.
    """
    state = host.state
    for member in host.inventory.get_group(group):
        if state.is_host_in_limit(member) and member not in state.activated_hosts:
            raise ClusterError(
                f"{member.name}: can't be reached by ssh (the reason is above); fix that, "
                f"or leave it out with --exclude {member.name}"
            )
