"""No firewalld: for nodes with another firewall, and a Logstash that takes long to start.

On each node it must accept, besides ssh (docs/recipe.md, "A firewall of your own", says more):
- from the nodes: VRRP (IP protocol 112), TCP 9600 (Logstash's API), UDP 9600 (the health services), UDP 5514 (the input);
- from the senders: UDP 5514 at the VIP and at the node's own address.
Prefer a last rule that drops to one that rejects.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    firewall="none",
    start_timeout=300,
)
