"""The cluster that the unit tests speak of."""

from pathlib import Path
from typing import Any

from cluster import Cluster

PASSWORD = "hunter22"


def make_cluster(folder: Path, nodes: int = 2, **settings: Any) -> Cluster:
    """A cluster of that many nodes, with its password in `folder`; 10.77.0.11 is the first one's address."""
    secret = folder / "auth_pass"
    secret.write_text(PASSWORD)
    return Cluster.model_validate(
        {
            "nodes": [{"name": f"stash{n}", "address": f"10.77.0.{10 + n}"} for n in range(1, nodes + 1)],
            "network": "10.77.0.0/24",
            "interface": "eth0",
            "vip": "10.77.0.10",
            "inputs": [{"id": "udp-5514", "port": 5514}],
            "senders": ["10.77.0.101"],
            "auth_pass_file": secret,
            **settings,
        }
    )
