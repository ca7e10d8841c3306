"""What is seen on the nodes of a cluster when all is well, and how a test changes it."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster import Cluster, Node, VirtualServer
from desired import firewalld, logstash, nftables, sysctl
from desired.keepalived import SPARE_MARK
from desired.translation import own_table
from desired.unit import fingerprint
from desired.units import unit_names
from facts.firewalld import ZoneOpenings
from facts.ipvs import VirtualServerState, socket_name
from facts.services import UnitState
from tests.unit.clusters import make_cluster
from verification.finding import Observations
from verification.judge import judge
from verification.observe import Observation, unit_files
from verification.report import Delivery, Report, Status
from verification.show import show

Change = Callable[[Any], object]
"""Changes a part of an observation."""

Fault = tuple[dict[str, Change], str, str, str, str]
"""What happens to stash1, the check that sees it, its cell, and words of what is wrong and of what to do."""


def virtual_server(server: VirtualServer) -> VirtualServerState:
    """As IPVS has it when all is well."""
    return {
        "protocol": server.protocol,
        "address": socket_name(server.vip, server.port),
        "scheduler": server.input.scheduler,
        "flags": ["ops"] if server.ops else [],
        "real_servers": [
            {
                "address": socket_name(real.address, real.port),
                "forward": "Route" if server.forwarding == "dr" else "Masq",
                "weight": real.weight,
            }
            for real in server.real_servers
        ],
    }


ZONE: ZoneOpenings = {"target": "default", "ports": [], "protocols": [], "forwards": []}
SPARE: VirtualServerState = {
    "protocol": "FWM",
    "address": str(SPARE_MARK),
    "scheduler": "wrr",
    "flags": [],
    "real_servers": [{"address": "127.0.0.1:9", "forward": "Masq", "weight": 1}],
}
"""The virtual server that the deploy tests keepalived with."""
RUNNING = {"enabled": True, "active": True, "stale": False}


def unit_states(cluster: Cluster, node: Node) -> dict[str, UnitState]:
    """Each unit has read what it should have."""
    return {
        unit: {
            "service": {"enabled": True, "active": True, "stale": False},
            "condition": {"masked": False, "frozen": False, "drop_ins": []},
            "fingerprint": fingerprint(unit, files, f"{unit}-1.0"),
            "package": f"{unit}-1.0",
            "files": {file.path: file.sha256 for file in files},
            "good": [file.path for file in files],
        }
        for unit, files in unit_files(cluster, node, 9, True).items()
    }


def seen_on(cluster: Cluster, node: Node) -> Observation:
    """All is well; the last node holds the VIP, or of several each node in turn."""
    with_table = own_table(cluster, 9, has_nftables=True)
    rules = firewalld.desired_rules(cluster, node, with_table)
    holders = {
        str(instance.vip): max(instance.priorities, key=lambda name: instance.priorities[name])
        if instance.preempt and len(set(instance.priorities.values())) > 1
        else cluster.nodes[-1].name
        for instance in cluster.vrrp_instances
    }
    return Observation(
        el=9,
        own_table=with_table,
        services={unit: {**RUNNING} for unit in unit_names(cluster, with_table)},  # type: ignore[typeddict-item]
        units=unit_states(cluster, node),
        sysctl={"runtime": sysctl.kernel_settings(cluster, node), "lines": []},
        selinux={"mode": "Enforcing", "boot": "enforcing", "denied": []},
        conditions={
            unit: {"masked": False, "frozen": False, "drop_ins": []}
            for unit in unit_names(cluster, with_table)
        },
        pipeline_files=[logstash.own_file(cluster, pipeline) for pipeline in cluster.pipeline_ids],
        chains=[],
        raised=[],
        firewall={
            "state": "RUNNING",
            "zone": "public",
            "runtime": list(rules),
            "permanent": list(rules),
            "source_zones": {},
            "zones": [],
            "openings": {"public": {"runtime": copy.deepcopy(ZONE), "permanent": copy.deepcopy(ZONE)}},
            "sets": {
                name: {"runtime": list(entries), "permanent": list(entries)}
                for name, entries in firewalld.sender_sets(cluster).items()
            },
        },
        table=nftables.rules(cluster, node) if with_table else [],
        record={"rich": [f"public {rule}" for rule in rules]},
        health={
            "missing": None,
            "checks": [
                {
                    "address": str(member.address),
                    "input": id,
                    "state": "up",
                    "reason": None,
                    "message": "in pipeline main",
                }
                for member in cluster.nodes
                for id in {server.input_id: None for server in cluster.virtual_servers}
            ],
        },
        heartbeat=0,
        peers={str(peer.address): True for peer in cluster.peers(node)},
        virtual_servers=[*(virtual_server(server) for server in cluster.virtual_servers), SPARE],
        held={
            str(vip): [cluster.vip_interface(vip, node)] if holders[str(vip)] == node.name else []
            for vip in cluster.vips
        },
        advert_sockets=list(cluster.families),
        loopback=["127.0.0.1", "::1"] + [str(vip) for vip in cluster.vips if "dr" in cluster.forwardings],
    )


def all_well(cluster: Cluster) -> Observations:
    """What is seen on each node when all is well, by name."""
    return {node.name: seen_on(cluster, node) for node in cluster.nodes}


def status(report: Report, check: str, node: str) -> tuple[Status, str]:
    """A cell, with its text."""
    cell = next(row for row in report.rows if row.check == check).cells[node]
    return cell.status, cell.text


def change(seen: Observation, **parts: Change) -> Observation:
    """A copy in which each function has changed its part."""
    seen = copy.deepcopy(seen)
    for name, function in parts.items():
        function(getattr(seen, name))
    return seen


def assert_reported_once(cluster: Cluster, fault: Fault) -> None:
    """It is reported at its node, with what to do; nothing else is blamed."""
    changes, check, text, what, do = fault
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], **changes)
    report = judge(cluster, observations)
    assert not report.ok
    (problem,) = report.problems
    assert (problem.check, problem.node) == (check, "stash1")
    assert what in problem.what
    assert do in problem.do
    assert status(report, check, "stash1") == (problem.status, text)
    assert problem.status is (Status.UNKNOWN if text == "?" else Status.WRONG)
    assert status(report, check, "stash2")[0] is Status.OK
    assert report.vips["10.77.0.10"].holders == ("stash2",)


def stop(unit: str) -> Change:
    """For `services`: this unit does not run."""
    return lambda services: services[unit].update(active=False)


def fail_check(address: str) -> Change:
    """For `health`: the script's answer when this address refuses."""

    def function(health: Any) -> None:
        for check in health["checks"]:
            if check["address"] == address:
                check.update(state="down", reason="refused", message="connection refused: stopped?")

    return function


