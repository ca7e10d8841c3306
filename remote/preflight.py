"""What a deploy checks and prepares before it changes anything."""

from __future__ import annotations

from pyinfra.api import Host

from cluster import Cluster, Node
from desired.requirements import asked_modules, check
from facts.machine import Machine
from remote import session
from remote.machine import known


def prepare(host: Host) -> None:
    """Prepare the connection for a deploy. Raises `ClusterError` when a node could not be reached."""
    session.hide_passwords()
    session.require_all_connected(host, "nodes")
    session.send_at_once(host)


def inspect(host: Host, cluster: Cluster, node: Node) -> tuple[int, bool]:
    """The node's major version of Enterprise Linux, and whether it can load nftables tables of our own.

    Raises `ClusterError` where the deploy can't work.
    """
    # Without sudo: where it asks for a password, pyinfra would too.
    machine = host.get_fact(Machine, _sudo=False, modules=asked_modules(cluster))
    el = check(cluster, node, known(host.state.inventory.get_host(host.name), machine))
    return el, machine["nftables"]
