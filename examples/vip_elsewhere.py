"""A VIP in the senders' network, in which the nodes have no address of their own.

Only the node that holds the VIP has an address there. VRRP runs between the nodes' own addresses, and the VIP leaves a node
whose link to either network is down. The name of the second interface differs between the nodes.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network=["192.0.2.0/24", "198.51.100.0/24"],
    interface="ens33",
    vip={"address": "198.51.100.10", "interface": {"stash1": "ens34", "stash2": "ens37"}},
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["198.51.100.64/26"],
)
