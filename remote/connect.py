"""Connections to a cluster's machines, without pyinfra's program around them."""

from __future__ import annotations

from gevent import Timeout
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.exceptions import ConnectError

from cluster import Cluster, ClusterError
from remote import session
from remote.together import for_each

CONNECT_TIMEOUT = 5
"""Seconds to wait for a machine's ssh port."""
LOGIN_TIMEOUT = 20
"""Seconds for a whole login."""


def connect_hosts(hosts: list[Host]) -> dict[str, str]:
    """Connect to these hosts at the same time. Returns the reasons of those that failed, by name."""

    def connect(host: Host) -> str | None:
        try:
            with Timeout(LOGIN_TIMEOUT):
                host.connect(show_errors=False, raise_exceptions=True)
        except ConnectError as error:
            return str(error)
        except Timeout:
            return f"no connection by ssh within {LOGIN_TIMEOUT} s"
        session.prepare(host)
        return None

    reasons = for_each(connect, hosts)
    return {host.name: reason for host, reason in zip(hosts, reasons, strict=True) if reason}


def connect_to_nodes(
    state: State, inventory: Inventory, cluster: Cluster, sender: Host | None = None
) -> dict[str, str]:
    """Connect to the nodes, and to a sender. Returns the reasons of those that failed, by name.

    Raises `ClusterError` when no node can be reached, or the sender can't.
    """
    hosts = [inventory.get_host(node.name) for node in cluster.nodes]
    state.init(inventory, Config(CONNECT_TIMEOUT=CONNECT_TIMEOUT))
    reasons = connect_hosts([*hosts, sender] if sender else hosts)
    if not any(host.connected for host in hosts):
        raise ClusterError(f"no node can be reached by ssh: {describe_failures(reasons)}")
    if sender and not sender.connected:
        reason = reasons[sender.name]
        raise ClusterError(f"{sender.name}: {reason}; fix that, or choose another sender with --from")
    return reasons


def describe_failures(reasons: dict[str, str]) -> str:
    """Why machines can't be reached, as one line."""
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
