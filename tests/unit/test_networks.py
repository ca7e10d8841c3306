"""Nodes and VIPs on interfaces and in networks of their own: what follows for keepalived, the kernel and the firewall."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster, ClusterError, define
from desired import firewalld, health, keepalived, nftables
from desired.conflicts import conflicts, others_arguments
from desired.files import desired_files
from desired.requirements import problems
from desired.sysctl import kernel_settings
from facts.firewalld import FirewallState, SourceZone, parse_firewall
from facts.machine import Machine
from facts.others import OthersState, Route
from tests.unit.clusters import example, make_cluster
from tests.unit.observations import all_well
from verification.judge import judge
from verification.report import Status

TWO = {"network": ["10.77.0.0/24", "10.78.0.0/24"], "senders": ["10.78.0.64/26"]}
ELSEWHERE = {**TWO, "vip": {"address": "10.78.0.10", "interface": "eth1"}}
SOURCES = {
    **TWO,
    "vip": {
        "address": "10.78.0.10",
        "interface": "eth1",
        "sources": {"stash1": "10.78.0.11", "stash2": "10.78.0.12"},
    },
}
UDP_SNAT = {"inputs": [{"id": "udp-5514", "port": 5514, "forwarding": "snat"}]}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Cluster]:
    return lambda **settings: make_cluster(tmp_path, **settings)


def conf(cluster: Cluster, el: int = 9, node: int = 0) -> str:
    return desired_files(cluster, cluster.nodes[node], el)[keepalived.CONF].content


def instance(cluster: Cluster, el: int = 9, node: int = 0, name: str = "VI_1") -> str:
    """A VRRP instance, without comments and with single spaces."""
    (text,) = re.findall(
        rf"^vrrp_instance {name} {{\n(.*?)^}}", conf(cluster, el, node), re.MULTILINE | re.DOTALL
    )
    return " ".join(line.strip() for line in text.splitlines() if not line.strip().startswith("#"))


def test_without_sources_adverts_go_over_the_nodes_own_network(make: Callable[..., Cluster]) -> None:
    """The VIP has its network's prefix, as no node has an address there."""
    text = instance(make(**ELSEWHERE))
    assert "interface eth0 " in text
    assert "unicast_src_ip 10.77.0.11 unicast_peer { 10.77.0.12 }" in text
    assert "virtual_ipaddress { 10.78.0.10/24 dev eth1 }" in text
    assert "track_file { maintenance weight 0 link_fault weight 0 link_fault_eth1 weight 0 }" in text
    assert "track_interface" not in text


def test_the_first_keepalived_follows_no_vips_interface_by_itself(make: Callable[..., Cluster]) -> None:
    """1.3.5 (EL 7); from 2.0 on, keepalived follows the link of each interface that a VIP is on."""
    text = instance(make(**ELSEWHERE, vrrp=2), el=7)
    assert "track_interface { eth1 }" in text
    assert "track_file" not in text
    assert "track_interface" not in instance(make(vrrp=2), el=7)


def test_with_sources_vrrp_runs_where_the_vip_is(make: Callable[..., Cluster]) -> None:
    text = instance(make(**SOURCES), node=1)
    assert "interface eth1 " in text
    assert "unicast_src_ip 10.78.0.12 unicast_peer { 10.78.0.11 }" in text
    assert "virtual_ipaddress { 10.78.0.10/32 }" in text
    assert "track_file { maintenance weight 0 link_fault weight 0 link_fault_eth1 weight 0 }" in text


def test_each_node_has_its_own_interfaces(make: Callable[..., Cluster]) -> None:
    nodes = [
        {"name": "stash1", "address": "10.77.0.11", "interface": "eno1"},
        {"name": "stash2", "address": "10.77.0.12"},
    ]
    vip = {"address": "10.78.0.10", "interface": {"stash1": "eno2", "stash2": "ens9"}}
    cluster = make(**{**TWO, "nodes": nodes, "vip": vip})
    assert [cluster.interfaces_of(node) for node in cluster.nodes] == [("eno1", "eno2"), ("eth0", "ens9")]
    assert "interface eno1 " in instance(cluster)
    assert "10.78.0.10/24 dev ens9" in instance(cluster, node=1)
    released = desired_files(cluster, cluster.nodes[1], 9)[keepalived.DROP_IN].content
    assert f"{keepalived.RELEASE_VIPS} eth0 1.4 1=10.78.0.10/24@ens9\n" in released


