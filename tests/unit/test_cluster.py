"""The model behind inventory.py: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pyinfra_cli.util
import pytest
from pyinfra.api import Inventory

from cluster import Cluster, ClusterError, cluster_of_host, define
from desired import logstash
from remote.inventory import load_cluster
from verification.events import no_text

Settings = dict[str, Any]
PASSWORD = "hunter22"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A cluster that is as it should be."""
    secret = tmp_path / "auth_pass"
    secret.write_text(f"{PASSWORD}\n")
    return {
        "nodes": {"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
        "network": "10.77.0.0/24",
        "interface": "eth0",
        "vip": "10.77.0.10",
        "inputs": [{"id": "udp-5514", "port": 5514}],
        "senders": ["10.77.0.101"],
        "vrrp": 2,
        "auth_pass_file": str(secret),
    }


def cluster(settings: Settings) -> Cluster:
    _, data = define(**settings)
    return Cluster.model_validate(data["cluster"])


def test_settings_that_are_left_out_have_their_defaults(settings: Settings) -> None:
    made = cluster(settings)
    assert (made.virtual_router_id, made.major, made.artifacts_url) == (
        1,
        9,
        "https://artifacts.elastic.co",
    )
    assert made.auth_pass is not None
    assert made.auth_pass.get_secret_value() == PASSWORD
    assert [node.name for node in made.peers(made.node("stash1"))] == ["stash2"]


def test_the_group_has_the_connection_and_no_secret(settings: Settings) -> None:
    hosts, data = define(**settings, connection={"ssh_user": "admin"})
    assert hosts == [("stash1", {}), ("stash2", {})]
    assert data["ssh_user"] == "admin"
    assert PASSWORD not in repr((hosts, data))
    assert PASSWORD not in repr(cluster(settings))


def test_an_unknown_node_is_refused_with_the_names_of_the_known_ones(settings: Settings) -> None:
    with pytest.raises(
        ClusterError, match=r"nodes: 'stash9' is not a node of the cluster \(stash1, stash2\)"
    ):
        cluster(settings).node("stash9")


def test_a_host_has_the_cluster_of_its_group(settings: Settings) -> None:
    hosts, data = define(**settings)
    inventory = Inventory((["stash1", "stash2"], {}), nodes=(hosts, data))
    assert cluster_of_host(inventory.get_host("stash2")) == cluster(settings)


@pytest.mark.parametrize("data", [{}, {"cluster": "x"}, {"cluster": None}])
def test_a_host_without_a_cluster_is_refused(data: Settings) -> None:
    inventory = Inventory((["stash1"], {}), nodes=(["stash1"], data))
    with pytest.raises(ClusterError) as error:
        cluster_of_host(inventory.get_host("stash1"))
    assert error.value.args == (
        "nodes: stash1 is not of a group with a cluster; define it as `nodes = define(…)`",
    )


TWO = {"stash1": "10.77.0.11", "stash2": "10.77.0.12"}
IPV6: Settings = {
    "nodes": {"stash1": "fd77::11", "stash2": "fd77::12"},
    "network": "fd77::/64",
    "vip": "fd77::10",
    "senders": ["fd77::/64"],
    "vrrp": 3,
    "auth_pass_file": None,
}
VRRP3: Settings = {"vrrp": 3, "auth_pass_file": None}
TWO_VIPS: Settings = {"vip": ["10.77.0.10", "10.77.0.20"]}


def _input(**change: Any) -> Settings:
    return {"inputs": [{"id": "a", "port": 5514, **change}]}


@pytest.mark.parametrize(
    "change",
    [
        {"senders": ["10.77.0.0/25", "192.0.2.1"]},
        {"senders": "10.77.0.101"},
        {"inputs": [{"id": "a", "port": 1024}, {"id": "b", "port": 65535}]},
        {"inputs": [{"id": "udp", "port": 9600, "server_port": 5514}]},
        {**_input(plugin="snmptrap"), "logstash": 7},
        {**_input(plugin="snmptrap", protocol="tcp"), "version": "8.15.0"},
        {**_input(plugin="snmptrap", protocol="both"), "logstash": 8},
        {"inputs": [{"id": "a", "port": 5514}, {"id": "b", "port": 5514, "protocol": "tcp"}]},
        {"inputs": [{"id": "a", "port": 514, "server_port": 5514, "senders": ["192.0.2.1"]}], "senders": []},
        {"nodes": {f"stash{n}.example.org": f"10.77.0.{n}" for n in range(1, 6)}},
        {"artifacts_url": "http://192.0.2.1:8080/mirror/elastic"},
        {"interface": "bond0.100"},
        {"virtual_router_id": 255},
        {"virtual_router_id": 254, **TWO_VIPS},
        {"version": "8.19.3"},
        {"version": "6.8.23", "logstash": 6},
        {"advert_interval": 255},
        {**VRRP3, "advert_interval": 0.01},
        {**VRRP3, "advert_interval": 40.95},
        _input(protocol="tcp", forwarding="dr"),
        _input(receive_buffer_bytes=33554432),
        _input(weights={"stash1": 2}),
        _input(events_per_second=4000),
        _input(events_per_second=4000, event_bytes=1400, receive_buffer_bytes=55574528),
        _input(events_per_second=4000, protocol="both"),
        {"cold_start_rate": 5000},
        _input(plugin="beats"),
        _input(plugin="syslog", port=5514),
        _input(plugin="syslog", protocol="udp"),
        _input(plugin="mqtt", protocol="tcp", options={"workers": 4}),
        _input(protocol="tcp", codec="graphite"),
        _input(plugin="graphite"),
        _input(codec={"cef": {}}),
        {**_input(codec={"csv": {"separator": "\t"}}), "support_escapes": True},
        IPV6,
        {"network": "10.77.0.8/29"},
        {**IPV6, "network": "fd77::10/126", "vip": "fd77::13"},
        {"network": ["10.77.0.0/24", "fd77::/127"]},  # no VIP is IPv6
        {"nodes": {**TWO, f"stash.{'x' * 59}.{'x' * 63}.{'x' * 63}.{'x' * 59}": "10.77.0.13"}},
        {"connection": {}},
    ],
)
def test_a_good_value_is_accepted(settings: Settings, change: Settings) -> None:
    cluster({**settings, **change})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [("VI_1", "10.77.0.10", 1, "MASTER", (100, 100, 100))]),
        (VRRP3, [("VI_1", "10.77.0.10", 1, "BACKUP", (254, 244, 234))]),
        ({**VRRP3, "priority": 150}, [("VI_1", "10.77.0.10", 1, "BACKUP", (150, 100, 100))]),
        ({"preempt": False}, [("VI_1", "10.77.0.10", 1, "BACKUP", (100, 100, 100))]),
        ({"priority": 150}, [("VI_1", "10.77.0.10", 1, "BACKUP", (150, 100, 100))]),
        (
            {**TWO_VIPS, "virtual_router_id": 51},
            [
                ("VI_1", "10.77.0.10", 51, "BACKUP", (254, 244, 234)),
                ("VI_2", "10.77.0.20", 52, "BACKUP", (234, 254, 244)),
            ],
        ),
    ],
)
def test_vrrp_instances_say_who_holds_each_vip(
    settings: Settings, change: Settings, expected: list[Any]
) -> None:
    first = {"address": "10.77.0.11", **({"priority": change["priority"]} if "priority" in change else {})}
    nodes = {"stash1": first, "stash2": "10.77.0.12", "stash3": "10.77.0.13"}
    change = {key: value for key, value in change.items() if key != "priority"}
    made = cluster({**settings, "nodes": nodes, **change})
    assert [
        (each.name, str(each.vip), each.virtual_router_id, each.state, tuple(each.priorities.values()))
        for each in made.vrrp_instances
    ] == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [("UDP", "a", True, "nat", 5514)]),
        ({"protocol": "tcp"}, [("TCP", "a", False, "snat", 5514)]),
        ({"port": 514, "server_port": 5515, "protocol": "both"}, [("UDP", "a-udp", True, "nat", 5515), ("TCP", "a-tcp", False, "snat", 5515)]),
        ({"protocol": "both", "forwarding": "dr"}, [("UDP", "a-udp", True, "dr", 5514), ("TCP", "a-tcp", False, "dr", 5514)]),
        ({"forwarding": "snat", "protocol": "both"}, [("UDP", "a-udp", True, "snat", 5514), ("TCP", "a-tcp", False, "snat", 5514)]),
        ({"plugin": "beats"}, [("TCP", "a", False, "snat", 5514)]),
        ({"plugin": "syslog"}, [("UDP", "a", True, "nat", 5514), ("TCP", "a", False, "snat", 5514)]),
        ({"plugin": "syslog", "protocol": "tcp"}, [("TCP", "a", False, "snat", 5514)]),
        ({"plugin": "gelf"}, [("UDP", "a", True, "nat", 5514)]),
        ({"plugin": "mqtt", "protocol": "both"}, [("UDP", "a", True, "nat", 5514), ("TCP", "a", False, "snat", 5514)]),
        ({"scheduler": "lc"}, [("UDP", "a", False, "nat", 5514)]),
        ({"scheduler": "sh"}, [("UDP", "a", True, "nat", 5514)]),
        ({"ops": False}, [("UDP", "a", False, "nat", 5514)]),
    ],
)  # fmt: skip
def test_each_protocol_of_an_input_is_a_virtual_server_of_all_nodes(
    settings: Settings, change: Settings, expected: list[Any]
) -> None:
    made = cluster({**settings, **_input(**change)})
    assert [
        (each.protocol, each.input_id, each.ops, each.forwarding, each.real_servers[1].port)
        for each in made.virtual_servers
    ] == expected
    assert [str(real.address) for each in made.virtual_servers for real in each.real_servers] == [
        "10.77.0.11",
        "10.77.0.12",
    ] * len(expected)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"port": 2055}, "NetFlow"),
        ({"port": 12201}, "GELF"),
        ({"plugin": "gelf"}, "GELF"),
        ({"plugin": "gelf", "protocol": "tcp"}, None),
        ({"codec": {"netflow": {"versions": [9]}}}, "NetFlow"),
        ({"codec": "multiline"}, "events of several lines"),
        ({"plugin": "syslog", "port": 2055}, None),
        ({"port": 6343, "scheduler": "wrr"}, "sFlow"),
        ({"port": 2055, "scheduler": "sh"}, None),
        ({"port": 2055, "protocol": "tcp"}, None),
        ({}, None),
    ],
)
def test_a_warning_tells_that_datagrams_which_belong_together_are_separated(
    settings: Settings, change: Settings, what: str | None
) -> None:
    warnings = cluster({**settings, **_input(**change)}).warnings
    assert len(warnings) == (what is not None)
    if what:
        scheduler = change.get("scheduler", "wrr")
        assert warnings == (
            f"inputs.0.scheduler: a looks like {what}, whose datagrams belong together, and {scheduler} separates "
            "them; choose 'sh' or 'mh', so that a sender sticks to its node",
        )


