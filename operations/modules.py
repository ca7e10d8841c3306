"""Kernel modules, loaded now and at each boot."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from facts.modules import Missing
from operations.record import note

FILE = "/etc/modules-load.d/logstash-ha.conf"
"""Read at boot before sysctl's files: `net.ipv4.vs.*` are there only once ip_vs is (modules-load.d(5))."""


def names(cluster: Cluster) -> list[str]:
    """IPVS, and its schedulers that the inputs use."""
    return list(dict.fromkeys(["ip_vs", *(f"ip_vs_{input.scheduler}" for input in cluster.inputs)]))


@operation()
def loaded(modules: list[str]) -> Generator[StringCommand]:
    """These modules in the running kernel (modprobe(8))."""
    missing = host.get_fact(Missing, modules=modules)
    if not missing:
        host.noop(f"{', '.join(modules)}: loaded")
        return
    notes = [note("module", module) for module in missing]
    yield StringCommand(" && ".join([*notes, f"modprobe --all {' '.join(missing)}"]))
