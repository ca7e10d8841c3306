"""The inventory of a cluster, read from its file; no machine is touched."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import Host, Inventory, State
from pyinfra.api.exceptions import NoGroupError
from pyinfra.context import ctx_state
from pyinfra_cli.exceptions import UnexpectedExternalError
from pyinfra_cli.inventory import make_inventory

from cluster import Cluster, ClusterError, cluster_of_host
from desired.files import desired_files
from desired.health_script import PYTHON


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


def cluster_of_inventory(inventory: Inventory) -> Cluster:
    """The cluster of the inventory's group `nodes`. Raises `ClusterError`."""
    try:
        cluster = cluster_of_host(inventory.get_group("nodes")[0])
    except (NoGroupError, IndexError):
        raise ClusterError(
            "nodes: no such group in the inventory; define it as `nodes = define(…)`"
        ) from None
    for node in cluster.nodes:
        # A pipeline file of the user's that can't be rendered is reported before any machine is touched.
        desired_files(cluster, node, max(PYTHON))
    return cluster


def load_cluster(file: str) -> tuple[State, Inventory, Cluster]:
    """The inventory in this file, its cluster, and a pyinfra state for them alone. Raises `ClusterError`."""
    state = State(check_for_changes=False)
    ctx_state.set(state)  # pyinfra's loader of inventories needs one
    inventory = load_inventory(file)
    return state, inventory, cluster_of_inventory(inventory)


def find_sender(inventory: Inventory, cluster: Cluster, name: str | None) -> Host:
    """The host of this name, or the first of the group `senders`, to send events from. Raises `ClusterError`.

    It can't be a node: a director drops what it schedules back to itself.
    """
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