def test_the_vips_of_one_family_follow_the_interface_that_each_is_on(tmp_path: Path) -> None:
    cluster = example("two_vlans", tmp_path)
    first, second = instance(cluster), instance(cluster, name="VI_2")
    assert "interface bond0.20 virtual_router_id 1 " in first
    assert "interface bond0.30 virtual_router_id 2 " in second
    assert "link_fault_bond0.30" not in first
    assert "link_fault_bond0.20" not in second


def test_the_health_service_watches_each_link(make: Callable[..., Cluster]) -> None:
    """With the addresses that the node must have there; the flags are made at boot, and raised when keepalived starts."""
    for settings, addresses in ((ELSEWHERE, []), (SOURCES, ["10.78.0.12"])):
        cluster = make(**settings)
        files = desired_files(cluster, cluster.nodes[1], 9)
        other = f"{health.LINK_FAULT}_eth1"
        assert json.loads(files[health.SETTINGS].content)["links"] == [
            {"interface": "eth0", "addresses": ["10.77.0.12"], "fault": health.LINK_FAULT},
            {"interface": "eth1", "addresses": addresses, "fault": other},
        ]
        assert f"f {other} 0644 " in files[health.TMPFILES].content
        assert f"track_file link_fault_eth1 {{\n    file {other}\n}}" in conf(cluster, node=1)
        assert f"echo 1 >{health.LINK_FAULT} && echo 1 >{other}" in files[keepalived.DROP_IN].content
    cluster = make(**ELSEWHERE, vrrp=2)
    files = desired_files(cluster, cluster.nodes[0], 7)
    assert [link["fault"] for link in json.loads(files[health.SETTINGS].content)["links"]] == [None, None]


def test_the_reverse_path_filter_is_loose_where_a_senders_address_comes_in_at_the_nodes_own_interface(
    make: Callable[..., Cluster],
) -> None:
    def settings(**values: Any) -> dict[str, str]:
        cluster = make(**values)
        return kernel_settings(cluster, cluster.nodes[0])

    key = "net.ipv4.conf.eth0.rp_filter"
    assert key not in settings()
    assert settings(**ELSEWHERE)[key] == settings(**SOURCES)[key] == "2"
    assert key not in settings(**ELSEWHERE, **UDP_SNAT)
    assert settings(**ELSEWHERE)["net.ipv4.conf.eth1.forwarding"] == "1"
    assert settings(**ELSEWHERE)["net.ipv4.conf.eth1.promote_secondaries"] == "1"
    assert "net.ipv4.conf.eth1.promote_secondaries" not in settings(**SOURCES)
    direct = {"inputs": [{"id": "udp-5514", "port": 5514, "forwarding": "dr"}]}
    assert settings(**SOURCES, **direct)["net.ipv4.conf.eth1.arp_ignore"] == "1"


def test_vrrp_is_let_in_from_where_it_comes(make: Callable[..., Cluster]) -> None:
    def vrrp(cluster: Cluster) -> list[str]:
        rules = firewalld.rules(cluster, cluster.nodes[0])
        return [re.findall('address="(.*?)"', rule)[0] for rule in rules if '"vrrp"' in rule]

    assert vrrp(make(**ELSEWHERE)) == ["10.77.0.11", "10.77.0.12"]
    assert vrrp(make(**SOURCES)) == ["10.78.0.11", "10.78.0.12"]


def rules_state(**values: Any) -> FirewallState:
    empty: FirewallState = {
        "state": "RUNNING", "zone": "public", "runtime": [], "permanent": [], "source_zones": {}, "zones": [],
        "openings": {}, "sets": {},
    }  # fmt: skip
    return {**empty, **values}  # type: ignore[typeddict-item]


