"""Events wait on disk inside Logstash: for outputs that are slow or down at times. Queued events survive a crash."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    queue="persisted",
    queue_max_bytes="8g",
    heap="4g",
    pipeline_workers=8,
)
