"""The cluster that `pyinfra inventory.py deploy.py` makes. As it stands it describes the lab's machines."""

import os
from pathlib import Path

from cluster import define

lab = os.environ.get("LAB_DIR", ".lab")
connection = {"ssh_config_file": f"{lab}/ssh_config", "_sudo": True}

# The version of Elastic's own Logstash, where the lab offers it (`python -m lab up --logstash`) and not the stand-in.
offered = Path(lab, "logstash")
version = offered.read_text() if offered.exists() else None

nodes = define(
    nodes={"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
    network="10.77.0.0/24",
    interface="eth0",
    vip="10.77.0.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["10.77.0.101"],
    logstash=int(version.split(".")[0]) if version else 8,
    version=version,
    heap="400m" if version else None,  # of a guest's 1.5 GB
    artifacts_url="http://10.77.0.1",
    repository={"seen_from": "nodes"},  # this machine has no way into the lab's network
    connection=connection,
)

# A machine on the allowed list, for `verify.py --send`; the deploy leaves it alone.
senders = (["sender"], connection)
