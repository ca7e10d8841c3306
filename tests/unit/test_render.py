"""What the templates render, read back by parsers, for clusters of several sizes."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from logstash_pipeline_parser import Pipeline

from desired import firewalld, health, keepalived, logstash, packages, sysctl
from desired.files import desired_files
from desired.textfile import TextFile
from tests.unit.clusters import PASSWORD, make_cluster

IPV6 = {
    "nodes": [{"name": f"stash{n}", "address": f"fd77::1{n}"} for n in (1, 2)],
    "network": "fd77::/64",
    "vip": "fd77::10",
    "senders": ["fd77::/64"],
    "vrrp": 3,
}
BOTH = {
    "nodes": [{"name": f"stash{n}", "address": [f"10.77.0.1{n}", f"fd77::1{n}"]} for n in (1, 2)],
    "network": ["10.77.0.0/24", "fd77::/64"],
    "vip": ["10.77.0.10", "fd77::10"],
    "vrrp": 3,
}


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


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_keepalived_of_many_nodes(tmp_path: Path, nodes: int) -> None:
    inputs = [{"id": "udp-5514", "port": 5514}, {"id": "netflow", "port": 2055}]
    cluster = make_cluster(tmp_path, nodes, inputs=inputs, virtual_router_id=51, interface="ens33")
    addresses = [str(node.address) for node in cluster.nodes]
    for node in cluster.nodes:
        conf = parse_keepalived(desired_files(cluster, node, 9)[keepalived.CONF].content)
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
            for member in cluster.nodes:
                real = only(server, f"real_server {member.address} {port}")
                assert [each for each in real if isinstance(each, tuple)] == [
                    ("FILE_CHECK", [f"track_file {member.name}/{id}"]),
                    ("FILE_CHECK", [f"track_file reduction/{member.name}/{id}", "weight -1"]),
                ]
                assert only(conf, f"track_file {member.name}/{id}") == [
                    f"file /run/keepalived-health/{member.address}/{id}",
                    "weight 0",
                ]


@pytest.mark.parametrize(
    ("scheduler", "weights", "found"),
    [
        ("rr", {}, {"10.77.0.11": (1, None), "10.77.0.12": (1, None)}),
        ("wrr", {"stash1": 3}, {"10.77.0.11": (300, -3), "10.77.0.12": (100, -1)}),
        ("wlc", {"stash1": 0}, {"10.77.0.11": (0, None), "10.77.0.12": (100, -1)}),
        ("sh", {"stash1": 3}, {"10.77.0.11": (3, None), "10.77.0.12": (1, None)}),
    ],
)
def test_a_percent_of_a_node_s_weight_is_a_whole_number(
    tmp_path: Path, scheduler: str, weights: dict[str, int], found: dict[str, tuple[int, int | None]]
) -> None:
    inputs = [{"id": "a", "port": 5514, "scheduler": scheduler, "weights": weights}]
    cluster = make_cluster(tmp_path, inputs=inputs)
    files = desired_files(cluster, cluster.nodes[0], 9)
    conf = parse_keepalived(files[keepalived.CONF].content)
    server = only(conf, "virtual_server 10.77.0.10 5514")
    for node in cluster.nodes:
        weight, step = found[str(node.address)]
        real = only(server, f"real_server {node.address} 5514")
        checks = [each[1] for each in real if isinstance(each, tuple)]
        assert f"weight {weight}" in real
        assert checks == [
            [f"track_file {node.name}/a"],
            *([[f"track_file reduction/{node.name}/a", f"weight {step}"]] if step else []),
        ]
        file = f"/run/keepalived-health/reductions/{node.address}/a"
        if scheduler in ("wrr", "wlc"):
            assert only(conf, f"track_file reduction/{node.name}/a") == [f"file {file}"]
        assert (f"f {file} 0644" in files[health.TMPFILES].content) is (scheduler in ("wrr", "wlc"))


def instance_of(tmp_path: Path, **settings: Any) -> list[Any]:
    """The first VRRP instance of the second of three nodes."""
    cluster = make_cluster(tmp_path, 3, **settings)
    conf = parse_keepalived(desired_files(cluster, cluster.nodes[1], 9)[keepalived.CONF].content)
    return only(conf, "vrrp_instance VI_1")


def test_multicast_has_no_peers(tmp_path: Path) -> None:
    titles = [
        each[0] if isinstance(each, tuple) else each for each in instance_of(tmp_path, transport="multicast")
    ]
    assert not [title for title in titles if title.startswith("unicast")]


def test_a_master_that_does_not_come_back(tmp_path: Path) -> None:
    assert {"state BACKUP", "nopreempt"} < set(map(str, instance_of(tmp_path, preempt=False)))


def test_vrrp_3_has_no_password_and_hundredths(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, advert_interval=0.05)
    conf = parse_keepalived(desired_files(cluster, cluster.nodes[1], 9)[keepalived.CONF].content)
    assert "vrrp_version 3" in only(conf, "global_defs")
    instance = only(conf, "vrrp_instance VI_1")
    assert "advert_int 0.05" in instance
    assert "authentication" not in [each[0] for each in instance if isinstance(each, tuple)]


def test_keepalived_sends_no_mail_by_default(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    conf = desired_files(cluster, cluster.nodes[1], 9)[keepalived.CONF].content
    assert "smtp" not in conf
    assert "email" not in conf


def test_mail_goes_to_the_server_that_the_inventory_names(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, notification_email="ops@example.com", smtp_server="192.0.2.25")
    conf = parse_keepalived(desired_files(cluster, cluster.nodes[1], 9)[keepalived.CONF].content)
    definitions = only(conf, "global_defs")
    assert "smtp_server 192.0.2.25" in definitions
    assert only(definitions, "notification_email") == ["ops@example.com"]
    assert "smtp_alert false" in only(conf, "virtual_server fwmark 1819501665")


def test_several_vips_are_shared_out(tmp_path: Path) -> None:
    """Each of the first nodes comes first for one of them, and all have them all."""
    cluster = make_cluster(tmp_path, 3, vip=["10.77.0.20", "10.77.0.30"], virtual_router_id=51)
    found = {}
    for node in cluster.nodes:
        conf = parse_keepalived(desired_files(cluster, node, 9)[keepalived.CONF].content)
        for name, vip in (("VI_1", "10.77.0.20"), ("VI_2", "10.77.0.30")):
            instance = only(conf, f"vrrp_instance {name}")
            assert only(instance, "virtual_ipaddress") == [f"{vip}/32"]
            found[node.name, name] = [
                each for each in instance if str(each).startswith(("prio", "virtual_r"))
            ]
    assert found == {
        ("stash1", "VI_1"): ["virtual_router_id 51", "priority 254"],
        ("stash2", "VI_1"): ["virtual_router_id 51", "priority 244"],
        ("stash3", "VI_1"): ["virtual_router_id 51", "priority 234"],
        ("stash1", "VI_2"): ["virtual_router_id 52", "priority 234"],
        ("stash2", "VI_2"): ["virtual_router_id 52", "priority 254"],
        ("stash3", "VI_2"): ["virtual_router_id 52", "priority 244"],
    }


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
    service = desired_files(cluster, cluster.nodes[0], el)[health.FILE].content
    assert re.findall("^ExecStart=(.*)$", service, re.MULTILINE) == [
        f"{python} {health.SERVICE} {health.SETTINGS}"
    ]


@pytest.mark.parametrize("el", [7, 8])
def test_a_keepalived_that_follows_no_files_looks_at_them(tmp_path: Path, el: int) -> None:
    inputs = [{"id": "udp-5514", "port": 5514, "scheduler": "rr"}]
    cluster = make_cluster(tmp_path, inputs=inputs)
    conf = desired_files(cluster, cluster.nodes[0], el)[keepalived.CONF].content
    assert "FILE_CHECK" not in conf
    assert ("link_fault weight 0" in conf) == (el > 7)
    assert re.findall('misc_path "(.*)"', conf) == [
        *(f"/usr/bin/test ! -s /run/keepalived-health/{node.address}/udp-5514" for node in cluster.nodes),
        f"/usr/bin/test ! -s {health.SPARE_VERDICT}",
    ]
    assert "misc_dynamic" not in conf


@pytest.mark.parametrize(
    ("verdict", "reduction", "status"),
    [
        ("", "", 0),
        (None, None, 0),
        ("", "0\n", 102),
        ("", "50\n", 52),
        ("", "99\n", 3),
        ("1\n", "", 1),
        ("1\n", "50\n", 1),
    ],
)
@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("el", [7, 8])
def test_it_takes_a_weight_from_the_exit_status_of_a_check(
    tmp_path: Path, el: int, shell: str, verdict: str | None, reduction: str | None, status: int
) -> None:
    """By 2 more than the weight; 0 says none, and 1 that the input is down."""
    cluster = make_cluster(tmp_path)
    files = desired_files(cluster, cluster.nodes[0], el)
    server = only(parse_keepalived(files[keepalived.CONF].content), "virtual_server 10.77.0.10 5514")
    check = only(only(server, "real_server 10.77.0.11 5514"), "MISC_CHECK")
    assert "misc_dynamic" in check
    (words,) = (
        shlex.split(found.group(1)) for line in check if (found := re.fullmatch('misc_path "(.*)"', line))
    )
    assert words[:2] == ["/usr/bin/sh", "-c"]
    code = words[2]
    for content, path in (
        (reduction, health.reduction(cluster.nodes[0], "udp-5514")),
        (verdict, health.verdict(cluster.nodes[0], "udp-5514")),
    ):
        assert f"f {path} 0644 keepalived_script" in files[health.TMPFILES].content
        here = tmp_path / path.replace("/", "_")
        code = code.replace(path, str(here))
        if content is not None:
            here.write_text(content)
    assert subprocess.run([shell, "-c", code], check=False).returncode == status


def test_a_weight_that_no_exit_status_can_say_never_changes(tmp_path: Path) -> None:
    """From 126 on a shell says by it that it could not run something."""
    inputs = [{"id": "a", "port": 5514, "weights": {"stash1": 2}}, {"id": "b", "port": 5515}]
    cluster = make_cluster(tmp_path, inputs=inputs)
    files = desired_files(cluster, cluster.nodes[0], 8)
    conf = parse_keepalived(files[keepalived.CONF].content)
    dynamic = {
        port: "misc_dynamic"
        in only(
            only(only(conf, f"virtual_server 10.77.0.10 {port}"), f"real_server 10.77.0.12 {port}"),
            "MISC_CHECK",
        )
        for port in (5514, 5515)
    }
    assert dynamic == {5514: False, 5515: True}
    settings = json.loads(files[health.SETTINGS].content)["nodes"]["10.77.0.12"]
    assert (settings["a"]["reduction"] is None, settings["b"]["reduction"] is None) == (True, False)


@pytest.mark.parametrize(
    ("el", "user"),
    [(7, "root"), (8, "keepalived_script"), (9, "keepalived_script"), (10, "keepalived_script")],
)
def test_who_runs_keepalived_s_checks(tmp_path: Path, el: int, user: str) -> None:
    """EL 7's policy does not let keepalived become anybody else, and a check that does not start counts as passed."""
    inputs = [{"id": "a", "port": 5514}, {"id": "b", "port": 5515, "scheduler": "rr"}]
    cluster = make_cluster(tmp_path, vrrp=2, inputs=inputs)
    conf = desired_files(cluster, cluster.nodes[0], el)[keepalived.CONF].content
    assert re.findall("script_user (.*)", conf) == [user]
    assert set(re.findall('misc_path "(\\S+) ', conf)) == (
        {"/usr/bin/test", "/usr/bin/sh"} if el < 9 else set()
    )


