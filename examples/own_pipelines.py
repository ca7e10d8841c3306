"""Your own pipeline files: filters, and outputs to where your events go, instead of the deploy's own output file.

`pipelines/*.conf` belong to the pipeline `main`, `pipelines/netflow/*.conf` to `netflow`. The deploy adds the inputs.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {"id": "syslog", "port": 5514, "type": "syslog", "tags": ["edge"]},
        {"id": "netflow", "port": 2055, "scheduler": "sh", "codec": "netflow", "pipeline": "netflow"},
    ],
    senders=["192.0.2.64/26"],
    pipelines="pipelines",  # beside this file
)
