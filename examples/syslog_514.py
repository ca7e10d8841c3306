"""Syslog on its own port, over UDP and TCP: for devices that can send to port 514 only. The nodes listen on 5514."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "syslog", "port": 514, "server_port": 5514, "protocol": "both", "type": "syslog"}],
    senders=["192.0.2.64/26", "198.51.100.7"],
)
