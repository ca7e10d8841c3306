"""GELF over UDP and TCP: a large message comes in several datagrams, which must all go to one node."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "gelf", "port": 12201, "plugin": "gelf", "protocol": "both", "scheduler": "sh"}],
    senders=["192.0.2.64/26"],
)