def test_a_warning_tells_that_a_family_of_vips_has_no_senders(settings: Settings) -> None:
    dual = {
        **VRRP3,
        "nodes": {"stash1": ["10.77.0.11", "fd77::11"], "stash2": ["10.77.0.12", "fd77::12"]},
        "network": ["10.77.0.0/24", "fd77::/64"],
        "vip": ["10.77.0.10", "fd77::10"],
    }
    assert cluster({**settings, **dual}).warnings == (
        "senders: udp-5514 has no IPv6 sender, though there is an IPv6 VIP; add one, or take that VIP out",
    )
    assert cluster({**settings, **dual, "senders": ["10.77.0.101", "fd77::101"]}).warnings == ()


IP = "192.0.2.11 or 2001:db8::11"
NO_MACHINES = {
    "0.0.0.0/0": "0.0.0.0/8 (unspecified, RFC 1122)",
    "0.0.0.0": "0.0.0.0/8 (unspecified, RFC 1122)",
    "0.1.0.0/16": "0.0.0.0/8 (unspecified, RFC 1122)",
    "127.0.0.0/8": "127.0.0.0/8 (loopback, RFC 1122)",
    "64.0.0.0/2": "127.0.0.0/8 (loopback, RFC 1122)",
    "169.254.0.0/16": "169.254.0.0/16 (link-local, RFC 3927)",
    "224.0.0.0/4": "224.0.0.0/4 (multicast, RFC 5771)",
    "240.0.0.0/4": "240.0.0.0/4 (reserved, RFC 1112)",
    "255.255.255.255": "240.0.0.0/4 (reserved, RFC 1112)",
    "::": "::/128 (unspecified, RFC 4291)",
    "::1": "::1/128 (loopback, RFC 4291)",
    "::ffff:10.77.0.0/120": "::/8 (reserved, RFC 4291)",
    "fe80::/64": "fe80::/10 (link-local, RFC 4291)",
    "ff02::/16": "ff00::/8 (multicast, RFC 4291)",
}
"""Networks, and the part of each that is for no cluster."""
RENDERED: Settings = {
    "options": {"a": 1},
    "codec": "json",
    "type": "x",
    "tags": ["x"],
    "workers": 2,
    "queue_size": 2,
}
WRONG_CODECS: list[Any] = [5, {}, {"a": {}, "b": {}}, {5: {}}, ["json"]]
BAD: list[tuple[Settings, str]] = [
    ({"nodes": {}}, "nodes: 0 given; name two machines or more, each with its address"),
    ({"nodes": None}, "nodes: None is not a dictionary; write it as {\"stash1\": \"192.0.2.11\", …}"),
    ({"nodes": {"stash1": "10.77.0.11"}}, "nodes: 1 given; name two machines or more, each with its address"),
    ({"nodes": {"a": "10.77.0.11", "b": "10.77.0.11"}}, "nodes: address 10.77.0.11 is given twice; each must be different"),
    ({"nodes": {"Stash": "10.77.0.11", "stash": "10.77.0.12"}}, "nodes: name stash is given twice; each must be different"),
    ({"nodes": {**TWO, "stash3": "10.77.0.300"}}, f"nodes.stash3: '10.77.0.300' is not an IP address; write it as {IP}"),
    ({"nodes": {**TWO, "stash3": None}}, f"nodes.stash3: None is not an IP address; write it as {IP}"),
    ({"nodes": {**TWO, "stash3": {}}}, "nodes.stash3.address: is missing; add it"),
    ({"nodes": {**TWO, "stash3": []}}, "nodes.stash3: has no addresses, the VIPs are IPv4; give it one address of each family that the VIPs have"),
    ({"nodes": {**TWO, "stash3": "fd77::13"}}, "nodes.stash3: has IPv6 addresses, the VIPs are IPv4; give it one address of each family that the VIPs have"),
    ({"nodes": {**TWO, "stash3": ["10.77.0.13", "fd77::13"]}}, "nodes.stash3: has IPv4 and IPv6 addresses, the VIPs are IPv4; give it one address of each family that the VIPs have"),
    ({"nodes": {**TWO, "stash 3": "10.77.0.13"}}, "nodes.stash 3.name: 'stash 3' is not a machine's name; use letters, digits, hyphens, underscores and dots, 253 characters at most"),
    ({"nodes": {**TWO, "a\nb": "10.77.0.13"}}, "nodes.a\\nb.name: 'a\\nb' is not a machine's name; use letters, digits, hyphens, underscores and dots, 253 characters at most"),
    ({"nodes": {**TWO, "stash3": "10.78.0.13"}}, "nodes.stash3: 10.78.0.13 is outside network 10.77.0.0/24; choose an address in it"),
    ({"nodes": {**TWO, "stash3": "10.77.0.255"}}, "nodes.stash3: 10.77.0.255 is 10.77.0.0/24's network or broadcast address; choose another one"),
    ({"nodes": {**TWO, "stash3": {"address": "10.77.0.13", "priority": 255}}}, "nodes.stash3.priority: 255 is out of range; choose one from 1 to 254, the highest becomes MASTER"),
    ({"nodes": {**TWO, "stash3": {"address": "10.77.0.13", "prio": 2}}}, "nodes.stash3.prio: unknown setting; did you mean priority?"),
    ({"nodes": {**TWO, "a\nb": {"address": "10.77.0.13", "name": "stash3"}}}, "nodes.a\\nb.name: unknown setting; the name is what is before the colon"),
    ({"network": "10.77.0.1/24"}, "network: '10.77.0.1/24' is neither an IP address nor a network; write it as 10.77.0.0/24, or 10.77.0.1 for one address"),
    ({"network": None}, "network: None is neither an IP address nor a network; write it as 192.0.2.11, 192.0.2.0/24 or 2001:db8::/64"),
    ({"network": []}, "network: none given; name one or more"),
    ({"network": ["10.77.0.0/16", "10.77.1.0/24"]}, "network: 10.77.0.0/16 and 10.77.1.0/24 overlap; name the larger one alone"),
    *(({"network": network}, f"network: {ip_network(network)} overlaps {part}, which no cluster can use; name the layer-2 network of the nodes, such as 192.0.2.0/24 or 2001:db8::/64") for network, part in NO_MACHINES.items()),
    (IPV6 | {"network": "::/0"}, "network: ::/0 overlaps ::/128 (unspecified, RFC 4291), which no cluster can use; name the layer-2 network of the nodes, such as 192.0.2.0/24 or 2001:db8::/64"),
    ({"network": "10.77.0.11"}, "network: 10.77.0.11/32 has 1 address for machines, and the nodes and VIPs need 3; name the larger network that they are in"),
    ({"nodes": {"stash1": "10.77.0.10", "stash2": "10.77.0.11"}, "network": "10.77.0.10/31"}, "network: 10.77.0.10/31 has 2 addresses for machines, and the nodes and VIPs need 3; name the larger network that they are in"),
    ({"nodes": {"stash1": "10.77.0.9", "stash2": "10.77.0.10"}, "network": "10.77.0.8/30", "vip": "10.77.0.11"}, "network: 10.77.0.8/30 has 2 addresses for machines, and the nodes and VIPs need 3; name the larger network that they are in"),
    (IPV6 | {"nodes": {"stash1": "fd77::10", "stash2": "fd77::11"}, "network": "fd77::10/127"}, "network: fd77::10/127 has 2 addresses for machines, and the nodes and VIPs need 3; name the larger network that they are in"),
    (IPV6 | {"network": "fd77::11"}, "network: fd77::11/128 has 1 address for machines, and the nodes and VIPs need 3; name the larger network that they are in"),
    (IPV6 | {"nodes": {f"stash{n}": f"fd77::{n}" for n in (1, 2, 3)}, "network": "fd77::/126", "vip": "fd77::10"}, "network: fd77::/126 has 3 addresses for machines, and the nodes and VIPs need 4; name the larger network that they are in"),
    ({"vip": "10.77.0.11"}, "vip: 10.77.0.11 is stash1's own address; choose a free address in 10.77.0.0/24"),
    ({"vip": "10.78.0.10"}, "vip: 10.78.0.10 is outside network 10.77.0.0/24; choose an address in it"),
    ({"vip": "10.77.0.0"}, "vip: 10.77.0.0 is 10.77.0.0/24's network or broadcast address; choose another one"),
    ({"vip": "stash"}, f"vip: 'stash' is not an IP address; write it as {IP}"),
    ({"vip": []}, "vip: none given; name one or more"),
    ({"vip": ["10.77.0.10", "10.77.0.10"]}, "vip: address 10.77.0.10 is given twice; each must be different"),
    ({"vip": ["10.77.0.10", "fd77::10"]}, "nodes.stash1: has IPv4 addresses, the VIPs are IPv4 and IPv6; give it one address of each family that the VIPs have"),
    ({"vip": ["10.77.0.10", "fe80::1%eth0"]}, f"vip: 'fe80::1%eth0' is not an IP address; write it as {IP}"),
    ({"interface": "eth 0"}, "interface: 'eth 0' is not an interface name; use one that `ip link` shows, 15 characters at most"),
    ({"interface": "e" * 16}, "interface: 'eeeeeeeeeeeeeeee' is not an interface name; use one that `ip link` shows, 15 characters at most"),
    ({"interface": "lo"}, "interface: lo is the loopback interface; use the one that carries the nodes' addresses"),
    ({"inputs": []}, "inputs: none given; name one or more"),
    ({"inputs": {"id": "a", "port": 5514}}, "inputs: {'id': 'a', 'port': 5514} is not a list; write it in square brackets"),
    ({"inputs": [5514]}, 'inputs.0: 5514 is not an input; write it as {"id": "udp-5514", "port": 5514}'),
    (_input(port=0), "inputs.0.port: 0 is out of range; choose one from 1 to 65535"),
    (_input(port=65536), "inputs.0.port: 65536 is out of range; choose one from 1 to 65535"),
    (_input(port=514), "inputs.0.port: 514 is below 1024, where only root may listen; set server_port to one from 1024 to 65535, such as 5514"),
    (_input(server_port=1023), "inputs.0.server_port: 1023 is below 1024, where only root may listen; set server_port to one from 1024 to 65535, such as 6023"),
    (_input(port="syslog"), "inputs.0.port: 'syslog' is not a whole number; write it in digits"),
    ({"inputs": [{"id": "a"}]}, "inputs.0.port: is missing; add it"),
    ({"inputs": [{"id": "a", "prt": 5514}]}, "inputs.0.prt: unknown setting; did you mean port?"),
    ({"inputs": [{"id": "a", "port": 5514}, {"id": "a", "port": 5515}]}, "inputs: id a is given twice; each must be different"),
    ({"inputs": [{"id": "a", "port": 5514, "protocol": "both"}, {"id": "a-udp", "port": 5515}]}, "inputs: id a-udp is given twice; each must be different"),
    ({"inputs": [{"id": "a", "port": 5514}, {"id": "b", "port": 5514}]}, "inputs: udp port 5514 is given twice; each must be different"),
    ({"inputs": [{"id": "a", "port": 5514, "protocol": "tcp"}, {"id": "b", "port": 5515, "server_port": 5514, "protocol": "both"}]}, "inputs: tcp server_port 5514 is given twice; each must be different"),
    (_input(id='a"; reboot'), "inputs.0.id: 'a\"; reboot' is not an input id; use 1 to 64 letters, digits, `_`, `.` and `-`"),
    (_input(protocol="sctp"), "inputs.0.protocol: 'sctp' is unknown; choose from 'udp', 'tcp', 'both'"),
    (_input(scheduler="dh"), "inputs.0.scheduler: 'dh' is unknown; choose from 'rr', 'wrr', 'lc', 'wlc', 'sh', 'mh'"),
    (_input(port=9600), "inputs.0.port: 9600 is where the nodes' health services ask each other; choose another one"),
    (_input(protocol="tcp", port=9600), "inputs.0.port: 9600 is the port of Logstash's API; choose another one"),
    (_input(protocol="tcp", port=96, server_port=9600), "inputs.0.server_port: 9600 is the port of Logstash's API; choose another one"),
    (_input(ops=True, protocol="tcp"), "inputs.0.ops: one-packet scheduling is for UDP only; take it out"),
    (_input(ops=True, scheduler="wlc"), "inputs.0.ops: wlc counts connections, and with ops there are none; choose wrr, or take ops out"),
    (_input(weights={"stash1": 2}, scheduler="rr"), "inputs.0.weights: rr ignores them; choose wrr, or take them out"),
    (_input(weights={"stash9": 2}, scheduler="wrr"), "inputs.0.weights: 'stash9' is not a node; choose from stash1, stash2"),
    (_input(weights={"stash1": -1}, scheduler="wrr"), "inputs.0.weights.stash1: -1 is out of range; choose one from 0, for no events, to 32767"),
    (_input(weights={"stash1": 0, "stash2": 0}, scheduler="wlc"), "inputs.0.weights: all are 0; give one node 1 or more"),
    (_input(weights=[1, 2], scheduler="wrr"), "inputs.0.weights: [1, 2] is not a dictionary; write it as {\"stash1\": 2}"),
    (_input(forwarding="nat", protocol="tcp"), "inputs.0.forwarding: 'nat' can't work for TCP here: the replies would bypass the director; choose 'snat' or 'dr', or leave it out"),
    (_input(forwarding="dr", server_port=5515), "inputs.0.server_port: 5515 differs from port 5514, and direct routing can't change a port; leave forwarding out, or make them equal"),
    ({**TWO_VIPS, **_input(forwarding="dr")}, "inputs.0.forwarding: 'dr' can't be used with several VIPs: a node that is MASTER of one and BACKUP of another would send packets round in circles; choose one VIP, or 'snat' for TCP and 'nat' for UDP"),
    ({"firewall": "none", **_input(protocol="tcp")}, "firewall: with 'none' nothing translates the source addresses for 'snat'; choose 'firewalld', or forwarding 'dr' for TCP inputs"),
    (_input(codec="JSON Lines"), "inputs.0.codec: 'JSON Lines' is not a codec; write its name, such as json_lines, or the name with options, such as {\"json\": {\"charset\": \"CP1252\"}}"),
    (_input(type="a b"), "inputs.0.type: 'a b' is not a word; use letters, digits, `_`, `.` and `-`"),
    (_input(tags="edge"), "inputs.0.tags: 'edge' is not a list; write it in square brackets"),
    (_input(tags=["edge", "a b"]), "inputs.0.tags.1: 'a b' is not a word; use letters, digits, `_`, `.` and `-`"),
    (_input(protocol="tcp", workers=2), "inputs.0.workers: Logstash's tcp input has no such setting; take it out"),
    (_input(protocol="tcp", queue_size=2), "inputs.0.queue_size: Logstash's tcp input has no such setting; take it out"),
    (_input(protocol="tcp", events_per_second=2), "inputs.0.events_per_second: sizes the receive buffer of Logstash's udp input only; take it out"),
    (_input(plugin="syslog", protocol="udp", port=5514, event_bytes=300), "inputs.0.event_bytes: sizes the receive buffer of Logstash's udp input only; take it out"),
    (_input(events_per_second=4000, receive_buffer_bytes=4194304), "inputs.0.receive_buffer_bytes: 4194304 holds 0.91 s of events_per_second=4000, and 12 s are needed; leave it out, or write 55574528 or more"),
    (_input(events_per_second=100, receive_buffer_bytes=None), "inputs.0.receive_buffer_bytes: None holds 0.92 s of events_per_second=100, and 12 s are needed; leave it out, or write 2097152 or more"),
    (_input(events_per_second=200000), "inputs.0.events_per_second: 200000 events of 200 bytes need a receive buffer of 2765094912 bytes, and the kernel's limit is 1073741823; spread them over several inputs"),
    (_input(events_per_second=0), "inputs.0.events_per_second: 0 is out of range; choose one from 1 to 2147483647"),
    ({"cold_start_rate": 0}, "cold_start_rate: 0 is out of range; choose one from 1 to 2147483647"),
    (_input(protocol="tcp", receive_buffer_bytes=2), "inputs.0.receive_buffer_bytes: Logstash's tcp input has no such setting; take it out"),
    (_input(pipeline="a b"), "inputs.0.pipeline: 'a b' is not a pipeline id; use 1 to 64 letters, digits, `_` and `-`"),
    (_input(senders=[]), "inputs.0.senders: none given; name one or more, or leave it out"),
    (_input(senders=["fd77::1"]), "inputs.0.senders: fd77::1/128 is IPv6, and no VIP is; add one to vip, or take it out"),
    (_input(senders=["10.77.0.1", "10.77.0.1/32"]), "inputs.0.senders: entry 10.77.0.1/32 is given twice; each must be different"),
    ({"senders": []}, "senders: none given for udp-5514; name one or more, there or for all inputs"),
    ({"senders": ["10.77.0.101/24"]}, "senders.0: '10.77.0.101/24' is neither an IP address nor a network; write it as 10.77.0.0/24, or 10.77.0.101 for one address"),
    ({"senders": ["fe80::1%eth0"]}, "senders.0: 'fe80::1%eth0' is neither an IP address nor a network; write it as 192.0.2.11, 192.0.2.0/24 or 2001:db8::/64"),
    ({"senders": ["10.77.0.101", "10.77.0.101"]}, "senders: entry 10.77.0.101/32 is given twice; each must be different"),
    ({"senders": ["fd77::/64"]}, "senders: fd77::/64 is IPv6, and no VIP is; add one to vip, or take it out"),
    ({"vrrp": 4}, "vrrp: 4 is unknown; choose from 2, 3"),
    ({"vrrp": 3}, "auth_pass_file: VRRP 3 has no password; take it out, or choose vrrp=2"),
    ({**IPV6, "vrrp": 2}, "vrrp: version 2 is for IPv4 only; choose 3 for an IPv6 VIP"),
    ({"auth_pass_file": None}, "auth_pass_file: is missing; name the file with the VRRP password, or leave vrrp at 3"),
    ({"auth_pass_file": "/nowhere"}, "auth_pass_file: /nowhere can't be read (No such file or directory); write the VRRP password of 1 to 8 characters into it"),
    ({"auth_pass_file": "/a\0b"}, "auth_pass_file: /a\\x00b can't be read (embedded null byte); write the VRRP password of 1 to 8 characters into it"),
    ({"advert_interval": 0.5}, "advert_interval: 0.5 is not possible in VRRP 2; choose whole seconds from 1 to 255, or vrrp=3"),
    ({"advert_interval": 256}, "advert_interval: 256 is not possible in VRRP 2; choose whole seconds from 1 to 255, or vrrp=3"),
    ({**VRRP3, "advert_interval": 41}, "advert_interval: 41 is not possible in VRRP 3; choose 0.01 to 40.95 seconds in hundredths"),
    ({**VRRP3, "advert_interval": 0.125}, "advert_interval: 0.125 is not possible in VRRP 3; choose 0.01 to 40.95 seconds in hundredths"),
    ({"advert_interval": "fast"}, "advert_interval: 'fast' is not a number; write it as 0.1"),
    ({"virtual_router_id": 0}, "virtual_router_id: 0 is out of range; choose one from 1 to 255 that no other VRRP router here has"),
    ({"virtual_router_id": 256}, "virtual_router_id: 256 is out of range; choose one from 1 to 255 that no other VRRP router here has"),
    ({"virtual_router_id": 255, **TWO_VIPS}, "virtual_router_id: 255 is too high: each VIP takes the next one, up to 256; choose 254 or less"),
    ({"preempt": False, **TWO_VIPS}, "preempt: with several VIPs each node must get its own back when it returns; take it out"),
    ({"nodes": {**TWO, "stash3": {"address": "10.77.0.13", "priority": 200}}, **TWO_VIPS}, "nodes.stash3.priority: 200 can't be used with several VIPs, which the nodes become MASTER of in their order; take it out"),
    ({"transport": "broadcast"}, "transport: 'broadcast' is unknown; choose from 'unicast', 'multicast'"),
    ({"firewall": "iptables"}, "firewall: 'iptables' is unknown; choose from 'firewalld', 'none'"),
    ({"logstash": 5}, "logstash: 5 is unknown; choose from 6, 7, 8, 9"),
    ({"version": "8.19"}, "version: '8.19' is not a version; write it as 8.19.3, or latest for the newest"),
    ({"logstash": 8, "version": "9.0.0"}, "version: 9.0.0 is not a Logstash 8 version; correct it, or set logstash"),
    ({"version": "5.6.16"}, "version: 5.6.16 is not of Logstash 6 to 9; choose one of them"),
    ({"artifacts_url": "ftp://192.0.2.1"}, "artifacts_url: 'ftp://192.0.2.1' is not an http or https URL; write it as https://artifacts.elastic.co, without a final slash"),
    ({"proxy": "proxy:3128"}, "proxy: 'proxy:3128' is not a proxy's URL; write it as http://proxy.example.com:3128, and its login into the file `repository.secrets`"),
    ({"exclusive": "maybe"}, "exclusive: 'maybe' is neither True nor False; write one of them"),
    ({"heap": "4G"}, "heap: '4G' is not a size; write it as 512m or 4g"),
    ({"queue": "disk"}, "queue: 'disk' is unknown; choose from 'memory', 'persisted'"),
    ({"start_timeout": 20}, "start_timeout: 20 is out of range; choose one from 30 to 3600, in seconds; a start of Logstash takes some 60"),
    ({"start_timeout": "5m"}, "start_timeout: '5m' is not a whole number; write it in digits"),
    ({"logstash": 7, "version": "7.3.1", "inputs": [{"id": "a", "port": 5514}, {"id": "b", "port": 5515, "pipeline": "b"}]}, "version: the API of 7.3.1 lists one of several pipelines (elastic/logstash #11021), so inputs of the others would count as down; choose 7.4.0 or later, or one pipeline for all inputs"),
    ({"existing": "keep"}, "existing: 'keep' is unknown; choose from 'adopt', 'replace'"),
    ({"logstash_settings": ["a"]}, "logstash_settings: ['a'] is not a dictionary; write it as {\"config.reload.automatic\": True}"),
    ({"logstash_settings": {"Node Name": "x"}}, "logstash_settings: 'Node Name' is not the name of a setting of logstash.yml; write it in full, such as config.reload.automatic"),
    ({"logstash_settings": {"node.name": "a\nb"}}, "logstash_settings.node.name: 'a\\nb' is not a value for logstash.yml; write a number, True, False, a text of one line, or a list of such texts"),
    ({"logstash_settings": {"node.name": {}}}, "logstash_settings.node.name: {} is not a value for logstash.yml; write a number, True, False, a text of one line, or a list of such texts"),
    ({"logstash_settings": {"api.ssl.enabled": True}}, "logstash_settings.api.ssl.enabled: the health checks could not ask the API then; take it out, and use api"),
    ({"logstash_settings": {"path.config": "/x"}}, "logstash_settings.path.config: the deploy says in pipelines.yml which files Logstash reads; take it out, and use pipelines"),
    ({"logstash_settings": {"xpack.management.enabled": True}}, "logstash_settings.xpack.management.enabled: with central management, Logstash does not read the cluster's pipelines; take it out"),
    ({"logstash_settings": {"queue.type": "persisted"}}, "logstash_settings.queue.type: take it out, and use queue"),
    ({"logstash_settings": {"config.support_escapes": True}}, "logstash_settings.config.support_escapes: take it out, and use support_escapes"),
    ({"queue": "persisted", "queue_max_bytes": "32m"}, "queue_max_bytes: 32 MiB are less than one file of the queue has, 64 MiB, and Logstash would not start; choose as much or more, or a smaller queue.page_capacity"),
    ({"pipeline_settings": {"main": {"queue.type": "persisted", "queue.page_capacity": "2gb"}}}, "pipeline_settings.main.queue.max_bytes: 1024 MiB are less than one file of the queue has, 2048 MiB, and Logstash would not start; choose as much or more, or a smaller queue.page_capacity"),
    ({"queue_max_bytes": "4g"}, "queue_max_bytes: a queue in memory has no such limit; set queue='persisted'"),
    ({"environment_file": "/nowhere"}, "environment_file: /nowhere can't be read (No such file or directory); write lines NAME=value into it"),
    ({"pipelines": "/nowhere"}, "pipelines: /nowhere can't be read (No such file or directory); name a folder with *.conf files"),
    ({"metrics": "textfile"}, "metrics: 'textfile' is not a folder on the nodes; write its whole path, such as /var/lib/node_exporter/textfile_collector"),
    ({"metrics": "/tmp/textfile"}, "metrics: /tmp/textfile can't be seen by the health service, whose /home and /tmp are its own; choose a folder below /var/lib"),
    ({"notification_email": "root@localhost }"}, "notification_email: 'root@localhost }' is not a mail address; write it as root@localhost"),
    ({"notification_email": "ops@example.com"}, "notification_email: ops@example.com gets no e-mail without a mail server; add smtp_server='127.0.0.1', or take it out"),
    ({"smtp_server": "192.0.2.25"}, "smtp_server: 192.0.2.25 has nobody to send e-mails to; add notification_email='root@localhost', or take it out"),
    ({"notification_email": "ops@example.com", "smtp_server": "mail.example.com"}, "smtp_server: 'mail.example.com' is not an IP address; write it as 192.0.2.11 or 2001:db8::11"),
    *(
        (_input(codec=codec), f"inputs.0.codec: {codec!r} is not a codec; write its name, such as json_lines, or the name with options, such as {{\"json\": {{\"charset\": \"CP1252\"}}}}")
        for codec in WRONG_CODECS
    ),
    (_input(codec={"json": "CP1252"}), "inputs.0.codec: 'CP1252' is not a dictionary; write it as {\"client_inactivity_timeout\": 300}"),
    (_input(codec="beats"), "inputs.0.codec: beats is an input and not a codec; write plugin='beats'"),
    (_input(plugin="beats", codec={"multiline": {"pattern": "x", "what": "next"}}), "inputs.0.codec: Logstash's beats input does not start with multiline; let the Beats join lines (`parsers` in filebeat.yml), and take it out"),
    (_input(codec={"gelf": {}}), "inputs.0.codec: gelf is an input and not a codec; write plugin='gelf'"),
    (_input(codec="kafka"), "inputs.0.codec: kafka is an input and not a codec, and gets its events by itself; put it into a pipeline file of yours (`pipelines`)"),
    (_input(codec={"csv": {"separator": "\t"}}), "inputs.0.codec.separator: '\\t' has both kinds of quotation marks, a tab or a new line, or a backslash at its end, which Logstash reads with config.support_escapes only; set support_escapes=True"),
    (_input(plugin="Beats"), "inputs.0.plugin: 'Beats' is not an input plugin; write its name, such as beats"),
    (_input(plugin="kafka"), "inputs.0.plugin: kafka gets its events by itself, and nobody can send it any; put it into a pipeline file of yours (`pipelines`)"),
    (_input(plugin="netflow"), "inputs.0.plugin: netflow is a codec and not an input; write codec='netflow'"),
    (_input(plugin="mqtt"), "inputs.0.protocol: is not known of the plugin mqtt (known are: udp, tcp, beats, elastic_agent, elastic_serverless_forwarder, logstash, http, relp, graphite, syslog, gelf, snmptrap, ganglia); write whether it listens on 'udp', 'tcp' or 'both'"),
    (_input(plugin="beats", protocol="both"), "inputs.0.protocol: Logstash's beats input listens on tcp only; take it out"),
    *(
        ({**_input(plugin="snmptrap", protocol=protocol), **release}, "inputs.0.protocol: Logstash's snmptrap input listens on tcp from 8.15 on only; choose that or a newer one with version or logstash, or take it out")
        for protocol in ("tcp", "both")
        for release in ({"version": "8.14.3"}, {"logstash": 7}, {"logstash": 7, "version": "latest"})
    ),
    (_input(plugin="udp", protocol="tcp"), "inputs.0.protocol: Logstash's udp input listens on udp only; take it out"),
    (_input(plugin="beats", workers=4), "inputs.0.workers: Logstash's beats input has no such setting; take it out"),
    (_input(plugin="x", protocol="udp", workers=4), "inputs.0.workers: Logstash's x input has no such setting; take it out, or write it into options"),
    (_input(plugin="beats", ops=True), "inputs.0.ops: one-packet scheduling is for UDP only; take it out"),
    (_input(plugin="beats", forwarding="nat"), "inputs.0.forwarding: 'nat' can't work for TCP here: the replies would bypass the director; choose 'snat' or 'dr', or leave it out"),
    ({**IPV6, **_input(plugin="gelf")}, "inputs.0.plugin: Logstash's gelf input listens on IPv4 only, and there is an IPv6 VIP; choose another plugin, or a cluster of its own with an IPv4 VIP"),
    (_input(options=["x"]), "inputs.0.options: ['x'] is not a dictionary; write it as {\"client_inactivity_timeout\": 300}"),
    (_input(options={"a b": 1}), "inputs.0.options: 'a b' is not the name of an option; write it as Logstash's documentation does"),
    (_input(options={"id": "x"}), "inputs.0.options.id: is a setting of the input itself; write it beside options"),
    (_input(options={"codec": "json"}), "inputs.0.options.codec: is a setting of the input itself; write it beside options"),
    (_input(options={"workers": 4}), "inputs.0.options.workers: is a setting of the input itself; write it beside options"),
    (_input(options={"host": "0.0.0.0"}), "inputs.0.options.host: each node listens at its own address; take it out"),
    (_input(plugin="gelf", options={"use_tcp": True}), "inputs.0.options.use_tcp: follows from the input's protocol; write that, and take it out"),
    (_input(protocol="tcp", options={"mode": "client"}), "inputs.0.options.mode: must be as the deploy has it, so that events reach the input; take it out"),
    (_input(options={"a": None}), "inputs.0.options.a: None can't be written; use strings, numbers, booleans, lists and dictionaries"),
    (_input(options={"a": [{"b": b"x"}]}), "inputs.0.options.a: b'x' can't be written; use strings, numbers, booleans, lists and dictionaries"),
    (_input(options={"a": float("nan")}), "inputs.0.options.a: nan can't be written; use a finite number"),
    (_input(options={"a": 2**63}), "inputs.0.options.a: 9223372036854775808 can't be written; use a number of 64 bits"),
    (_input(options={"a": "x\0y"}), "inputs.0.options.a: 'x\\x00y' has a character that no pipeline file can have; take it out"),
    (_input(defined_in="a/b.conf"), "inputs.0.defined_in: 'a/b.conf' is not the name of a pipeline file; write it as beats.conf, without a folder: that follows from `pipeline`"),
    (_input(defined_in="own.conf"), "inputs.0.defined_in: own.conf is to be in the folder `pipelines`, which is missing; add it"),
    *(
        (_input(defined_in="own.conf", **{field: value}), f"inputs.0.{field}: is written in own.conf, where the input is; take it out")
        for field, value in RENDERED.items()
    ),
    ({"virtual_router": 1}, "virtual_router: unknown setting; did you mean virtual_router_id?"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), BAD, ids=[line.partition(";")[0] for _, line in BAD])
