"""UDP from the director's own address, for networks that drop foreign ones: clouds, strict reverse-path filters.

Logstash sees a director as the source of each event, so it takes the sender's name from the syslog header: the `syslog` input
does that. For a protocol without one, choose `dr` or leave `forwarding` out.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {
            "id": "syslog",
            "port": 514,
            "server_port": 5514,
            "plugin": "syslog",
            "protocol": "udp",
            "forwarding": "snat",
        }
    ],
    senders=["198.51.100.0/24", "203.0.113.7"],
)