def test_the_zone_of_each_interface_gets_all_rules(make: Callable[..., Cluster]) -> None:
    cluster = make(**ELSEWHERE)
    node = cluster.nodes[0]
    vlan: SourceZone = {"target": "default", "sources": [], "runtime": [], "permanent": []}
    present = rules_state(zones=["vlan"], source_zones={"vlan": vlan})
    placed = firewalld.placed_rules(cluster, node, present, own_table=False)
    assert placed["vlan"] == placed["public"] == firewalld.rules(cluster, node)
    assert firewalld.fact_arguments(cluster, node)["others"] == ["eth1"]


def test_the_zones_of_further_interfaces_are_read() -> None:
    settings = '(sssbsasa(ss)asba(ssss)asasasasa(ss)b) "" "" "" false "default" 0 0 0 false 0 0 0 1 "rule {}" 0 0 false'
    answers = [
        's "RUNNING"',
        'interfaces "public" "vlan" "public"',
        *("= zone public", settings.format("x"), settings.format("x")),
        *("= zone vlan", settings.format("a"), settings.format("b")),
        *("= direct", "a(sssias) 0", "a(sssias) 0"),
    ]
    state = parse_firewall(answers)
    assert state
    assert state["zones"] == ["vlan"]
    assert state["source_zones"] == {
        "vlan": {"target": "default", "sources": [], "runtime": ["rule a"], "permanent": ["rule b"]}
    }


def test_a_vips_senders_are_let_in_at_that_vip_alone(make: Callable[..., Cluster]) -> None:
    """An input with senders of its own takes events from those who are in both."""
    vips = [
        {"address": "10.77.0.10", "senders": ["10.1.0.0/16"]},
        {"address": "10.77.0.20", "senders": ["10.2.0.0/16", "10.9.9.9"]},
        "10.77.0.30",
    ]
    inputs = [{"id": "a", "port": 5514}, {"id": "b", "port": 5515, "senders": ["10.1.7.0/24", "10.0.0.0/8"]}]
    cluster = make(vip=vips, inputs=inputs)
    found = {
        (str(server.vip), server.input.id): [
            str(each) for each in cluster.senders_of(server.input, server.vip)
        ]
        for server in cluster.virtual_servers
    }
    assert found == {
        ("10.77.0.10", "a"): ["10.1.0.0/16"],
        ("10.77.0.20", "a"): ["10.2.0.0/16", "10.9.9.9/32"],
        ("10.77.0.30", "a"): ["10.77.0.101/32"],
        ("10.77.0.10", "b"): ["10.1.7.0/24", "10.1.0.0/16"],
        ("10.77.0.20", "b"): ["10.2.0.0/16", "10.9.9.9/32"],
        ("10.77.0.30", "b"): ["10.1.7.0/24", "10.0.0.0/8"],
    }
    rules = firewalld.rules(cluster, cluster.nodes[0])
    at = [rule for rule in rules if '"10.77.0.20" port port="5514"' in rule]
    assert [re.findall('source address="(.*?)"', rule)[0] for rule in at] == ["10.2.0.0/16", "10.9.9.9"]


def test_many_senders_of_a_vip_have_a_set_of_their_own(make: Callable[..., Cluster]) -> None:
    many = [f"10.9.0.{number}" for number in range(1, 60, 3)]
    vips = ["10.77.0.10", {"address": "10.77.0.20", "senders": many}]
    assert list(firewalld.sender_sets(make(vip=vips))) == ["logstash-ha-5514-udp-2-ipv4"]


