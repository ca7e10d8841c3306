"""Kernel modules (the recipe's step 6)."""

from __future__ import annotations

from cluster import Cluster
from desired.textfile import TextFile

FILE = "/etc/modules-load.d/logstash-ha.conf"
"""Read at boot before sysctl's files (modules-load.d(5)): `net.ipv4.vs.*` exist only once ip_vs is loaded."""


def module_names(cluster: Cluster) -> list[str]:
    """The modules to load: IPVS, and the schedulers that the inputs use."""
    return list(dict.fromkeys(["ip_vs", *(f"ip_vs_{input.scheduler}" for input in cluster.inputs)]))


def files(cluster: Cluster) -> list[TextFile]:
    """The file that has them loaded at boot."""
    return [TextFile(FILE, "".join(f"{name}\n" for name in module_names(cluster)), step=6)]
