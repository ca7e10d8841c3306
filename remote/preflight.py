"""What a deploy checks and prepares before it changes anything."""

from __future__ import annotations

from pyinfra.api import Host

from cluster import Cluster, ClusterError, Node
from cluster.certificates import out_of_date
from cluster.errors import shorten
from desired.requirements import asked_modules, check
from facts.machine import Machine
from remote import session
from remote.machine import known


def prepare(host: Host) -> None:
    """Prepare the connection for a deploy. Raises `ClusterError` when a node could not be reached."""
    session.hide_passwords()
    session.require_all_connected(host, "nodes")
    session.send_at_once(host)


def require_valid_certificates(cluster: Cluster) -> None:
    """Raise `ClusterError` where a certificate of an input with TLS is not valid now: senders would refuse it."""
    for index, input in enumerate(cluster.inputs):
        files = cluster.tls_files.get(input.id)
        if input.tls is None or files is None:
            continue
        for setting, path, text in (
            ("certificate", input.tls.certificate, files.certificate),
            ("ca", input.tls.ca, files.ca),
        ):
            if text and (wrong := out_of_date(text)):
                raise ClusterError(
                    f"inputs.{index}.tls.{setting}: {shorten(str(path))} {wrong}; put one that is valid into its place"
                )


def inspect(host: Host, cluster: Cluster, node: Node) -> tuple[int, bool]:
    """The node's major version of Enterprise Linux, and whether it can load nftables tables of our own.

    Raises `ClusterError` where the deploy can't work.
    """
    # Without sudo: where it asks for a password, pyinfra would too.
    machine = host.get_fact(Machine, _sudo=False, modules=asked_modules(cluster))
    el = check(cluster, node, known(host.state.inventory.get_host(host.name), machine))
    return el, machine["nftables"]
