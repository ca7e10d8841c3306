"""Larger clusters: three nodes, many inputs, TCP, low ports, and what becomes of that which is no longer meant."""

import re
import shlex
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest

from tests.lab.conftest import ADDRESSES, ALL_ADDRESSES, ALLOWED, FORBIDDEN, NODES, VIP, Cluster, tool
from tests.until import until

pytestmark = pytest.mark.long

INPUTS: list[dict[str, Any]] = [
    {"id": "udp-5514", "port": 5514},
    {"id": "tcp-6514", "port": 6514, "protocol": "tcp", "scheduler": "wrr"},
    {"id": "syslog", "port": 514, "server_port": 5614, "protocol": "both"},
    {"id": "direct", "port": 7514, "protocol": "both", "forwarding": "dr", "senders": [ALLOWED, FORBIDDEN]},
]
PORTS = {"udp": [5514, 514, 7514], "tcp": [6514, 514, 7514]}


@pytest.fixture(scope="module")
def large(cluster: Cluster) -> Cluster:
    """Three nodes with four inputs, made of the two nodes that are there. At the end they are two again."""
    done = cluster.deploy("-y", inventory=cluster.inventory("large", nodes=ALL_ADDRESSES, inputs=INPUTS))
    assert done.returncode == 0, done.stdout + done.stderr
    return cluster


def test_three_nodes_and_all_inputs_are_whole(large: Cluster) -> None:
    until(lambda: large.whole(large.lab.folder / "large.py"), 60, "the cluster whole")
    assert large.plan(large.lab.folder / "large.py")[0] == {}


@pytest.mark.parametrize("port", PORTS["udp"])
def test_datagrams_reach_all_nodes(large: Cluster, port: int) -> None:
    mark = f"udp-{port}"
    large.send([f"{mark}-{n}" for n in range(12)], port=port)
    until(
        lambda: [len(large.received(name, mark)) for name in ALL_ADDRESSES] == [4, 4, 4],
        30,
        "four events on each node",
    )


@pytest.mark.parametrize("port", PORTS["tcp"])
def test_tcp_sessions_reach_all_nodes_and_work_both_ways(large: Cluster, port: int) -> None:
    mark = f"tcp-{port}"
    done = large.sessions([f"{mark}-{n}" for n in range(12)], port=port)
    assert done.returncode == 0, done.stderr
    until(
        lambda: [len(large.received(name, mark)) for name in ALL_ADDRESSES] == [4, 4, 4],
        30,
        "four events on each node",
    )


def test_a_slow_or_starting_node_weighs_less(large: Cluster) -> None:
    """keepalived goes by the health service's word at once, and still does so after a reload."""
    file = f"/run/keepalived-health/reductions/{ADDRESSES['stash1']}/tcp-6514"

    def weights() -> list[list[str]]:
        """The nodes' weights in the tables of those that have FILE_CHECK."""
        tables = [large.get(name, f"ipvsadm -Lnt {VIP}:6514") for name in NODES]
        return [re.findall(r"-> \S+:6514 +Masq +(\d+)", table) for table in tables]

    def wait_for(weight: str, what: str) -> None:
        until(lambda: weights() == [[weight, "100", "100"]] * 2, 10, what)

    assert weights() == [["100", "100", "100"]] * 2
    for percent in (86, 71, 50):
        for name in NODES:
            large.get(name, f"echo {percent} >{file}")
        wait_for(str(100 - percent), f"{percent} % of stash1's weight gone")
    for name in NODES:
        large.get(name, "systemctl reload keepalived")
    wait_for("50", "the same after a reload")
    for name in NODES:
        large.get(name, f"truncate -s 0 {file}")
    wait_for("100", "its whole weight again")


