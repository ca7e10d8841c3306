"""Our whole rule set in a real firewalld with the nftables backend: who gets through, and from which address."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from cluster import API_PORT, Cluster, Node
from desired import nftables
from desired.firewalld import SYNC_PORT, direct_rules
from facts.firewalld import Firewall
from operations import files, firewalld, undo
from operations import nftables as tables
from tests.namespace.firewall import FirewalldMachine, Namespace, Probe, unpacked
from tests.unit.clusters import example
from tests.unit.test_shapes import SHAPES

UNKNOWN = {4: "203.0.113.9", 6: "2001:db8:ffff::9"}
"""Addresses that no cluster speaks of."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirewalldMachine]:
    folder = tmp_path_factory.mktemp("namespace")
    machine = FirewalldMachine(unpacked(folder), folder / "firewalld.log")
    yield machine
    machine.namespace.end()


@pytest.fixture
def world(machine: FirewalldMachine) -> Iterator[Namespace]:
    """All that the machine speaks with. Its end takes the link with it."""
    world = Namespace()
    yield world
    world.end()


def deploy(machine: FirewalldMachine, cluster: Cluster, node: Node, with_table: bool) -> None:
    """What deploy.py does in steps 9 and 12."""
    done = machine.run(files.put, files=nftables.files(cluster, node, with_table)[:1], step=9)
    for operation in (tables.added, firewalld.allowed, firewalld.pruned, tables.pruned):
        done += machine.run(operation, cluster=cluster, node=node, own_table=with_table)
    assert [run.stderr for run in done if run.returncode] == []


def sources(cluster: Cluster, node: Node) -> dict[int, list[str]]:
    """By family: the other nodes, a sender of each network, a neighbor in each network that may send nothing, and one from
    elsewhere that may not."""
    found: dict[int, list[str]] = {}
    for version in cluster.families:
        peers = list(
            dict.fromkeys(
                str(address)
                for peer in cluster.peers(node)
                for address in (peer.at(version), *(cluster.vrrp_source(vip, peer) for vip in cluster.vips))
                if address.version == version
            )
        )
        senders = {
            str(next(iter(ip_network(sender).hosts())))
            for input in cluster.inputs
            for sender in cluster.all_senders_of(input)
            if sender.version == version
        }
        neighbors = [str(network[-9]) for network in cluster.networks if network.version == version]
        assert not {*neighbors, UNKNOWN[version]} & {*peers, *senders}
        found[version] = [*peers, *sorted(senders), *neighbors, UNKNOWN[version]]
    return found


def probes_and_verdicts(cluster: Cluster, node: Node) -> dict[Probe, bool]:
    """What is sent, and whether it must arrive: by the recipe's words, and not by our rules."""
    verdicts: dict[Probe, bool] = {}
    for version, addresses in sources(cluster, node).items():
        own, peers = str(node.at(version)), {str(peer.at(version)) for peer in cluster.peers(node)}
        # All interfaces are in the same zone here, so each takes what one of them must take.
        advertising = {
            str(cluster.vrrp_source(vip, peer)) for vip in cluster.vips for peer in cluster.peers(node)
        }
        for source in addresses:
            for vip in cluster.vips:
                if vip.version == version:
                    target = str(cluster.vrrp_source(vip, node))
                    verdicts["vrrp", source, target, 0] = source in advertising
            if version == 4:
                verdicts["udp", source, own, SYNC_PORT] = source in peers and "dr" in cluster.forwardings
            if version == node.address.version:
                verdicts["tcp", source, own, API_PORT] = source in peers
                verdicts["udp", source, own, API_PORT] = source in peers
            for server in cluster.virtual_servers:
                if server.vip.version != version:
                    continue
                senders = cluster.senders_of(server.input, server.vip)
                allowed = any(ip_address(source) in sender for sender in senders)
                protocol = server.protocol.lower()
                verdicts[protocol, source, str(server.vip), server.port] = allowed
                (real,) = (real for real in server.real_servers if real.node == node)
                peer_may = source in peers and (
                    server.forwarding == "snat" or version == node.address.version
                )
                # Where several VIPs lead to the same real server, each has senders of its own.
                verdicts[protocol, source, str(real.address), real.port] = (
                    peer_may
                    or (server.forwarding == "nat" and allowed)
                    or verdicts.get((protocol, source, str(real.address), real.port), False)
                )
    return verdicts


@pytest.mark.parametrize("shape", SHAPES)
def test_who_gets_through(machine: FirewalldMachine, world: Namespace, shape: str, tmp_path: Path) -> None:
    """Now, and after firewalld's next start, which loads the permanent configuration."""
    cluster = example(shape, tmp_path)
    node = cluster.nodes[1]
    with_table = "snat" in cluster.forwardings
    verdicts = probes_and_verdicts(cluster, node)
    assert {True, False} <= {*verdicts.values()}
    addresses = [address for family in sources(cluster, node).values() for address in family]
    machine.attach(cluster, node, world, addresses)
    expected = {probe for probe, may in verdicts.items() if may}
    assert not machine.arrived(world, list(verdicts))
    deploy(machine, cluster, node, with_table)
    assert machine.arrived(world, list(verdicts)) == expected
    machine.restart()
    assert machine.state == "running"
    assert machine.arrived(world, list(verdicts)) == expected
    deploy(machine, cluster, node, with_table)  # nothing is missing, and nothing is refused
    assert [run.stderr for run in machine.run(undo.rules) if run.returncode] == []
    assert not machine.arrived(world, list(verdicts))


