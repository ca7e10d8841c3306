"""The syslog plugin on both protocols, and a plugin that this project does not know: the inventory says what it can do."""

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
            "options": {"timezone": "UTC"},
        },
        {
            "id": "sensors",
            "port": 5700,
            "plugin": "acme_sensors",
            "protocol": "udp",
            "scheduler": "sh",  # where a sender's datagrams belong together
            "probe": True,  # where it makes nothing of an empty datagram
            "text": False,  # where it makes no event of a line of text
            "options": {"workers": 4},
        },
    ],
    senders=["192.0.2.64/26"],
)