def test_a_bad_value_is_refused_in_one_line(settings: Settings, change: Settings, line: str) -> None:
    with pytest.raises(ClusterError) as error:
        define(**{**settings, **change})
    assert error.value.args == (line,)


OWN = 'input {\n  beats { id => "a" port => 5514 }\n}\n'


def named(settings: Settings, folder: Path, text: str = OWN, **change: Any) -> Cluster:
    """A cluster whose input stands in `pipelines/own.conf`, and in `pipelines/x/own.conf`."""
    (folder / "pipelines/x").mkdir(parents=True)
    (folder / "pipelines/own.conf").write_text(text)
    (folder / "pipelines/x/own.conf").write_text(text)
    inputs = _input(**{"plugin": "beats", "defined_in": "own.conf", **change})
    return cluster({**settings, **inputs, "pipelines": str(folder / "pipelines")})


@pytest.mark.parametrize("pipeline", ["main", "x"])
@pytest.mark.parametrize("text", [OWN, OWN.replace('"', "'"), OWN.replace('"a"', '"<%= node.name %>"')])
def test_an_input_in_a_pipeline_file_gets_its_virtual_servers_and_is_not_written(
    settings: Settings, text: str, pipeline: str, tmp_path: Path
) -> None:
    """Nor may a probe touch its TCP port, or text be sent there: what the file says of it is not known."""
    made = named(settings, tmp_path, text, pipeline=pipeline)
    assert [(server.protocol, server.input_id) for server in made.virtual_servers] == [("TCP", "a")]
    assert made.input_ids == ("a",)
    (input,) = made.inputs
    assert not input.may_probe("tcp")
    assert input.plugins == {"beats": ("tcp",)}
    files = {file.path: file.content for file in logstash.files(made, made.nodes[0])}
    assert "input {" not in files[logstash.own_file(made, pipeline)]
    assert (
        no_text(made.virtual_servers[0])
        == "what its pipeline file own.conf makes of text is not known (`text`)"
    )


