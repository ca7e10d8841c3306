"""What is rendered for some shapes of cluster, whole, against files that are known to be good: `tests/golden/`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from cluster import Cluster
from desired import firewalld, health, health_script, keepalived, logstash, packages, reload
from desired.files import desired_files
from desired.paths import VERSION_FILE
from desired.translation import own_table
from tests.standin.standin_process import LIBRARIES, program
from tests.unit.clusters import example

PROJECT = Path(__file__).parents[2]
GOLDEN = PROJECT / "tests/golden"
RENEW = "RENEW" in os.environ

SHAPES = {
    "recipe": 7,
    "syslog_514": 8,
    "direct_routing": 9,
    "dual_stack": 10,
    "active_active": 9,
    "own_pipelines": 9,
    "two_vlans": 9,
    "vip_elsewhere": 8,
    "udp_snat": 10,
}
"""Of `examples/`, and the Enterprise Linux of the golden files."""


def rendered(cluster: Cluster, el: int) -> dict[str, str]:
    """By name: the second node's files, but for those that are the same in each cluster; and its rules."""
    node = cluster.nodes[1]
    files = {path: file.content for path, file in desired_files(cluster, node, el).items()}
    for path in (
        health_script.CHECK,
        health.SERVICE,
        *health.MODULES,
        keepalived.RELEASE_VIPS,
        reload.PROGRAM,
        packages.REPOSITORY,
        VERSION_FILE,
    ):
        del files[path]
    rules = firewalld.desired_rules(cluster, node, own_table(cluster, el, has_nftables=True))
    return {
        # A checksum changes with the script, which is not a matter of shape.
        **{
            path.removeprefix("/etc/"): re.sub(r"\b[0-9a-f]{64}\b", "…", text) for path, text in files.items()
        },
        "firewalld/rules": "".join(f"{rule}\n" for rule in rules),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_golden_files(shape: str, tmp_path: Path) -> None:
    folder, now = GOLDEN / shape, rendered(example(shape, tmp_path), SHAPES[shape])
    if RENEW:
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in now.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    good = {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}
    how = "not as in tests/golden; if that is meant, `RENEW=1 pytest tests/unit/test_shapes.py` and look at the difference"
    assert sorted(now) == sorted(good), how
    for name, text in now.items():
        assert text.splitlines() == good[name].splitlines(), f"{shape}/{name}: {how}"


@pytest.mark.parametrize("shape", SHAPES)
def test_where_enterprise_linuxes_differ(shape: str, tmp_path: Path) -> None:
    """In what keepalived can, in where Python is, in what SELinux lets systemd do, and in what translates sources."""
    cluster = example(shape, tmp_path)
    seven, eight, nine, ten = (rendered(cluster, el) for el in (7, 8, 9, 10))
    conf, service = "keepalived/keepalived.conf", "systemd/system/logstash-ha-health.service"
    tmpfiles, end = "tmpfiles.d/logstash-ha-health.conf", "systemd/system/keepalived.service.d/restart.conf"
    settings, reloader = "keepalived/logstash_ha_health.json", "systemd/system/logstash-ha-reload.service"
    table = {"nftables/logstash-ha.nft", "systemd/system/logstash-ha-nftables.service"} & set(nine)
    rules = {"firewalld/rules"} if table else set()
    assert bool(table) == ("snat" in cluster.forwardings)
    assert set(seven) == set(nine) - table
    differing = {name for name in seven if seven[name] != eight[name]}
    assert differing == {conf, service, tmpfiles, end, settings, reloader} | rules
    assert {name for name in nine if eight[name] != nine[name]} == ({conf, service, end, reloader, tmpfiles})
    assert nine == ten


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "own_pipelines"])
def test_the_stand_in_accepts_it(shape: str, tmp_path: Path) -> None:
    """`logstash -t`, as the deploy runs it. Of own_pipelines the stand-in does not know the plugins."""
    cluster = example(shape, tmp_path)
    settings, home = tmp_path / "settings", f"{logstash.HOME}/"
    shutil.copytree(PROJECT / f"lab/standin/root{logstash.HOME}", settings)
    for path, file in desired_files(cluster, cluster.nodes[1], 9).items():
        if path.startswith(home):
            target = settings / path.removeprefix(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.content)
    pipelines = settings / "pipelines.yml"
    pipelines.write_text(pipelines.read_text().replace(home, f"{settings}/"))
    copy = program().start(
        [
            *("--config.test_and_exit", "--path.settings", str(settings)),
            *("--path.data", str(tmp_path / "data"), "--path.logs", str(tmp_path / "logs")),
        ],
        {**LIBRARIES, "LOGSTASH_STANDIN_VERSION": f"{min(cluster.major, 8)}.8.23"},
        together=True,
    )
    status, said = copy.wait(60), copy.said()[0]
    copy.close()
    assert "Configuration OK" in said, said
    assert status == 0
