"""Logstash's major version, where the inventory names none: that of the nodes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from cluster import Cluster, ClusterError
from cluster.errors import listed
from cluster.inventory import with_major
from facts.packages import version_key


def undecided(cluster: Cluster) -> bool:
    """Whether the inventory leaves it to the nodes which major version of Logstash they have."""
    return cluster.logstash is None and cluster.version in (None, "latest")


def with_installed_major(cluster: Cluster, versions: Mapping[str, str | None]) -> Cluster:
    """The cluster with the major version of the installed `versions`, by node's name; the newest one where none is installed.

    Raises `ClusterError` where the nodes have several, and where the inventory asks for what that major version can't do.
    """
    found = {name: version for name, version in versions.items() if version}
    majors = {version_key(version)[0] for version in found.values()}
    if len(majors) > 1:
        have = listed(f"{name} has {version}" for name, version in found.items())
        raise ClusterError(
            f"logstash: the nodes have several major versions ({have}); set it to the one that all should have"
        )
    return with_major(cluster, majors.pop()) if majors else cluster


def with_seen_major(cluster: Cluster, versions: Mapping[str, str | None]) -> Cluster:
    """The same for those who only look: where the nodes have several, the lowest one."""
    if not undecided(cluster):
        return cluster
    majors = [version_key(version)[0] for version in versions.values() if version]
    return with_major(cluster, min(majors)) if majors else cluster