@pytest.mark.parametrize(
    ("change", "text", "line"),
    [
        ({"defined_in": "other.conf"}, OWN, "inputs.0.defined_in: other.conf is not a file of the pipeline main (there are: own.conf); correct it, or the input's `pipeline`"),
        ({"pipeline": "y"}, OWN, "inputs.0.defined_in: own.conf is not a file of the pipeline y (there are: none); correct it, or the input's `pipeline`"),
        ({}, OWN.replace('"a"', '"b"'), "inputs.0.id: own.conf has no input with id => \"a\"; give it that id, by which health checks find it"),
        ({}, '# id => "a"\ninput { beats { port => 5514 } }\n', "inputs.0.id: own.conf has no input with id => \"a\"; give it that id, by which health checks find it"),
        ({"defined_in": None}, OWN, "inputs.0.id: own.conf has a plugin with id a, too; write defined_in='own.conf' where it is this input, or else choose another id"),
        ({"plugin": None, "protocol": "both"}, OWN, "inputs.0.id: own.conf has no input with id => \"a-udp\"; give it that id, by which health checks find it"),
    ],
)  # fmt: skip
def test_an_input_that_is_not_in_its_pipeline_file_is_refused(
    settings: Settings, change: Settings, text: str, line: str, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError) as error:
        named(settings, tmp_path, text, **change)
    assert error.value.args == (line,)


