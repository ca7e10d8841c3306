"""The one list of files: all those that the deploy writes on a node."""

from __future__ import annotations

from cluster import Cluster, Node
from desired import fallback, health, keepalived, logstash, modules, nftables, packages, reload, sysctl, vip
from desired.paths import VERSION_FILE
from desired.textfile import TextFile
from desired.translation import own_table
from desired.version import VERSION


def desired_files(cluster: Cluster, node: Node, el: int, has_nftables: bool = True) -> dict[str, TextFile]:
    """The files that the deploy writes on this node with Enterprise Linux `el`, by path.

    `has_nftables`: whether the machine can load a table of our own, as is usual from Enterprise Linux 8.
    Raises `ClusterError` for a pipeline file of the user's that can't be rendered.
    """
    files = [
        *packages.files(cluster),
        *logstash.files(cluster, node),
        *modules.files(cluster),
        *sysctl.files(cluster, node),
        *health.files(cluster, node, el),
        *reload.files(el),
        *keepalived.files(cluster, node, el),
        *fallback.files(cluster),
        *vip.files(cluster),
        *nftables.files(cluster, node, own_table(cluster, el, has_nftables)),
        TextFile(VERSION_FILE, f"{VERSION}\n", step=12),
    ]
    return {file.path: file for file in files}
