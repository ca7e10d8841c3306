"""The health service: what it reads, and where keepalived reads its verdicts."""

from __future__ import annotations

from cluster import Cluster, Node
from operations.services import Unit

UNIT = "logstash-ha-health"
FILE = f"/etc/systemd/system/{UNIT}.service"
SERVICE = "/etc/keepalived/logstash_ha_health.py"
"""Beside the health script, whose module it is built on."""
SETTINGS = "/etc/keepalived/logstash_ha_health.json"
TMPFILES = f"/etc/tmpfiles.d/{UNIT}.conf"
"""Makes the files of the verdicts at boot, with the owner and the SELinux label that they need."""

FOLDER = "/run/keepalived-health"
"""Where the verdicts are. SELinux lets keepalived read and watch what is in /run and has its name."""
REASONS = f"{FOLDER}/reasons"
"""Why inputs are down, in words."""
AWAY = f"{FOLDER}/away"
"""Says, with a `1`, that this node's link is down or has just come back."""
INTERVAL = 0.5
"""Seconds from one poll of a node to the next; one costs its Logstash about 12 ms."""
TIMEOUT = 2.0
"""Seconds for a node's answer; two that are late take it out of the pools."""


def verdict(node: Node, input_id: str) -> str:
    """The file that says whether this input of this node is up: it is empty then, and holds `1` otherwise."""
    return f"{FOLDER}/{node.address}/{input_id}"


def pace(node: Node, input_id: str) -> str:
    """The file that says whether this input of this node is slow: it holds `1` then, and is empty otherwise."""
    return f"{FOLDER}/slow/{node.address}/{input_id}"


def paced(cluster: Cluster) -> list[str]:
    """The ids of the inputs whose nodes weigh less while they are slow."""
    return list(
        dict.fromkeys(
            server.input_id
            for server in cluster.virtual_servers
            if any(real.slow != real.weight for real in server.real_servers)
        )
    )


def settings(cluster: Cluster, node: Node) -> dict[str, object]:
    """What the service is told."""
    ports = {
        input.plugin_id(protocol): [protocol, input.target_port]
        for input in cluster.inputs
        for protocol in input.protocols
    }
    return {
        "folder": FOLDER,
        "interval": INTERVAL,
        "timeout": TIMEOUT,
        "own": str(node.address),
        "interface": cluster.interface,
        "nodes": {str(member.address): ports for member in cluster.nodes},
    }


LEAVE = "logstash-ha-leave"
LEAVE_FILE = f"/etc/systemd/system/{LEAVE}.service"
LEAVE_TIME = 4 * INTERVAL
"""Seconds that a Logstash which is to stop takes events for: until all services have asked, and keepalived has heard."""


def leave() -> Unit:
    """What takes the node out of all pools before its Logstash stops, whoever stops it."""
    return Unit(LEAVE, probe=f"systemctl is-active {LEAVE}")


def unit() -> Unit:
    """The service itself. It is started anew when its files change, forgets no verdict by it, and systemd says
    that it is up when each verdict is settled."""
    return Unit(UNIT, probe=f"systemctl is-active {UNIT}")
