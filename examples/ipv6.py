"""IPv6 only: for networks without IPv4. It needs VRRP 3, which has no password."""

from cluster import define

nodes = define(
    nodes={"stash1": "2001:db8::11", "stash2": "2001:db8::12"},
    network="2001:db8::/64",
    interface="ens33",
    vip="2001:db8::10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["2001:db8::/64", "2001:db8:1::7"],
)
