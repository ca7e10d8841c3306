"""What a deploy would put on each node, as a folder of files: to be reviewed, without a host and without secrets."""

from __future__ import annotations

from dataclasses import dataclass

from cluster import Cluster, Node
from desired import firewalld
from desired.files import desired_files
from desired.modules import module_names
from desired.packages import all_packages, logstash_package
from desired.requirements import check_release
from desired.sysctl import kernel_settings
from desired.translation import own_table
from desired.units import unit_names


@dataclass(frozen=True)
class TreeFile:
    """A file of the tree."""

    content: str
    mode: int = 0o644


def tree(cluster: Cluster, el: int) -> dict[str, TreeFile]:
    """By path below the tree's folder: each node's files with Enterprise Linux `el`, and lists of what is no file.

    The same cluster makes the same tree. Each secret is `********` in it. Raises `ClusterError` for a pipeline file of the
    user's that can't be rendered, and where that Enterprise Linux can't do what the cluster's description asks for.
    """
    masked = cluster.masked()
    found = {}
    for node in masked.nodes:
        check_release(masked, node, el)
        for path, file in desired_files(masked, node, el).items():
            found[f"{node.name}{path}"] = TreeFile(file.content, int(file.mode, 8))
        for name, lines in _lists(masked, node, own_table(masked, el, has_nftables=True)).items():
            found[f"{node.name}/{name}"] = TreeFile("".join(f"{line}\n" for line in lines))
    return found


def _lists(cluster: Cluster, node: Node, own_table: bool) -> dict[str, list[str]]:
    """What else a deploy sees to on a node, by the name of its list."""
    lists = {
        "packages": [
            *(name for name in all_packages(cluster) if name != "logstash"),
            logstash_package(cluster),
        ],
        "modules": module_names(cluster),
        "sysctl": [f"{key} = {value}" for key, value in kernel_settings(cluster, node).items()],
        "units": unit_names(cluster, own_table),
    }
    if cluster.firewall == "firewalld":
        lists["firewalld.rules"] = firewalld.desired_rules(cluster, node, own_table)
        if sets := firewalld.sender_sets(cluster):
            lists["firewalld.ipsets"] = [
                f"{name} {entry}" for name, entries in sets.items() for entry in entries
            ]
    return lists