@pytest.mark.parametrize("vrrp", [2, 3])
@pytest.mark.parametrize("el", [7, 8, 9, 10])
def test_a_keepalived_that_starts_is_kept_in_fault_by_the_link_flag(
    tmp_path: Path, el: int, vrrp: int
) -> None:
    """Not by vrrp_startup_delay: 2.1.5 (EL 8) crashes when the flag changes meanwhile, and 2.2.8 (EL 9 and 10) is deaf to
    adverts after a reload in that time."""
    cluster = make_cluster(tmp_path, vrrp=vrrp)
    files = desired_files(cluster, cluster.nodes[0], el)
    assert "startup_delay" not in files[keepalived.CONF].content
    raised = (
        f'ExecStartPre=-/bin/sh -c "systemctl is-active --quiet {health.UNIT} && echo 1 >{health.LINK_FAULT}"\n'
        in files[keepalived.DROP_IN].content
    )
    assert raised == (el > 7 and vrrp == 3)


def test_a_keepalived_that_follows_no_file_runs_a_script_for_a_maintenance(tmp_path: Path) -> None:
    """1.3.5 of EL 7. The others follow the file (`test_link_flag`)."""
    cluster = make_cluster(tmp_path, vrrp=2)
    conf = parse_keepalived(desired_files(cluster, cluster.nodes[0], 7)[keepalived.CONF].content)
    assert only(conf, "vrrp_script maintenance") == [
        'script "/usr/bin/test ! -s /run/keepalived-health/maintenance"',
        "interval 1",
        "timeout 10",
        "weight 0",
    ]
    assert ("track_script", ["maintenance"]) in only(conf, "vrrp_instance VI_1")
    assert "track_file" not in str(conf)


