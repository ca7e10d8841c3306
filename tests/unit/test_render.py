"""What the templates render, read back by parsers, for clusters of several sizes."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from logstash_pipeline_parser import Pipeline

from operations import firewalld, keepalived, logstash, packages, sysctl
from templates import meant
from tests.unit.clusters import PASSWORD, make_cluster


def parse_keepalived(text: str) -> list[Any]:
    """keepalived.conf(5): each line is a keyword with its words, or opens a block that a `}` line closes."""
    stack: list[list[Any]] = [[]]
    for line in text.splitlines():
        words = line.split("#")[0].strip()
        if words.endswith("{"):
            block: list[Any] = []
            stack[-1].append((words[:-1].strip(), block))
            stack.append(block)
        elif words == "}":
            stack.pop()
        elif words:
            stack[-1].append(words)
    assert len(stack) == 1, "a block is not closed"
    return stack[0]


def only(block: list[Any], name: str) -> list[Any]:
    """The contents of the only block of that name."""
    (found,) = (
        content for title, content in (each for each in block if isinstance(each, tuple)) if title == name
    )
    assert isinstance(found, list)
    return found


def test_keepalived_of_the_recipe(tmp_path: Path) -> None:
    """The recipe's step 7, with nothing beyond it but what the template's comments name."""
    cluster = make_cluster(tmp_path)
    assert parse_keepalived(meant(cluster, cluster.nodes[1], 9)[keepalived.CONF].content) == [
        (
            "global_defs",
            [
                ("notification_email", ["root@localhost"]),
                "smtp_server localhost",
                "smtp_connect_timeout 30",
                "router_id stash2",
                "script_user keepalived_script",
                "enable_script_security",
            ],
        ),
        (
            "vrrp_instance VI_1",
            [
                "state MASTER",
                "interface eth0",
                "virtual_router_id 1",
                "priority 100",
                "advert_int 1",
                "unicast_src_ip 10.77.0.12",
                ("unicast_peer", ["10.77.0.11"]),
                ("authentication", ["auth_type PASS", f"auth_pass {PASSWORD}"]),
                ("virtual_ipaddress", ["10.77.0.10/32"]),
            ],
        ),
        (
            "virtual_server 10.77.0.10 5514",
            [
                *("delay_loop 5", "lb_algo rr", "lb_kind NAT", "protocol UDP", "ops"),
                *(
                    (
                        f"real_server {address} 5514",
                        [
                            "weight 1",
                            (
                                "MISC_CHECK",
                                [
                                    'misc_path "/usr/bin/python3 /etc/keepalived/check_logstash_input.py '
                                    f'{address} udp-5514"',
                                    "misc_timeout 4",
                                ],
                            ),
                        ],
                    )
                    for address in ("10.77.0.11", "10.77.0.12")
                ),
            ],
        ),
    ]


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_keepalived_of_many_nodes(tmp_path: Path, nodes: int) -> None:
    inputs = [{"id": "udp-5514", "port": 5514}, {"id": "netflow", "port": 2055}]
    cluster = make_cluster(tmp_path, nodes, inputs=inputs, virtual_router_id=51, interface="ens33")
    addresses = [str(node.address) for node in cluster.nodes]
    for node in cluster.nodes:
        conf = parse_keepalived(meant(cluster, node, 9)[keepalived.CONF].content)
        instance = only(conf, "vrrp_instance VI_1")
        assert {"virtual_router_id 51", "interface ens33", f"unicast_src_ip {node.address}"} < set(
            map(str, instance)
        )
        assert only(instance, "unicast_peer") == [each for each in addresses if each != str(node.address)]
        for id, port in (("udp-5514", 5514), ("netflow", 2055)):
            server = only(conf, f"virtual_server 10.77.0.10 {port}")
            assert [each[0] for each in server if isinstance(each, tuple)] == [
                f"real_server {address} {port}" for address in addresses
            ]
            for address in addresses:
                check = only(only(server, f"real_server {address} {port}"), "MISC_CHECK")
                assert check[0].endswith(f'.py {address} {id}"')


@pytest.mark.parametrize(
    ("el", "python"),
    [
        (7, "/usr/bin/python"),
        (8, "/usr/libexec/platform-python"),
        (9, "/usr/bin/python3"),
        (10, "/usr/bin/python3"),
    ],
)
def test_the_python_of_each_el(tmp_path: Path, el: int, python: str) -> None:
    cluster = make_cluster(tmp_path)
    paths = re.findall('misc_path "(.*?) ', meant(cluster, cluster.nodes[0], el)[keepalived.CONF].content)
    assert paths == [python] * 2


@pytest.mark.parametrize(("major", "api"), [(6, "http"), (7, "http"), (8, "api.http"), (9, "api.http")])
def test_logstash_yml(tmp_path: Path, major: int, api: str) -> None:
    cluster = make_cluster(tmp_path, logstash=major)
    assert yaml.safe_load(meant(cluster, cluster.nodes[1], 9)[logstash.SETTINGS].content) == {
        "path.data": "/var/lib/logstash",
        "path.logs": "/var/log/logstash",
        f"{api}.host": "10.77.0.12",
        f"{api}.port": 9600,
    }


def test_pipeline(tmp_path: Path) -> None:
    cluster = make_cluster(
        tmp_path, inputs=[{"id": "udp-5514", "port": 5514}, {"id": "netflow", "port": 2055}]
    )
    assert Pipeline(meant(cluster, cluster.nodes[0], 9)[logstash.PIPELINE].content).parse() == [
        [
            "input",
            [
                ["udp", [["id", [id]], ["host", [cluster.nodes[0].address]], ["port", [port]]]]
                for id, port in (("udp-5514", 5514), ("netflow", 2055))
            ],
        ],
        [
            "output",
            [["file", [["path", [Path("/var/log/logstash/events.json")]], ["codec", ["json_lines"]]]]],
        ],
    ]


def test_repository(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, logstash=9, artifacts_url="http://10.77.0.1:8080/elastic")
    repository = configparser.ConfigParser()
    repository.read_string(meant(cluster, cluster.nodes[0], 9)[packages.REPOSITORY].content)
    assert repository.sections() == ["logstash-9.x"]
    assert dict(repository["logstash-9.x"]) == {
        "name": "Elastic repository for 9.x packages",
        "baseurl": "http://10.77.0.1:8080/elastic/packages/9.x/yum",
        "gpgcheck": "1",
        "gpgkey": "http://10.77.0.1:8080/elastic/GPG-KEY-elasticsearch",
        "enabled": "1",
        "autorefresh": "1",
        "type": "rpm-md",
    }


def test_sysctl(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    lines = meant(cluster, cluster.nodes[0], 9)[sysctl.FILE].content.splitlines()
    assert lines[1:] == ["net.ipv4.ip_forward = 1", "net.ipv4.ip_nonlocal_bind = 1"]


def test_every_file_ends_its_last_line(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    for file in meant(cluster, cluster.nodes[0], 9).values():
        assert file.content.endswith("\n")
        assert not file.content.endswith("\n\n")


def test_only_keepalived_conf_has_the_password(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    files = meant(cluster, cluster.nodes[0], 9)
    assert [path for path, file in files.items() if PASSWORD in file.content] == [keepalived.CONF]


def test_firewall_rules_of_the_recipe(tmp_path: Path) -> None:
    """The recipe's step 9, on the second node."""
    cluster = make_cluster(tmp_path)
    own, vip = 'destination address="10.77.0.12"', 'destination address="10.77.0.10"'
    assert firewalld.rules(cluster, cluster.nodes[1]) == [
        'rule family="ipv4" source address="10.77.0.11" protocol value="vrrp" accept',
        'rule family="ipv4" source address="10.77.0.12" protocol value="vrrp" accept',
        f'rule family="ipv4" source address="10.77.0.11" {own} port port="9600" protocol="tcp" accept',
        f'rule family="ipv4" source address="10.77.0.12" {own} port port="9600" protocol="tcp" accept',
        f'rule family="ipv4" source address="10.77.0.101" {own} port port="5514" protocol="udp" accept',
        f'rule family="ipv4" source address="10.77.0.101" {vip} port port="5514" protocol="udp" accept',
    ]


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_firewall_rules_of_many_nodes(tmp_path: Path, nodes: int) -> None:
    inputs = [{"id": "udp-5514", "port": 5514}, {"id": "netflow", "port": 2055}]
    cluster = make_cluster(tmp_path, nodes, inputs=inputs, senders=["10.77.0.101", "192.0.2.0/24"])
    rules = firewalld.rules(cluster, cluster.nodes[0])
    assert len(rules) == len(set(rules)) == 2 * nodes + 2 * 2 * 2
    assert sum('source address="192.0.2.0/24"' in rule for rule in rules) == 4