CONNECTION = 'write it as {"ssh_user": "admin"}'
KINDS: list[tuple[Settings, str]] = [
    *(({"connection": value}, f"connection: is of type {type(value).__name__}, not a dictionary; {CONNECTION}") for value in ("x", "", 0, 5, ["ssh_user"], ("ssh_user", "admin"), {"ssh_user"}, b"x", object())),
    ({"connection": {5: "admin"}}, f"connection: 5 is not the name of a setting; {CONNECTION}"),
    ({"connection": {None: "admin"}}, f"connection: None is not the name of a setting; {CONNECTION}"),
    ({"connection": {"cluster": {}}}, "connection.cluster: is not a setting of a connection; take it out"),
    ({"nodes": ["stash1", "stash2"]}, "nodes: ['stash1', 'stash2'] is not a dictionary; write it as {\"stash1\": \"192.0.2.11\", …}"),
    ({"nodes": "stash1"}, "nodes: 'stash1' is not a dictionary; write it as {\"stash1\": \"192.0.2.11\", …}"),
    ({"nodes": 2}, "nodes: 2 is not a dictionary; write it as {\"stash1\": \"192.0.2.11\", …}"),
    ({"nodes": {**TWO, 3: "10.77.0.13"}}, "nodes: 3 is not a name; write it in quotes"),
    ({"nodes": {**TWO, None: "10.77.0.13"}}, "nodes: None is not a name; write it in quotes"),
    ({"nodes": {**TWO, ("a", "b"): "10.77.0.13"}}, "nodes: ('a', 'b') is not a name; write it in quotes"),
    ({"nodes": {**TWO, 10**5000: "10.77.0.13"}}, "nodes: a value of type int is not a name; write it in quotes"),
    ({"nodes": {**TWO, "stash3": {"address": "10.77.0.13", 5: 1}}}, "nodes.stash3.5: is not the name of a setting; write the name in quotes"),
    ({"inputs": "x"}, "inputs: 'x' is not a list; write it in square brackets"),
    ({"inputs": 5514}, "inputs: 5514 is not a list; write it in square brackets"),
    ({"inputs": None}, "inputs: None is not a list; write it in square brackets"),
    ({"inputs": [{"id": "a", "port": 5514, 5: 1}]}, "inputs.0.5: is not the name of a setting; write the name in quotes"),
    (_input(weights={5: 1}, scheduler="wrr"), "inputs.0.weights: 5 is not a string; write it in quotes"),
    (_input(port="9" * 20), "inputs.0.port: 99999999999999999999 is out of range; choose one from 1 to 65535"),
    (_input(port=float("nan")), "inputs.0.port: nan is not a whole number; write it in digits"),
    (_input(port=10**5000), "inputs.0.port: a value of type int is out of range; choose one from 1 to 65535"),
    ({"vrrp": 10**400}, f"vrrp: {'1' + '0' * 149}…{'0' * 50} (401 characters) is out of range; write a smaller number"),
    ({"interface": "\ud800"}, "interface: '\\ud800' is not an interface name; use one that `ip link` shows, 15 characters at most"),
    ({"heap": b"\xff"}, "heap: b'\\xff' is not text; write it in letters and digits"),
    ({"preempt": "\ud800"}, "preempt: '\\ud800' is not text; write it in letters and digits"),
    ({"pipelines": 5}, "pipelines: 5 is not a path; write it in quotes"),
    ({"pipelines": ["x"]}, "pipelines: ['x'] is not a path; write it in quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), KINDS, ids=[line.partition(";")[0] for _, line in KINDS])
def test_a_value_of_the_wrong_kind_is_refused_in_one_line(
    settings: Settings, change: Settings, line: str
) -> None:
    with pytest.raises(ClusterError) as error:
        define(**{**settings, **change})
    assert error.value.args == (line,)


def test_an_input_list_that_ends_in_an_error_is_refused_in_one_line(settings: Settings) -> None:
    def inputs() -> Iterator[Settings]:
        yield {"id": "a", "port": 5514}
        raise KeyError("b")

    with pytest.raises(ClusterError, match=r"^inputs\.\d: .* is not a list; write it in square brackets$"):
        define(**{**settings, "inputs": inputs()})


def test_no_password_of_a_connection_is_shown(settings: Settings) -> None:
    with pytest.raises(ClusterError) as error:
        define(**{**settings, "connection": [("ssh_password", PASSWORD)]})
    assert PASSWORD not in error.value.args[0]


LONG = "x" * 5000
LENGTHS: list[tuple[Settings, str]] = [
    ({"interface": LONG}, f"interface: '{'x' * 149}…{'x' * 49}' (5,000 characters) is not an interface name; "),
    ({"interface": "x" * 198}, f"interface: '{'x' * 198}' is not an interface name; "),
    ({"interface": "x" * 199}, f"interface: '{'x' * 149}…{'x' * 49}' (199 characters) is not an interface name; "),
    ({"interface": [LONG]}, f"interface: ['{'x' * 148}…{'x' * 48}'] (5,004 characters) is not a string; "),
    ({"vip": LONG}, "vip: 'xxx"),
    ({"network": LONG}, "network: 'xxx"),
    ({"senders": [LONG]}, "senders.0: 'xxx"),
    ({"nodes": LONG}, "nodes: 'xxx"),
    ({"nodes": {**TWO, LONG: "10.77.0.13"}}, f"nodes.{'x' * 150}…{'x' * 50} (5,000 characters).name: 'xxx"),
    ({"nodes": {**TWO, LONG: {"name": "a"}}}, f"nodes.{'x' * 150}…{'x' * 50} (5,000 characters).name: unknown setting; "),
    ({"nodes": {**TWO, "stash3": LONG}}, "nodes.stash3: 'xxx"),
    ({LONG: 1}, f"{'x' * 150}…{'x' * 50} (5,000 characters): unknown setting; "),
    (_input(**{LONG: 1}), f"inputs.0.{'x' * 150}…{'x' * 50} (5,000 characters): unknown setting; "),
    (_input(id=LONG), "inputs.0.id: 'xxx"),
    (_input(port="9" * 5000), "inputs.0.port: '999"),
    (_input(weights={LONG: 1}, scheduler="wrr"), "inputs.0.weights: 'xxx"),
    (_input(weights={LONG: -1}, scheduler="wrr"), f"inputs.0.weights.{'x' * 150}…{'x' * 50} (5,000 characters): -1 is out of range"),
    ({"inputs": [LONG]}, "inputs.0: 'xxx"),
    ({"connection": LONG}, "connection: "),
    ({"connection": {(LONG,): 1}}, "connection: ('xxx"),
    ({"logstash": 8, "version": f"9.{'0' * 5000}.1"}, f"version: 9.{'0' * 148}…{'0' * 48}.1 (5,004 characters) is not a Logstash 8 version; "),
    ({"artifacts_url": f"http://u:{PASSWORD}@{LONG} "}, "artifacts_url: 'http://***@xxx"),
    ({"proxy": f"http://{LONG}:{PASSWORD}@h:1"}, "proxy: 'http://***@h:1' is not a proxy's URL; "),
    ({"auth_pass_file": f"/{LONG}"}, f"auth_pass_file: /{'x' * 149}…{'x' * 50} (5,001 characters) can't be read (File name too long); "),
    ({"environment_file": f"/{LONG}"}, f"environment_file: /{'x' * 149}…{'x' * 50} (5,001 characters) can't be read (File name too long); "),
    ({"pipelines": f"/{LONG}"}, f"pipelines: /{'x' * 149}…{'x' * 50} (5,001 characters) can't be read (File name too long); "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "start"), LENGTHS)
def test_a_long_value_is_shortened_in_its_message(settings: Settings, change: Settings, start: str) -> None:
    with pytest.raises(ClusterError) as error:
        define(**{**settings, **change})
    (line,) = error.value.args
    assert line.startswith(start)
    assert "; " in line
    assert len(line) < 800
    assert PASSWORD not in line


def test_a_long_list_of_names_is_shortened_in_its_message(settings: Settings) -> None:
    nodes = {f"stash{n}.{'x' * 50}.example": f"10.77.0.{n}" for n in range(11, 201)}
    settings |= {"nodes": nodes}
    shown = ", ".join(list(nodes)[:2]) + ", … (190 in all)"
    with pytest.raises(ClusterError) as error:
        define(**{**settings, **_input(weights={"stash9": 1}, scheduler="wrr")})
    assert error.value.args == (f"inputs.0.weights: 'stash9' is not a node; choose from {shown}",)
    with pytest.raises(ClusterError) as error:
        cluster({**settings, "vip": "10.77.0.250"}).node(LONG)
    (line,) = error.value.args
    assert line.endswith(f"(5,000 characters) is not a node of the cluster ({shown}); add it in inventory.py")
    longest = f"{'x' * 63}.{'x' * 63}.{'x' * 63}.{'x' * 59}"
    settings["nodes"] = {longest: "10.77.0.11", "stash2": "10.77.0.12"}
    with pytest.raises(ClusterError) as error:
        define(**{**settings, **_input(weights={"stash9": 1}, scheduler="wrr")})
    (line,) = error.value.args
    assert re.search(r"; choose from (x+\.)+x*…x+ \(251 characters\), … \(2 in all\)$", line)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\0b", "embedded null byte"),
        ("\ud800", "not a name that a file can have"),
        ("x" * 300, "File name too long"),
    ],
)
@pytest.mark.parametrize("field", ["auth_pass_file", "environment_file", "pipelines"])
def test_a_name_that_no_file_can_have_is_refused_in_one_line(
    settings: Settings, field: str, name: str, reason: str
) -> None:
    with pytest.raises(ClusterError) as error:
        define(**{**settings, field: f"/{name}"})
    (line,) = error.value.args
    assert line.startswith(f"{field}: /")
    assert f" can't be read ({reason}); " in line
    assert line.isprintable()


