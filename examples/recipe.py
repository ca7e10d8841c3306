"""The recipe of 2018: two nodes, one UDP input, Logstash 6. For comparison, or for machines that still run it."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.101"],
    vrrp=2,
    auth_pass_file="auth_pass",  # beside this file
    logstash=6,
)