def test_in_a_sync_group_it_is_the_group_that_follows_the_link(tmp_path: Path) -> None:
    """2.1.5 drops the `track_file` of an instance in a group, and does not say so."""
    vips = ["10.77.0.20", "10.77.0.30", "fd00:77::20"]
    cluster = make_cluster(
        tmp_path,
        nodes=[{"name": f"stash{n}", "address": [f"10.77.0.1{n}", f"fd00:77::1{n}"]} for n in (1, 2)],
        network=["10.77.0.0/24", "fd00:77::/64"],
        vip=vips,
    )
    conf = parse_keepalived(desired_files(cluster, cluster.nodes[0], 8)[keepalived.CONF].content)
    follows = ("track_file", ["maintenance weight 0", "link_fault weight 0"])
    assert only(conf, "vrrp_sync_group VG_1") == [("group", ["VI_1", "VI6_1"]), follows]
    found = {name: follows in only(conf, f"vrrp_instance {name}") for name in ("VI_1", "VI6_1", "VI_2")}
    assert found == {"VI_1": False, "VI6_1": False, "VI_2": True}


@pytest.mark.parametrize("el", [7, 8, 9])
def test_the_spare_verdict_counts_for_no_event(tmp_path: Path, el: int) -> None:
    """It is read as the others are, and no packet has the mark of its virtual server."""
    cluster = make_cluster(tmp_path, vrrp=2)
    files = desired_files(cluster, cluster.nodes[0], el)
    conf = parse_keepalived(files[keepalived.CONF].content)
    (real_server,) = [
        block[1]
        for block in only(conf, f"virtual_server fwmark {keepalived.SPARE_MARK}")
        if isinstance(block, tuple)
    ]
    if el < 9:
        (check,) = [
            only(block[1], "MISC_CHECK")
            for block in only(conf, "virtual_server 10.77.0.10 5514")
            if block[0] == "real_server 10.77.0.11 5514"
        ]
        verdict = health.verdict(cluster.nodes[0], "udp-5514")
        reduction = health.reduction(cluster.nodes[0], "udp-5514")
        said = [
            line.replace(verdict, health.SPARE_VERDICT).replace(reduction, health.SPARE_REDUCTION)
            for line in check
        ]
        assert only(real_server, "MISC_CHECK") == said
        assert "weight 100" in real_server
        assert f"f {health.SPARE_REDUCTION} 0644 root root -\n" in files[health.TMPFILES].content
    else:
        assert only(conf, "track_file spare") == [f"file {health.SPARE_VERDICT}", "weight 0"]
        assert only(real_server, "FILE_CHECK") == ["track_file spare"]
    assert f"f {health.SPARE_VERDICT} 0644 root root -\n" in files[health.TMPFILES].content
    assert health.SPARE_VERDICT not in files[health.SETTINGS].content


