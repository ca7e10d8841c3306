"""A VIP for each node, and each node is MASTER of one: for more events than one director can distribute.

Half of the devices send to one VIP, half to the other. When one node is down, the other holds both.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip=["192.0.2.10", "192.0.2.20"],
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
)
