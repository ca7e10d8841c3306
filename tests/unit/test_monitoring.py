"""What is in monitoring/: the alert rules, by Prometheus's own promtool, and the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import dashboard
from tests.unit.judges import debian
from tests.unit.test_check_script import ROOT

sys.path.append(str(ROOT / "files"))
import logstash_ha_metrics as metrics  # type: ignore[import-not-found]

RULES = ROOT / "monitoring" / "alerts.yml"
OLD_METRICS = "logstash_ha:metrics_old_seconds"
"""What the rules record: how old the metrics of a node are that no longer count."""
STEP = 15
"""Seconds between two samples, and between two evaluations of the rules."""
Series = dict[str, str]
"""The values of each series, as promtool has them: `1x4 0x36` is five times 1 and then 0; `_` is none."""


def up(node: str, director: str = "stash1") -> str:
    return f'up{{input="udp-5514",node="{node}",director="{director}",instance="{director}:9100"}}'


def why(reason: str) -> str:
    return (
        f'reason{{input="udp-5514",node="stash2",director="stash1",reason="{reason}",instance="stash1:9100"}}'
    )


def info(node: str, version: str = "0.2.0") -> str:
    return f'info{{node="{node}",version="{version}",instance="{node}:9100"}}'


def heard(node: str, director: str) -> str:
    return f'heard{{node="{node}",director="{director}",instance="{director}:9100"}}'


def file(node: str) -> str:
    return f'node_textfile_mtime_seconds{{file="/var/lib/node_exporter/logstash_ha.prom",instance="{node}:9100"}}'


def holder(node: str) -> str:
    return f'holder{{vip="192.0.2.10",node="{node}",instance="{node}:9100"}}'


CHANGES = 'changes_total{input="udp-5514",node="stash2",director="stash1"}'
DROPS = 'socket_drops_total{input="udp-5514",node="stash1"}'
HEARD = heard("stash2", "stash1")
LINK, FAULT = (
    f'{name}{{interface="eth0",node="stash1",instance="stash1:9100"}}' for name in ("link_up", "link_fault")
)
CERTIFICATE = 'certificate_end_timestamp_seconds{input="syslog-tls",node="stash1"}'
FILE = file("stash1")
OLD = 'LogstashHaMetricsOld{file="/var/lib/node_exporter/logstash_ha.prom",instance="stash1:9100",severity="warning"}'
WHOLE: Series = {
    up("stash1"): "1x400",
    up("stash2"): "1x400",
    holder("stash1"): "1x400",
    holder("stash2"): "0x400",
    HEARD: "1x400",
    LINK: "1x400",
    FAULT: "0x400",
    info("stash1"): "1x400",
    info("stash2"): "1x400",
    CHANGES: "0x400",
    DROPS: "5x400",
    CERTIFICATE: "9000000x400",
    FILE: f"0+{STEP}x400",
    file("stash2"): f"0+{STEP}x400",
}
"""Those of a whole cluster."""


def input_down(node: str) -> str:
    return f'LogstashHaInputDown{{input="udp-5514",node="{node}",severity="warning"}}'


ON_STASH2 = 'input="udp-5514",node="stash2"'
CASES: dict[str, tuple[str, Series, list[str]]] = {
    "a whole cluster": ("4m", {}, []),
    "an input is down on all nodes": (
        "4m",
        {up("stash1"): "1x4 0x400", up("stash2"): "1x4 0x400"},
        [
            'LogstashHaInputDownEverywhere{input="udp-5514",severity="critical"}',
            input_down("stash1"),
            input_down("stash2"),
        ],
    ),
    "one node is down": ("4m", {up("stash2"): "1x4 0x400"}, [input_down("stash2")]),
    "a node is down for half a minute": ("2m", {up("stash2"): "1x4 0 0 1x400"}, []),
    "a node is drained": ("4m", {up("stash2"): "0x400", why("drained"): "1x400"}, []),
    "a node stays drained": (
        "16m",
        {up("stash2"): "0x400", why("drained"): "1x400"},
        ['LogstashHaOutOfService{node="stash2",severity="info"}'],
    ),
    "no node has the VIP": (
        "4m",
        {holder("stash1"): "0x400"},
        ['LogstashHaVipMissing{vip="192.0.2.10",severity="critical"}'],
    ),
    "two nodes have the VIP": (
        "4m",
        {holder("stash2"): "1x400"},
        ['LogstashHaVipTwice{vip="192.0.2.10",severity="critical"}'],
    ),
    "the holder's metrics are missing, and the others hear it": (
        "4m",
        {
            holder("stash1"): "1x4 stale",
            info("stash1"): "1x4 stale",
            heard("stash1", "stash2"): "1x400",
        },
        ['LogstashHaNodeMissing{node="stash1",severity="warning"}'],
    ),
    "the holder is off, and no other node takes the VIP": (
        "4m",
        {
            holder("stash1"): "1x4 stale",
            info("stash1"): "1x4 stale",
            heard("stash1", "stash2"): "1x4 0x400",
        },
        [
            'LogstashHaNodeMissing{node="stash1",severity="warning"}',
            'LogstashHaServiceSilent{node="stash1",severity="warning"}',
            'LogstashHaVipMissing{vip="192.0.2.10",severity="critical"}',
        ],
    ),
    "the VIP has moved, and the node before says nothing new": (
        "4m",
        {FILE: "0x400", holder("stash2"): "1x400"},
        [OLD],
    ),
    "the VIP moves": (
        "4m",
        {holder("stash1"): "1x10 0x400", holder("stash2"): "0x10 1x400"},
        ['LogstashHaVipMoved{vip="192.0.2.10",severity="info"}'],
    ),
    "the VIP has moved": ("9m", {holder("stash1"): "1x10 0x400", holder("stash2"): "0x10 1x400"}, []),
    "an input goes down and comes up": (
        "4m",
        {CHANGES: "0x9 2x400"},
        [f'LogstashHaInputChanged{{{ON_STASH2},severity="info"}}'],
    ),
    "an input went down and came up": ("9m", {CHANGES: "0x9 2x400"}, []),
    "an input is slow": (
        "4m",
        {why("queue_full"): "1x400"},
        [f'LogstashHaInputSlow{{{ON_STASH2},severity="warning"}}'],
    ),
    "a firewall rejects probes": (
        "8m",
        {why("probe_refused"): "1x400"},
        [f'LogstashHaProbesRefused{{{ON_STASH2},severity="warning"}}'],
    ),
    "a socket was full": (
        "4m",
        {DROPS: "5x10 9x400"},
        ['LogstashHaDatagramsDropped{input="udp-5514",node="stash1",severity="warning"}'],
    ),
    "a service is not heard": (
        "4m",
        {HEARD: "1x4 0x400"},
        ['LogstashHaServiceSilent{node="stash2",severity="warning"}'],
    ),
    "a link is down": (
        "4m",
        {LINK: "0x400", FAULT: "1x400"},
        ['LogstashHaLinkDown{node="stash1",interface="eth0",severity="warning"}'],
    ),
    "keepalived takes no part": (
        "4m",
        {FAULT: "1x400"},
        ['LogstashHaLinkDown{node="stash1",interface="eth0",severity="warning"}'],
    ),
    "a node is gone": (
        "4m",
        {info("stash2"): "1x4 stale"},
        ['LogstashHaNodeMissing{node="stash2",severity="warning"}'],
    ),
    "the file is old": (
        "4m",
        {FILE: "0x400"},
        [OLD],
    ),
    **{
        f"what was said before the file was old does not count: {what}": (
            time,
            {FILE: "0x400", **said, **{up(node, "stash2"): "1x400" for node in ("stash1", "stash2")}},
            [OLD],
        )
        for what, time, said in (
            ("down", "4m", {up("stash2"): "0x400"}),
            ("slow", "4m", {why("queue_full"): "1x400"}),
            ("probes refused", "8m", {why("probe_refused"): "1x400"}),
            ("not heard", "4m", {HEARD: "0x400"}),
            ("a link down", "4m", {LINK: "0x400", FAULT: "1x400"}),
            ("drained", "16m", {why("drained"): "1x400"}),
            ("another version", "80m", {info("stash1"): "_x400", info("stash1", "0.1.0"): "1x400"}),
        )
    },
    "what was said before the file was old hides nothing: an input is down on all nodes": (
        "4m",
        {FILE: "0x400", up("stash1", "stash2"): "1x4 0x400", up("stash2", "stash2"): "1x4 0x400"},
        [
            OLD,
            'LogstashHaInputDownEverywhere{input="udp-5514",severity="critical"}',
            input_down("stash1"),
            input_down("stash2"),
        ],
    ),
    "what was said before the file was old hides nothing: an input is down, and was drained": (
        "4m",
        {
            FILE: "0x400",
            why("drained"): "1x400",
            up("stash1", "stash2"): "1x400",
            up("stash2", "stash2"): "0x400",
        },
        [OLD, input_down("stash2")],
    ),
    "no node that says anything has the VIP, and of one it is not known": (
        "4m",
        {FILE: "0x400", holder("stash1"): "0x400"},
        [OLD],
    ),
    "a certificate ends": (
        "4m",
        {CERTIFICATE: "1000000x400"},
        ['LogstashHaCertificateEnds{input="syslog-tls",node="stash1",severity="warning"}'],
    ),
    "a deploy was interrupted": (
        "80m",
        {info("stash2"): "_x400", info("stash2", "0.1.0"): "1x400"},
        ['LogstashHaVersionsDiffer{severity="info"}'],
    ),
}
"""When is looked, what is other than in a whole cluster, and the alerts that are raised: these and no other."""


def named(series: str) -> str:
    return series if series.startswith("node_") else f"{metrics.PREFIX}{series}"


def alert(text: str) -> dict[str, Any]:
    """As a sample that promtool expects."""
    name, _, labels = text.partition("{")
    return {"labels": f'ALERTS{{alertname="{name}",alertstate="firing",{labels}', "value": 1}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = debian("prometheus") / "usr/bin/promtool"
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def written(folder: Path, cases: dict[str, tuple[str, Series, list[str]]]) -> Path:
    """promtool's file of tests."""
    tests = [
        {
            "name": name,
            "interval": f"{STEP}s",
            "input_series": [
                {"series": named(series), "values": values} for series, values in {**WHOLE, **changed}.items()
            ],
            "promql_expr_test": [
                {
                    "expr": 'ALERTS{alertstate="firing"}',
                    "eval_time": time,
                    "exp_samples": [alert(text) for text in raised],
                }
            ],
        }
        for name, (time, changed, raised) in cases.items()
    ]
    file = folder / "tests.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": f"{STEP}s", "tests": tests}
    file.write_text(yaml.safe_dump(document))
    return file


