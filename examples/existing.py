"""Nodes that had a keepalived or Logstash of their own before: what they do stays in use beside the cluster."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    virtual_router_id=61,  # one that the nodes' other VRRP instances don't have
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    existing="adopt",
    logstash_settings={"node.name": "<%= node.name %>", "config.reload.automatic": True},
)
