"""The cluster as its user describes it in `inventory.py`: a typed, validated model.

Every error is a `ClusterError`: one line that names the field, its value and what to write instead.
"""

from cluster.constants import API_PORT, OWN_PIPELINE_FILE
from cluster.errors import ClusterError
from cluster.inventory import (
    cluster_name,
    cluster_of_host,
    cluster_prefix,
    clusters_of_inventory,
    define,
    is_node,
)
from cluster.ipvs import RealServer, VirtualServer
from cluster.model import Api, Cluster, Input, Node, Repository, Tls, Vip
from cluster.types import Address, Network
from cluster.vrrp import VrrpInstance

__all__ = [
    "API_PORT",
    "OWN_PIPELINE_FILE",
    "Address",
    "Api",
    "Cluster",
    "ClusterError",
    "Input",
    "Network",
    "Node",
    "RealServer",
    "Repository",
    "Tls",
    "Vip",
    "VirtualServer",
    "VrrpInstance",
    "cluster_name",
    "cluster_of_host",
    "cluster_prefix",
    "clusters_of_inventory",
    "define",
    "is_node",
]
