"""Each drill under the eyes of a real Prometheus, with a real node_exporter on each node: it raises its alerts, and no other, and
they end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from drills.catalogue import DRILLS, Drill
from tests.drills.conftest import NODES, Three
from tests.lab.conftest import ALL_ADDRESSES, ROOT
from tests.unit.judges import debian
from tests.until import until

pytestmark = pytest.mark.long

FOLDER = "/var/lib/node_exporter/textfile_collector"
SCRAPE = 5
"""Seconds between two looks of Prometheus's: less than usual, since the windows of the rules are shorter, too."""
WINDOW = "1m"
"""For the 5 minutes of the rules, so that an alert has ended before the next drill."""
HOME = "/opt/node_exporter"
"""Where it is on a node, with the loader and the C library of this machine: those of an older Enterprise Linux are too old for it."""
SERVER = "http://127.0.0.1:9090"
EXPORTER = f"""\
[Unit]
After=network-online.target
[Service]
ExecStart={HOME}/ld-linux-x86-64.so.2 --library-path {HOME} {HOME}/prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory={FOLDER}
Restart=always
[Install]
WantedBy=multi-user.target
"""
CHANGED, MOVED = "LogstashHaInputChanged", "LogstashHaVipMoved"
RAISES: dict[str, tuple[set[str], set[str]]] = {
    "logstash-killed": ({CHANGED}, set()),
    "logstash-restarted": ({CHANGED}, set()),
    "logstash-hung": ({CHANGED}, set()),
    "logstash-slow": (set(), set()),
    "disk-full": (set(), {CHANGED}),
    "keepalived-killed": ({MOVED}, set()),
    "keepalived-parent-killed": ({MOVED}, set()),
    "keepalived-checker-killed": (set(), set()),
    "keepalived-vrrp-killed": (set(), {MOVED}),
    "keepalived-stopped": ({MOVED}, set()),
    "link-down": ({CHANGED, MOVED}, set()),
    "rebooted": ({CHANGED, MOVED}, {"LogstashHaNodeMissing"}),
    # Nothing comes in for a time: after 0.3 s without adverts the VIP moves, after 0.4 s the input is down.
    "firewalld-reloaded": (set(), {CHANGED, MOVED}),
    "firewalld-restarted": (set(), {CHANGED, MOVED}),
    "networkmanager-restarted": (set(), set()),
    "clock-stepped": (set(), set()),
    "port-stolen": ({CHANGED}, {"LogstashHaInputDown"}),
}
"""By drill: the alerts that it must raise, and those that it may raise, too: it depends on what the node does, or how long it takes."""
DRILLED = [drill for drill in DRILLS if not drill.needs]


