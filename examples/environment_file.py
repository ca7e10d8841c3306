"""Secrets for your pipelines, such as Elasticsearch's password: `${ES_PASSWORD}` there, `ES_PASSWORD=…` in a file here.

Keep that file out of your repository. On the nodes only root can read it, and no output of a deploy shows it.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    environment_file="logstash.env",  # beside this file
)
