"""What a deploy checks and prepares before it changes anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api import FactBase, Host, State

from cluster import Cluster, ClusterError, Node, cluster_prefix, clusters_of_inventory, is_node
from cluster.certificates import out_of_date
from cluster.errors import listed, shorten
from desired.compared import compared_paths
from desired.conflicts import conflicts, others_arguments
from desired.existing import objections
from desired.files import desired_files
from desired.firewalld import denied_sources, fact_arguments
from desired.health import SERVICE
from desired.health_script import ACCESS
from desired.majors import undecided, with_installed_major
from desired.packages import all_packages, check_managed, needs_repository
from desired.requirements import asked_modules, asked_queues, problems, require_root, supported_release
from desired.textfile import TextFile
from facts.batch import BatchFacts
from facts.files import Files
from facts.firewalld import Firewall
from facts.machine import Machine, MachineState
from facts.others import Others, OthersState
from facts.packages import Packages
from remote import session
from remote.commands import read
from remote.drain import connected_directors
from remote.machine import known, read_machine
from remote.together import for_each

_valid: WeakSet[State] = WeakSet()
"""The runs whose clusters can be together."""


def prepare(host: Host) -> None:
    """Prepare the connection for a deploy. Raises `ClusterError` when a node could not be reached, nodes would not take turns, or
    the inventory's clusters can't be together."""
    session.hide_passwords()
    if host.state not in _valid and any(map(is_node, host.inventory)):
        clusters_of_inventory(host.state.inventory)
        _valid.add(host.state)
    session.require_turns()
    session.require_all_connected(host)
    session.prepare(host.state.inventory.get_host(host.name))  # itself, where pyinfra's current host is given


def require_valid_certificates(cluster: Cluster, prefix: str = "") -> None:
    """Raise `ClusterError` where a certificate of an input with TLS is not valid now: senders would refuse it; or one with
    which the nodes ask the repository. `prefix` names the cluster."""
    try:
        _check_certificates(cluster)
    except ClusterError as error:
        raise ClusterError(f"{prefix}{error}") from None


def _check_certificates(cluster: Cluster) -> None:
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
    if cluster.api and cluster.api_files and cluster.api_files.ca:
        for setting, path, text in (
            *(("keystore", cluster.api.keystore, text) for text in cluster.api_files.certificates.values()),
            ("ca", cluster.api.ca, cluster.api_files.ca),
        ):
            if wrong := out_of_date(text):
                raise ClusterError(
                    f"api.{setting}: {shorten(str(path))} {wrong}; put one that is valid into its place"
                )


def require_able_services(host: Host, cluster: Cluster, files: list[TextFile]) -> None:
    """Raise `ClusterError` where this node's health service is of a version that can't ask a secured API: it would take each
    node that has one out of the pools."""
    if cluster.api is None:
        return
    present = host.get_fact(Files, paths=compared_paths(files))
    if SERVICE in present and ACCESS not in present:
        raise ClusterError(
            f"api: the health service on {host.name} is of an earlier version, which can't ask a secured API; "
            "take api out, run the deploy once, and then again with it"
        )


def require_all_to_know(host: Host, cluster: Cluster, files: list[TextFile]) -> None:
    """Raise `ClusterError` where it changes how the APIs are asked, and a node that the run leaves out would go on asking as before:
    it would take each node that changes out of its pools."""
    state = host.state
    if len(session.members_in_run(state, cluster)) == len(cluster.nodes):
        return
    desired = next(file.state for file in files if file.path == ACCESS)
    present = host.get_fact(Files, paths=compared_paths(files)).get(ACCESS)
    if present and present["sha256"] == desired["sha256"]:
        return
    left_out = [
        member for member in connected_directors(state, cluster) if not state.is_host_in_limit(member)
    ]
    paths = [ACCESS, SERVICE]
    found = for_each(lambda member: read(member, Files, paths=paths) or {}, left_out)
    asking = [
        member.name
        for member, present in zip(left_out, found, strict=True)
        if SERVICE in present
        and (present[ACCESS]["sha256"] != desired["sha256"] if ACCESS in present else cluster.api)
    ]
    if asking:
        raise ClusterError(
            f"{cluster_prefix(host)}api: it changes, and {listed(asking)}, which this run leaves out, would ask as before and send "
            "no events to the nodes that have changed; run the deploy without --limit and --exclude"
        )


def require_el(host: Host, node: Node) -> int:
    """The node's major version of Enterprise Linux. Raises `ClusterError` where it has none that is supported, or lets the
    user not be root."""
    # Itself, where pyinfra's current host is given: the machine is remembered for others to ask for.
    machine = read_machine(host.state.inventory.get_host(host.name))
    require_root(node, machine)
    el = supported_release(machine)
    if el is None:
        raise ClusterError(f"{node.name}: is not an Enterprise Linux that a deploy can have been made to")
    return el


@dataclass(frozen=True)
class _Examined:
    """What a node is, and what was found against a deploy to it."""

    el: int | None
    """The major version of its Enterprise Linux; None where it has another system."""
    has_nftables: bool
    refused: list[str]
    warnings: list[str]


_examined: WeakKeyDictionary[State, dict[tuple[str, ...], tuple[Cluster, dict[str, _Examined]]]] = (
    WeakKeyDictionary()
)
"""By run, and by cluster: the cluster with the major version of Logstash that its nodes have, and what was found on each of them."""
_lock = RLock()


def examine(host: Host, cluster: Cluster, node: Node) -> tuple[Cluster, int, bool]:
    """The cluster with the major version of Logstash that its nodes have, where the inventory names none; the node's major
    version of Enterprise Linux, and whether it can load nftables tables of our own.

    The first host that asks has all nodes of the run looked at, at the same time and in one trip each: what each machine is,
    and, before its first deploy, what others have there that would be overwritten or joined without the inventory's word,
    and what fights with the cluster. On a node that has been deployed before, `verify.py` reports that.

    All that stands against the deploy, on any node, is in the log then, in a line each, but for the last line: with that,
    `ClusterError` is raised on each host. What may do no harm is a warning.
    """
    state = host.state
    with _lock:
        of_run = _examined.setdefault(state, {})
        if cluster.node_names not in of_run:
            of_run[cluster.node_names] = _examine_all(state, cluster)
    cluster, examined = of_run[cluster.node_names]
    if refused := _refusals(examined):
        raise ClusterError(refused[-1])
    el = examined[node.name].el
    assert el is not None  # otherwise it is refused
    return cluster, el, examined[node.name].has_nftables


def _examine_all(state: State, cluster: Cluster) -> tuple[Cluster, dict[str, _Examined]]:
    members = session.members_in_run(state, cluster)
    seen = dict(
        zip(
            (member.name for member in members),
            for_each(lambda member: _look(member, cluster, cluster.node(member.name)), members),
            strict=True,
        )
    )
    cluster = _with_major(state, cluster, {name: look.machine for name, look in seen.items()})
    found = dict(
        zip(
            seen,
            for_each(
                lambda member: _judge(member, cluster, cluster.node(member.name), seen[member.name]), members
            ),
            strict=True,
        )
    )
    for warning in (line for examined in found.values() for line in examined.warnings):
        logger.warning(warning)
    for refusal in _refusals(found)[:-1]:
        logger.error(refusal)
    return cluster, found


def _with_major(state: State, cluster: Cluster, machines: Mapping[str, MachineState]) -> Cluster:
    """The cluster with the major version that its nodes have, also those that the run leaves out. Raises `ClusterError` where
    they have several."""
    if not undecided(cluster):
        return cluster
    versions = {name: machine["logstash"] for name, machine in machines.items()}
    if len(versions) < len(cluster.nodes):
        for member in connected_directors(state, cluster):
            if member.name not in versions:
                versions[member.name] = read_machine(member)["logstash"]
    return with_installed_major(cluster, versions)


def _refusals(examined: dict[str, _Examined]) -> list[str]:
    """All that was found against the deploy, each once: what is wrong with the repository is so for all nodes."""
    return list(dict.fromkeys(line for found in examined.values() for line in found.refused))


@dataclass(frozen=True)
class _Look:
    """What was read on a node in one trip."""

    machine: MachineState
    others: OthersState
    packages: dict[str, str | None]
    """Those that are installed: all where others manage them, otherwise Logstash alone."""


def _look(host: Host, cluster: Cluster, node: Node) -> _Look:
    facts: dict[str, tuple[type[FactBase[Any]], dict[str, Any]]] = {
        "machine": (Machine, {"modules": asked_modules(cluster), "queues": asked_queues(cluster)}),
        "others": (Others, {**others_arguments(cluster, node), "always": False}),
    }
    if cluster.packages == "managed":
        facts["packages"] = (Packages, {"packages": all_packages(cluster)})
    # Without sudo: where it asks for a password, pyinfra would too.
    found = read(host, BatchFacts, _sudo=False, facts=facts)
    machine = known(host, found["machine"] if found else Machine.default())
    return _Look(
        machine,
        found["others"] if found else OthersState(),
        (found.get("packages") if found else None) or {"logstash": machine["logstash"]},
    )


def _judge(host: Host, cluster: Cluster, node: Node, look: _Look) -> _Examined:
    machine, others = look.machine, look.others
    refused = problems(cluster, node, machine)
    warnings: list[str] = []
    el = supported_release(machine)
    if el and machine["root"] == "yes":
        if not others.looked:  # sudo asks for a password, which pyinfra has
            others = read(host, Others, **others_arguments(cluster, node))
        if others.first:
            try:
                ours = desired_files(cluster, node, el, machine["nftables"])
            except ClusterError as error:  # the inventory's fault, on each node
                return _Examined(el, machine["nftables"], [*refused, str(error)], [])
            certain, warnings = _judge_others(cluster, node, others, ours)
            refused += certain + _denied(host, cluster, node, machine)
        refused += _without_packages(host, cluster, node, look.packages)
    return _Examined(el, machine["nftables"], refused, warnings)


def _without_packages(host: Host, cluster: Cluster, node: Node, packages: dict[str, str | None]) -> list[str]:
    """Why the node can't have the packages that it needs: the repository is not as it should be, or others manage them, and
    they are not there.

    + packages: those that are installed: all where others manage them, otherwise Logstash alone
    """
    try:
        if cluster.packages == "managed":
            check_managed(cluster, node, packages)
        elif needs_repository(cluster, packages.get("logstash")):
            # Here: to import requests takes long, and a run that installs nothing does not need it.
            from remote import repository

            repository.look_once(host.state, cluster)
    except ClusterError as error:
        return [f"{'' if str(error).startswith(node.name) else cluster_prefix(host)}{error}"]
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
    present = read(host, Firewall, **fact_arguments(cluster, node))
    denied = denied_sources(cluster, present) if present else []
    return [f"{node.name}: {source.what}; run {source.do}" for source in denied]
