"""What a deploy checks and prepares before it changes anything."""

from __future__ import annotations

from typing import Any

from pyinfra import logger
from pyinfra.api import FactBase, Host

from cluster import Cluster, ClusterError, Node
from cluster.certificates import out_of_date
from cluster.errors import shorten
from desired.conflicts import conflicts, others_arguments
from desired.existing import objections
from desired.packages import all_packages, check_managed
from desired.requirements import asked_modules, check
from desired.textfile import TextFile
from facts.batch import BatchFacts
from facts.machine import Machine
from facts.others import Others, OthersState
from facts.packages import Packages
from remote import repository, session
from remote.machine import known


def prepare(host: Host) -> None:
    """Prepare the connection for a deploy. Raises `ClusterError` when a node could not be reached."""
    session.hide_passwords()
    session.require_all_connected(host, "nodes")
    session.send_at_once(host)


def require_valid_certificates(cluster: Cluster) -> None:
    """Raise `ClusterError` where a certificate of an input with TLS is not valid now: senders would refuse it; or one with
    which the nodes ask the repository."""
    found = cluster.repository_files
    if cluster.repository:
        for setting, path, text in (
            ("certificate", cluster.repository.certificate, found.certificate),
            ("ca", cluster.repository.ca, found.ca),
        ):
            if text and (wrong := out_of_date(text)):
                raise ClusterError(
                    f"repository.{setting}: {shorten(str(path))} {wrong}; put one that is valid into its place"
                )
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


def look_at_packages(host: Host, cluster: Cluster, node: Node, packages: dict[str, str | None]) -> None:
    """Raise `ClusterError` where the packages that the node needs can't be had: the repository is not as it should be, or
    others manage them, and they are not there.

    + packages: those that are installed, as `inspect` has found them
    """
    if cluster.packages == "managed":
        check_managed(cluster, node, packages)
    elif repository.is_needed(cluster, packages.get("logstash")):
        repository.look_once(host.state, cluster)


def inspect(host: Host, cluster: Cluster, node: Node) -> tuple[int, bool, OthersState, dict[str, str | None]]:
    """The node's major version of Enterprise Linux, whether it can load nftables tables of our own, what others have on it, and
    the versions of its packages, read in one trip. Of packages, that is all that others manage, or else Logstash.

    Raises `ClusterError` where the deploy can't work.
    """
    facts: dict[str, tuple[type[FactBase[Any]], dict[str, Any]]] = {
        "machine": (Machine, {"modules": asked_modules(cluster)}),
        "others": (Others, others_arguments(cluster)),
    }
    if cluster.packages == "managed":
        facts["packages"] = (Packages, {"packages": all_packages(cluster)})
    # Without sudo: where it asks for a password, pyinfra would too.
    found = host.get_fact(BatchFacts, _sudo=False, facts=facts)
    machine = found["machine"] if found else Machine.default()
    others: OthersState = found["others"] if found else OthersState()
    el = check(cluster, node, known(host.state.inventory.get_host(host.name), machine))
    if not others.looked:  # sudo asks for a password, which pyinfra has
        others = host.get_fact(Others, **others_arguments(cluster))
    packages = found.get("packages") if found else None
    return el, machine["nftables"], others, packages or {"logstash": machine["logstash"]}


def look_around(cluster: Cluster, node: Node, others: OthersState, files: list[TextFile]) -> None:
    """Judge what others have on the node, before its first deploy: what would be overwritten or joined without the
    inventory's word, and what fights with the cluster. Raises `ClusterError` where the deploy must not go on; what may do
    no harm is a warning.

    On a node that has been deployed before, `verify.py` reports all this, and a deploy ends with that.

    + files: all files that the deploy writes
    """
    if not others.first:
        return
    ours = {file.path for file in files}
    refused = [f"{found.what}; {found.do}" for found in objections(cluster, node, others, ours)]
    for conflict in conflicts(cluster, node, others):
        line = f"{conflict.what}; {conflict.do}"
        if conflict.certain:
            refused.append(line)
        else:
            logger.warning(f"{node.name}: {line}")
    for line in refused[:-1]:
        logger.error(f"{node.name}: {line}")
    if refused:
        raise ClusterError(f"{node.name}: {refused[-1]}")