def test_the_health_service_asks_for_what_keepalived_reads(tmp_path: Path) -> None:
    """Each verdict is written by the one, made by systemd-tmpfiles, and read by the other."""
    inputs = [{"id": "udp-5514", "port": 5514}, {"id": "syslog", "port": 5515, "protocol": "both"}]
    cluster = make_cluster(tmp_path, 3, inputs=inputs)
    files = desired_files(cluster, cluster.nodes[0], 9)
    settings = json.loads(files[health.SETTINGS].content)
    ports = {"udp-5514": [("udp", 5514)], "syslog-udp": [("udp", 5515)], "syslog-tcp": [("tcp", 5515)]}
    assert {
        node: {
            id: [(each["protocol"], each["port"]) for each in input["sockets"]]
            for id, input in inputs.items()
        }
        for node, inputs in settings["nodes"].items()
    } == {str(node.address): ports for node in cluster.nodes}
    written = {
        input[file]
        for inputs in settings["nodes"].values()
        for input in inputs.values()
        for file in ("verdict", "reduction")
    }
    assert len(written) == 18
    assert set(re.findall("^    file (.*)$", files[keepalived.CONF].content, re.MULTILINE)) == {
        *written,
        health.LINK_FAULT,
        health.MAINTENANCE_FLAG,
        health.SPARE_VERDICT,
    }
    assert settings["nodes"]["10.77.0.11"]["udp-5514"] | {"sockets": []} == {
        "sockets": [],
        "verdict": "/run/keepalived-health/10.77.0.11/udp-5514",
        "reduction": "/run/keepalived-health/reductions/10.77.0.11/udp-5514",
        "weight": 1,
        "holds": 14563,
    }
    assert settings["nodes"]["10.77.0.11"]["syslog-tcp"]["holds"] is None
    assert settings["cold"] == {"rate": 1000, "seconds": 12}
    assert settings["links"] == [
        {"interface": "eth0", "addresses": ["10.77.0.11"], "fault": health.LINK_FAULT}
    ]
    assert (settings["reasons"], settings["peers"]) == (health.REASONS, health.PEERS)
    assert settings["maintenance"] == health.MAINTENANCE_FLAG
    assert (settings["vips"], settings["key"]) == (["10.77.0.10"], health.KEY)
    assert set(re.findall("^f (\\S+) ", files[health.TMPFILES].content, re.MULTILINE)) == {
        *written,
        health.LINK_FAULT,
        health.MAINTENANCE_FLAG,
        health.SPARE_VERDICT,
        health.REASONS,
        health.PEERS,
    }


