"""Several clusters in one inventory: each is a group, and what both can't have is refused with their names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.context import ctx_state

from cluster import Cluster, ClusterError, cluster_prefix, clusters_of_inventory, define, is_node
from cluster.clusters import check_clusters
from desired.patch import Request, request
from facts.machine import Machine
from remote import lock, patch, preflight
from remote.channel_key import agreed_key
from remote.inventory import find_sender, load_cluster, load_clusters, load_inventory
from remote.snapshot import refused
from tests.unit.clusters import EXAMPLES, make_cluster
from tests.unit.observations import all_well
from tests.unit.test_verify_command import run
from verification import command
from verification.judge import judge

TWO = EXAMPLES / "two_clusters.py"


def changed(folder: Path, *pairs: tuple[str, str]) -> str:
    """A copy of the example with these texts replaced: its path."""
    text = TWO.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    file = folder / f"inventory{len([*folder.iterdir()])}.py"  # pyinfra keeps what it has read, by its name
    file.write_text(text)
    return str(file)


def test_each_group_that_define_makes_is_a_cluster(tmp_path: Path) -> None:
    _, inventory, clusters = load_clusters(str(TWO))
    assert {name: cluster.node_names for name, cluster in clusters.items()} == {
        "syslog": ("log1", "log2"),
        "netflow": ("flow1", "flow2"),
    }
    assert [host.name for host in inventory if is_node(host)] == ["log1", "log2", "flow1", "flow2"]
    assert cluster_prefix(inventory.get_host("flow2")) == "netflow: "
    _, _, cluster = load_cluster(str(TWO), "netflow")
    assert cluster.node_names == ("flow1", "flow2")


def test_a_single_cluster_needs_no_name() -> None:
    nodes = define(
        nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
        network="192.0.2.0/24",
        interface="ens33",
        vip="192.0.2.10",
        inputs=[{"id": "a", "port": 5514}],
        senders=["192.0.2.64/26"],
    )
    inventory = Inventory((["stash1", "stash2", "loghost"], {}), nodes=nodes)
    State(inventory, Config())
    assert list(clusters_of_inventory(inventory)) == ["nodes"]
    assert cluster_prefix(inventory.get_host("stash1")) == ""
    assert not is_node(inventory.get_host("loghost"))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('vip="192.0.2.20"', 'vip="192.0.2.300"', "netflow: vip: '192.0.2.300'"),
        ("    virtual_router_id=2,", "    #", "netflow: virtual_router_id: 1 is also syslog's in the network 192.0.2.0/24, and a router's number must be its own there; write virtual_router_id=2 in netflow"),
        ('"flow1"', '"log1"', "netflow: nodes: log1 is a node of syslog, too; "),
        ('"192.0.2.21"', '"192.0.2.11"', "netflow: nodes: 192.0.2.11 of flow1 is the address of log1 in syslog, too; "),
        ('"192.0.2.22"', '"192.0.2.10"', "netflow: nodes: 192.0.2.10 of flow2 is the address of a VIP in syslog, too; "),
        ('vip="192.0.2.20"', 'vip="192.0.2.12"', "netflow: vip: 192.0.2.12 of a VIP is the address of log2 in syslog, too; "),
        ('vip="192.0.2.20"', 'vip="192.0.2.10"', "netflow: vip: 192.0.2.10 of a VIP is the address of a VIP in syslog, too; "),
    ],
)  # fmt: skip
def test_what_both_clusters_have_is_refused_with_the_clusters_name(
    tmp_path: Path, old: str, new: str, line: str
) -> None:
    with pytest.raises(ClusterError) as error:
        load_clusters(changed(tmp_path, (old, new)))
    (said,) = error.value.args
    assert line in said
    assert "\n" not in said


def test_clusters_in_networks_of_their_own_may_have_the_same_number(tmp_path: Path) -> None:
    """Also at several VIPs, of which each has the next number."""
    here = make_cluster(tmp_path, vip=["10.77.0.10", "10.77.0.20"])
    there: dict[str, Any] = {
        "nodes": [{"name": f"flow{n}", "address": f"10.78.0.1{n}"} for n in (1, 2)],
        "network": "10.78.0.0/24",
        "vip": "10.78.0.10",
        "senders": ["10.78.0.101"],
    }
    check_clusters({"here": here, "there": make_cluster(tmp_path, **there)})
    in_a_larger_one = {**there, "network": "10.76.0.0/14", "virtual_router_id": 2}
    with pytest.raises(
        ClusterError, match=r"virtual_router_id: 2 is also here's .*; write virtual_router_id=3 in there"
    ):
        check_clusters({"here": here, "there": make_cluster(tmp_path, **in_a_larger_one)})


def test_one_of_several_is_named_or_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="--cluster: the inventory has syslog, netflow; name one of them"):
        load_cluster(str(TWO))
    with pytest.raises(
        ClusterError,
        match="--cluster: 'sys' is not a cluster of the inventory; choose one of syslog, netflow",
    ):
        load_cluster(str(TWO), "sys")


def test_each_cluster_has_senders_of_its_own_or_those_of_all(tmp_path: Path) -> None:
    _, inventory, clusters = load_clusters(str(TWO))
    senders = [find_sender(inventory, cluster, None).name for cluster in clusters.values()]
    assert senders == ["loghost", "router"]
    file = changed(tmp_path, ("netflow_senders", "senders"))
    _, inventory, clusters = load_clusters(file)
    senders = [find_sender(inventory, cluster, None).name for cluster in clusters.values()]
    assert senders == ["loghost", "router"]
    _, inventory, clusters = load_clusters(changed(tmp_path, ("netflow_senders", "others")))
    with pytest.raises(ClusterError, match="netflow_senders: no such group"):
        find_sender(inventory, clusters["netflow"], None)


def test_each_cluster_gets_a_key_of_its_own() -> None:
    _, inventory, clusters = load_clusters(str(TWO))
    state = State(inventory, Config())
    for host in inventory:
        state.failed_hosts.add(host)  # none can be reached
    keys = [agreed_key(state, cluster).sha256 for cluster in clusters.values()]
    assert len({*keys}) == 2
    assert keys == [agreed_key(state, cluster).sha256 for cluster in clusters.values()]


def test_a_run_takes_the_lock_on_the_nodes_of_all_its_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one order, whichever cluster comes first; of those that it leaves out, on none."""
    for names in (["syslog", "netflow"], ["netflow", "syslog"], ["netflow"]):
        _, inventory, clusters = load_clusters(str(TWO))
        state = State(inventory, Config())
        taken: list[str] = []
        monkeypatch.setattr(
            lock,
            "connected_directors",
            lambda state, cluster: [state.inventory.get_host(name) for name in cluster.node_names],
        )
        monkeypatch.setattr(lock, "_take", lambda host, run, taken=taken: taken.append(host.name) or "")
        monkeypatch.setattr(lock, "read_machine", lambda _: {**Machine.default(), "root": "yes"})
        for name in names:
            for _ in clusters[name].nodes:
                lock.arm(state, clusters[name])
        state.is_executing = True
        assert refused(state) == ""
        assert taken == sorted(name for each in names for name in clusters[each].node_names)