def test_prometheus_accepts_the_rules() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_state_raises_its_alerts_and_no_other(tmp_path: Path) -> None:
    done = promtool("test", "rules", written(tmp_path, CASES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_state_with_another_alert_is_told(tmp_path: Path) -> None:
    """promtool's tests can fail."""
    time, changed, _ = CASES["one node is down"]
    done = promtool("test", "rules", written(tmp_path, {"silent": (time, changed, [])}))
    assert done.returncode == 1
    assert "LogstashHaInputDown" in done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for rule in group["rules"] if "alert" in rule]


def test_what_is_read_is_not_old() -> None:
    """What a health service has said before it ended stays in its file: each rule leaves that out, or it is harmless there."""
    harmless = {
        "LogstashHaDatagramsDropped",  # counters that stand still
        "LogstashHaInputChanged",
        "LogstashHaVipMoved",
        "LogstashHaCertificateEnds",  # a deploy brings another one, and starts the service
        "LogstashHaNodeMissing",  # its service has ended, and the node is there
    }
    filtered = {rule["alert"] for rule in rules() if OLD_METRICS in rule["expr"]}
    assert filtered == {rule["alert"] for rule in rules()} - harmless


def test_each_rule_is_tested_and_documented() -> None:
    names = [rule["alert"] for rule in rules()]
    tested = {text.partition("{")[0] for _, _, raised in CASES.values() for text in raised}
    assert tested == set(names)
    rows = re.findall(r"^\| `(LogstashHa\w+)` \| (\w+) \|", (ROOT / "docs/monitoring.md").read_text(), re.M)
    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]


