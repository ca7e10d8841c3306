"""The one list of units: deploy, undo, verification and drift all use it."""

from __future__ import annotations

from collections.abc import Collection

from cluster import Cluster, Node
from desired import fallback, health, keepalived, logstash, nftables, vip
from desired.translation import own_table
from desired.unit import Unit

FIREWALLD = "firewalld"

EVER_MANAGED = (
    nftables.UNIT,
    vip.UNIT,
    health.UNIT,
    logstash.UNIT,
    health.LEAVE,
    keepalived.UNIT,
    fallback.UNIT,
)
"""Every unit that some cluster's deploy starts, in the order in which they start."""


def unit_names(cluster: Cluster, own_table: bool) -> list[str]:
    """The names of the units that must run on a node, in the order in which they start.

    `own_table`: whether a table of our own translates there (`desired.translation`).
    """
    needed = {
        nftables.UNIT: own_table,
        vip.UNIT: "dr" in cluster.forwardings,
        fallback.UNIT: cluster.firewall == "firewalld",
    }
    others = [FIREWALLD] if cluster.firewall == "firewalld" else []
    return [*(name for name in EVER_MANAGED if needed.get(name, True)), *others]


def desired_units(cluster: Cluster, node: Node, el: int, has_nftables: bool = True) -> list[Unit]:
    """The units that must run on this node with Enterprise Linux `el`, in the order in which they start.

    For `has_nftables`, see `desired_files`.
    """
    units = {
        nftables.UNIT: nftables.unit(cluster, node),
        vip.UNIT: vip.unit(),
        health.UNIT: health.unit(),
        logstash.UNIT: logstash.unit(cluster, keepalived.probe(cluster, node, el)),
        health.LEAVE: health.leave_unit(),
        keepalived.UNIT: keepalived.unit(cluster, el),
        fallback.UNIT: fallback.unit(),
        FIREWALLD: Unit(FIREWALLD, probe="firewall-cmd --state", managed=False),
    }
    return [units[name] for name in unit_names(cluster, own_table(cluster, el, has_nftables))]


def managed_units(cluster: Cluster, node: Node, el: int, has_nftables: bool = True) -> list[Unit]:
    """The desired units that the deploy starts. For `has_nftables`, see `desired_files`."""
    return [unit for unit in desired_units(cluster, node, el, has_nftables) if unit.managed]


def retired_units(needed: Collection[str]) -> list[str]:
    """The names of the units that an earlier deploy may have started, and that are not among the needed ones."""
    return [name for name in EVER_MANAGED if name not in needed]
