"""What a node had before its first deploy: it is told, and adopted or replaced as the inventory says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import ClusterError
from desired import keepalived, keepalived_conf, logstash
from desired.existing import kept_files, keys, objections
from desired.files import desired_files
from desired.packages import package_names
from desired.paths import RECORD
from facts.others import OthersState
from operations import existing, files
from tests.unit import judges
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine

# As keepalived's RPM has it.
SAMPLE = """\
! Configuration File for keepalived

global_defs {
   notification_email {
     acassen@firewall.loc
   }
   router_id LVS_DEVEL
   vrrp_strict
}

vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        192.168.200.16
        192.168.200.17
    }
}

virtual_server 192.168.200.100 443 {
    delay_loop 6
    real_server 192.168.201.100 443 {
        weight 1
        SSL_GET {
            url {
              path /
            }
        }
    }
}
virtual_server 10.10.10.2 1358 {
    protocol TCP
}
"""
THEIRS = """\
global_defs { router_id lb1
  script_user root }   # a comment with a }
vrrp_instance HAPROXY {
    version 2
    interface bond0
    virtual_router_id 12
    authentication { auth_type PASS
        auth_pass s3cret
    }
    virtual_ipaddress { 192.0.2.80/24 dev bond0 }
}
virtual_server 192.0.2.80 443
{
    protocol TCP
}
"""
CONF_D = "/etc/logstash/conf.d"


def others(**found: Any) -> OthersState:
    return OthersState(first=True, **found)


def said(folder: Path, state: OthersState, **settings: Any) -> list[str]:
    cluster = make_cluster(folder, **settings)
    found = objections(cluster, cluster.nodes[0], state, set(desired_files(cluster, cluster.nodes[0], 9)))
    return [f"{objection.what}; {objection.do}" for objection in found]


def test_the_sample_of_the_package_is_nobodys(tmp_path: Path) -> None:
    assert said(tmp_path, others(keepalived=SAMPLE.splitlines())) == []
    edited = SAMPLE.replace("192.168.200.16", "192.0.2.80")
    assert [block.title for block in keepalived_conf.foreign(keepalived_conf.parse(edited.splitlines()))] == [
        "vrrp_instance VI_1"
    ]


def test_blocks_are_read_wherever_their_braces_are() -> None:
    blocks = keepalived_conf.parse(THEIRS.splitlines())
    assert [block.title for block in blocks] == [
        "global_defs",
        "vrrp_instance HAPROXY",
        "virtual_server 192.0.2.80 443",
    ]
    assert blocks[1].value("virtual_router_id") == "12"
    assert keepalived_conf.servers(blocks) == {"TCP 192.0.2.80:443"}
    assert keepalived_conf.parse(["a {", "b }", "}", "c"])[1].title == "c"


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"keepalived": THEIRS.splitlines()}, "/etc/keepalived/keepalived.conf has vrrp_instance HAPROXY, virtual_server 192.0.2.80 443, which would be gone; set existing='adopt' to keep them in use beside the cluster's own, or existing='replace' to put them out of use"),
        ({"keepalived": ["include /etc/keepalived/conf.d/*.conf"]}, "/etc/keepalived/keepalived.conf has include /etc/keepalived/conf.d/*.conf, which would be gone; set existing="),
        ({"pipeline_files": {f"{CONF_D}/10-app.conf": True}}, f"Logstash would read {CONF_D}/10-app.conf in one pipeline with the cluster's inputs, so that the events of each input go through all filters to all outputs; set existing="),
        ({"settings": ["xpack.monitoring.enabled:", "pipeline:", "  batch:", "    size:"]}, "/etc/logstash/logstash.yml sets xpack.monitoring.enabled, pipeline.batch.size, which would be lost; write them into logstash_settings, remove from the file what you do not need, or set existing='replace'"),
        ({"pipelines": ["- pipeline.id: app", '  path.config: "/srv/app/*.conf"']}, f"/etc/logstash/pipelines.yml reads nothing in {CONF_D}, so Logstash would not have the cluster's inputs; give its pipeline main the path.config"),
        ({"pipelines": ["- pipeline.id: main", f'  path.config: "{CONF_D}/*.conf"', "- pipeline.id: app", '  path.config: "/srv/*.conf"']}, "/etc/logstash/pipelines.yml has the pipelines main, app; set existing="),
    ],
)  # fmt: skip
def test_what_would_be_overwritten_or_joined_is_told_until_the_inventory_says_what_to_do(
    tmp_path: Path, state: dict[str, Any], error: str
) -> None:
    line, *against_adopting = said(tmp_path, others(**state))
    assert line.startswith(error)
    assert all(line.startswith("existing='adopt' would be refused: ") for line in against_adopting)
    assert said(tmp_path, others(**state), existing="replace") == []


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"pipeline_files": {f"{CONF_D}/logstash-ha.conf": True}},
        {"settings": ["http.host:", "path:", "  data:"]},
        {"pipelines": ["- pipeline.id: main", f'  path.config: "{CONF_D}/*.conf"']},
        {"keepalived": ["global_defs {", "router_id LVS_DEVEL", "}"]},
    ],
)
def test_what_a_fresh_package_has_is_not_told(tmp_path: Path, state: dict[str, Any]) -> None:
    assert said(tmp_path, others(**state)) == []


def test_a_setting_that_the_inventory_gives_is_not_lost(tmp_path: Path) -> None:
    state = others(settings=["node.name:", "pipeline.workers:"])
    given: dict[str, Any] = {"logstash_settings": {"node.name": "<%= node.name %>"}, "pipeline_workers": 2}
    assert said(tmp_path, state, **given) == []
    (line,) = said(tmp_path, state, pipeline_workers=2)
    assert "sets node.name, which" in line


def test_settings_are_named_in_full() -> None:
    lines = ["a:", "  b.c:", "    'd':", "  e:", "f.g:", "f.h:"]
    assert keys([lines]) == ["a.b.c.d", "a.e", "f.g", "f.h"]


ADOPTABLE = {"pipeline_files": {f"{CONF_D}/10-app.conf": True}, "keepalived": THEIRS.splitlines()}


def test_what_can_be_adopted_is(tmp_path: Path) -> None:
    assert said(tmp_path, others(**ADOPTABLE), existing="adopt") == []
    main = ["- pipeline.id: main", f"  path.config: {CONF_D}/*.conf", "- pipeline.id: app"]
    assert said(tmp_path, others(**ADOPTABLE, pipelines=main), existing="adopt") == []


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("HAPROXY", "VI_1", "its instance VI_1 has the name of one of the cluster's; give it another name there"),
        ("interface bond0\n    virtual_router_id 12", "interface eth0\n    virtual_router_id 1", "its instance HAPROXY has the virtual_router_id 1 of the cluster on eth0; choose another virtual_router_id in inventory.py"),
        ("{ 192.0.2.80/24 dev bond0 }", "{\n10.77.0.10/24\n}", "its instance HAPROXY has the VIP 10.77.0.10 of the cluster; choose another vip in inventory.py"),
        ("version 2", "", "its instance HAPROXY says no version, and would change from VRRP 2 to 3; write `version 2` into it"),
        ("virtual_server 192.0.2.80 443\n{\n    protocol TCP", "virtual_server 10.77.0.10 5514 {\n    protocol UDP", "its virtual server UDP 10.77.0.10:5514 is one of the cluster's; take it out there"),
        ("version 2", "version 2\nnotify /usr/local/bin/n.sh", "`notify /usr/local/bin/n.sh` names no user for its script, which would run as the health script's; name one, such as root, there"),
        ("virtual_server 192", "vrrp_script x {\nscript /bin/true\n}\nvirtual_server 192", "`vrrp_script x` names no user for its script, which would run as the health script's; name one, such as root, there"),
        ("virtual_server 192", "include more.conf\nvirtual_server 192", "it has `include more.conf`, and what is in there can't be compared with the cluster's own blocks; move these blocks into keepalived.conf itself"),
    ],
)  # fmt: skip
def test_what_can_not_be_adopted_is_refused(tmp_path: Path, old: str, new: str, error: str) -> None:
    assert old in THEIRS
    state = others(**{**ADOPTABLE, "keepalived": THEIRS.replace(old, new).splitlines()})
    lines = said(tmp_path, state, existing="adopt")
    assert lines == [f"/etc/keepalived/keepalived.conf can't be adopted: {error}"]


def test_what_stands_against_adopting_is_told_before_the_choice(tmp_path: Path) -> None:
    keepalived_conf = THEIRS.replace("version 2", "").replace("HAPROXY", "VI_1").splitlines()
    state = others(keepalived=keepalived_conf, pipeline_files={f"{CONF_D}/10-filter.conf": False})
    to_choose, adopting = said(tmp_path, state)[:2], said(tmp_path, state)[2:]
    assert all("set existing='adopt' to keep them" in line for line in to_choose)
    assert [line.removeprefix("existing='adopt' would be refused: ") for line in adopting] == said(
        tmp_path, state, existing="adopt"
    )
    assert len(adopting) == 3


def test_where_files_are_adopted_something_must_output(tmp_path: Path) -> None:
    silent = others(pipeline_files={f"{CONF_D}/10-filter.conf": False})
    (line,) = said(tmp_path, silent, existing="adopt")
    assert line.startswith(
        f"no file in {CONF_D} has an output, so the events of pipeline main would be lost; put one "
    )


def test_the_deploys_own_output_is_made_only_where_nothing_else_outputs(tmp_path: Path) -> None:
    cases: tuple[tuple[dict[str, Any], str, bool], ...] = (
        ({}, f"{CONF_D}/logstash-ha.conf", True),
        ({"existing": "adopt"}, f"{CONF_D}/logstash-ha.conf", False),
        ({"existing": "replace"}, "/etc/logstash/pipelines.d/main/logstash-ha.conf", True),
    )
    for settings, path, output in cases:
        cluster = make_cluster(tmp_path, **settings)
        found = desired_files(cluster, cluster.nodes[0], 9)
        assert ("output {" in found[path].content) is output
        assert (logstash.ROTATION in found) is output
        assert ("logrotate" in package_names(cluster)) is output
    rotation = desired_files(cluster, cluster.nodes[0], 9)[logstash.ROTATION].content
    assert "\n/var/log/logstash/events.json\n{\n    su logstash logstash\n" in rotation
    assert "copytruncate" in rotation


def test_replaced_pipelines_are_not_read(tmp_path: Path) -> None:
    """Their files stay where they are, in a folder that is read no more."""
    cluster = make_cluster(tmp_path, existing="replace")
    text = desired_files(cluster, cluster.nodes[0], 9)[logstash.PIPELINES].content
    assert yaml.safe_load(text) == [
        {"pipeline.id": "main", "path.config": "/etc/logstash/pipelines.d/main/*.conf"}
    ]


def test_further_settings_are_rendered(tmp_path: Path) -> None:
    given = {
        "config.reload.automatic": True,
        "pipeline.batch.size": 250,
        "node.name": "<%= node.name %>: é",
        "xpack.monitoring.elasticsearch.hosts": ["https://es1:9200", "https://${ES}:9200"],
        "path.data": "/data/logstash",
    }
    cluster = make_cluster(tmp_path, logstash_settings=given)
    found = yaml.safe_load(desired_files(cluster, cluster.nodes[1], 9)[logstash.SETTINGS].content)
    assert found == {
        **given,
        "node.name": "stash2: é",
        "path.logs": "/var/log/logstash",
        "api.http.host": "10.77.0.12",
        "api.http.port": 9600,
    }
    cluster = make_cluster(tmp_path, logstash_settings={"node.name": "<%= nodename %>"})
    with pytest.raises(
        ClusterError, match=r"^logstash_settings\.node\.name: 'nodename' is undefined; correct it"
    ):
        desired_files(cluster, cluster.nodes[0], 9)


def adopt(machine: ShellMachine, folder: Path) -> list[int]:
    cluster = make_cluster(folder, existing="adopt")
    return [done.returncode for done in machine.run(existing.adopted, cluster=cluster)]


def test_blocks_are_moved_into_a_file_that_keepalived_includes(machine: ShellMachine) -> None:
    machine.write(keepalived.CONF, THEIRS, mode=0o600)
    assert adopt(machine, machine.root) == [0]
    file = machine.path(keepalived.ADOPTED)
    header, *rest = file.read_text().splitlines()
    assert header.startswith("# The blocks that were in keepalived.conf before")
    assert rest == THEIRS.splitlines()[2:]  # global_defs stays behind, the password does not
    assert "auth_pass s3cret" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert machine.path(keepalived.CONF).read_text() == THEIRS
    assert machine.path(RECORD).read_text() == f"file {machine.root}{keepalived.ADOPTED}\n"
    cluster = make_cluster(machine.root, existing="adopt")
    conf = desired_files(cluster, cluster.nodes[0], 9)[keepalived.CONF].content
    assert conf.endswith(f"\ninclude {keepalived.ADOPTED}\n")


def test_keepalived_tests_the_adopted_blocks_with_the_deploys_own(tmp_path: Path) -> None:
    """keepalived itself, which would not come up with two of the same name."""
    cluster = make_cluster(tmp_path, existing="adopt")
    conf = desired_files(cluster, cluster.nodes[0], 9)[keepalived.CONF].content
    theirs = THEIRS.split("\n", 2)[2].replace("bond0", "adopted0")
    theirs = theirs.replace(
        "TCP", "TCP\nlb_algo rr\nlb_kind NAT\nreal_server 192.0.2.81 443 {\nTCP_CHECK {\n}\n}"
    )
    assert judges.of_keepalived(conf, "eth0", tmp_path, theirs) == []
    (refused,) = judges.of_keepalived(conf, "eth0", tmp_path, theirs.replace("HAPROXY", "VI_1"))
    assert "VI_1" in refused
    (refused,) = judges.of_keepalived(conf, "eth0", tmp_path, theirs.replace("protocol", "protocoll"))
    assert "protocoll" in refused


def test_what_is_adopted_is_theirs_from_then_on(machine: ShellMachine) -> None:
    machine.write(keepalived.CONF, THEIRS)
    adopt(machine, machine.root)
    mine = machine.write(keepalived.ADOPTED, "# changed\n")
    assert adopt(machine, machine.root) == []
    assert mine.read_text() == "# changed\n"
    path = f"{machine.root}{keepalived.ADOPTED}"
    assert kept_files(make_cluster(machine.root, existing="adopt")) == [keepalived.ADOPTED]
    assert machine.commands(files.pruned, files=[], kept=[path, keepalived.ADOPTED]) == []
    assert kept_files(make_cluster(machine.root)) == []
    machine.program("systemctl", ":")
    machine.run(files.pruned, files=[], kept=[])
    assert not mine.exists()


def test_the_sample_is_not_adopted(machine: ShellMachine) -> None:
    machine.write(keepalived.CONF, SAMPLE)
    assert adopt(machine, machine.root) == [0]
    assert len(machine.path(keepalived.ADOPTED).read_text().splitlines()) == 1
