"""Kernel modules (the recipe's step 6)."""

from __future__ import annotations

from cluster import Cluster
from desired.textfile import TextFile

FILE = "/etc/modules-load.d/logstash-ha.conf"
"""Read at boot before sysctl's files (modules-load.d(5)): `net.ipv4.vs.*` exist only once ip_vs is loaded."""

BASIC = ["ip_vs", "ip_vs_wrr", "nf_conntrack"]
"""The modules that a cluster needs which leaves all to the defaults."""


def module_names(cluster: Cluster) -> list[str]:
    """The modules to load: IPVS, and the schedulers that the inputs use."""
    return list(dict.fromkeys(["ip_vs", *(f"ip_vs_{input.scheduler}" for input in cluster.inputs)]))


def needed_modules(cluster: Cluster, el: int) -> list[str]:
    """All modules that the kernel of a node with Enterprise Linux `el` must have: those to load, and those that IPVS and
    the firewall's rules load by themselves."""
    return [*module_names(cluster), "nf_conntrack", *_firewall_modules(cluster, el)]


def _firewall_modules(cluster: Cluster, el: int) -> list[str]:
    """Those of the rules that translate a source: on Enterprise Linux 7 iptables'. Later ones have several ways to do it."""
    if el > 7 or cluster.firewall == "none" or "snat" not in cluster.forwardings:
        return []
    untracked = any(s.forwarding == "dr" and s.protocol == "TCP" for s in cluster.virtual_servers)
    return ["xt_tcpudp", "xt_nat", *(["xt_CT"] if untracked else [])]


def files(cluster: Cluster) -> list[TextFile]:
    """The file that has them loaded at boot."""
    return [TextFile(FILE, "".join(f"{name}\n" for name in module_names(cluster)), step=6)]