def test_a_node_of_any_cluster_of_the_run_lets_the_user_be_root(monkeypatch: pytest.MonkeyPatch) -> None:
    _, inventory, clusters = load_clusters(str(TWO))
    state = State(inventory, Config())
    monkeypatch.setattr(
        lock,
        "connected_directors",
        lambda state, cluster: [state.inventory.get_host(name) for name in cluster.node_names],
    )
    said = {"flow2": "sudo: 1 incorrect password attempt"}
    monkeypatch.setattr(
        lock, "read_machine", lambda host: {**Machine.default(), "root": said.get(host.name, "yes")}
    )
    lock.arm(state, clusters["syslog"])
    for _ in clusters["netflow"].nodes:  # each of the run's hosts asks
        with pytest.raises(ClusterError, match=r"^flow2: no sudo \(sudo: 1 incorrect password attempt\)"):
            lock.arm(state, clusters["netflow"])


def test_a_node_that_is_not_back_stops_the_patching_of_its_own_cluster_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, inventory, clusters = load_clusters(str(TWO))
    state = State(inventory, Config())
    monkeypatch.setattr(patch, "connected_directors", lambda *_: [])
    monkeypatch.setattr(patch, "_patch", lambda state, host, *_: host.name != "log1")
    done = {
        node.name: patch.patch_node(
            state, inventory.get_host(node.name), cluster, 9, Request(), masters=True, only=None
        )
        for cluster in clusters.values()
        for node in cluster.nodes
    }
    assert done == {"log1": False, "log2": False, "flow1": True, "flow2": True}


