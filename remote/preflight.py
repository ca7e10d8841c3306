"""What a deploy checks and prepares before it changes anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from gevent.lock import RLock
from gevent.pool import Group
from pyinfra import logger
from pyinfra.api import FactBase, Host, State

from cluster import Cluster, ClusterError, Node
from cluster.certificates import out_of_date
from cluster.errors import shorten
from desired.conflicts import conflicts, others_arguments
from desired.existing import objections
from desired.files import desired_files
from desired.firewalld import denied_sources, fact_arguments
from desired.packages import all_packages, check_managed
from desired.requirements import asked_modules, problems, supported_release
from facts.batch import BatchFacts
from facts.firewalld import FirewallRules
from facts.machine import Machine, MachineState
from facts.others import Others, OthersState
from facts.packages import Packages
from remote import repository, session
from remote.commands import read
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


@dataclass(frozen=True)
class _Examined:
    """What a node is, and what was found against a deploy to it."""

    el: int | None
    """The major version of its Enterprise Linux; None where it has another system."""
    has_nftables: bool
    refused: list[str]
    warnings: list[str]


_examined: WeakKeyDictionary[State, dict[str, _Examined]] = WeakKeyDictionary()
_lock = RLock()


def examine(host: Host, cluster: Cluster, node: Node) -> tuple[int, bool]:
    """The node's major version of Enterprise Linux, and whether it can load nftables tables of our own.

    The first host that asks has all nodes of the run looked at, at the same time and in one trip each: what each machine is,
    and, before its first deploy, what others have there that would be overwritten or joined without the inventory's word,
    and what fights with the cluster. On a node that has been deployed before, `verify.py` reports that.

    All that stands against the deploy, on any node, is in the log then, in a line each, but for the last line: with that,
    `ClusterError` is raised on each host. What may do no harm is a warning.
    """
    state = host.state
    with _lock:
        if state not in _examined:
            _examined[state] = _examine_all(state, cluster)
    examined = _examined[state]
    if refused := _refusals(examined):
        raise ClusterError(refused[-1])
    el = examined[node.name].el
    assert el is not None  # otherwise it is refused
    return el, examined[node.name].has_nftables


def _examine_all(state: State, cluster: Cluster) -> dict[str, _Examined]:
    members = [state.inventory.get_host(node.name) for node in cluster.nodes]
    members = [member for member in members if state.is_host_in_limit(member)]
    found = dict(
        zip(
            (member.name for member in members),
            Group().map(lambda member: _examine(member, cluster, cluster.node(member.name)), members),
            strict=True,
        )
    )
    for warning in (line for examined in found.values() for line in examined.warnings):
        logger.warning(warning)
    for refusal in _refusals(found)[:-1]:
        logger.error(refusal)
    return found


def _refusals(examined: dict[str, _Examined]) -> list[str]:
    """All that was found against the deploy, each once: what is wrong with the repository is so for all nodes."""
    return list(dict.fromkeys(line for found in examined.values() for line in found.refused))


def _examine(host: Host, cluster: Cluster, node: Node) -> _Examined:
    facts: dict[str, tuple[type[FactBase[Any]], dict[str, Any]]] = {
        "machine": (Machine, {"modules": asked_modules(cluster)}),
        "others": (Others, others_arguments(cluster)),
    }
    if cluster.packages == "managed":
        facts["packages"] = (Packages, {"packages": all_packages(cluster)})
    # Without sudo: where it asks for a password, pyinfra would too.
    found = read(host, BatchFacts, _sudo=False, facts=facts)
    machine = known(host, found["machine"] if found else Machine.default())
    others: OthersState = found["others"] if found else OthersState()
    refused = problems(cluster, node, machine)
    warnings: list[str] = []
    el = supported_release(machine)
    if el and machine["root"] == "yes":
        if not others.looked:  # sudo asks for a password, which pyinfra has
            others = read(host, Others, **others_arguments(cluster))
        if others.first:
            try:
                ours = desired_files(cluster, node, el, machine["nftables"])
            except ClusterError as error:  # the inventory's fault, on each node
                return _Examined(el, machine["nftables"], [*refused, str(error)], [])
            certain, warnings = _judge_others(cluster, node, others, ours)
            refused += certain + _denied(host, cluster, node, machine)
        packages = (found.get("packages") if found else None) or {"logstash": machine["logstash"]}
        refused += _without_packages(host, cluster, node, packages)
    return _Examined(el, machine["nftables"], refused, warnings)


def _without_packages(host: Host, cluster: Cluster, node: Node, packages: dict[str, str | None]) -> list[str]:
    """Why the node can't have the packages that it needs: the repository is not as it should be, or others manage them, and
    they are not there.

    + packages: those that are installed: all where others manage them, otherwise Logstash alone
    """
    try:
        if cluster.packages == "managed":
            check_managed(cluster, node, packages)
        elif repository.is_needed(cluster, packages.get("logstash")):
            repository.look_once(host.state, cluster)
    except ClusterError as error:
        return [str(error)]
    return []


def _judge_others(
    cluster: Cluster, node: Node, others: OthersState, ours: Collection[str]
) -> tuple[list[str], list[str]]:
    """What others have that stands against the first deploy to this node, and what may do no harm."""
    refused = [f"{node.name}: {found.what}; {found.do}" for found in objections(cluster, node, others, ours)]
    warnings: list[str] = []
    for conflict in conflicts(cluster, node, others):
        line = f"{node.name}: {conflict.what}; {conflict.do}"
        (refused if conflict.certain else warnings).append(line)
    return refused, warnings


def _denied(host: Host, cluster: Cluster, node: Node, machine: MachineState) -> list[str]:
    """The addresses of the cluster that are in a zone of firewalld that denies everything."""
    if cluster.firewall == "none" or machine["firewalld"] != "active":
        return []
    present = read(host, FirewallRules, **fact_arguments(cluster))
    denied = denied_sources(cluster, present) if present else []
    return [f"{node.name}: {source.what}; run {source.do}" for source in denied]
