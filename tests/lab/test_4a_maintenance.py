"""A node leaves for maintenance and comes back, and all nodes are patched, while 1,000 events a second are sent."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from desired.paths import LOCK_FOLDER
from remote.lock import _TAKE
from tests.lab.conftest import ADDRESSES, NODES, VIP, Cluster, Done, tool
from tests.until import until

RATE = 1000
LEAD = 1
"""Seconds of events before something happens."""
STALL = 8
"""Seconds for which nobody holds the VIP, while one node takes it over."""
_NEIGHBOURS = "net.ipv4.neigh.eth0"
FORGETFUL = {
    f"{_NEIGHBOURS}.base_reachable_time_ms": 500,
    f"{_NEIGHBOURS}.delay_first_probe_time": 1,
    f"{_NEIGHBOURS}.retrans_time_ms": 200,
}
"""A sender that asks a second later whether its ARP entry is still true, and gives it up after 1.2 s without an answer (arp(7))."""


def maintain(cluster: Cluster, name: str, *data: str) -> Done:
    options = [word for each in data for word in ("--data", each)]
    return cluster.run(tool("pyinfra"), "-y", "inventory.py", "maintain.py", "--limit", name, *options)


@contextmanager
def none_lost(cluster: Cluster, meanwhile: str) -> Iterator[None]:
    """Events are sent meanwhile, and all come. The row of docs/maintenance.md is printed."""
    mark = meanwhile.split()[0].lower()
    with cluster.stream(mark, RATE) as sent:
        time.sleep(LEAD)
        yield
    lost = cluster.lost(mark, sent[0])
    print(f"\n| {meanwhile} | {sent[0]:,} | {len(lost):,} |")
    assert lost == []


def roles(cluster: Cluster) -> tuple[str, str]:
    """The MASTER, and the BACKUP."""
    (master,) = cluster.holders()
    (backup,) = (name for name in NODES if name != master)
    return master, backup


def test_a_master_leaves_for_maintenance_and_comes_back_and_no_event_is_lost(cluster: Cluster) -> None:
    master, backup = roles(cluster)
    with none_lost(cluster, "MASTER into maintenance, and back"):
        done = maintain(cluster, master, "hours=1")
        assert done.returncode == 0, done.stderr
        assert cluster.holders() == [backup]
        assert [cluster.pool(director) for director in NODES] == [[ADDRESSES[backup]]] * 2
        document = cluster.verify()
        assert (document["status"], list(document["maintenance"])) == (0, [master])
        refused = maintain(cluster, backup)
        assert refused.returncode == 1
        assert "it stays: no other node takes UDP" in refused.stdout + refused.stderr
        done = maintain(cluster, master, "back=yes")
        assert done.returncode == 0, done.stderr
    for director in NODES:
        assert sorted(cluster.pool(director)) == sorted(ADDRESSES.values())
        assert cluster.get(director, "ip -o addr show dev lo | grep -c 10.77.0.10 || true") == "0"
    assert cluster.plan()[0] == {}


def test_a_run_that_goes_on_is_not_disturbed_by_another(cluster: Cluster) -> None:
    """The first one is a session on a node that has taken the lock, as a run does."""
    _, backup = roles(cluster)
    note = '{"by": "alice@laptop", "command": "deploy.py", "pid": 4711, "since": 1795788120, "token": "a"}'
    script = _TAKE.format(folder=LOCK_FOLDER, mine=f"'{note}'", token="a")
    ssh, *arguments = cluster.lab.ssh_command(backup)
    command = (
        *(ssh, "-o", "ControlPath=none"),  # a connection of its own, as pyinfra's, which ends with it
        *arguments,
        "sudo sh -c 'cat >/tmp/take; sh /tmp/take; read -r _ </dev/null; sleep 60'",
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin
        assert first.stdout
        first.stdin.write(script)
        first.stdin.close()
        assert first.stdout.readline() == "taken\n"
        done = maintain(cluster, backup)
        assert done.returncode == 1
        assert (
            "alice@laptop (deploy.py, process 4711 there) has had it since 2026-11-27"
            in done.stdout + done.stderr
        )
        assert len(cluster.pool(backup)) == 2
        first.kill()
    ended = f"read -r pid _ <{LOCK_FOLDER}/lock; [ ! -d /proc/$pid ]"
    until(lambda: cluster.on(backup, ended).returncode == 0, 20, "the session's end")
    done = maintain(cluster, backup, "back=yes")
    assert done.returncode == 0, done.stderr
    assert "the lock of a run that is over is taken" in done.stdout + done.stderr


@pytest.mark.long
def test_the_node_that_takes_the_vip_over_may_be_slow(cluster: Cluster) -> None:
    """Its keepalived has stood still, and takes the VIP `STALL` s after that was given up. The sender's ARP entry is older than that
    lasts: it asks whether the node still has the VIP."""
    master, backup = roles(cluster)
    given_up = f"while ip -o addr show dev eth0 | grep -q ' {VIP}/'; do sleep 0.05; done"
    kept = cluster.get("sender", f"sysctl {' '.join(FORGETFUL)}").replace(" = ", "=").split()
    cluster.get("sender", f"sysctl -w {' '.join(f'{key}={value}' for key, value in FORGETFUL.items())}")
    vrrp = cluster.get(backup, 'pgrep -n -P "$(systemctl show -p MainPID keepalived | cut -d = -f 2)"')
    with none_lost(cluster, "slow heir of the VIP"):
        cluster.get(backup, f"kill -STOP {vrrp}")
        try:
            leaves = cluster.start(tool("pyinfra"), "-y", "inventory.py", "maintain.py", "--limit", master)
            cluster.get(master, given_up)
            time.sleep(STALL)
        finally:
            cluster.get(backup, f"kill -CONT {vrrp}")
        output, errors = leaves.communicate(timeout=120)
        assert leaves.returncode == 0, output + errors
    cluster.get("sender", f"sysctl -w {' '.join(kept)}")
    assert cluster.holders() == [backup]
    assert maintain(cluster, master, "back=yes").returncode == 0


def serves(cluster: Cluster, name: str) -> bool:
    """Whether the node's services run again after a boot."""
    if not cluster.lab.guest(name).running():
        return False
    done = cluster.on(name, "systemctl is-active logstash-ha-health logstash keepalived")
    return done.stdout.split() == ["active"] * 3


