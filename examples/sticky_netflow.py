"""All of a sender's events go to one node: for NetFlow, IPFIX and chunked GELF, whose datagrams belong together."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {
            "id": "netflow",
            "port": 2055,
            "scheduler": "sh",
            "codec": "netflow",
            "workers": 4,
            "queue_size": 10000,
            "receive_buffer_bytes": 33554432,  # a router sends its flows in bursts
        }
    ],
    senders=["192.0.2.1", "198.51.100.1"],
)