def test_udp_gets_the_directors_address_wherever_it_goes(make: Callable[..., Cluster]) -> None:
    """Also on the director itself, else a sender's datagrams have the source that its first one happened to get."""
    cluster = make(**UDP_SNAT)
    assert nftables.rules(cluster, cluster.nodes[0]) == [
        "ip input ct original ip daddr 10.77.0.10 ip daddr 10.77.0.11 udp dport 5514 snat to 10.77.0.11",
        "ip postrouting ip daddr 10.77.0.12 udp dport 5514 snat to 10.77.0.11",
    ]
    assert kernel_settings(cluster, cluster.nodes[0])["net.ipv4.vs.conntrack"] == "1"
    assert "    ops\n" in conf(cluster)
    rules = firewalld.rules(cluster, cluster.nodes[1])
    at = [rule for rule in rules if 'destination address="10.77.0.12" port port="5514"' in rule]
    assert [re.findall('source address="(.*?)"', rule)[0] for rule in at] == ["10.77.0.11"]


def test_udp_snat_needs_a_table_of_our_own(make: Callable[..., Cluster]) -> None:
    def refusal(el: int) -> str:
        cluster = make(**UDP_SNAT, vrrp=2)
        machine = Machine.default()
        machine |= {
            "os": {"ID": "rocky", "VERSION_ID": str(el)},
            "root": "yes",
            "interfaces": {"eth0": ["10.77.0.11"]},
            "firewalld": "active",
            "iptables": True,
            "nftables": el > 7 and el != 9,
        }
        (line,) = [line for line in problems(cluster, cluster.nodes[0], machine) if "'snat' for UDP" in line]
        return line

    assert refusal(7).endswith("choose forwarding 'nat' or 'dr', or a node with Enterprise Linux 8 or later")
    assert "run `dnf install nftables && modprobe nft_nat` there" in refusal(9)


def test_a_machine_must_have_each_interface_and_source(make: Callable[..., Cluster]) -> None:
    cluster = make(**SOURCES)
    machine = Machine.default()
    machine |= {
        "os": {"ID": "rocky", "VERSION_ID": "9"},
        "root": "yes",
        "interfaces": {"eth0": ["10.77.0.11"]},
    }
    cases: list[tuple[dict[str, list[str]], str]] = [
        ({}, "vip.interface: stash1 has no eth1; choose one of eth0"),
        ({"eth1": []}, "vip.sources.stash1: 10.78.0.11 is not on its eth1, which has no address; correct it"),
    ]
    for interfaces, line in cases:
        machine["interfaces"] |= interfaces
        (found, *_) = problems(cluster, cluster.nodes[0], machine)
        assert found.startswith(line)


def test_addresses_are_looked_for_where_they_are(make: Callable[..., Cluster]) -> None:
    cluster = make(**SOURCES)
    assert others_arguments(cluster, cluster.nodes[0])["links"] == {
        "eth0": ["10.77.0.11", "10.77.0.12"],
        "eth1": ["10.78.0.10", "10.78.0.11", "10.78.0.12"],
    }


def test_a_node_that_holds_the_vip_may_have_an_unknown_mac_there(make: Callable[..., Cluster]) -> None:
    """Where nodes have an address on that interface it is known."""
    others = OthersState(neighbours={"10.78.0.10": "52:54:00:00:00:01", "10.78.0.12": "52:54:00:00:00:01"})
    assert conflicts(make(**SOURCES), make(**SOURCES).nodes[0], others) == []
    del others.neighbours["10.78.0.12"]
    (certain,) = conflicts(make(**SOURCES), make(**SOURCES).nodes[0], others)
    (perhaps,) = conflicts(make(**ELSEWHERE), make(**ELSEWHERE).nodes[0], others)
    assert (certain.certain, perhaps.certain) == (True, False)


def test_a_strict_filter_at_the_vips_interface_is_reported(make: Callable[..., Cluster]) -> None:
    """Not for those in the VIP's own network, to which the VIP brings a route along."""
    cluster = make(**{**ELSEWHERE, "senders": ["10.78.0.64/26", "203.0.113.0/24"]})
    routes = [Route("0.0.0.0/0", "eth0", 0)]
    others = OthersState(rp_filter={"all": 0, "eth0": 0, "eth1": 1}, routes=routes)
    (found,) = conflicts(cluster, cluster.nodes[0], others)
    assert found.what.startswith("the way back to 203.0.113.0/24 is eth0, and rp_filter is strict")
    assert "net.ipv4.conf.eth1.rp_filter = 2" in found.do
    others.rp_filter = {"all": 0, "eth0": 1, "eth1": 0}
    assert conflicts(cluster, cluster.nodes[0], others) == []


