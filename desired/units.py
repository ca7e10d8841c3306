"""The one list of units: deploy, undo, verification and drift all use it."""

from __future__ import annotations

from cluster import Cluster, Node
from desired import health, keepalived, logstash, vip
from desired.unit import Unit

FIREWALLD = "firewalld"

EVER_MANAGED = (vip.UNIT, health.UNIT, logstash.UNIT, health.LEAVE, keepalived.UNIT)
"""Every unit that some cluster's deploy starts, in the order in which they start."""


def unit_names(cluster: Cluster) -> list[str]:
    """The names of the units that must run on each node, in the order in which they start."""
    unused = set() if "dr" in cluster.forwardings else {vip.UNIT}
    others = [FIREWALLD] if cluster.firewall == "firewalld" else []
    return [*(name for name in EVER_MANAGED if name not in unused), *others]


def desired_units(cluster: Cluster, node: Node, el: int) -> list[Unit]:
    """The units that must run on this node with Enterprise Linux `el`, in the order in which they start."""
    units = {
        vip.UNIT: vip.unit(),
        health.UNIT: health.unit(),
        logstash.UNIT: logstash.unit(cluster, keepalived.probe(cluster, node, el)),
        health.LEAVE: health.leave_unit(),
        keepalived.UNIT: keepalived.unit(cluster, el),
        FIREWALLD: Unit(FIREWALLD, probe="firewall-cmd --state", managed=False),
    }
    return [units[name] for name in unit_names(cluster)]


def managed_units(cluster: Cluster, node: Node, el: int) -> list[Unit]:
    """The desired units that the deploy starts."""
    return [unit for unit in desired_units(cluster, node, el) if unit.managed]


def retired_units(cluster: Cluster) -> list[str]:
    """The names of the units that an earlier deploy may have started, and that this cluster does not need."""
    return [name for name in EVER_MANAGED if name not in unit_names(cluster)]
