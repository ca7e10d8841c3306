"""What the cluster is for: one part fails, and events still arrive."""

import json
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab.conftest import ADDRESSES, NODES, VIP, Cluster
from tests.until import until


@pytest.fixture(scope="module", autouse=True)
def whole_before(cluster: Cluster) -> None:
    """Whole before the first failure."""
    until(cluster.whole, 60, "the cluster whole before the tests")


@pytest.fixture(autouse=True)
def whole(cluster: Cluster) -> Iterator[None]:
    """Whole again after each failure, and so before the next one."""
    yield
    until(cluster.whole, 60, "the cluster whole again")


def test_a_stopped_logstash_leaves_the_pool_and_comes_back(cluster: Cluster) -> None:
    cluster.get("stash1", "systemctl stop logstash")
    try:
        until(
            lambda: all(cluster.pool(director) == [ADDRESSES["stash2"]] for director in NODES),
            30,
            "stash1 out of both directors' pools",
        )
        report = cluster.verify("--send", "10")
        assert report["status"] == 1
        assert report["vips"][VIP]["pool"] == {"udp-5514": ["stash2"]}
        assert any(
            problem["node"] == "stash1" and "logstash" in problem["what"] for problem in report["problems"]
        )
        assert report["send"]["inputs"][0]["received"] == {"stash1": 0, "stash2": 10}
    finally:
        cluster.get("stash1", "systemctl start logstash")
    until(
        lambda: all(len(cluster.pool(director)) == 2 for director in NODES),
        60,
        "stash1 in both directors' pools again",
    )


SHORT = """
import remote.green
import runpy
import drills.run
drills.run.TAIL = 8
runpy.run_path("verify.py", run_name="__main__")
"""
"""verify.py, with events for 8 s after a drill's end, and not 30: keepalived runs again after 5 s."""


def test_a_killed_keepalived_hands_the_vip_over_and_no_event_is_lost(cluster: Cluster) -> None:
    (holder,) = cluster.holders()
    done = cluster.run(sys.executable, "-c", SHORT, "drill", "keepalived-killed", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert (document["node"], document["faults"]) == (holder, [])
    assert (document["loss"]["lost"], document["loss"]["duplicated"]) == (0, 0)
    assert sum(document["loss"]["received"].values()) == document["loss"]["sent"]
    assert [*{*NODES} - {holder}] == cluster.holders()


def test_no_event_is_lost_while_keepalived_stops(cluster: Cluster) -> None:
    """Also where each node takes the other one for the VIP's holder: it would forward what comes to that one, and get it back."""
    (holder,) = cluster.holders()
    (backup,) = (name for name in NODES if name != holder)
    for name, other in ((holder, backup), (backup, holder)):
        mac = cluster.get(other, "cat /sys/class/net/eth0/address").strip()
        cluster.get(name, f"ip neighbour replace {VIP} lladdr {mac} dev eth0 nud stale")
    with cluster.stream("stops", rate=1000) as sent:
        until(lambda: cluster.received(backup, "stops-"), 20, "events of the stream")
        cluster.get(holder, "systemctl stop keepalived")
    try:
        assert cluster.holders() == [backup]
        assert cluster.lost("stops", sent[0]) == []
        assert f" {VIP}/" not in cluster.get(holder, "ip -o addr show")
        assert cluster.get(holder, "sysctl -n net.ipv4.conf.all.arp_ignore").strip() == "0"
    finally:
        cluster.get(holder, "systemctl start keepalived")


def test_a_drill_that_is_interrupted_is_undone(cluster: Cluster) -> None:
    (holder,) = cluster.holders()
    state = "ps -o stat= -p $(systemctl show -p MainPID --value logstash)"
    with cluster.start(sys.executable, "verify.py", "drill", "logstash-hung", "--yes") as drill:
        until(lambda: cluster.get(holder, state).startswith("T"), 60, "Logstash stopped by the drill")
        drill.send_signal(signal.SIGINT)
        _, errors = drill.communicate(timeout=60)
    assert (drill.returncode, errors.strip()) == (2, "verify: interrupted; it is undone")
    assert not cluster.get(holder, state).startswith("T")
    assert "logstash-ha-verify" not in cluster.get(
        "sender", "ps -o args= -C python3 || true"
    )  # nor is more sent


def test_a_drill_is_not_begun_on_a_cluster_that_is_not_whole(cluster: Cluster) -> None:
    cluster.get("stash2", "systemctl stop keepalived")
    try:
        done = cluster.run(sys.executable, "verify.py", "drill", "logstash-killed", "--yes")
    finally:
        cluster.get("stash2", "systemctl start keepalived")
    assert done.returncode == 2
    assert "the cluster is not whole (keepalived does not run)" in done.stderr


def test_the_vip_moves_when_its_holder_loses_power(cluster: Cluster) -> None:
    (holder,) = cluster.holders()
    (backup,) = (name for name in NODES if name != holder)
    cluster.lab.guest(holder).power_off()
    start = time.monotonic()
    until(lambda: cluster.holders() == [backup], 30, f"the VIP on {backup}")
    print(f"the VIP moved to {backup} within {time.monotonic() - start:.1f} s")
    until(lambda: cluster.pool(backup) == [ADDRESSES[backup]], 30, f"{holder} out of the pool")
    cluster.send([f"alone-{n}" for n in range(10)])
    until(lambda: len(cluster.received(backup, "alone-")) == 10, 20, "all events on the node that is left")
    report = cluster.verify()
    assert report["status"] == 1
    assert any(problem["node"] == holder for problem in report["problems"])
    cluster.lab.power_on(holder, lambda text: None)