@pytest.mark.long
def test_a_maintenance_lasts_over_a_reboot_and_a_deploy(cluster: Cluster) -> None:
    master, backup = roles(cluster)
    with none_lost(cluster, "Reboot of the MASTER in maintenance"):
        assert maintain(cluster, master).returncode == 0
        boot = cluster.get(master, "cat /proc/sys/kernel/random/boot_id")
        cluster.on(master, "systemctl reboot")
        until(
            lambda: (
                cluster.on(master, "cat /proc/sys/kernel/random/boot_id").stdout.strip() not in ("", boot)
            ),
            120,
            "another boot",
        )
        until(lambda: serves(cluster, master), 120, "the services of the node")
        done = cluster.deploy("-y")
        assert done.returncode == 0, done.stderr
        assert cluster.holders() == [backup]
        assert cluster.pool(backup) == cluster.pool(master) == [ADDRESSES[backup]]
        assert maintain(cluster, master, "back=yes").returncode == 0
    until(cluster.whole, 60, "the cluster whole")


@pytest.mark.long
def test_all_nodes_are_patched_and_rebooted_and_no_event_is_lost(cluster: Cluster) -> None:
    """Logstash is one of the packages: it was of an older version before."""
    older = cluster.inventory("older", version="8.19.17")
    assert cluster.deploy("-y", inventory=older).returncode == 0
    patch = (tool("pyinfra"), "-y", "inventory.py", "patch.py", "--data", "hold=keepalived")
    with none_lost(cluster, "Patch of both nodes, each with a reboot"):
        done = cluster.run(*patch, "--data", "reboot=always", timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in NODES:
        assert cluster.get(name, "rpm -q logstash").startswith("logstash-8.19.18")
        assert float(cluster.get(name, "cut -d' ' -f1 /proc/uptime")) < 500
    assert cluster.whole()
    again = cluster.run(*patch)
    assert again.returncode == 0
    assert (again.stdout + again.stderr).count("there is nothing to do") == len(NODES)
    assert cluster.plan()[0] == {}


@pytest.mark.long
def test_a_second_deploy_changes_nothing_and_one_that_was_killed_leaves_no_lock(cluster: Cluster) -> None:
    inputs = [{"id": "udp-5514", "port": 5514, "receive_buffer_bytes": 131072}]
    changed = cluster.inventory("changed", inputs=inputs)
    files = "sha256sum /etc/logstash/conf.d/* /etc/keepalived/*.conf"
    before = {name: cluster.get(name, files) for name in NODES}
    with cluster.start(tool("pyinfra"), "-y", str(changed), "deploy.py") as first:
        locked = f"grep '\"pid\": {first.pid},' {LOCK_FOLDER}/lock"
        until(lambda: all(cluster.on(name, locked).returncode == 0 for name in NODES), 120, "its lock")
        first.send_signal(signal.SIGSTOP)  # it goes on to hold the lock
        for program in ("deploy.py", "patch.py"):
            second = cluster.run(tool("pyinfra"), "-y", str(changed), program, "--data", "reboot=always")
            assert second.returncode == 1
            said = second.stdout + second.stderr
            assert f"(changed.py deploy.py, process {first.pid} there) has had it since" in said
        assert first.poll() is None
        first.kill()
    assert {name: cluster.get(name, files) for name in NODES} == before
    third = cluster.deploy("-y", inventory=changed)
    assert third.returncode == 0, third.stderr
    assert "the lock of a run that is over is taken" in third.stdout + third.stderr
    assert all("131072" in cluster.get(name, "cat /etc/logstash/conf.d/*") for name in NODES)
    assert cluster.deploy("-y").returncode == 0
    until(cluster.whole, 60, "the cluster whole")
