"""Direct routing: for TCP where Logstash must see the sender's address, or for more events than NAT can take."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12", "stash3": "192.0.2.13"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {"id": "json", "port": 5044, "protocol": "tcp", "forwarding": "dr", "codec": "json_lines"},
        {"id": "udp-5514", "port": 5514, "forwarding": "dr"},
    ],
    senders=["192.0.2.64/26", "198.51.100.0/24"],
)
