"""The metrics that a node writes for node_exporter's textfile collector."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster import Cluster
from desired import health
from desired.files import desired_files
from tests.unit.clusters import make_cluster
from tests.unit.judges import debian
from tests.unit.test_check_script import OLDEST_AND_NEWEST, ROOT, loopback, serving
from tests.unit.test_health import GONE, ID, UNWEIGHED, UP, Running, Script, listening, running
from tests.until import until

sys.path.append(str(ROOT / "files"))
import logstash_ha_metrics as metrics  # type: ignore[import-not-found]

Samples = dict[tuple[str, ...], float]
"""The value of each sample, by its metric's name without the prefix, and `label=value` in order of the labels."""


def samples(file: Path) -> Samples:
    found = {}
    for family in text_string_to_metric_families(file.read_text()):
        for sample in family.samples:
            labels = sorted(f"{label}={value}" for label, value in sample.labels.items())
            found[sample.name.removeprefix("logstash_ha_node_"), *labels] = sample.value
    return found


def watched(
    use: Callable[[Running, Path], None],
    python: str = sys.executable,
    own_answer: Any = UP,
    folder: str = "textfile",
    patch: str = "",
) -> list[str]:
    """Runs the service of a node `own`, beside one named `peer` that has the input; returns what the journal has."""
    with (
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        serving(own_answer) as own,
        serving(UP) as peer,
        listening(own) as own_socket,
        listening(peer) as peer_socket,
    ):
        work = Path(name)
        (work / "textfile").mkdir()
        (work / "version").write_text("0.2.0\n")
        (work / "reasons").touch()
        nodes: dict[str, dict[str, object]] = {}
        for address, at in ((own, own_socket), (peer, peer_socket)):
            (work / address).mkdir()
            (work / address / ID).touch()
            sockets = [{"protocol": "udp", "port": at.getsockname()[1], "probe": True}]
            nodes[address] = {ID: {"sockets": sockets, "verdict": str(work / address / ID), **UNWEIGHED}}
        file = work / folder / "logstash_ha.prom"
        settings: dict[str, object] = {
            "file": str(file),
            "names": {own: "stash1", peer: "stash2"},
            "version": str(work / "version"),
            "certificates": {"syslog-tls": 1830000000},
        }
        with running(
            work, nodes, {own: own_socket}, own, systemd, python=python, metrics=settings,
            patch=f"service.metrics.INTERVAL = 0.1\n{patch}",
        ) as service:  # fmt: skip
            use(service, file)
        return service.lines()


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_node_writes_what_its_health_service_knows(python: str) -> None:
    def use(service: Running, file: Path) -> None:
        service.wait_for_systemd(b"READY=1")
        # Python 2.7 has a clock of hundredths, in which a poll may take no time at all.
        service.wait(
            lambda: (
                file.exists()
                and samples(file).get(("poll_seconds_total", "director=stash1", "node=stash2"), 0) > 0
            )
        )
        found = samples(file)
        assert found["polls_total", "director=stash1", "node=stash2"] > 0
        verdict = (f"input={ID}", "node=stash1")
        assert found["info", "node=stash1", "version=0.2.0"] == 1
        assert found["up", "director=stash1", *verdict] == 1
        assert found["up", "director=stash1", f"input={ID}", "node=stash2"] == 1
        assert found["share", "director=stash1", *verdict] == 1
        assert found["changes_total", "director=stash1", *verdict] == 0
        assert found["heard", "director=stash1", "node=stash2"] == 0
        assert found["holder", "node=stash1", "vip=192.0.2.10"] == 0
        assert found["link_up", "interface=lo", "node=stash1"] == 1
        assert found["link_fault", "interface=lo", "node=stash1"] == 0
        assert found["queue_pressure", "node=stash1", "pipeline=main"] == 0
        assert found["events_in_total", *verdict] == 0
        assert found["socket_drops_total", *verdict] == 0
        assert found["certificate_end_timestamp_seconds", "input=syslog-tls", "node=stash1"] == 1830000000
        assert {file.name} <= set(os.listdir(file.parent)) <= {file.name, f".{file.name}.new"}

    assert watched(use, python) == []


