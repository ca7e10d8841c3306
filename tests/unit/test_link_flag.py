"""keepalived itself, with the rendered VRRP instances, follows the link flag: in a network namespace of its own."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import Cluster
from desired import health, keepalived
from desired.files import desired_files
from desired.health_script import USER
from tests.unit import judges
from tests.unit.clusters import example
from tests.until import until

UP, DOWN = "", "1\n"


class Keepalived:
    """A keepalived that runs the VRRP instances of the first node of a cluster, which is alone."""

    def __init__(self, cluster: Cluster, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.cluster, self.process = cluster, process
        self.flag, self.log = folder / "link_fault", folder / "log"
        self.maintenance = folder / "maintenance"

    def held(self) -> int:
        """How many VIPs it holds."""
        enter = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        show = ["ip", "-o", "address", "show", "dev", self.cluster.interface_of(self.cluster.nodes[0])]
        shown = subprocess.run([*enter, *show], check=True, capture_output=True, text=True).stdout
        return sum(f" {vip}/" in shown for vip in self.cluster.vips)

    def said(self, text: str) -> int:
        """How often it has said this."""
        return self.log.read_text().count(text)

    def until_held(self, count: int) -> None:
        until(lambda: self.held() == count, 20, lambda: f"{count} VIPs: {self.log.read_text()}")


@contextmanager
def started(cluster: Cluster, folder: Path) -> Iterator[Keepalived]:
    """Start it with the flag raised, as its unit does."""
    node = cluster.nodes[0]
    conf = desired_files(cluster, node, 9)[keepalived.CONF].content
    flag = folder / "link_fault"
    flag.write_text(DOWN)
    (folder / "maintenance").write_text(UP)
    conf = conf.replace(health.MAINTENANCE_FLAG, str(folder / "maintenance"))
    conf = conf.replace(health.LINK_FAULT, str(flag)).replace(f"script_user {USER}", "script_user root")
    (folder / "keepalived.conf").write_text(conf)
    link = cluster.interface_of(node)
    script = "\n".join(
        [
            "set -e",
            f"ip link add {link} type veth peer name peer",
            f"ip link set {link} up; ip link set peer up",
            *(
                f"ip address add {address}/24 dev {link}{' nodad' if address.version == 6 else ''}"
                for address in node.addresses
            ),
            f"exec {judges.debian('keepalived')}/usr/sbin/keepalived --vrrp --dont-fork --log-console --log-detail "
            f"--use-file {folder}/keepalived.conf --pid {folder}/pid --vrrp_pid {folder}/vrrp_pid >{folder}/log 2>&1",
        ]
    )
    with subprocess.Popen(["unshare", "--net", "sh", "-c", script]) as process:
        running = Keepalived(cluster, process, folder)
        try:
            until(lambda: (folder / "vrrp_pid").exists(), 20, "a VRRP process")
            yield running
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.parametrize("shape", ["own_pipelines", "dual_stack", "active_active"])
def test_a_keepalived_that_starts_takes_no_part_until_the_flag_is_cleared(shape: str, tmp_path: Path) -> None:
    """Also where it is reloaded meanwhile; and it follows each change of the flag from then on."""
    cluster = example(shape, tmp_path)
    with started(cluster, tmp_path) as running:
        instances = len(cluster.vrrp_instances)
        until(lambda: running.said("file link_fault has status") >= instances, 20, "FAULT")
        running.process.send_signal(signal.SIGHUP)
        until(
            lambda: running.said("file link_fault has status") >= 2 * instances, 20, "FAULT after the reload"
        )
        assert running.held() == 0
        running.flag.write_text(UP)
        running.until_held(len(cluster.vips))
        running.flag.write_text(DOWN)
        running.until_held(0)
        running.flag.write_text(UP)
        running.until_held(len(cluster.vips))
        # A maintenance does the same, and neither ends the other.
        for first, second in ((running.flag, running.maintenance), (running.maintenance, running.flag)):
            first.write_text(DOWN)
            running.until_held(0)
            second.write_text(DOWN)
            first.write_text(UP)
            masters = running.said("Entering MASTER STATE")
            time.sleep(2)  # in which it would have become MASTER
            assert (running.held(), running.said("Entering MASTER STATE")) == (0, masters)
            second.write_text(UP)
            running.until_held(len(cluster.vips))
        assert running.said("died") == running.said("Respawn") == 0