@dataclass(frozen=True)
class Watched:
    """The three nodes, and the Prometheus that watches them."""

    three: Three
    inventory: Path

    def ask(self, expression: str) -> list[dict[str, str]]:
        """The labels of each sample of an expression that is not 0."""
        promtool = str(debian("prometheus") / "usr/bin/promtool")
        done = subprocess.run(
            (
                *self.three.lab.network.enter_command,
                promtool,
                "query",
                "instant",
                "-o",
                "json",
                SERVER,
                expression,
            ),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        samples = json.loads(done.stdout)
        return [sample["metric"] for sample in samples if float(sample["value"][1])]

    def firing(self, seconds: int = 0) -> set[str]:
        """The alerts now, or in the last so many seconds."""
        selector = 'ALERTS{alertstate="firing"}'
        expression = f"max_over_time({selector}[{seconds}s])" if seconds else selector
        return {labels["alertname"] for labels in self.ask(expression)}

    def looks_well(self) -> bool:
        """Whether all nodes are seen, and there is no alert."""
        return len(self.ask("logstash_ha_node_info")) == len(NODES) and self.firing() == set()


@pytest.fixture(scope="module")
def watched(three: Three, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Each node has node_exporter, with its port open, and the inventory names the folder; afterwards as it was before."""
    files = (
        debian("prometheus-node-exporter") / "usr/bin/prometheus-node-exporter",
        Path("/lib64/ld-linux-x86-64.so.2"),
        Path("/lib/x86_64-linux-gnu/libc.so.6"),
    )
    for name in NODES:
        three.get(
            name,
            f"mkdir -p {FOLDER}; firewall-cmd -q --permanent --add-port=9100/tcp; firewall-cmd -q --add-port=9100/tcp",
        )
        for file in files:
            path = f"{HOME}/{file.name}"
            copy = f"sudo sh -c 'mkdir -p {HOME}; cat >{path}; chmod 755 {path}'"
            subprocess.run(
                (*three.lab.ssh_command(name), copy), input=file.read_bytes(), check=True, timeout=120
            )
        unit = "/etc/systemd/system/node-exporter.service"
        three.get(
            name, f"cat >{unit}; systemctl daemon-reload; systemctl enable --now node-exporter", EXPORTER
        )
    inventory = three.inventory("watched", nodes=ALL_ADDRESSES, vrrp=3, metrics=FOLDER)
    refused = three.deploy("-y", inventory=inventory)
    assert refused.returncode == 1
    assert f"setfacl -m u:keepalived_script:rwx {FOLDER}" in refused.stdout + refused.stderr
    for name in NODES:  # the guests have no setfacl
        three.get(name, f"chgrp keepalived_script {FOLDER}; chmod g+w {FOLDER}")
    done = three.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path_factory.mktemp("prometheus")
    rules = (ROOT / "monitoring/alerts.yml").read_text().replace("[5m]", f"[{WINDOW}]")
    (folder / "alerts.yml").write_text(rules)
    targets = [f"{address}:9100" for address in ALL_ADDRESSES.values()]
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            (
                *three.lab.network.enter_command,
                str(debian("prometheus") / "usr/bin/prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={SERVER.removeprefix('http://')}",
            ),
            stdout=log,
            stderr=log,
        ) as prometheus,
    ):
        try:
            watched = Watched(three, inventory)
            until(lambda: prometheus.poll() is None and answers(watched), 60, "each node seen by Prometheus")
            yield watched
        finally:
            prometheus.terminate()
    for name in NODES:
        three.get(
            name,
            "systemctl disable --now node-exporter; firewall-cmd -q --permanent --remove-port=9100/tcp; firewall-cmd -q --remove-port=9100/tcp",
        )
    assert three.deploy("-y", inventory=three.file).returncode == 0
    for name in NODES:
        assert three.get(name, f"ls -A {FOLDER}") == ""


def answers(watched: Watched) -> bool:
    try:
        return len(watched.ask("logstash_ha_node_info")) == len(NODES)
    except subprocess.SubprocessError:
        return False


def test_each_node_says_what_it_knows(watched: Watched) -> None:
    def seen() -> bool:
        heard = watched.ask("logstash_ha_node_heard == 1")
        up = watched.ask("logstash_ha_node_up == 1")
        return len(heard) == len(NODES) * (len(NODES) - 1) and len(up) == len(NODES) ** 2

    until(seen, 90, "all nodes hear each other, and all inputs are up")
    (holder,) = watched.ask("logstash_ha_node_holder == 1")
    assert holder["node"] == watched.three.holder
    assert watched.ask("node_textfile_scrape_error") == []
    for name in NODES:
        denials = watched.three.get(
            name, "ausearch -m avc -ts boot 2>/dev/null | grep -e logstash_ha -e node_exporter || true"
        )
        assert denials == ""


@pytest.mark.parametrize("drill", DRILLED, ids=[drill.name for drill in DRILLED])
def test_a_drill_raises_its_alerts_and_no_other(watched: Watched, drill: Drill) -> None:
    required, possible = RAISES[drill.name]
    until(watched.looks_well, 240, "no alert before the drill")
    start = time.monotonic()

    def raised() -> set[str]:
        return watched.firing(int(time.monotonic() - start) + SCRAPE)

    command = ("verify.py", "drill", drill.name, "--inventory", str(watched.inventory), "--yes", "--json")
    done = watched.three.run(sys.executable, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: required <= raised(), 60, lambda: f"of {required} only {raised()}")
    ended = time.monotonic()
    until(watched.looks_well, 240, lambda: f"{watched.firing()} has not ended")
    found = raised()
    alerts = ", ".join(f"`{name}`" for name in sorted(found)) or "none"
    print(f"| {drill.name} | {alerts} | {time.monotonic() - ended:.0f} s |")
    assert required <= found <= required | possible
