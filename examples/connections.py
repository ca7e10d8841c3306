"""Machines that ssh reaches in different ways: one at another address and port, one through a jump host.

A machine's name is the one that ssh knows, underscores included. What a node says in `connection` goes before what is said
for all. A jump host is in ssh's own configuration: `Host log_2`, `ProxyJump bastion`.
"""

from cluster import define

nodes = define(
    nodes={
        "log_1": {
            "address": "192.0.2.11",
            "connection": {"ssh_hostname": "203.0.113.11", "ssh_port": 2222, "ssh_user": "root"},
        },
        "log_2": "192.0.2.12",
    },
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    connection={"ssh_user": "admin", "_sudo": True},
)