def test_a_change_is_counted_with_its_time_and_its_reason() -> None:
    def use(service: Running, file: Path) -> None:
        down = ("up", "director=stash1", f"input={ID}", "node=stash1")
        service.wait(lambda: file.exists() and samples(file).get(down) == 0)
        found = samples(file)
        assert found["changes_total", *down[1:]] == 1
        assert found["changed_timestamp_seconds", *down[1:]] == pytest.approx(file.stat().st_mtime, abs=10)
        assert found["reason", *down[1:], "reason=no_such_input"] == 1

    watched(use, own_answer=Script(UP, UP, UP, GONE))


NO_NETWORK = """\
import os
asked, missing = service.api.NodeApi.ask, service.links.LinkMonitor.missing_address
there = lambda: os.path.exists(os.path.join(folder, "network"))
def ask(self, ip, timeout):
    if there():
        return asked(self, ip, timeout)
    raise service.script.Down("network_error", "network is unreachable")
service.api.NodeApi.ask = ask
service.links.LinkMonitor.missing_address = lambda self: missing(self) if there() else own
service.metrics.FIRST_WAIT = 1.0
"""
"""The node's network comes when the test has made a file `network`."""


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_node_that_boots_says_nothing_of_the_others_before_it_has_its_network(python: str) -> None:
    """What it tells keepalived is another thing: an input that does not answer is not in the pools, but for the last one."""

    def use(service: Running, file: Path) -> None:
        service.wait_for_systemd(b"READY=1")
        service.wait(file.exists)
        nodes = [name for name in os.listdir(service.folder) if name.startswith("127.")]
        assert sorted(map(service.verdict, nodes)) == ["", "1\n"]
        found = samples(file)
        assert found["link_up", "interface=lo", "node=stash1"] == 1
        said = {name for name, *_ in found}
        assert said.isdisjoint(
            {"up", "kept", "share", "reason", "changes_total", "changed_timestamp_seconds"}
        )
        (service.folder / "network").touch()
        for node in ("stash1", "stash2"):
            verdict = ("director=stash1", f"input={ID}", f"node={node}")
            service.wait(lambda verdict=verdict: ("up", *verdict) in samples(file))  # type: ignore[misc]
            found = samples(file)
            assert (found["up", *verdict], found["changes_total", *verdict]) == (1, 0)

    lines = watched(use, python, patch=NO_NETWORK)
    assert lines[0].startswith("the node does not have its address ")
    assert [line for line in lines if line.startswith(ID)] == []


def test_a_node_that_boots_says_that_another_one_is_down_when_it_has_had_its_network_for_some_time() -> None:
    gone = """\
asked = service.api.NodeApi.ask
def ask(self, ip, timeout):
    if ip == own:
        return asked(self, ip, timeout)
    raise service.script.Down("no_connection", "no connection")
service.api.NodeApi.ask = ask
service.LOOK_TIME = 1.0
"""

    def use(service: Running, file: Path) -> None:
        service.wait_for_systemd(b"READY=1")
        assert service.lines() == []
        verdict = ("director=stash1", f"input={ID}", "node=stash2")
        service.wait(lambda: file.exists() and ("up", *verdict) in samples(file))
        found = samples(file)
        assert (found["up", *verdict], found["reason", *verdict, "reason=no_connection"]) == (0, 1)
        assert found["changes_total", *verdict] == 0
        service.wait(lambda: service.lines() != [])

    (line,) = watched(use, patch=gone)
    assert line.endswith(" is down: no connection")


@pytest.mark.parametrize(
    ("folder", "patch", "said"),
    [
        ("gone", "", "/gone/logstash_ha.prom: No such file or directory"),
        (
            "textfile",
            "service.metrics.udp_sockets = lambda: int('x')",
            "/textfile/logstash_ha.prom: invalid literal for int() with base 10: 'x'",
        ),
    ],
    ids=["folder gone", "kernel speaks differently"],
)
def test_what_can_not_be_written_is_said_once_and_the_service_goes_on(
    folder: str, patch: str, said: str
) -> None:
    def use(service: Running, file: Path) -> None:
        service.wait(lambda: service.lines() != [])
        before = service.sign_of_life
        service.wait(lambda: service.sign_of_life > before + 1)

    (line,) = watched(use, folder=folder, patch=patch)
    assert line.startswith("metrics can't be written to ")
    assert line.endswith(said)