@pytest.mark.parametrize("field", ["network", "interface", "vip", "inputs"])
def test_a_missing_setting_is_named(settings: Settings, field: str) -> None:
    del settings[field]
    with pytest.raises(ClusterError) as error:
        define(**settings)
    assert error.value.args == (f"{field}: is missing; add it",)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("", "holds 0 characters; write 1 to 8, VRRP carries no more"),
        ("secretive", "holds 9 characters; write 1 to 8, VRRP carries no more"),
        ("sec ret", "holds white space or a character that keepalived.conf can't carry"),
        ("secret ", "holds white space or a character that keepalived.conf can't carry"),
        ('se"cret', "holds white space or a character that keepalived.conf can't carry"),
    ],
)
def test_bad_passwords_are_not_shown(settings: Settings, secret: str, reason: str) -> None:
    Path(settings["auth_pass_file"]).write_text(f"{secret}\n")
    with pytest.raises(ClusterError) as error:
        define(**settings)
    (line,) = error.value.args
    assert line.startswith(f"auth_pass_file: {settings['auth_pass_file']} {reason}")
    assert not secret or secret not in line


def test_no_password_of_a_url_is_shown(settings: Settings) -> None:
    for field in ("proxy", "artifacts_url"):
        with pytest.raises(ClusterError) as error:
            define(**{**settings, field: "http://user:s3cret@192.0.2.1:3128"})
        assert error.value.args[0].startswith(f"{field}: ")
        assert "s3cret" not in error.value.args[0]


