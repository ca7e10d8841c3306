"""The deploy: from fresh machines, again, from halfway, and broken off."""

import signal

import pytest

from tests.lab.conftest import NODES, Cluster, Done, tool
from tests.until import until

STARTED = "systemctl show -p ActiveEnterTimestampMonotonic,MainPID logstash keepalived firewalld"


def test_the_first_deploy_succeeds(first_deploy: Done) -> None:
    assert first_deploy.returncode == 0, first_deploy.stdout + first_deploy.stderr


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    before = {name: cluster.get(name, STARTED) for name in NODES}
    done = cluster.deploy("-y")
    assert done.returncode == 0, done.stderr
    assert {name: cluster.get(name, STARTED) for name in NODES} == before


@pytest.fixture(scope="module")
def half_done(cluster: Cluster) -> None:
    """Something of several steps is missing again, and keepalived is stopped on both nodes."""
    rule = 'rule family="ipv4" source address="10.77.0.12" protocol value="vrrp" accept'
    cluster.get(
        "stash1",
        "sed -i s/5514/5515/ /etc/keepalived/keepalived.conf; cp /etc/keepalived/keepalived.conf /tmp/before; "
        f"systemctl stop keepalived; firewall-cmd -q --remove-rich-rule='{rule}'",
    )
    cluster.get(
        "stash2",
        "sysctl -q net.ipv4.ip_forward=0; "
        "printf 'net.ipv4.%s = 0\\n' ip_forward conf.all.forwarding >>/etc/sysctl.conf; "
        "systemctl disable -q --now keepalived",
    )


@pytest.mark.usefixtures("half_done")
def test_what_is_only_half_done_is_named_and_nothing_else(cluster: Cluster) -> None:
    changes, said = cluster.plan()
    assert {name.split()[0]: sorted(hosts) for name, hosts in changes.items()} == {
        "6.": ["stash2"],
        "7.": ["stash1"],
        "9.": ["stash1"],
        "11.": ["stash1", "stash2"],
    }
    assert "-     real_server 10.77.0.11 5515 {" in said


@pytest.mark.usefixtures("half_done")
def test_it_is_finished_and_so_is_a_run_that_is_broken_off(cluster: Cluster) -> None:
    """Broken off when the new file is there and keepalived has not read it."""
    with cluster.start(tool("pyinfra"), "-y", "inventory.py", "deploy.py") as run:
        until(
            lambda: cluster.on("stash1", "cmp -s /tmp/before /etc/keepalived/keepalived.conf").returncode,
            120,
            "the new keepalived.conf",
        )
        run.send_signal(signal.SIGKILL)
        run.communicate()
    done = cluster.deploy("-y")
    assert done.returncode == 0, done.stderr
    assert cluster.get("stash2", "tail -n 2 /etc/sysctl.conf").splitlines() == [
        "# net.ipv4.ip_forward = 0",
        "# net.ipv4.conf.all.forwarding = 0",
    ]
    assert cluster.plan()[0] == {}
    until(cluster.whole, 30, "the cluster whole again")