def test_dropped_datagrams_are_those_of_the_inputs_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "udp").write_text(
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
        "  391: 0B02000A:158A 00000000:0000 07 00000000:00000200 00:00000000 00000000   993        0 21 2 0000000000000000 7\n"
        "  392: 00000000:158A 00000000:0000 07 00000000:00000100 00:00000000 00000000   993        0 22 2 0000000000000000 1\n"
    )
    monkeypatch.setattr(metrics.listeners, "TABLES", str(tmp_path))
    assert metrics.udp_sockets() == {("0B02000A", 5514): (512, 7), ("00000000", 5514): (256, 1)}


def test_addresses_are_those_of_the_kernel_but_not_the_loopbacks() -> None:
    """With direct routing each node has the VIP there."""
    header, message = metrics._HEADER, metrics._ADDRESS

    def address(index: int, last: int) -> bytes:
        attribute = struct.pack("=HH", 8, metrics.IFA_LOCAL) + bytes([192, 0, 2, last])
        body = message.pack(socket.AF_INET, 32, 0, 0, index) + attribute
        return bytes(header.pack(header.size + len(body), metrics.RTM_NEWADDR, 2, 1, 0) + body)

    held: set[tuple[int, bytes]] = set()
    assert metrics.parse_addresses(address(1, 10) + address(2, 11), held)
    assert not metrics.parse_addresses(header.pack(16, metrics.NLMSG_DONE, 2, 1, 0), held)
    assert (metrics.holds("192.0.2.10", held), metrics.holds("192.0.2.11", held)) == (False, True)
    assert all(family in (socket.AF_INET, socket.AF_INET6) for family, _ in metrics.held_addresses())


def test_a_labels_value_is_escaped() -> None:
    found = metrics.Exposition()
    found.add("info", [("node", "a"), ("version", 'x"\\\n')], 1)
    (family,) = text_string_to_metric_families(found.text())
    assert family.samples[0].labels == {"node": "a", "version": 'x"\\\n'}


def rendered(cluster: Cluster, el: int) -> tuple[str, str]:
    files = desired_files(cluster, cluster.nodes[0], el)
    return files[health.FILE].content, files[health.SETTINGS].content


@pytest.mark.parametrize(("el", "setting"), [(7, "ReadWriteDirectories"), (9, "ReadWritePaths")])
def test_the_service_may_write_into_the_folder_only_where_it_has_one(
    tmp_path: Path, el: int, setting: str
) -> None:
    unit, settings = rendered(make_cluster(tmp_path, metrics="/var/lib/node_exporter/textfile", vrrp=3), el)
    assert f"{setting}=-/var/lib/node_exporter/textfile\n" in unit
    assert '"file": "/var/lib/node_exporter/textfile/logstash_ha.prom"' in settings
    unit, settings = rendered(make_cluster(tmp_path, vrrp=3), el)
    assert "ReadWrite" not in unit
    assert '"metrics": null' in settings


def test_node_exporter_passes_on_what_is_written() -> None:
    """The real one, of Debian."""
    program = debian("prometheus-node-exporter") / "usr/bin/prometheus-node-exporter"

    def use(service: Running, file: Path) -> None:
        service.wait(file.exists)
        address = f"{loopback()}:9100"
        options = ("--collector.disable-defaults", "--collector.textfile")
        command = (
            program,
            *options,
            f"--collector.textfile.directory={file.parent}",
            f"--web.listen-address={address}",
        )
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as exporter:
            try:
                text = until(lambda: fetched(f"http://{address}/metrics"), 10, "an answer of node_exporter")
            finally:
                exporter.terminate()
        assert "node_textfile_scrape_error 0\n" in text
        assert f'node_textfile_mtime_seconds{{file="{file}"}}' in text
        (line,) = re.findall(r"^logstash_ha_node_info.*", text, re.M)
        assert line == 'logstash_ha_node_info{node="stash1",version="0.2.0"} 1'

    assert watched(use) == []


def fetched(url: str) -> str:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())
    return ""
