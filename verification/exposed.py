"""What a sender can reach and should not: Logstash's API tells whoever asks all about its pipelines."""

from __future__ import annotations

from pathlib import Path

from paramiko import SSHException
from pyinfra.api import Host, StringCommand

from cluster import API_PORT, Cluster
from verification.report import Problem, Status
from verification.send import script

_SCRIPT = Path(__file__).parents[1] / "files" / "open_ports.py"


def look(sender: Host, cluster: Cluster) -> list[Problem]:
    """A warning for each node whose API answers the sender, which is none of the nodes (the recipe's step 9)."""
    addresses = {str(node.address): node.name for node in cluster.nodes}
    command = script(_SCRIPT, str(API_PORT), *addresses)
    try:
        done, output = sender.run_shell_command(StringCommand(command), _timeout=15)
    except (OSError, SSHException):
        done = False
    if not done:
        return [
            Problem(Status.UNKNOWN, "api", None, f"{sender.name} can't try Logstash's API", "verify again")
        ]
    return [
        Problem(
            Status.WARNING,
            "api",
            addresses[address],
            f"Logstash's API answers {sender.name}, which only sends events",
            f"close port {API_PORT}/tcp to all but the nodes: the API tells everyone of its pipelines, and knows no password",
        )
        for address in output.stdout_lines
        if address in addresses
    ]
