"""Two clusters in one inventory: one for syslog, one for NetFlow, each with its own nodes, VIP and senders.

Each group that `define` makes is a cluster, and has its name from it: `--limit syslog` deploys to one, and `verify.py --cluster
syslog` looks at one. Without these, both are meant. Two that share a network need different numbers for VRRP.
"""

from cluster import define

connection = {"ssh_user": "admin", "_sudo": True}

syslog = define(
    nodes={"log1": "192.0.2.11", "log2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "syslog", "port": 514, "server_port": 5514, "plugin": "syslog"}],
    senders=["192.0.2.64/26"],
    connection=connection,
)

netflow = define(
    nodes={"flow1": "192.0.2.21", "flow2": "192.0.2.22"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.20",
    virtual_router_id=2,  # the other cluster's is 1, in the same network
    inputs=[{"id": "netflow", "port": 2055, "codec": "netflow", "scheduler": "sh"}],
    senders=["198.51.100.0/24"],
    connection=connection,
)

# Who sends test events for `verify.py --send`: a host of each cluster's own list.
syslog_senders = (["loghost"], connection)
netflow_senders = (["router"], connection)
