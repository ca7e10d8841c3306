"""Each sender's socket keeps its node: for datagrams that belong together, from many senders behind one NAT address.

`sh` and `mh` would send all of them to one node. A socket that is silent for five minutes may get another node.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514, "ops": False}],
    senders=["198.51.100.7"],
)
