"""The inventory of a cluster, and the way to its machines."""

from __future__ import annotations

from pathlib import Path

from gevent import Timeout
from gevent.pool import Group
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.exceptions import ConnectError, NoGroupError
from pyinfra.context import ctx_state
from pyinfra_cli.exceptions import UnexpectedExternalError
from pyinfra_cli.inventory import make_inventory

from cluster import Cluster, ClusterError, cluster_of_host
from desired.files import desired_files
from desired.health_script import PYTHON

CONNECT_TIMEOUT = 5
"""Seconds to wait for a machine's ssh port."""
CONNECT_LIMIT = 20
"""Seconds for a whole login."""


def load_inventory(file: str) -> Inventory:
    """The inventory in this file. Raises `ClusterError`."""
    if not Path(file).is_file():
        raise ClusterError(f"--inventory: {file} is not a file; name the inventory of the cluster")
    try:
        found: Inventory = make_inventory(file)
    except UnexpectedExternalError as error:
        raise ClusterError(f"{file}: {type(error.exception).__name__}: {error.exception}") from None
    except (OSError, SyntaxError, ValueError) as error:  # before it runs
        raise ClusterError(f"{file}: {type(error).__name__}: {error}") from None
    return found


def cluster_of(inventory: Inventory) -> Cluster:
    """The cluster of its group `nodes`. Raises `ClusterError`."""
    try:
        cluster = cluster_of_host(inventory.get_group("nodes")[0])
    except (NoGroupError, IndexError):
        raise ClusterError(
            "nodes: no such group in the inventory; define it as `nodes = define(…)`"
        ) from None
    for node in (
        cluster.nodes
    ):  # a user's pipeline file that can't be rendered is reported before anything is touched
        desired_files(cluster, node, max(PYTHON))
    return cluster


def sender_of(inventory: Inventory, cluster: Cluster, name: str | None) -> Host:
    """The host that sends: not a node, as a director drops what it schedules back to itself."""
    if name is None:
        try:
            name = inventory.get_group("senders")[0].name
        except (NoGroupError, IndexError):
            raise ClusterError(
                "senders: no such group in the inventory; add it, or name a host with --from"
            ) from None
    if name in {node.name for node in cluster.nodes}:
        raise ClusterError(
            f"--from: {name} is a node, whose own events to the VIP can be lost; choose another host"
        )
    host = inventory.get_host(name, default=None)
    if host is None:
        raise ClusterError(f"--from: {name} is not in the inventory; add it to `senders` there")
    return host


def connect(hosts: list[Host]) -> dict[str, str]:
    """Connect to these hosts at the same time; why it failed, by name."""

    def connect(host: Host) -> str | None:
        try:
            with Timeout(CONNECT_LIMIT):
                host.connect(show_errors=False, raise_exceptions=True)
        except ConnectError as error:
            return str(error)
        except Timeout:
            return f"no connection by ssh within {CONNECT_LIMIT} s"
        return None

    reasons = Group().map(connect, hosts)
    return {host.name: why for host, why in zip(hosts, reasons, strict=True) if why}


def load(file: str) -> tuple[State, Inventory, Cluster]:
    """A state of its own for the inventory in this file, and its cluster; no machine is touched yet."""
    state = State(check_for_changes=False)
    ctx_state.set(state)  # pyinfra's loader of inventories wants one
    found = load_inventory(file)
    return state, found, cluster_of(found)


def connect_to_nodes(
    state: State, inventory: Inventory, cluster: Cluster, sender: Host | None = None
) -> dict[str, str]:
    """Connect to the nodes, and to a sender; why some can't be reached, by name.

    Raises `ClusterError` when no node can, or the sender can't.
    """
    hosts = [inventory.get_host(node.name) for node in cluster.nodes]
    state.init(inventory, Config(CONNECT_TIMEOUT=CONNECT_TIMEOUT))
    reasons = connect([*hosts, sender] if sender else hosts)
    if not any(host.connected for host in hosts):
        raise ClusterError(f"no node can be reached by ssh: {describe(reasons)}")
    if sender and not sender.connected:
        why = reasons[sender.name]
        raise ClusterError(f"{sender.name}: {why}; mend that, or choose another sender with --from")
    return reasons


def describe(reasons: dict[str, str]) -> str:
    """Why machines can't be reached, in words."""
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())