def source_seen(machine: FirewalldMachine, world: Namespace, source: str, target: str, port: int) -> str:
    """The address from which a connection of the machine's comes to the other namespace."""
    family = "AF_INET6" if ":" in target else "AF_INET"
    listen = (
        f"import socket; it = socket.create_server(('{target}', {port}), family=socket.{family}); "
        "print('ready', flush=True); it.settimeout(10); print(it.accept()[1][0])"
    )
    listener = world.start(sys.executable, "-I", "-S", "-c", listen)
    assert listener.stdout
    assert listener.stdout.readline() == "ready\n"
    connect = f"import socket; socket.create_connection(('{target}', {port}), 5, ('{source}', 0))"
    machine.namespace.run(sys.executable, "-I", "-S", "-c", connect)
    output, _ = listener.communicate(timeout=20)
    return output.strip()


def test_the_source_of_what_is_forwarded_by_tcp_becomes_the_directors(
    machine: FirewalldMachine, world: Namespace, tmp_path: Path
) -> None:
    """With both families; another port keeps its source, and a firewalld that starts anew takes nothing away."""
    cluster = example("dual_stack", tmp_path)
    node, (peer,) = cluster.nodes[1], cluster.peers(cluster.nodes[1])
    machine.attach(cluster, node, world, map(str, peer.addresses))
    deploy(machine, cluster, node, with_table=True)
    assert direct_rules(cluster, node)
    assert not machine.sh("firewall-cmd --direct --get-all-rules").stdout.strip()
    machine.restart()
    for vip in cluster.vips:
        target = str(peer.at(vip.version))
        assert source_seen(machine, world, str(vip), target, 5514) == str(node.at(vip.version))
        assert source_seen(machine, world, str(vip), target, 5515) == str(vip)
    machine.run(undo.rules)
    for vip in cluster.vips:
        assert source_seen(machine, world, str(vip), str(peer.at(vip.version)), 5514) == str(vip)


def test_zones_that_only_sources_are_bound_to_are_read_with_what_they_open(machine: FirewalldMachine) -> None:
    """One is bound until the next start, the other one from then on."""
    bindings = {
        "--zone=internal": ("source=192.0.2.0/24", "port=9600/tcp"),
        "--permanent --zone=home": ("source=198.51.100.0/24", "port=5514/udp"),
    }

    def change(verb: str) -> None:
        for zone, parts in bindings.items():
            for part in parts:
                done = machine.sh(f"firewall-cmd {zone} --{verb}-{part}")
                assert done.returncode == 0, done.stderr

    change("add")
    found = machine.fact(Firewall, interface="eth0")
    change("remove")
    assert {
        name: {side: openings["ports"] for side, openings in zone.items()}
        for name, zone in found["openings"].items()
    } == {
        "public": {"runtime": [], "permanent": []},
        "internal": {"runtime": ["9600 tcp"], "permanent": []},
        "home": {"runtime": [], "permanent": ["5514 udp"]},
    }
    assert {name: zone["sources"] for name, zone in found["source_zones"].items()} == {
        "internal": ["192.0.2.0/24"],
        "home": ["198.51.100.0/24"],
    }
    assert [*machine.fact(Firewall, interface="eth0")["openings"]] == ["public"]


def test_what_is_gone_from_the_running_firewall_is_not_read_as_there(machine: FirewalldMachine) -> None:
    """All that there was at firewalld's start: it still tells that in one of its two ways to tell a zone."""
    rule = "rule protocol value=vrrp accept"
    for option in ("--add-port=9600/tcp", "--add-source=192.0.2.0/24", f"--add-rich-rule='{rule}'"):
        assert machine.sh(f"firewall-cmd --permanent --zone=internal {option}").returncode == 0
    machine.restart()
    started = machine.fact(Firewall, interface="eth0")["source_zones"]["internal"]
    assert started["runtime"] == started["permanent"] == ['rule protocol value="vrrp" accept']
    for option in ("--remove-port=9600/tcp", f"--remove-rich-rule='{rule}'"):
        assert machine.sh(f"firewall-cmd --zone=internal {option}").returncode == 0
    found = machine.fact(Firewall, interface="eth0")
    assert found["source_zones"]["internal"]["runtime"] == []
    assert found["openings"]["internal"]["runtime"]["ports"] == []
    assert found["openings"]["internal"]["permanent"]["ports"] == ["9600 tcp"]
    for option in ("--remove-port=9600/tcp", "--remove-source=192.0.2.0/24", f"--remove-rich-rule='{rule}'"):
        assert machine.sh(f"firewall-cmd --permanent --zone=internal {option}").returncode == 0
    machine.restart()


def test_a_rule_that_firewalld_cant_load_leaves_it_failed_and_we_see_it(machine: FirewalldMachine) -> None:
    """The exit status by which keepalived's drop-in waits, and what verify.py reads."""
    direct = machine.root / "etc/firewalld/direct.xml"
    rule = '<rule ipv="ipv4" table="nat" chain="POSTROUTING" priority="0">-j NOSUCH</rule>'
    direct.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<direct>{rule}</direct>\n')
    machine.restart()
    assert machine.state == "failed"
    assert machine.sh("timeout 60 firewall-cmd --quiet --state").returncode == 251
    assert machine.fact(Firewall, interface="eth0")["state"] == "FAILED"
    direct.unlink()
    machine.restart()
    assert machine.fact(Firewall, interface="eth0")["state"] == "RUNNING"
