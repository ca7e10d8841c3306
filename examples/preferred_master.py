"""A preferred node: stash1 becomes MASTER when both start, but never takes the VIP from a MASTER that works."""

from cluster import define

nodes = define(
    nodes={
        "stash1": {"address": "192.0.2.11", "priority": 200},
        "stash2": {"address": "192.0.2.12", "priority": 100},
    },
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    preempt=False,
)