@pytest.mark.parametrize(("major", "api"), [(6, "http"), (7, "http"), (8, "api.http"), (9, "api.http")])
def test_logstash_yml(tmp_path: Path, major: int, api: str) -> None:
    cluster = make_cluster(tmp_path, logstash=major)
    assert yaml.safe_load(desired_files(cluster, cluster.nodes[1], 9)[logstash.SETTINGS].content) == {
        "path.data": "/var/lib/logstash",
        "path.logs": "/var/log/logstash",
        f"{api}.host": "10.77.0.12",
        f"{api}.port": 9600,
    }


def test_logstash_yml_with_a_queue_on_disk(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, queue="persisted", queue_max_bytes="8g", pipeline_workers=8)
    settings = yaml.safe_load(desired_files(cluster, cluster.nodes[1], 9)[logstash.SETTINGS].content)
    assert {key: settings[key] for key in ("queue.type", "queue.max_bytes", "pipeline.workers")} == {
        "queue.type": "persisted",
        "queue.max_bytes": "8gb",
        "pipeline.workers": 8,
    }


def test_logstash_yml_with_escapes_and_further_settings(tmp_path: Path) -> None:
    further = {"config.reload.automatic": True, "node.name": "<%= node.name %>"}
    cluster = make_cluster(tmp_path, support_escapes=True, logstash_settings=further)
    settings = yaml.safe_load(desired_files(cluster, cluster.nodes[1], 9)[logstash.SETTINGS].content)
    names = ("config.support_escapes", "config.reload.automatic", "node.name")
    assert [settings[name] for name in names] == [True, True, "stash2"]


