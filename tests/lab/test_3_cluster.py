"""The cluster as it should be: proven from inside, from the senders' place, and from a stranger's."""

import subprocess
import sys

import pytest

from tests.lab.conftest import ADDRESSES, ALLOWED, FORBIDDEN, NODES, VIP, Cluster, tool
from tests.until import until


def test_verify_says_all_good_in_both_ways(cluster: Cluster) -> None:
    for command in ((sys.executable, "verify.py"), (tool("pyinfra"), "inventory.py", "verify.py")):
        done = cluster.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ALL GOOD" in done.stdout + done.stderr


def test_ipvs_is_as_the_recipe_shows_it(cluster: Cluster) -> None:
    for name in NODES:
        table = cluster.get(name, "ipvsadm -ln")
        assert f"UDP  {VIP}:5514 wrr ops" in table
        assert sorted(cluster.pool(name)) == sorted(ADDRESSES.values())


def test_one_node_holds_the_vip(cluster: Cluster) -> None:
    assert len(cluster.holders()) == 1


def test_a_thousand_events_arrive_once_each(cluster: Cluster) -> None:
    result = cluster.verify("--send", "1000")
    assert result["status"] == 0, result
    (sent,) = result["send"]["inputs"]
    assert sent["received"] == {"stash1": 500, "stash2": 500}
    assert (sent["lost"], sent["duplicated"]) == (0, 0)


@pytest.mark.parametrize("target", [VIP, *ADDRESSES.values()])
def test_a_sender_that_is_not_on_the_list_gets_nothing_through(cluster: Cluster, target: str) -> None:
    """What the forbidden address sends is followed by what the allowed one sends, on the same way."""
    mark = target.replace(".", "-")
    cluster.send([f"stranger-{mark}-{n}" for n in range(10)], target, FORBIDDEN)
    cluster.send([f"friend-{mark}-{n}" for n in range(10)], target, ALLOWED)

    def arrived(who: str) -> int:
        return sum(len(cluster.received(name, f"{who}-{mark}")) for name in NODES)

    until(lambda: arrived("friend") == 10, 20, "the allowed sender's events")
    assert arrived("stranger") == 0


def test_the_api_is_closed_to_senders_and_open_to_nodes(cluster: Cluster) -> None:
    for address in ADDRESSES.values():
        ask = f"curl --silent --max-time 3 http://{address}:9600/"
        assert cluster.on("sender", ask).returncode in (7, 28)
        assert '"version":"8.19.18"' in cluster.get("stash1", ask)


def test_what_iptables_accepts_opens_nothing_where_firewalld_uses_nftables(cluster: Cluster) -> None:
    """So verify.py, which reports such a rule where firewalld uses iptables, has nothing to report."""
    rule = "INPUT -p tcp --dport 9600 -j ACCEPT"
    cluster.get("stash1", f"iptables -I {rule}")
    try:
        ask = f"curl --silent --max-time 3 http://{ADDRESSES['stash1']}:9600/"
        assert cluster.on("sender", ask).returncode in (7, 28)
        assert cluster.verify()["problems"] == []
    finally:
        cluster.get("stash1", f"iptables -D {rule}")


def test_keepalived_is_confined(cluster: Cluster) -> None:
    """SELinux really is between keepalived and the rest here, so that what it denies nothing of means something."""
    for name in NODES:
        assert ":keepalived_t:" in cluster.get(name, "ps -C keepalived -o label=")
        booleans = cluster.get(name, "getsebool nis_enabled keepalived_connect_any")
        assert booleans.split() == ["nis_enabled", "-->", "off", "keepalived_connect_any", "-->", "off"]


def test_selinux_denied_nothing_of_ours(cluster: Cluster) -> None:
    for name in NODES:
        log = cluster.get(name, "cat /var/log/audit/audit.log; dmesg")
        assert [line for line in log.splitlines() if "avc:" in line and "denied" in line] == []


def test_keepalived_reports_no_script_as_insecure_or_disabled(cluster: Cluster) -> None:
    for name in NODES:
        journal = cluster.get(name, "journalctl -u keepalived --no-pager")
        for words in ("Unsafe permissions", "Disabling", "not found", "WARNING - script"):
            assert words not in journal


def test_nothing_of_the_lab_leaves_its_namespace(cluster: Cluster) -> None:
    links = subprocess.run(("ip", "-brief", "link"), capture_output=True, text=True, check=True).stdout
    assert "tap-stash1" not in links
    routes = subprocess.run(
        (*cluster.lab.network.enter_command, "ip", "route"), capture_output=True, text=True, check=True
    ).stdout
    assert routes.split()[0] == "10.77.0.0/24"
    assert "default" not in routes
