"""Two VLANs of senders, each with a VIP of its own, beside the nodes' own network.

Each node has an address in each VLAN (`sources`): VRRP runs there, so that a fault of one VLAN moves that VIP alone. Each VIP
takes events from its own VLAN only.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network=["192.0.2.0/24", "198.51.100.0/25", "198.51.100.128/25"],
    interface="bond0",
    vip=[
        {
            "address": "198.51.100.10",
            "interface": "bond0.20",
            "sources": {"stash1": "198.51.100.11", "stash2": "198.51.100.12"},
            "senders": ["198.51.100.0/25"],
        },
        {
            "address": "198.51.100.210",
            "interface": "bond0.30",
            "sources": {"stash1": "198.51.100.211", "stash2": "198.51.100.212"},
            "senders": ["198.51.100.128/25"],
        },
    ],
    inputs=[{"id": "udp-5514", "port": 5514}],
)
