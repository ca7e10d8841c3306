"""Many events: the inventory says how many come, and the receive buffers are sized by that.

Logstash takes 2,000 a second here while its JVM is cold: a node that has just started gets no more than that and its buffer can take.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12", "stash3": "192.0.2.13"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514, "events_per_second": 20000, "event_bytes": 400}],
    cold_start_rate=2000,
    senders=["192.0.2.64/26"],
)
