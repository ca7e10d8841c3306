"""What must be true of a machine before the deploy touches anything."""

from __future__ import annotations

from pyinfra.api import Host

from cluster import Cluster, ClusterError, Node
from facts.machine import Machine, MachineState
from operations import session

SUPPORTED = range(7, 11)
"""Major versions of Enterprise Linux."""


def prepare(host: Host) -> None:
    """Make the connection fit for a deploy; raise `ClusterError` when a node could not be reached."""
    session.discreet()
    session.complete(host, "nodes")
    session.fast(host)


def inspect(host: Host, cluster: Cluster, node: Node) -> int:
    """Enterprise Linux's major version on this node; raise `ClusterError` where the deploy can't work."""
    # Without sudo: where it asks for a password, pyinfra would too.
    machine = host.get_fact(Machine, _sudo=False)
    if host.data.get("_sudo_password"):
        machine["root"] = "yes"
    return check(cluster, node, machine)


def check(cluster: Cluster, node: Node, machine: MachineState) -> int:
    """Enterprise Linux's major version on this machine; `ClusterError` names the first thing wrong."""
    os = machine["os"]
    family = {os.get("ID", ""), *os.get("ID_LIKE", "").split()}
    version = os.get("VERSION_ID", "").split(".")[0]
    if not family & {"rhel", "centos", "rocky", "almalinux", "ol"} or version not in map(str, SUPPORTED):
        raise ClusterError(
            f"{node.name}: its system is {os.get('PRETTY_NAME', 'unknown')}; "
            f"take a machine with Enterprise Linux {SUPPORTED[0]} to {SUPPORTED[-1]}"
        )
    if machine["root"] != "yes":
        raise ClusterError(
            f"{node.name}: no sudo ({machine['root'] or 'no answer'}); "
            "let the user that logs in run sudo without a password, or log in as root"
        )
    addresses = machine["interfaces"].get(cluster.interface)
    if addresses is None:
        names = ", ".join(sorted(machine["interfaces"]))
        raise ClusterError(f"interface: {node.name} has no {cluster.interface}; choose one of {names}")
    if str(node.address) not in addresses:
        has = ", ".join(addresses) or "no address"
        raise ClusterError(
            f"nodes.{node.name}: {node.address} is not on its {cluster.interface}, which has {has}; "
            "correct the address or the interface in inventory.py, or give the machine that address"
        )
    if machine["firewalld"] != "active":
        raise ClusterError(
            f"{node.name}: firewalld is {machine['firewalld']}, so Logstash's API would be open to everyone; "
            "run `systemctl enable --now firewalld` there"
        )
    return int(version)
