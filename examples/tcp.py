"""Events over TCP: for senders that must notice a broken connection. Logstash sees the director's address."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "json", "port": 5044, "protocol": "tcp", "scheduler": "lc", "codec": "json_lines"}],
    senders=["192.0.2.64/26"],
)