def test_the_files_that_the_inventory_names_are_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "environment").write_text('# for Elasticsearch\n\nES_PASSWORD=a = "b" $c\nEMPTY=\n')
    for name in ("own.conf", "netflow/b.conf", "netflow/a.conf", "notes/readme.txt"):
        (tmp_path / "pipelines" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pipelines" / name).write_text(name)
    made = cluster(
        {
            **settings,
            "environment_file": str(tmp_path / "environment"),
            "pipelines": str(tmp_path / "pipelines"),
        }
    )
    assert {name: value.get_secret_value() for name, value in made.environment.items()} == {
        "ES_PASSWORD": 'a = "b" $c',
        "EMPTY": "",
    }
    assert made.pipeline_files == {
        "main": {"own.conf": "own.conf"},
        "netflow": {"a.conf": "netflow/a.conf", "b.conf": "netflow/b.conf"},
    }
    assert made.pipeline_ids == ("main", "netflow")


@pytest.mark.parametrize("line", ["B = 2", "export B=2", "2B=2", "B", "B=a\tb", " B=2"])
def test_bad_lines_of_the_environment_are_not_shown(settings: Settings, line: str, tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text(f"A=s3cret\n{line}\n")
    with pytest.raises(ClusterError) as error:
        define(**settings, environment_file=str(file))
    assert error.value.args == (
        f"environment_file: {file}, line 2 is not NAME=value; "
        "write one variable a line, without quotes or spaces around the `=`",
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [("a b.conf", "a b.conf"), ("logstash-ha.conf", "logstash-ha.conf"), ("a b/c.conf", "a b")],
)
def test_a_pipeline_file_with_a_bad_name_is_refused(
    settings: Settings, name: str, what: str, tmp_path: Path
) -> None:
    file = tmp_path / "pipelines" / name
    file.parent.mkdir(parents=True)
    file.write_text("")
    with pytest.raises(ClusterError) as error:
        define(**settings, pipelines=str(tmp_path / "pipelines"))
    assert error.value.args == (
        f"pipelines: {what!r} can't be used; choose a name of letters, digits, `_`, `.` and `-` "
        "other than logstash-ha.conf",
    )


def test_two_settings_of_the_heap_are_refused(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text("LS_JAVA_OPTS=-Xmx1g\n")
    cluster({**settings, "environment_file": str(file)})
    with pytest.raises(ClusterError) as error:
        define(**settings, environment_file=str(file), heap="4g")
    assert error.value.args == (f"heap: {file} sets LS_JAVA_OPTS, which overrides it; take one of them out",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("own.conf", "can't be read (Not a directory); name a folder with *.conf files"),
        ("", "has no *.conf files; put yours into it"),
        ("bytes", "/x.conf can't be read (not text); make it a text file"),
        ("folder", "/x.conf can't be read (Is a directory); make it a text file"),
    ],
)
def test_a_folder_without_pipeline_files_is_refused(
    settings: Settings, tmp_path: Path, name: str, reason: str
) -> None:
    folder = tmp_path / "pipelines"
    (folder / "folder" / "x.conf").mkdir(parents=True)
    (folder / "bytes").mkdir()
    (folder / "bytes" / "x.conf").write_bytes(b"\xff")
    (folder / "own.conf").write_text("")
    folder = folder / name if name else folder / "folder" / "x.conf"
    with pytest.raises(ClusterError) as error:
        define(**settings, pipelines=str(folder))
    (line,) = error.value.args
    assert line.startswith(f"pipelines: {folder}")
    assert line.removeprefix(f"pipelines: {folder}").lstrip() == reason


def test_no_pipeline_file_is_lost(settings: Settings, tmp_path: Path) -> None:
    """A folder `main` would take the place of the files beside it."""
    for name in ("own.conf", "main/own.conf"):
        (tmp_path / "pipelines" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pipelines" / name).write_text("")
    with pytest.raises(ClusterError, match=r"pipelines: .*main.*; "):
        define(**settings, pipelines=str(tmp_path / "pipelines"))


def _made_by_python(file: str) -> Cluster:
    return Cluster.model_validate(runpy.run_path(file)["nodes"][1]["cluster"])


def _made_by_verify(file: str) -> Cluster:
    return load_cluster(file)[2]


def _made_by_pyinfra(file: str) -> Cluster:
    """As the program `pyinfra` has it, in a process of its own."""
    done = subprocess.run(
        [Path(sys.executable).with_name("pyinfra"), "--json", file, "debug-inventory"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Cluster.model_validate(json.loads(done.stdout)[0]["data"]["cluster"])


@pytest.mark.parametrize("load", [_made_by_python, _made_by_verify, _made_by_pyinfra])
@pytest.mark.parametrize(
    ("here", "named"),
    [
        (".", "logs/inventory.py"),
        ("logs", "inventory.py"),
        ("logs/pipelines", "../inventory.py"),
        ("logs", "link.py"),
        ("/", "{}/logs/inventory.py"),
    ],
)
def test_paths_begin_at_the_inventorys_folder(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: Callable[[str], Cluster],
    here: str,
    named: str,
) -> None:
    """Whatever the current directory is, then and later."""
    folder = tmp_path / "logs"
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "own.conf").write_text("output {}")
    (folder / "environment").write_text("A=1\n")
    settings |= {
        "auth_pass_file": "../auth_pass",
        "environment_file": "./environment",
        "pipelines": "pipelines",
    }
    (folder / "inventory.py").write_text(f"from cluster import define\n\nnodes = define(**{settings!r})\n")
    (folder / "link.py").symlink_to("inventory.py")
    monkeypatch.setattr(pyinfra_cli.util, "PYTHON_CODES", {})  # keeps files by relative names, too
    monkeypatch.chdir(tmp_path / here)
    made = load(named.format(tmp_path))
    monkeypatch.chdir("/")
    assert made.pipelines == folder / "pipelines"
    assert made.environment_file == folder / "environment"
    assert made.auth_pass_file == folder / "../auth_pass"
    again = Cluster.model_validate(made.model_dump(mode="json", by_alias=True))
    assert again.pipeline_files == {"main": {"own.conf": "output {}"}}
    assert [*again.environment] == ["A"]
    assert again.auth_pass is not None


def test_a_tilde_in_a_path_is_the_users_home(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "environment").write_text("A=1\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = cluster({**settings, "environment_file": "~/environment"})
    assert made.environment_file == tmp_path / "home" / "environment"


@pytest.mark.parametrize("field", ["auth_pass_file", "environment_file", "pipelines"])
@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "~a\0b", "~\ud800"])
def test_a_tilde_without_a_home_is_refused(settings: Settings, field: str, path: str) -> None:
    with pytest.raises(ClusterError) as error:
        define(**{**settings, field: path})
    assert error.value.args == (f"{field}: {path!r} names no user's home; write the whole path",)


def test_each_path_of_the_model_begins_at_the_inventorys_folder(settings: Settings) -> None:
    """No field of another kind names a file."""
    paths = {"auth_pass_file", "environment_file", "pipelines", "signing_keys", "rpms"}
    assert paths == {name for name, field in Cluster.model_fields.items() if "Path" in str(field.annotation)}
    for field in paths:
        with pytest.raises(ClusterError) as error:
            define(**{**settings, field: "nowhere/x"})
        assert error.value.args[0].startswith(f"{field}: {Path(__file__).parent}/nowhere/x can't be read")


def test_the_shipped_inventory_is_the_labs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Path(settings["auth_pass_file"]).parent
    monkeypatch.setenv("LAB_DIR", str(lab))
    inventory = runpy.run_path(str(ROOT / "inventory.py"))
    assert inventory["nodes"][0] == [("stash1", {}), ("stash2", {})]
    assert inventory["senders"][0] == ["sender"]
    cluster = Cluster.model_validate(inventory["nodes"][1]["cluster"])
    assert (cluster.logstash, cluster.version, cluster.heap) == (8, None, None)


def test_the_shipped_inventory_has_the_logstash_that_the_lab_offers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Path(settings["auth_pass_file"]).parent
    monkeypatch.setenv("LAB_DIR", str(lab))
    (lab / "logstash").write_text("9.3.8")
    nodes = runpy.run_path(str(ROOT / "inventory.py"))["nodes"]
    cluster = Cluster.model_validate(nodes[1]["cluster"])
    assert (cluster.logstash, cluster.version, cluster.heap) == (9, "9.3.8", "400m")