def test_a_canary_is_for_the_run_of_its_own_cluster() -> None:
    _, _, clusters = load_clusters(str(TWO))
    assert request({"canary": "log1"}, clusters["syslog"], "syslog").canary == "log1"
    with pytest.raises(
        ClusterError,
        match=r"^canary: log1 is not a node of netflow; name one of flow1, flow2, or leave that cluster out with --limit$",
    ):
        request({"canary": "log1"}, clusters["netflow"], "netflow")


def test_what_both_clusters_have_is_refused_by_all_commands(tmp_path: Path) -> None:
    """Before they ask a machine anything."""
    state, inventory = State(check_for_changes=False), None
    with ctx_state.use(state):
        inventory = load_inventory(changed(tmp_path, ("    virtual_router_id=2,", "    #")))
    state.init(inventory, Config(), initial_limit=[])
    with pytest.raises(ClusterError, match=r"^netflow: virtual_router_id: 1 is also syslog's"):
        preflight.prepare(inventory.get_host("log1"))


def test_verify_looks_at_all_clusters_or_at_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def inspect(state: object, cluster: Cluster, *_: object, **__: object) -> Any:
        return judge(cluster, all_well(cluster))

    monkeypatch.setattr(command, "connect_to_nodes", lambda *_: {})
    monkeypatch.setattr(command, "inspect", inspect)
    assert command.main(["--inventory", str(TWO), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], [*document["clusters"]]) == (True, ["syslog", "netflow"])
    assert document["clusters"]["netflow"]["nodes"] == ["flow1", "flow2"]
    assert command.main(["--inventory", str(TWO), "--json", "--cluster", "netflow"]) == 0
    assert json.loads(capsys.readouterr().out) == document["clusters"]["netflow"]
    assert command.main(["--inventory", str(TWO)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines.index("syslog") < lines.index("netflow")
    assert command.main(["--inventory", str(TWO), "--nagios", "--cluster", "syslog"]) == 0
    capsys.readouterr()
    assert command.main(["--inventory", str(TWO), "--report", "/nowhere/x"]) == 2
    assert (
        "--report: shows one cluster; name one of syslog, netflow with --cluster" in capsys.readouterr().err
    )


def test_a_cluster_that_can_not_be_reached_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = ["flow1"]

    def connect(state: State, inventory: Inventory, cluster: Cluster, *_: object) -> dict[str, str]:
        if cluster.nodes[0].name in away:
            raise ClusterError("no node can be reached by ssh: flow1: timed out")
        return {}

    monkeypatch.setattr(command, "connect_to_nodes", connect)
    monkeypatch.setattr(command, "inspect", lambda _, cluster, *__, **___: judge(cluster, all_well(cluster)))
    assert command.main(["--inventory", str(TWO), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["clusters"]["syslog"]["ok"]) == (False, True)
    assert document["clusters"]["netflow"]["error"] == "no node can be reached by ssh: flow1: timed out"
    assert command.main(["--inventory", str(TWO)]) == 2
    shown = capsys.readouterr().out
    assert shown.index("syslog") < shown.index("ALL GOOD") < shown.index("netflow")
    assert shown.rstrip().endswith("! no node can be reached by ssh: flow1: timed out")
    away.append("log1")
    assert command.main(["--inventory", str(TWO)]) == 2
    assert capsys.readouterr().err.count("no node can be reached") == 2


def test_a_tree_has_the_nodes_of_all_clusters(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "desired", "--inventory", str(TWO), "--to", str(tmp_path / "tree"))
    assert done.returncode == 0, done.stderr
    assert {"log1", "log2", "flow1", "flow2"} <= {path.name for path in (tmp_path / "tree").iterdir()}


def test_a_wrong_cluster_is_wrong_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = iter([SimpleNamespace(ok=True), SimpleNamespace(ok=False)])
    monkeypatch.setattr(command, "_verify_cluster", lambda *_: (next(reports), None, None))
    monkeypatch.setattr(command, "show_all", lambda *_: None)
    assert command.main(["--inventory", str(TWO)]) == 1
