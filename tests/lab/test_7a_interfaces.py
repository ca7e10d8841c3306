"""A cluster on a VLAN beside the nodes' own network, and what happens when somebody makes the VLAN anew."""

import pytest

from tests.lab.conftest import NODES, Cluster
from tests.until import until

INTERFACE = "eth0.7"
ADDRESSES = {"stash1": "10.77.7.11", "stash2": "10.77.7.12", "sender": "10.77.7.101"}
VIP = "10.77.7.10"

ADD = (
    "nmcli connection add type vlan con-name vlan7 ifname {interface} dev eth0 id 7 "
    "ipv4.method manual ipv4.addresses {address}/24 ipv6.method disabled && nmcli --wait 30 connection up vlan7"
)


@pytest.fixture(scope="module")
def vlan(cluster: Cluster) -> Cluster:
    """The cluster on the VLAN. The machines keep it, as it is in nobody's way."""
    for name, address in ADDRESSES.items():
        cluster.get(name, ADD.format(interface=INTERFACE, address=address))
    inventory = cluster.inventory(
        "vlan",
        nodes={name: ADDRESSES[name] for name in NODES},
        network="10.77.7.0/24",
        interface=INTERFACE,
        vip=VIP,
        senders=[ADDRESSES["sender"]],
    )
    done = cluster.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    return cluster


def whole(cluster: Cluster) -> bool:
    return cluster.whole(cluster.lab.folder / "vlan.py")


def holders(cluster: Cluster) -> list[str]:
    return [name for name in NODES if f" {VIP}/" in cluster.get(name, f"ip -o addr show {INTERFACE} || true")]


def arrive(cluster: Cluster, mark: str) -> None:
    cluster.send([f"{mark}-{n}" for n in range(10)], VIP, ADDRESSES["sender"])
    until(
        lambda: [len(cluster.received(name, mark)) for name in NODES] == [5, 5],
        30,
        "five events on each node",
    )


def test_events_arrive_on_a_vlan(vlan: Cluster) -> None:
    until(lambda: whole(vlan), 60, "the cluster whole")
    arrive(vlan, "vlan-first")


def test_a_vlan_that_is_made_anew_on_each_node_still_fails_over(vlan: Cluster) -> None:
    """keepalived alone keeps the old interface's number: it would never hold the VIP again."""
    until(lambda: whole(vlan), 60, "the cluster whole")
    for name in sorted(NODES, key=lambda name: name in holders(vlan)):  # the BACKUP first
        index = f"cat /sys/class/net/{INTERFACE}/ifindex"
        before = vlan.get(name, index)
        vlan.get(name, "nmcli --wait 30 connection down vlan7 && nmcli --wait 30 connection up vlan7")
        assert vlan.get(name, index) != before
        until(lambda: whole(vlan), 60, f"the cluster whole after {name}'s VLAN was made anew")
    arrive(vlan, "vlan-anew")
    (first,) = holders(vlan)
    (second,) = {*NODES} - {first}
    try:
        vlan.get(first, "systemctl stop keepalived")
        until(lambda: holders(vlan) == [second], 30, f"the VIP on {second}")
    finally:
        vlan.get(first, "systemctl start keepalived")
    until(lambda: whole(vlan), 60, "the cluster whole")