HOLD = """
import socket, sys
held = [socket.create_connection(("%s", %d), timeout=5) for _ in range(6)]
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("port", "server_port"), [(6514, 6514), (514, 5614), (7514, 7514)])
def test_with_direct_routing_logstash_sees_the_sender_and_with_snat_the_director(
    large: Cluster, port: int, server_port: int
) -> None:
    (director,) = (name for name in ALL_ADDRESSES if f" {VIP}/" in large.get(name, "ip -o addr show eth0"))
    with subprocess.Popen(
        (*large.lab.ssh_command("sender"), f"python3 -c {shlex.quote(HOLD % (VIP, port))}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sessions:
        assert sessions.stdout
        assert sessions.stdout.readline() == "held\n"
        for name in ALL_ADDRESSES:
            peers = large.get(name, f"ss -Hnt state established sport = :{server_port}").splitlines()
            seen = {
                peer.split()[-1].rpartition(":")[0].removeprefix("[::ffff:").rstrip("]") for peer in peers
            }
            translated = port != 7514 and name != director
            expected = ALL_ADDRESSES[director] if translated else ALLOWED
            # Beside the sessions, the nodes' health services knock at the port.
            assert seen - ({*ALL_ADDRESSES.values()} - {expected}) == {expected}
        sessions.communicate("")


@pytest.mark.parametrize(
    ("protocol", "port", "through"),
    [
        ("udp", 5514, False),
        ("tcp", 6514, False),
        ("udp", 514, False),
        ("tcp", 514, False),
        ("tcp", 7514, True),
    ],
)
def test_each_input_has_its_own_senders(large: Cluster, protocol: str, port: int, through: bool) -> None:
    mark = f"stranger-{protocol}-{port}"
    if protocol == "udp":
        large.send([f"{mark}-{n}" for n in range(6)], source=FORBIDDEN, port=port)
        large.send([f"friend-{port}"], port=port)
        until(
            lambda: any(large.received(name, f"friend-{port}") for name in ALL_ADDRESSES),
            30,
            "the allowed sender's event",
        )
        arrived = sum(len(large.received(name, mark)) for name in ALL_ADDRESSES)
        assert arrived == 0
    else:
        assert (large.sessions([mark], port=port, source=FORBIDDEN).returncode == 0) is through


def test_an_input_and_a_sender_that_are_no_longer_meant_are_gone(large: Cluster) -> None:
    inventory = large.inventory(
        "smaller", nodes=ALL_ADDRESSES, inputs=[INPUTS[0], {**INPUTS[2], "senders": [FORBIDDEN]}]
    )
    large.get(
        "stash1", "firewall-cmd -q --add-port=4444/tcp; firewall-cmd -q --permanent --add-port=4444/tcp"
    )
    done = large.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ALL_ADDRESSES:
        table = large.get(name, "ipvsadm -ln")
        assert ":6514" not in table
        assert ":7514" not in table
        assert f"{VIP}:514 " in table
        for side in ("", "--permanent"):
            rules = large.get(
                name, f"firewall-cmd {side} --list-rich-rules; firewall-cmd {side} --direct --get-all-rules"
            )
            assert "6514" not in rules
            assert "7514" not in rules
            assert not [rule for rule in rules.splitlines() if '"514"' in rule and ALLOWED in rule]
            assert [rule for rule in rules.splitlines() if '"514"' in rule and FORBIDDEN in rule]
        conf = large.get(name, "cat /etc/logstash/conf.d/*.conf")
        assert "6514" not in conf
        assert "7514" not in conf
        assert large.on(name, f"ip -o addr show lo | grep {VIP}").returncode == 1
        assert large.on(name, "systemctl cat logstash-ha-vip").returncode == 1
        assert large.get(name, "ipvsadm -L --daemon") == ""
        assert large.get(name, "sysctl -n net.ipv4.vs.backup_only net.ipv4.conf.all.arp_ignore") == "0\n0"
    assert "4444/tcp" in large.get("stash1", "firewall-cmd --list-ports")
    assert large.plan(inventory)[0] == {}
    until(lambda: large.whole(large.lab.folder / "smaller.py"), 60, "the cluster whole")
    arrive(large, "smaller", ALL_ADDRESSES)


def test_a_node_that_is_no_longer_meant_is_gone(large: Cluster) -> None:
    """First `undo.py` on it, which takes away what the deploy put there; then the others forget it."""
    before = large.get("stash3", "firewall-cmd --list-ports; ls /root")
    done = large.run(
        tool("pyinfra"), "-y", "--limit", "stash3", str(large.lab.folder / "smaller.py"), "undo.py"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert large.on("stash3", "find /var/lib/logstash-ha /etc/keepalived /etc/logstash -type f").stdout == ""
    assert (
        large.get("stash3", "firewall-cmd --list-rich-rules; firewall-cmd --permanent --list-rich-rules")
        == ""
    )
    assert large.on("stash3", "rpm -q logstash keepalived ipvsadm").returncode == 3
    assert "off" in large.get("stash3", "getsebool keepalived_connect_any")
    assert large.get("stash3", "firewall-cmd --list-ports; ls /root") == before
    done = large.deploy("-y")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NODES:
        assert "10.77.0.13" not in large.get(
            name, "ipvsadm -ln; firewall-cmd --list-rich-rules; cat /etc/keepalived/keepalived.conf"
        )
    until(large.whole, 60, "the cluster of two whole")
    arrive(large, "two", NODES)


def arrive(cluster: Cluster, mark: str, names: Iterable[str]) -> None:
    """Events are shared by all of these nodes alike, and none is lost."""
    cluster.send([f"{mark}-{n}" for n in range(12)])
    each = 12 // len([*names])
    until(
        lambda: all(len(cluster.received(name, f"{mark}-")) == each for name in names),
        30,
        f"{each} events on each node",
    )
