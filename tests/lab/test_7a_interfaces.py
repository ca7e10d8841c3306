"""A cluster on a VLAN beside the nodes' own network, and what happens when somebody makes the VLAN anew."""

from pathlib import Path

import pytest

from tests.lab import vlan
from tests.lab.conftest import NODES, Cluster
from tests.until import until


@pytest.fixture(scope="module")
def inventory(cluster: Cluster) -> Path:
    """The inventory of the cluster on the VLAN."""
    return vlan.deploy(cluster, NODES)


def holders(cluster: Cluster) -> list[str]:
    show = f"ip -o addr show {vlan.INTERFACE} || true"
    return [name for name in NODES if f" {vlan.VIP}/" in cluster.get(name, show)]


def arrive(cluster: Cluster, mark: str) -> None:
    cluster.send([f"{mark}-{n}" for n in range(10)], vlan.VIP, vlan.address("sender"))
    until(
        lambda: [len(cluster.received(name, mark)) for name in NODES] == [5, 5],
        30,
        "five events on each node",
    )


@pytest.mark.usefixtures("inventory")
def test_events_arrive_on_a_vlan(cluster: Cluster) -> None:
    arrive(cluster, "vlan-first")


def test_a_vlan_that_is_made_anew_on_each_node_still_fails_over(cluster: Cluster, inventory: Path) -> None:
    """keepalived alone keeps the old interface's number: it would never hold the VIP again."""

    def is_whole() -> bool:
        return cluster.whole(inventory)

    for name in sorted(NODES, key=lambda name: name in holders(cluster)):  # the BACKUP first
        index = f"cat /sys/class/net/{vlan.INTERFACE}/ifindex"
        before = cluster.get(name, index)
        cluster.get(name, vlan.MAKE_ANEW)
        assert cluster.get(name, index) != before
        until(is_whole, 60, f"the cluster whole after {name}'s VLAN was made anew")
    arrive(cluster, "vlan-anew")
    (first,) = holders(cluster)
    (second,) = {*NODES} - {first}
    try:
        cluster.get(first, "systemctl stop keepalived")
        until(lambda: holders(cluster) == [second], 30, f"the VIP on {second}")
    finally:
        cluster.get(first, "systemctl start keepalived")
    until(is_whole, 60, "the cluster whole")
