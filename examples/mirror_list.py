"""A list of mirrors, which only the nodes can reach; the machine that deploys has the key."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    logstash=9,
    repository={"mirrorlist": "https://mirror.example.com/logstash-9/mirrors.txt", "seen_from": "nodes"},
    signing_keys="GPG-KEY-elasticsearch",
)
