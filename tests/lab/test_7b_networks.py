"""VIPs in a network in which the nodes have no address of their own, and UDP with the director's address as its source."""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import ADDRESSES, NODES, Cluster
from tests.until import until

VLAN = "eth0.8"
VIP, SENDER = "10.77.8.10", "10.77.8.101"
SNAT_PORT = 5515
MAKE = f"ip link add link eth0 name {VLAN} type vlan id 8 2>/dev/null; ip link set {VLAN} up"
STRICT = f"sysctl -w net/ipv4/conf/eth0/rp_filter=1 net/ipv4/conf/{VLAN}/rp_filter=1"


@pytest.fixture(scope="module")
def networks(cluster: Cluster) -> Iterator[Cluster]:
    """The VIP is on a VLAN. The kernels filter strictly by the way back, until the deploy changes that where it must."""
    for name in (*NODES, "sender"):
        cluster.get(name, MAKE)
    cluster.get("sender", f"ip address replace {SENDER}/24 dev {VLAN}")
    for name in NODES:
        cluster.get(name, STRICT)
    inventory = cluster.inventory(
        "networks",
        network=["10.77.0.0/24", "10.77.8.0/24"],
        vip={"address": VIP, "interface": VLAN},
        inputs=[
            {"id": "udp-5514", "port": 5514},
            {"id": "snat", "port": SNAT_PORT, "forwarding": "snat"},
        ],
        senders=[SENDER],
    )
    done = cluster.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    yield cluster
    for name in (*NODES, "sender"):
        cluster.get(name, f"ip link delete {VLAN}")


def holders(cluster: Cluster) -> list[str]:
    return [name for name in NODES if f" {VIP}/24 " in cluster.get(name, f"ip -o addr show {VLAN}")]


def sources(cluster: Cluster, mark: str, port: int) -> dict[str, set[str]]:
    """By node: the sources that Logstash sees of ten events, five of which come to each node."""
    cluster.send([f"{mark}-{number}" for number in range(10)], VIP, SENDER, port)
    until(
        lambda: [len(cluster.received(name, mark)) for name in NODES] == [5, 5],
        30,
        "five events on each node",
    )
    return {name: {event["host"]["ip"] for event in cluster.events(name, mark)} for name in NODES}


def test_a_vip_in_a_network_without_nodes(networks: Cluster) -> None:
    """Events arrive on both nodes, also when the other node has taken the VIP because the link to that network is down."""
    assert sources(networks, "far-first", 5514) == {name: {SENDER} for name in NODES}
    (first,) = holders(networks)
    (second,) = {*NODES} - {first}
    try:
        networks.get(first, f"ip link set {VLAN} down")
        until(lambda: holders(networks) == [second], 30, f"the VIP on {second}")
        assert sources(networks, "far-second", 5514) == {name: {SENDER} for name in NODES}
    finally:
        networks.get(first, f"ip link set {VLAN} up")
    until(lambda: networks.whole(networks.lab.folder / "networks.py"), 60, "the cluster whole")


def test_udp_with_the_directors_address(networks: Cluster) -> None:
    """One address, on both nodes: also for a sender that keeps its port, whichever node its first datagram went to."""
    (holder,) = holders(networks)
    for mark in ("snat-first", "snat-second"):
        assert sources(networks, mark, SNAT_PORT) == {name: {ADDRESSES[holder]} for name in NODES}
