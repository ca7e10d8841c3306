"""The model behind inventory.py: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster, ClusterError, define

Settings = dict[str, Any]
PASSWORD = "hunter22"


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
        "auth_pass_file": str(secret),
    }


def cluster(settings: Settings) -> Cluster:
    _, data = define(**settings)
    return Cluster.model_validate(data["cluster"])


def test_the_recipe_is_the_default(settings: Settings) -> None:
    made = cluster(settings)
    assert (made.virtual_router_id, made.logstash, made.artifacts_url) == (
        1,
        8,
        "https://artifacts.elastic.co",
    )
    assert made.auth_pass.get_secret_value() == PASSWORD
    assert [node.name for node in made.peers(made.node("stash1"))] == ["stash2"]


def test_the_group_has_the_connection_and_no_secret(settings: Settings) -> None:
    hosts, data = define(**settings, connection={"ssh_user": "admin"})
    assert hosts == [("stash1", {}), ("stash2", {})]
    assert data["ssh_user"] == "admin"
    assert PASSWORD not in repr((hosts, data))
    assert PASSWORD not in repr(cluster(settings))


def test_a_stranger_is_none_of_the_nodes(settings: Settings) -> None:
    with pytest.raises(
        ClusterError, match=r"nodes: 'stash9' is none of the cluster's nodes \(stash1, stash2\)"
    ):
        cluster(settings).node("stash9")


@pytest.mark.parametrize(
    "change",
    [
        {"senders": ["10.77.0.0/25", "192.0.2.1"]},
        {"inputs": [{"id": "a", "port": 1024}, {"id": "b", "port": 65535}]},
        {"inputs": [{"id": "udp", "port": 9600}]},  # the API's number, but the API is TCP
        {"nodes": {f"stash{n}.example.org": f"10.77.0.{n}" for n in range(1, 6)}},
        {"artifacts_url": "http://192.0.2.1:8080/mirror/elastic"},
        {"interface": "bond0.100"},
        {"virtual_router_id": 255},
    ],
)
def test_good_values(settings: Settings, change: Settings) -> None:
    cluster({**settings, **change})


TWO = {"stash1": "10.77.0.11", "stash2": "10.77.0.12"}

BAD: list[tuple[Settings, str]] = [
    ({"nodes": {}}, "nodes: 0 given; name two machines or more, each with its address"),
    ({"nodes": None}, "nodes: None is no dictionary; write it as {\"stash1\": \"192.0.2.11\", …}"),
    ({"nodes": {"stash1": "10.77.0.11"}}, "nodes: 1 given; name two machines or more, each with its address"),
    ({"nodes": {"a": "10.77.0.11", "b": "10.77.0.11"}}, "nodes: address 10.77.0.11 is given twice; each must be different"),
    ({"nodes": {"Stash": "10.77.0.11", "stash": "10.77.0.12"}}, "nodes: name stash is given twice; each must be different"),
    ({"nodes": {**TWO, "stash3": "10.77.0.300"}}, "nodes.stash3: '10.77.0.300' is not an IPv4 address; write it as 192.0.2.11"),
    ({"nodes": {**TWO, "stash 3": "10.77.0.13"}}, "nodes.stash 3.name: 'stash 3' is not a host name; use letters, digits, hyphens and dots (RFC 1123)"),
    ({"nodes": {**TWO, "stash3": "10.78.0.13"}}, "nodes.stash3: 10.78.0.13 is outside network 10.77.0.0/24; choose an address in it"),
    ({"nodes": {**TWO, "stash3": "10.77.0.255"}}, "nodes.stash3: 10.77.0.255 is 10.77.0.0/24's network or broadcast address; choose another one"),
    ({"network": "10.77.0.1/24"}, "network: '10.77.0.1/24' is neither an IPv4 address nor a network; write it as 192.0.2.11 or 192.0.2.0/24"),
    ({"network": None}, "network: None is neither an IPv4 address nor a network; write it as 192.0.2.11 or 192.0.2.0/24"),
    ({"vip": "10.77.0.11"}, "vip: 10.77.0.11 is stash1's own address; choose a free address in 10.77.0.0/24"),
    ({"vip": "10.78.0.10"}, "vip: 10.78.0.10 is outside network 10.77.0.0/24; choose an address in it"),
    ({"vip": "10.77.0.0"}, "vip: 10.77.0.0 is 10.77.0.0/24's network or broadcast address; choose another one"),
    ({"vip": "stash"}, "vip: 'stash' is not an IPv4 address; write it as 192.0.2.11"),
    ({"interface": "eth 0"}, "interface: 'eth 0' is not an interface name; use one that `ip link` shows, 15 characters at most"),
    ({"interface": "e" * 16}, "interface: 'eeeeeeeeeeeeeeee' is not an interface name; use one that `ip link` shows, 15 characters at most"),
    ({"inputs": []}, "inputs: none given; name one or more"),
    ({"inputs": {"id": "a", "port": 5514}}, "inputs: {'id': 'a', 'port': 5514} is not a list; write it in square brackets"),
    ({"inputs": [5514]}, 'inputs.0: 5514 is not an input; write it as {"id": "udp-5514", "port": 5514}'),
    ({"inputs": [{"id": "a", "port": 0}]}, "inputs.0.port: 0 is no port; choose one from 1024 to 65535"),
    ({"inputs": [{"id": "a", "port": 65536}]}, "inputs.0.port: 65536 is no port; choose one from 1024 to 65535"),
    ({"inputs": [{"id": "a", "port": 514}]}, "inputs.0.port: 514 is below 1024, where only root may listen; choose one from 1024 to 65535"),
    ({"inputs": [{"id": "a", "port": "syslog"}]}, "inputs.0.port: 'syslog' is not a whole number; write it as 5514"),
    ({"inputs": [{"id": "a"}]}, "inputs.0.port: is missing; add it"),
    ({"inputs": [{"id": "a", "prt": 5514}]}, "inputs.0.prt: unknown setting; did you mean port?"),
    ({"inputs": [{"id": "a", "port": 5514}, {"id": "a", "port": 5515}]}, "inputs: id a is given twice; each must be different"),
    ({"inputs": [{"id": "a", "port": 5514}, {"id": "b", "port": 5514}]}, "inputs: port 5514 is given twice; each must be different"),
    ({"inputs": [{"id": 'a"; reboot', "port": 5514}]}, "inputs.0.id: 'a\"; reboot' is not an input id; use 1 to 64 letters, digits, `_`, `.` and `-`"),
    ({"senders": []}, "senders: none given; name one or more"),
    ({"senders": "10.77.0.101"}, "senders: '10.77.0.101' is not a list; write it in square brackets"),
    ({"senders": ["10.77.0.101/24"]}, "senders.0: '10.77.0.101/24' is neither an IPv4 address nor a network; write it as 192.0.2.11 or 192.0.2.0/24"),
    ({"senders": ["10.77.0.101", "10.77.0.101"]}, "senders: entry 10.77.0.101/32 is given twice; each must be different"),
    ({"virtual_router_id": 0}, "virtual_router_id: 0 is out of range; choose one from 1 to 255 that no other VRRP router here has"),
    ({"virtual_router_id": 256}, "virtual_router_id: 256 is out of range; choose one from 1 to 255 that no other VRRP router here has"),
    ({"logstash": 5}, "logstash: 5 is unknown; choose one of 6, 7, 8 and 9"),
    ({"artifacts_url": "ftp://192.0.2.1"}, "artifacts_url: 'ftp://192.0.2.1' is not an http or https URL; write it as https://artifacts.elastic.co, without a final slash"),
    ({"notification_email": "root@localhost }"}, "notification_email: 'root@localhost }' is not a mail address; write it as root@localhost"),
    ({"virtual_router": 1}, "virtual_router: unknown setting; did you mean virtual_router_id?"),
    ({"auth_pass_file": "/nowhere"}, "auth_pass_file: /nowhere can't be read (No such file or directory); write the VRRP password of 1 to 8 characters into it"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), BAD, ids=[line.partition(";")[0] for _, line in BAD])
def test_bad_values(settings: Settings, change: Settings, line: str) -> None:
    with pytest.raises(ClusterError) as error:
        define(**{**settings, **change})
    assert error.value.args == (line,)


@pytest.mark.parametrize("field", ["network", "interface", "vip", "inputs", "senders", "auth_pass_file"])
def test_missing_fields(settings: Settings, field: str) -> None:
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
    assert line.startswith(f"auth_pass: {settings['auth_pass_file']} {reason}")
    assert not secret or secret not in line


def test_the_shipped_inventory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DIR", str(Path(settings["auth_pass_file"]).parent))
    inventory = runpy.run_path(str(Path(__file__).parents[2] / "inventory.py"))
    assert inventory["nodes"][0] == [("stash1", {}), ("stash2", {})]
    assert inventory["senders"][0] == ["sender"]
