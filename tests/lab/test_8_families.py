"""IPv6 beside IPv4, VRRP 3, and a VIP for each node."""

from typing import Any

import pytest

from tests.lab.conftest import ALLOWED, FORBIDDEN, NODES, VIP, Cluster
from tests.until import until

ALLOWED6, FORBIDDEN6 = "fd77::101", "fd77::102"
VIP6, VIP2 = "fd77::10", "10.77.0.20"

DUAL: dict[str, Any] = {
    "nodes": {"stash1": ["10.77.0.11", "fd77::11"], "stash2": ["10.77.0.12", "fd77::12"]},
    "network": ["10.77.0.0/24", "fd77::/64"],
    "vip": [VIP, VIP6],
    "senders": [ALLOWED, ALLOWED6],
    "inputs": [
        {"id": "both", "port": 5514, "protocol": "both"},
        {"id": "direct", "port": 7514, "protocol": "both", "forwarding": "dr"},
    ],
}


@pytest.fixture(scope="module")
def dual(cluster: Cluster) -> Cluster:
    """Two nodes with addresses of both families."""
    done = cluster.deploy("-y", inventory=cluster.inventory("dual", **DUAL))
    assert done.returncode == 0, done.stdout + done.stderr
    return cluster


def test_both_families_are_whole(dual: Cluster) -> None:
    until(lambda: dual.whole(dual.lab.folder / "dual.py"), 60, "the cluster whole")
    assert dual.plan(dual.lab.folder / "dual.py")[0] == {}


@pytest.mark.parametrize("port", [5514, 7514], ids=["translated", "routed"])
@pytest.mark.parametrize(("source", "target"), [(ALLOWED, VIP), (ALLOWED6, VIP6)], ids=["IPv4", "IPv6"])
def test_events_of_both_families_and_protocols_arrive(
    dual: Cluster, source: str, target: str, port: int
) -> None:
    mark = f"family-{port}-{len(target)}"
    dual.send([f"{mark}-udp-{n}" for n in range(10)], target, source, port)
    done = dual.sessions([f"{mark}-tcp-{n}" for n in range(10)], target, port, source)
    assert done.returncode == 0, done.stderr
    for protocol in ("udp", "tcp"):
        until(
            lambda protocol=protocol: (
                [len(dual.received(name, f"{mark}-{protocol}")) for name in NODES] == [5, 5]
            ),  # type: ignore[misc]
            30,
            f"five events by {protocol} on each node",
        )


@pytest.mark.parametrize(("source", "target"), [(FORBIDDEN, VIP), (FORBIDDEN6, VIP6)], ids=["IPv4", "IPv6"])
def test_a_stranger_of_either_family_gets_nothing_through(dual: Cluster, source: str, target: str) -> None:
    assert dual.sessions(["stranger"], target, source=source).returncode != 0


@pytest.mark.long
def test_each_node_is_master_of_a_vip_of_its_own(cluster: Cluster) -> None:
    inventory = cluster.inventory("shared", vip=[VIP, VIP2])
    done = cluster.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    until(
        lambda: (
            [
                name
                for vip in (VIP, VIP2)
                for name in NODES
                if f" {vip}/" in cluster.get(name, "ip -o addr show eth0")
            ]
            == list(NODES)
        ),
        60,
        "the first VIP on stash1 and the second one on stash2",
    )
    for vip in (VIP, VIP2):
        cluster.send([f"shared-{vip}-{n}" for n in range(10)], vip)
        until(
            lambda vip=vip: [len(cluster.received(name, f"shared-{vip}-")) for name in NODES] == [5, 5],  # type: ignore[misc]
            30,
            f"five events by {vip} on each node",
        )
    until(lambda: cluster.whole(cluster.lab.folder / "shared.py"), 60, "the cluster whole")
