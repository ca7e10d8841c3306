"""A running cluster is changed, by good and by bad configurations and by runs that are cut off, and loses no event."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from desired import keepalived
from tests.lab.conftest import ADDRESSES, NODES, PASSWORD, Cluster, tool
from tests.until import until

EVERYTHING = {
    "inputs": [
        {"id": "udp-5514", "port": 5514, "tags": ["changed"], "receive_buffer_bytes": 4194304},
        {"id": "udp-5600", "port": 5600, "scheduler": "sh"},
    ],
    "senders": ["10.77.0.101", "10.77.0.103"],
    "heap": "300m",
    "pipeline_workers": 2,
    "notification_email": "root@localhost",
    "smtp_server": "127.0.0.1",
    "vrrp": 2,
    "version": "8.19.17",
}
"""Other files, rules, settings and packages for each step of the deploy."""
NEWEST = "8.19.18"

LOGSTASH = "systemctl show -p MainPID logstash"
PIDS = f"{LOGSTASH} keepalived"


def test_a_pipeline_that_logstash_refuses_never_goes_live(cluster: Cluster, tmp_path: Path) -> None:
    before = {name: cluster.get(name, PIDS) for name in NODES}
    (tmp_path / "filter.conf").write_text("filter { mutate { add_tag => } }\n")
    done = cluster.deploy("-y", inventory=cluster.inventory("refused", pipelines=str(tmp_path)))
    assert done.returncode == 1
    assert "Logstash refuses it" in done.stdout + done.stderr
    assert {name: cluster.get(name, PIDS) for name in NODES} == before
    for name in NODES:
        assert "filter.conf" not in cluster.get(name, "ls /etc/logstash/conf.d")


OLD_NAME = """
cd /etc/keepalived
mv release_vips.py give_up_vips.py
sed -i s,/etc/keepalived/release_vips.py,/etc/keepalived/give_up_vips.py, {drop_in} /var/lib/logstash-ha/record
systemctl daemon-reload
"""
"""A node as the version before has left it, which had another name for one of its files."""


def test_what_an_earlier_version_put_under_another_name_goes(cluster: Cluster) -> None:
    """Nor is anything left of the configuration that was refused before: Logstash runs on."""
    logstash = {name: cluster.get(name, LOGSTASH) for name in NODES}
    for name in NODES:
        cluster.get(name, OLD_NAME.format(drop_in=keepalived.DROP_IN))
    with cluster.stream("renamed") as sent:
        done = cluster.deploy("-y")
    assert done.returncode == 0, done.stderr
    for name in NODES:
        assert cluster.get(name, "cd /etc/keepalived; ls *vips*") == "release_vips.py"
        assert cluster.on(name, "grep -r give_up_vips /etc /var/lib/logstash-ha").stdout == ""
    assert {name: cluster.get(name, LOGSTASH) for name in NODES} == logstash
    assert cluster.lost("renamed", sent[0]) == []
    assert cluster.plan()[0] == {}


@pytest.mark.long
def test_a_service_that_does_not_come_up_gets_its_old_files_back(cluster: Cluster) -> None:
    """Port 5600 is taken on the BACKUP. Logstash lists the input all the same."""
    (holder,) = cluster.holders()
    (backup,) = (name for name in NODES if name != holder)
    taken = f"import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('{ADDRESSES[backup]}', 5600)); time.sleep(900)"
    cluster.get(backup, f'systemd-run --unit=thief python3 -c "{taken}"')
    untouched = cluster.get(holder, PIDS)
    package = cluster.get(backup, "rpm -q logstash")
    conf = cluster.get(backup, "cat /etc/logstash/conf.d/*.conf")
    inventory = cluster.inventory("everything", **EVERYTHING)
    with cluster.stream("rollback") as sent:
        done = cluster.deploy("-y", inventory=inventory)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "port 5600 is not bound" in said
    assert "its old files are back, and it runs with them" in said
    assert f"left as it was, because {backup} has failed" in said
    assert "its old package is back" in said
    assert cluster.get(backup, "cat /etc/logstash/conf.d/*.conf") == conf
    assert {cluster.get(name, "rpm -q logstash") for name in NODES} == {package}
    assert cluster.get(holder, PIDS) == untouched
    assert cluster.lost("rollback", sent[0]) == []
    cluster.get(backup, "systemctl stop thief")


BEFORE_ACTIVATION = [
    "2. Elastic's repository",
    "3. logstash.yml",
    "4. Pipelines",
    "4. Logstash accepts",
    "6. sysctl: own files",
    "8. Health script",
    "7. keepalived.conf",
    "9. firewalld",
]
LAST = BEFORE_ACTIVATION[-1]


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=() if step == LAST else pytest.mark.long) for step in BEFORE_ACTIVATION]
)
def test_a_deploy_whose_ssh_is_cut_can_be_given_up(cluster: Cluster, step: str) -> None:
    """The next run, with the old inventory, leaves all services as they have been running all along."""
    before = {name: cluster.get(name, PIDS) for name in NODES}
    mark = f"given-up-{BEFORE_ACTIVATION.index(step)}"
    with cluster.stream(mark) as sent:
        cut(cluster, cluster.inventory("everything", **EVERYTHING), step)
        done = cluster.deploy("-y")
        assert done.returncode == 0, done.stdout + done.stderr
    assert {name: cluster.get(name, PIDS) for name in NODES} == before
    assert cluster.lost(mark, sent[0]) == []


ACTIVATION = "11. keepalived and Logstash are up with their files: "


@pytest.mark.long
@pytest.mark.parametrize(("step", "there"), [(f"{ACTIVATION}BACKUPs", True), (f"{ACTIVATION}MASTER", False)])
def test_a_deploy_whose_ssh_is_cut_is_finished_by_the_next(cluster: Cluster, step: str, there: bool) -> None:
    """There, to another configuration, and back."""
    inventory = cluster.inventory("everything", **(EVERYTHING if there else {"version": NEWEST}))
    mark = f"finished-{there}"
    with cluster.stream(mark) as sent:
        cut(cluster, inventory, step)
        done = cluster.deploy("-y", inventory=inventory)
        assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.plan(inventory)[0] == {}
    assert cluster.lost(mark, sent[0]) == []
    until(lambda: cluster.whole(inventory), 60, "the cluster whole")


def test_a_deploy_that_changes_everything_loses_no_event(cluster: Cluster) -> None:
    inventory = cluster.inventory("everything", **EVERYTHING)
    with cluster.stream("everything", rate=100) as sent:
        done = cluster.deploy("-y", "-vvv", "--diff", inventory=inventory)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "+         auth_pass ********" in said
    assert PASSWORD not in said
    for name in NODES:
        assert f"logstash-{EVERYTHING['version']}-" in cluster.get(name, "rpm -q logstash")
    assert cluster.plan(inventory)[0] == {}
    lost = cluster.lost("everything", sent[0])
    print(f"a deploy that changes everything: {sent[0]} events sent, {len(lost)} lost")
    assert lost == []
    until(lambda: cluster.whole(inventory), 60, "the cluster whole")


def cut(cluster: Cluster, inventory: Path, step: str) -> None:
    """A deploy that loses its connections to both nodes as soon as this step begins."""
    with cluster.start(tool("pyinfra"), "-y", str(inventory), "deploy.py") as run:
        assert run.stderr
        for line in run.stderr:
            if "Starting" in line and f"operation: {step}" in line:
                break
        else:
            pytest.fail(f"the deploy has no step {step!r}")
        for pid in children(run.pid):
            os.kill(pid, signal.SIGKILL)
        try:
            run.communicate(timeout=5)
        except subprocess.TimeoutExpired:  # it waits for an answer that never comes
            run.kill()
            run.communicate()


def children(parent: int) -> list[int]:
    """The processes that a process has started: here, what it reaches the guests through."""
    found = subprocess.run(("pgrep", "--parent", str(parent)), capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
