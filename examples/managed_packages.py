"""The packages are yours: Satellite, Puppet or an image brings them, and the deploy looks whether they are there."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    logstash=8,
    version="8.19.3",  # what each node must have; without it, any version of Logstash 8
    packages="managed",
)
