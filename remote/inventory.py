"""The inventory of a cluster, read from its file; no machine is touched."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import Host, Inventory, State
from pyinfra.context import ctx_state
from pyinfra_cli.exceptions import UnexpectedExternalError
from pyinfra_cli.inventory import make_inventory

from cluster import Cluster, ClusterError, cluster_name, cluster_prefix, clusters_of_inventory
from cluster.errors import listed, shown
from cluster.inventory import SINGLE
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


def chosen_clusters(inventory: Inventory, name: str | None = None) -> dict[str, Cluster]:
    """The inventory's clusters by name, or the one of this name. Raises `ClusterError`."""
    clusters = clusters_of_inventory(inventory)
    if name is not None and name not in clusters:
        raise ClusterError(
            f"--cluster: {shown(name)} is not a cluster of the inventory; choose one of {listed(clusters)}"
        )
    chosen = clusters if name is None else {name: clusters[name]}
    for cluster in chosen.values():
        for node in cluster.nodes:
            # A pipeline file of the user's that can't be rendered is reported before any machine is touched.
            try:
                desired_files(cluster, node, max(PYTHON))
            except ClusterError as error:
                raise ClusterError(f"{cluster_prefix(inventory.get_host(node.name))}{error}") from None
    return chosen


def load_clusters(file: str, name: str | None = None) -> tuple[State, Inventory, dict[str, Cluster]]:
    """The inventory in this file, its clusters by name, or the one of this name, and a pyinfra state for them alone.
    Raises `ClusterError`."""
    state = State(check_for_changes=False)
    ctx_state.set(state)  # pyinfra's loader of inventories needs one
    inventory = load_inventory(file)
    return state, inventory, chosen_clusters(inventory, name)


def load_cluster(file: str, name: str | None = None) -> tuple[State, Inventory, Cluster]:
    """As `load_clusters`, for one cluster: that of this name, or the only one. Raises `ClusterError`."""
    state, inventory, clusters = load_clusters(file, name)
    if len(clusters) > 1:
        raise ClusterError(f"--cluster: the inventory has {listed(clusters)}; name one of them")
    return state, inventory, next(iter(clusters.values()))


def find_sender(inventory: Inventory, cluster: Cluster, name: str | None) -> Host:
    """The host of this name, or the first of the cluster's senders, to send events from. These are the group `CLUSTER_senders`,
    or else `senders`. Raises `ClusterError`.

    It can't be a node: a director drops what it schedules back to itself.
    """
    if name is None:
        own = cluster_name(inventory.get_host(cluster.nodes[0].name))
        groups = ["senders"] if own == SINGLE else [f"{own}_senders", "senders"]
        hosts = [host for group in groups for host in inventory.groups.get(group, [])]
        if not hosts:
            raise ClusterError(
                f"{groups[0]}: no such group in the inventory; add it, or name a host with --from"
            )
        name = hosts[0].name
    if name in {node.name for node in cluster.nodes}:
        raise ClusterError(
            f"--from: {name} is a node, whose own events to the VIP can be lost; choose another host"
        )
    host = inventory.get_host(name, default=None)
    if host is None:
        raise ClusterError(f"--from: {name} is not in the inventory; add it to `senders` there")
    return host
