"""The VIP moves within a tenth of a second, by fifty adverts a second: for nodes and a network without delays."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    advert_interval=0.02,
)
