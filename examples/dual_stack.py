"""IPv4 and IPv6: a VIP of each, both on the same node. For a network that is moving from one to the other."""

from cluster import define

nodes = define(
    nodes={
        "stash1": ["192.0.2.11", "2001:db8::11"],
        "stash2": ["192.0.2.12", "2001:db8::12"],
    },
    network=["192.0.2.0/24", "2001:db8::/64"],
    interface="ens33",
    vip=["192.0.2.10", "2001:db8::10"],
    inputs=[{"id": "syslog", "port": 5514, "protocol": "both"}],
    senders=["192.0.2.64/26", "2001:db8:1::/64"],
)
