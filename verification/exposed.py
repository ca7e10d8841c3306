"""What a sender can reach and should not: Logstash's API describes its pipelines to whoever asks."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from paramiko import SSHException
from pyinfra.api import Host, StringCommand

from cluster import API_PORT, Cluster
from verification.delivery import python_command
from verification.report import Problem, Status

_PROGRAM = Path(__file__).parents[1] / "files" / "open_ports.py"


def find_exposed(sender: Host, cluster: Cluster) -> list[Problem]:
    """A warning for each node whose API answers the sender, which is neither a node nor a monitor (the recipe's step 9)."""
    addresses = {str(node.address): node.name for node in cluster.nodes}
    command = python_command(_PROGRAM, str(API_PORT), *addresses)
    try:
        done, output = sender.run_shell_command(StringCommand(command), _timeout=15)
    except (OSError, SSHException):
        done = False
    if not done:
        return [
            Problem(Status.UNKNOWN, "api", None, f"{sender.name} can't try Logstash's API", "verify again")
        ]
    answering = [line.split() for line in output.stdout_lines if len(line.split()) == 2]
    return [
        Problem(
            Status.WARNING,
            "api",
            addresses[address],
            f"Logstash's API answers {sender.name}, which only sends events",
            f"close port {API_PORT}/tcp to all but the nodes and the monitors: {openness(cluster)}",
        )
        for address, source in answering
        if address in addresses and not _may_read(cluster, source)
    ]


def _may_read(cluster: Cluster, source: str) -> bool:
    """Whether the inventory names this address among the monitors."""
    return any(ip_address(source) in monitor for monitor in cluster.monitors)


def openness(cluster: Cluster) -> str:
    """What an API that everyone can reach gives away, in words."""
    if cluster.api_files and cluster.api_files.username:
        return "only its login keeps everyone from what the API says of its pipelines"
    return "the API describes its pipelines to everyone, and has no password"
