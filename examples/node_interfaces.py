"""Nodes of different hardware: each has its own name for the network interface."""

from cluster import define

nodes = define(
    nodes={
        "stash1": {"address": "192.0.2.11", "interface": "eno1"},
        "stash2": {"address": "192.0.2.12", "interface": "ens33"},
        "stash3": "192.0.2.13",
    },
    network="192.0.2.0/24",
    interface="eth0",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
)
