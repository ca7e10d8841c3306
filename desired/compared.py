"""The facts that the deploy compares with the desired state, so that all can be read at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pyinfra.api import FactBase

from cluster import Cluster, Node
from desired import fallback, firewalld, nftables
from desired.conflicts import others_arguments
from desired.health import KEY, PEERS
from desired.health_script import USER
from desired.modules import module_names
from desired.packages import KEY as PACKAGE_KEY
from desired.packages import all_packages
from desired.paths import (
    CLONE,
    CLONE_REBOOT,
    DRAINED,
    HARDWARE,
    KEY_NOTE,
    LAST_GOOD,
    MAINTENANCE,
    RECORD,
    STATE,
)
from desired.sysctl import kernel_settings
from desired.textfile import TextFile, all_paths, read_by
from desired.units import FIREWALLD
from facts.channel import HeardPeers
from facts.clone import Identity
from facts.files import Files
from facts.firewalld import Firewall
from facts.ipvs import DrainFlags
from facts.maintenance import Maintenance
from facts.modules import MissingModules
from facts.nftables import TableRules
from facts.others import Others
from facts.packages import ImportedKey, Packages
from facts.record import Record
from facts.services import UnitStates
from facts.sysctl import Sysctl
from facts.users import User


def compared_facts(
    cluster: Cluster, node: Node, units: list[str], files: list[TextFile]
) -> list[tuple[type[FactBase[Any]], dict[str, Any]]]:
    """Each fact that a deploy asks a node for when nothing is to be changed, with its arguments.

    `files` and `units` are all that the deploy writes and starts on the node.
    """
    facts: list[tuple[type[FactBase[Any]], dict[str, Any]]] = [
        (ImportedKey, {"path": PACKAGE_KEY, "note": KEY_NOTE}),
        (Files, {"paths": compared_paths(files)}),
        (HeardPeers, {"path": PEERS}),
        (Packages, {"packages": all_packages(cluster)}),
        (UnitStates, unit_states(units, files)),
        (MissingModules, {"modules": module_names(cluster)}),
        (Sysctl, {"keys": list(kernel_settings(cluster, node))}),
        (User, {"user": USER}),
        (Identity, {"folder": CLONE, "reboot": CLONE_REBOOT, "hardware": HARDWARE}),
        (DrainFlags, {"folder": DRAINED}),
        (Maintenance, {"folder": MAINTENANCE}),
        (Record, {"path": RECORD}),
    ]
    if cluster.existing == "adopt":
        facts.append((Others, others_arguments(cluster, node)))
    if cluster.firewall != "none":
        facts.append((Firewall, firewalld.fact_arguments(cluster, node)))
    if nftables.UNIT in units:
        facts.append((TableRules, table_rules(nftables.rules(cluster, node))))
    return facts


def table_rules(rules: list[str]) -> dict[str, Any]:
    """The arguments of `TableRules` for the tables that should have these rules."""
    return {"table": nftables.TABLE, "families": nftables.families(rules)}


def compared_paths(files: Iterable[TextFile]) -> list[str]:
    """Where these files and the health services' key are, and where what a unit reads is staged."""
    return [*all_paths(files), KEY]


def unit_states(units: Collection[str], files: Collection[TextFile]) -> dict[str, Any]:
    """The arguments of `UnitStates` for these units, with the files that they read and the staged ones, and for the firewalld
    that one of them watches: a deploy and verify.py ask the same."""
    every = {*units, FIREWALLD} if fallback.UNIT in units else {*units}
    paths = {unit: all_paths(read_by(files, unit)) for unit in sorted(every)}
    return {"units": paths, "fingerprints": STATE, "good": LAST_GOOD}
