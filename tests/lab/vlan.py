"""A cluster on a VLAN beside the nodes' own network, which NetworkManager makes, and can make anew."""

from pathlib import Path
from typing import Any

from tests.lab.conftest import Cluster
from tests.until import until

INTERFACE = "eth0.7"
VIP = "10.77.7.10"

ADD = (
    "nmcli connection add type vlan con-name vlan7 ifname {interface} dev eth0 id 7 "
    "ipv4.method manual ipv4.addresses {address}/24 ipv6.method disabled && nmcli --wait 30 connection up vlan7"
)
MAKE_ANEW = "nmcli --wait 30 connection down vlan7 && nmcli --wait 30 connection up vlan7"


def address(name: str) -> str:
    """A guest's address on the VLAN."""
    return "10.77.7.101" if name == "sender" else f"10.77.7.1{name.removeprefix('stash')}"


def deploy(cluster: Cluster, nodes: tuple[str, ...], **settings: Any) -> Path:
    """Make the VLAN on these nodes and the sender, and deploy the cluster there: its inventory. The guests keep the
    VLAN, as it is in nobody's way."""
    for name in (*nodes, "sender"):
        cluster.get(name, ADD.format(interface=INTERFACE, address=address(name)))
    inventory = cluster.inventory(
        "vlan",
        nodes={name: address(name) for name in nodes},
        network="10.77.7.0/24",
        interface=INTERFACE,
        vip=VIP,
        senders=[address("sender")],
        **settings,
    )
    done = cluster.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: cluster.whole(inventory), 60, "the cluster whole")
    return inventory
