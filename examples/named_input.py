"""An input that stands in a pipeline file of your own: it is named here, and so gets the VIP, firewall rules and health checks.

In the file, it needs that `id`, that port, and the node's own address as its `host`.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {"id": "udp-5514", "port": 5514},
        {"id": "windows", "port": 5044, "plugin": "beats", "defined_in": "windows.conf"},
    ],
    senders=["192.0.2.64/26"],
    pipelines="named_input",  # beside this file
)