def asked(text: str) -> set[str]:
    """The metrics that expressions ask for, without the prefix."""
    return set(re.findall(rf"{metrics.PREFIX}(\w+)", text))


@pytest.mark.parametrize("kind", ["rules", "dashboard"])
def test_only_metrics_that_nodes_write_are_asked_for(kind: str) -> None:
    text = RULES.read_text() if kind == "rules" else dashboard.FILE.read_text()
    assert asked(text) <= set(metrics.METRICS)
    assert len(asked(text)) > 5


def test_each_metric_is_documented_with_its_labels() -> None:
    text = (ROOT / "docs/monitoring.md").read_text()
    assert re.findall(r"^\| `logstash_ha_node_(\w+)` \|", text, re.M) == list(metrics.METRICS)


def test_the_dashboard_is_as_its_module_makes_it() -> None:
    text = dashboard.FILE.read_text()
    assert text == dashboard.text()
    assert ": null" not in text, "Grafana's panels take no null for their options"


@pytest.mark.parametrize("expression", dashboard.expressions())
def test_prometheus_can_read_the_dashboards_expressions(tmp_path: Path, expression: str) -> None:
    document = {"groups": [{"name": "dashboard", "rules": [{"record": "x", "expr": expression}]}]}
    (tmp_path / "rules.yml").write_text(json.dumps(document))
    done = promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
