"""The VIP on every node's loopback interface, for direct routing."""

from __future__ import annotations

from cluster import Cluster
from desired.render import render
from desired.textfile import TextFile
from desired.unit import Unit

UNIT = "logstash-ha-vip"
FILE = f"/etc/systemd/system/{UNIT}.service"


def files(cluster: Cluster) -> list[TextFile]:
    """The unit's file, where an input uses direct routing."""
    if "dr" not in cluster.forwardings:
        return []
    return [TextFile(FILE, render("vip.service.j2", cluster=cluster), step=7, read_by=UNIT)]


def unit() -> Unit:
    """The service that adds the VIP; it stops before its file changes, so that it removes the old VIP."""
    return Unit(UNIT, probe=f"systemctl is-active {UNIT}", stop_first=True)
