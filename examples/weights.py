"""Nodes of unequal capacity: stash3 gets twice as many events as each of the others. A node with weight 0 gets none."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12", "stash3": "192.0.2.13"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514, "scheduler": "wrr", "weights": {"stash3": 2}}],
    senders=["192.0.2.64/26"],
)