def real(number: int, **values: object) -> Change:
    """For `virtual_servers`: other values of a real server of the first one."""
    return lambda servers: servers[0]["real_servers"][number].update(values)


def pop_real(number: int) -> Change:
    """For `virtual_servers`: the first one without this real server."""
    return lambda servers: servers[0]["real_servers"].pop(number)


def hold(observations: Observations, vip: str, *nodes: str) -> None:
    """These nodes, and no others, hold the VIP."""
    for name, seen in observations.items():
        assert seen.held is not None
        seen.held[vip] = ["eth0"] if name in nodes else []


# What a STIG sets.
STIG = {"net.ipv4.ip_forward": "0"}


def shown(report: Report, sent: Delivery | None = None, width: int = 80, **options: Any) -> str:
    """The table of a report, as text."""
    console = Console(file=io.StringIO(), width=width, highlight=False, **options)
    show(console, report, sent)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


SYSLOG = {"id": "syslog", "port": 514, "server_port": 5514, "protocol": "both"}

SHAPES: dict[str, dict[str, Any]] = {
    "recipe": {},
    "five nodes": {"nodes": 5},
    "IPv6": {"families": (6,)},
    "both families": {"families": (4, 6)},
    "a VIP for each node": {"vip": ["10.77.0.10", "10.77.0.20"]},
    "both protocols": {"inputs": [SYSLOG]},
    "weights": {
        "inputs": [{"id": "a", "port": 5514, "scheduler": "wrr", "weights": {"stash1": 3, "stash2": 0}}]
    },
    "sticky": {"inputs": [{"id": "a", "port": 2055, "scheduler": "sh", "codec": "netflow", "ops": False}]},
    "direct routing": {"inputs": [{"id": "a", "port": 5514, "protocol": "both", "forwarding": "dr"}]},
    "direct routing in both families": {
        "families": (4, 6),
        "inputs": [{"id": "a", "port": 5514, "protocol": "tcp", "forwarding": "dr"}],
    },
    "no firewalld": {"firewall": "none"},
}
"""Settings of clusters that differ from the recipe's, for `shaped`."""


def shaped(folder: Path, families: tuple[int, ...] = (4,), nodes: int = 2, **settings: Any) -> Cluster:
    """A cluster of this shape; `families` gives its nodes and VIPs addresses of these."""
    networks = {4: ("10.77.0.{}", "10.77.0.0/24"), 6: ("fd00:77::{}", "fd00:77::/64")}
    chosen = [networks[family] for family in families]
    recipe = make_cluster(folder, nodes).model_dump(mode="json", by_alias=True)
    if families != (4,):
        recipe |= {
            "nodes": [
                {"name": node["name"], "address": [address.format(11 + n) for address, _ in chosen]}
                for n, node in enumerate(recipe["nodes"])
            ],
            "network": [network for _, network in chosen],
            "vip": [address.format(10) for address, _ in chosen],
            "senders": [address.format(101) for address, _ in chosen],
            "vrrp": 3,
            "auth_pass_file": None,
        }
    return Cluster.model_validate({**recipe, **settings})