def test_verify_wants_the_vip_on_its_interface(make: Callable[..., Cluster]) -> None:
    cluster = make(**ELSEWHERE)
    seen = all_well(cluster)
    assert judge(cluster, seen).ok
    holder = next(each for each in seen.values() if any((each.held or {}).values()))
    assert holder.held == {"10.78.0.10": ["eth1"]}
    holder.held["10.78.0.10"] = ["eth0"]
    (problem,) = [problem for problem in judge(cluster, seen).problems if problem.status is Status.WRONG]
    assert "holds 10.78.0.10 on eth0, not on eth1 alone" in problem.what
    assert "`ip addr del 10.78.0.10/24 dev eth0`" in problem.do


BAD: list[tuple[dict[str, Any], str]] = [
    ({"interface": None, "nodes": {"stash1": "10.77.0.11", "stash2": {"address": "10.77.0.12", "interface": "eth0"}}}, "interface: is missing for stash1; add it there, or once for all nodes that name none"),
    ({"network": ["10.77.0.0/24", "10.77.0.0/25"]}, "network: 10.77.0.0/24 and 10.77.0.0/25 overlap; name the larger one alone"),
    ({"vip": {"address": "10.78.0.10", "interface": "eth1"}}, "vip: 10.78.0.10 is outside network 10.77.0.0/24; choose an address in it"),
    ({"vip": {"address": "10.77.0.10", "interface": "lo"}}, "vip.interface: lo is the loopback interface; use the one that leads to the senders"),
    ({"vip": {"address": "10.77.0.10", "interface": {"stash1": "eth1"}}}, "vip.interface: stash2 is missing for 10.77.0.10; add each node"),
    ({"vip": {"address": "10.77.0.10", "interface": {"stash9": "eth1"}}}, "vip.interface: 'stash9' is not a node; choose from stash1, stash2"),
    ({"vip": {"address": "10.77.0.10", "interface": {}}}, "vip.interface: names no interface; write its name, or one for each node"),
    ({"vip": {"address": "10.77.0.10", "sources": {"stash1": "10.77.0.11"}}}, "vip.sources: stash2 is missing for 10.77.0.10; add each node"),
    ({"vip": {"address": "10.77.0.10", "sources": {"stash1": "10.77.0.11", "stash2": "10.77.0.11"}}}, "vip.sources.stash2: 10.77.0.11 is stash1's address; each node needs its own"),
    ({"vip": {"address": "10.77.0.10", "sources": {"stash1": "10.77.0.10", "stash2": "10.77.0.11"}}}, "vip.sources.stash1: 10.77.0.10 is a VIP; give the node's own address on that interface"),
    ({"vip": {"address": "10.77.0.10", "sources": {"stash1": "fd00::1", "stash2": "10.77.0.11"}}}, "vip.sources.stash1: fd00::1 is IPv6, and the VIP 10.77.0.10 is not; give the node's IPv4 address on that interface"),
    ({"vip": {"address": "10.77.0.10", "sources": {"stash1": "10.79.0.1", "stash2": "10.79.0.2"}}}, "vip.sources.stash1: 10.79.0.1 is outside network 10.77.0.0/24; choose an address in it"),
    ({"vip": {"address": "10.77.0.10", "senders": []}}, "vip.senders: none given; name one or more, or leave it out"),
    ({"vip": {"adress": "10.77.0.10"}}, "vip.adress: unknown setting; did you mean address?"),
    ({"vip": {"interface": "eth1"}}, "vip.address: is missing; add it"),
]  # fmt: skip
APART: dict[str, Any] = {
    "nodes": {"stash1": "10.77.0.11", "stash2": "10.78.0.12"},
    "network": ["10.77.0.0/24", "10.78.0.0/24"],
}
BAD += [
    ({**APART, "transport": "multicast"}, "transport: multicast adverts don't leave a network, and the nodes are in 10.77.0.0/24 and 10.78.0.0/24; choose 'unicast', or give the sources of 10.77.0.10"),
    ({**APART, "inputs": [{"id": "a", "port": 5514, "forwarding": "dr"}]}, "inputs.0.forwarding: 'dr' reaches only nodes in the director's own network, and the nodes are in 10.77.0.0/24 and 10.78.0.0/24; choose 'snat', or 'nat' for UDP"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_bad_network_is_refused_in_one_line(change: dict[str, Any], line: str) -> None:
    settings: dict[str, Any] = {
        "nodes": {"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
        "network": "10.77.0.0/24",
        "interface": "eth0",
        "vip": "10.77.0.10",
        "inputs": [{"id": "udp-5514", "port": 5514}],
        "senders": ["10.77.0.101"],
        **change,
    }
    with pytest.raises(ClusterError) as error:
        define(**{key: value for key, value in settings.items() if value is not None})
    assert str(error.value) == line


def test_nodes_in_two_networks_are_told_what_that_needs(make: Callable[..., Cluster]) -> None:
    nodes = [{"name": name, "address": address} for name, address in APART["nodes"].items()]
    cluster = make(**{**APART, "nodes": nodes})
    (line,) = cluster.warnings
    assert line.startswith("vip: 10.77.0.10 can move between 10.77.0.0/24 and 10.78.0.0/24 only where")
    assert (
        make(**{**APART, "nodes": nodes, "vip": {"address": "10.77.0.10", "interface": "eth1"}}).warnings
        == ()
    )


def test_a_vip_to_which_nobody_may_send_is_a_warning(make: Callable[..., Cluster]) -> None:
    inputs = [{"id": "a", "port": 5514, "senders": ["10.1.0.0/16"]}]
    vips = ["10.77.0.10", {"address": "10.77.0.20", "senders": ["10.2.0.0/16"]}]
    assert make(vip=vips, inputs=inputs).warnings == (
        "vip.senders: nobody may send to 10.77.0.20, as no input has a sender that is among them; add some, or take that "
        "VIP out",
    )


def test_a_node_has_its_name_and_its_way_as_ssh_knows_them() -> None:
    """What a node says of its connection goes before what is said for all; it is no part of the cluster's model."""
    hosts, data = define(
        nodes={
            "log_1": {"address": "10.77.0.11", "connection": {"ssh_hostname": "192.0.2.7", "ssh_port": 2222}},
            "log_2.example": "10.77.0.12",
        },
        network="10.77.0.0/24",
        interface="eth0",
        vip="10.77.0.10",
        inputs=[{"id": "udp-5514", "port": 5514}],
        senders=["10.77.0.101"],
        connection={"ssh_user": "admin"},
    )
    assert hosts == [("log_1", {"ssh_hostname": "192.0.2.7", "ssh_port": 2222}), ("log_2.example", {})]
    assert data["ssh_user"] == "admin"
    cluster = Cluster.model_validate(data["cluster"])
    assert "2222" not in repr(cluster)
    assert "    router_id log_1\n" in conf(cluster)
    assert "track_file log_1/udp-5514 {" in conf(cluster)


@pytest.mark.parametrize(
    ("connection", "line"),
    [
        ("admin", "nodes.a.connection: is of type str, not a dictionary; "),
        ({1: 2}, "nodes.a.connection: 1 is not the name of a setting; "),
        ({"cluster": {}}, "nodes.a.connection.cluster: is not a setting of a connection; "),
    ],
)
def test_a_nodes_connection_is_a_dictionary(connection: object, line: str) -> None:
    with pytest.raises(ClusterError) as error:
        define(nodes={"a": {"address": "10.77.0.11", "connection": connection}})
    assert str(error.value).startswith(line)