def inputs_of(files: dict[str, TextFile], pipeline: str = "main") -> list[Any]:
    """What the deploy's own file of a pipeline has in its input section."""
    (own,) = (
        file
        for path, file in files.items()
        if path.endswith(f"{'conf.d' if pipeline == 'main' else pipeline}/logstash-ha.conf")
    )
    sections = dict(Pipeline(own.content).parse())
    return [(name, {key: value[0] for key, value in options}) for name, options in sections["input"]]


def test_an_inputs_settings(tmp_path: Path) -> None:
    """Those of UDP's plugin are not given to TCP's, which does not know them."""
    options = {"codec": "json", "type": "edge", "tags": ["a", "b"]}
    udp = {"workers": 2, "queue_size": 100, "receive_buffer_bytes": 4096}
    one = {"id": "a", "port": 514, "server_port": 5514, "protocol": "both", **options, **udp}
    cluster = make_cluster(tmp_path, inputs=[one])
    meanings = {"codec": "json", "type": "edge", "tags": ["a", "b"]}
    common = {"host": cluster.nodes[0].address, "port": 5514, **meanings}
    found = inputs_of(desired_files(cluster, cluster.nodes[0], 9))
    assert [(name, {**options, "tags": [*options["tags"]]}) for name, options in found] == [
        ("udp", {"id": "a-udp", **common, **udp}),
        ("tcp", {"id": "a-tcp", **common, "dns_reverse_lookup_enabled": False}),
    ]


def test_a_rate_sizes_the_receive_buffer(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, inputs=[{"id": "a", "port": 5514, "events_per_second": 4000}])
    ((_, options),) = inputs_of(desired_files(cluster, cluster.nodes[0], 9))
    assert options["receive_buffer_bytes"] == 53 << 20


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "10.77.0.12"),
        ({"inputs": [{"id": "a", "port": 5514, "forwarding": "dr"}]}, "0.0.0.0"),
        (IPV6, "fd77::12"),
        ({**IPV6, "inputs": [{"id": "a", "port": 5514, "forwarding": "dr"}]}, "::"),
        (BOTH, "::"),
    ],
)
def test_where_an_input_listens(tmp_path: Path, settings: dict[str, Any], host: str) -> None:
    cluster = make_cluster(tmp_path, **settings)
    assert [
        str(options["host"]) for _, options in inputs_of(desired_files(cluster, cluster.nodes[1], 9))
    ] == [host]


def test_pipelines(tmp_path: Path) -> None:
    """The sample output is where no file of the user's is, and each pipeline has a folder."""
    (tmp_path / "own" / "audit").mkdir(parents=True)
    (tmp_path / "own" / "audit" / "out.conf").write_text('output { stdout { id => "<%= node.name %>" } }\n')
    inputs = [{"id": "a", "port": 5514, "pipeline": "yes"}, {"id": "b", "port": 5515, "pipeline": "audit"}]
    cluster = make_cluster(tmp_path, inputs=inputs, pipelines=tmp_path / "own")
    files = desired_files(cluster, cluster.nodes[1], 9)
    assert yaml.safe_load(files[logstash.PIPELINES].content) == [
        {"pipeline.id": "yes", "path.config": "/etc/logstash/pipelines.d/yes/*.conf"},
        {"pipeline.id": "audit", "path.config": "/etc/logstash/pipelines.d/audit/*.conf"},
    ]
    assert (
        files["/etc/logstash/pipelines.d/audit/out.conf"].content == 'output { stdout { id => "stash2" } }\n'
    )
    assert 'path => "/var/log/logstash/events-yes.json"' in files[logstash.own_file(cluster, "yes")].content
    assert "output" not in files[logstash.own_file(cluster, "audit")].content
    assert logstash.own_file(cluster, "main") not in files


