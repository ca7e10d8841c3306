"""Others than the nodes read Logstash's API: an exporter for Prometheus, and an agent on each node.

The health service writes metrics for node_exporter's textfile collector, too.

The agent, such as Metricbeat or Elastic Agent, asks `localhost:9600`: with `127.0.0.1` among the monitors the API listens at
all addresses of its node, and the firewall lets only the nodes and the monitors in from other machines.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {"id": "udp-5514", "port": 5514},
        {"id": "netflow", "port": 2055, "scheduler": "sh", "codec": "netflow", "pipeline": "netflow"},
    ],
    senders=["192.0.2.64/26"],
    monitors=["127.0.0.1", "198.51.100.20", "203.0.113.0/28"],
    pipeline_settings={
        "main": {"pipeline.workers": 4, "pipeline.batch.size": 500, "pipeline.batch.delay": 20},
        "netflow": {"pipeline.workers": 1, "pipeline.ordered": "auto"},
    },
    metrics="/var/lib/node_exporter/textfile_collector",
    jvm_options=["-Duser.timezone=UTC"],
)
