"""Five nodes and three inputs, two of them with senders of their own: for the network of a whole company.

Adverts go to VRRP's multicast group, one datagram for all nodes. A second cluster in the same network needs another
`virtual_router_id`.
"""

from cluster import define

nodes = define(
    nodes={f"stash{number}.example.com": f"192.0.2.{10 + number}" for number in range(1, 6)},
    network="192.0.2.0/24",
    interface="bond0.100",
    vip="192.0.2.10",
    inputs=[
        {"id": "syslog", "port": 514, "server_port": 5514, "protocol": "both"},
        {"id": "gelf", "port": 12201, "scheduler": "sh", "plugin": "gelf", "senders": ["198.51.100.0/24"]},
        {"id": "audit", "port": 6514, "protocol": "tcp", "senders": ["203.0.113.5", "203.0.113.6"]},
    ],
    senders=["192.0.2.64/26"],
    transport="multicast",
    virtual_router_id=51,
)
