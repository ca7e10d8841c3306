"""keepalived waits while firewalld has fallen back to its stock rules.

When firewalld can't load its configuration, at its start or at a reload, its state is FAILED, and its stock rules let
no advert in: keepalived would become a second MASTER. So keepalived's drop-in has it wait for another state before it
starts, and this unit restarts it when the state becomes FAILED while it runs.
"""

from __future__ import annotations

from cluster import Cluster
from desired.render import render
from desired.textfile import TextFile
from desired.unit import Unit

UNIT = "logstash-ha-firewall"
FILE = f"/etc/systemd/system/{UNIT}.service"


def files(cluster: Cluster) -> list[TextFile]:
    """The unit's file, where firewalld is the firewall."""
    if cluster.firewall != "firewalld":
        return []
    return [TextFile(FILE, render("firewall.service.j2"), step=11, read_by=UNIT)]


def unit() -> Unit:
    """The service that restarts keepalived."""
    return Unit(UNIT, probe=f"systemctl is-active {UNIT}")
