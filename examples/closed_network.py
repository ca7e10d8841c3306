"""No internet access: Logstash comes from your own mirror through a proxy, and no other upgrade changes its version."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    artifacts_url="https://mirror.example.com/elastic",
    proxy="http://proxy.example.com:3128",
    logstash=8,
    version="8.19.3",
    exclusive=True,
)