def test_pipelines_yml_is_elastics_where_there_is_one_pipeline(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    assert logstash.PIPELINES not in desired_files(cluster, cluster.nodes[0], 9)


def test_the_heap_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text('KEY=a "b" $c `d` \\e\n')
    cluster = make_cluster(tmp_path, heap="4g", environment_file=file)
    files = desired_files(cluster, cluster.nodes[0], 9)
    assert [line for line in files[logstash.DROP_IN].content.splitlines() if not line.startswith("#")] == [
        "[Unit]",
        "After=logstash-ha-health.service",
        "",
        "[Service]",
        "Nice=0",
        "EnvironmentFile=/etc/logstash/logstash-ha.env",
    ]
    assert files[logstash.ENVIRONMENT].content.splitlines()[1:] == [
        r'KEY="a \"b\" \$c \`d\` \\e"',
        'LS_JAVA_OPTS="-Xms4g -Xmx4g"',
    ]
    assert (files[logstash.ENVIRONMENT].mode, files[logstash.ENVIRONMENT].secret) == ("600", True)


def test_the_heap_is_in_the_file_that_systemd_reads_last(tmp_path: Path) -> None:
    """A file wins over `Environment`, and the package's unit reads /etc/default/logstash and /etc/sysconfig/logstash."""
    cluster = make_cluster(tmp_path, heap="512m")
    files = desired_files(cluster, cluster.nodes[0], 9)
    lines = files[logstash.DROP_IN].content.splitlines()
    assert lines[-1] == f"EnvironmentFile={logstash.ENVIRONMENT}"
    assert not [line for line in lines if line.startswith("Environment=")]
    assert files[logstash.ENVIRONMENT].content.splitlines()[1:] == ['LS_JAVA_OPTS="-Xms512m -Xmx512m"']
    assert files[logstash.ENVIRONMENT].secret
    assert logstash.ENVIRONMENT not in desired_files(make_cluster(tmp_path), cluster.nodes[0], 9)


def test_repository(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, logstash=9, artifacts_url="http://10.77.0.1:8080/elastic")
    repository = configparser.ConfigParser()
    repository.read_string(desired_files(cluster, cluster.nodes[0], 9)[packages.REPOSITORY].content)
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


def test_a_repository_behind_a_proxy_that_is_off(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, proxy="http://10.77.0.1:3128", exclusive=True)
    lines = desired_files(cluster, cluster.nodes[0], 9)[packages.REPOSITORY].content.splitlines()
    assert {"proxy=http://10.77.0.1:3128", "enabled=0"} < set(lines)


def test_sysctl(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    lines = desired_files(cluster, cluster.nodes[0], 9)[sysctl.FILE].content.splitlines()
    assert lines[1:] == [
        "net.ipv4.ip_forward = 1",
        "net.ipv4.conf.all.forwarding = 1",
        "net.ipv4.conf.eth0.forwarding = 1",
        "net.ipv4.ip_nonlocal_bind = 1",
        "net.core.rmem_max = 16777216",
    ]


def test_only_keepalived_conf_has_the_password(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, vrrp=2)
    files = desired_files(cluster, cluster.nodes[0], 9)
    assert [path for path, file in files.items() if PASSWORD in file.content] == [keepalived.CONF]


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_firewall_rules_of_many_nodes(tmp_path: Path, nodes: int) -> None:
    inputs = [{"id": "udp-5514", "port": 5514}, {"id": "netflow", "port": 2055}]
    cluster = make_cluster(tmp_path, nodes, inputs=inputs, senders=["10.77.0.101", "192.0.2.0/24"])
    rules = firewalld.rules(cluster, cluster.nodes[0])
    assert len(rules) == len(set(rules)) == 2 * nodes + 3 * (nodes - 1) + 2 * 2 * 2
    assert sum('source address="192.0.2.0/24"' in rule for rule in rules) == 4
