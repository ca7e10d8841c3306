"""The one list of files: all those that the deploy writes on a node."""

from __future__ import annotations

from cluster import Cluster, Node
from desired import health, keepalived, logstash, modules, packages, reload, sysctl, vip
from desired.paths import VERSION_FILE
from desired.textfile import TextFile
from desired.version import VERSION


def desired_files(cluster: Cluster, node: Node, el: int) -> dict[str, TextFile]:
    """The files that the deploy writes on this node with Enterprise Linux `el`, by path.

    Raises `ClusterError` for a pipeline file of the user's that can't be rendered.
    """
    files = [
        *packages.files(cluster),
        *logstash.files(cluster, node),
        *modules.files(cluster),
        *sysctl.files(cluster),
        *health.files(cluster, node, el),
        *reload.files(el),
        *keepalived.files(cluster, node, el),
        *vip.files(cluster),
        TextFile(VERSION_FILE, f"{VERSION}\n", step=12),
    ]
    return {file.path: file for file in files}
