"""The verdict on the kernel: its settings, and what SELinux denies."""

from dataclasses import replace

import pytest

from cluster import Cluster
from tests.unit.observations import STIG, Fault, all_well, assert_reported_once, status
from verification.judge import judge
from verification.report import Status


def line(path: str, key: str = "net.ipv4.ip_forward", value: str = "0") -> dict[str, object]:
    """A line of a sysctl.d file, against what is meant."""
    return {"path": path, "number": 1, "text": "", "key": key, "value": value}


FAULTS: dict[str, Fault] = {
    "sysctl": (
        {"sysctl": lambda it: it["runtime"].update(STIG)},
        "sysctl",
        "differ",
        "net.ipv4.ip_forward is 0, not 1",
        "deploy",
    ),
    "sysctl after a boot": (
        {"sysctl": lambda it: it["lines"].append(line("/etc/sysctl.conf"))},
        "sysctl",
        "differ",
        "/etc/sysctl.conf sets net.ipv4.ip_forward to 0, which wins at the next boot",
        "deploy",
    ),
    "sysctl after a boot, by somebody's file": (
        {"sysctl": lambda it: it["lines"].append(line("/etc/sysctl.d/99-hard.conf"))},
        "sysctl",
        "differ",
        "/etc/sysctl.d/99-hard.conf sets net.ipv4.ip_forward to 0, which wins at the next boot",
        "take the line out of /etc/sysctl.d/99-hard.conf",
    ),
    "sysctl after a boot, by another name": (
        {"sysctl": lambda it: it["lines"].append(line("/etc/sysctl.conf", "net.ipv4.conf.all.forwarding"))},
        "sysctl",
        "differ",
        "/etc/sysctl.conf sets net.ipv4.conf.all.forwarding to 0, which wins at the next boot",
        "deploy",
    ),
    "sysctl after a boot, by a line that takes ours back": (
        {"sysctl": lambda it: it["lines"].append(line("/etc/sysctl.d/99-hard.conf", value=""))},
        "sysctl",
        "differ",
        "/etc/sysctl.d/99-hard.conf leaves net.ipv4.ip_forward unset, which wins at the next boot",
        "take the line out of /etc/sysctl.d/99-hard.conf",
    ),
    "sysctl of the interface": (
        {"sysctl": lambda it: it["runtime"].update({"net.ipv4.conf.eth0.forwarding": "0"})},
        "sysctl",
        "differ",
        "net.ipv4.conf.eth0.forwarding is 0, not 1",
        "deploy",
    ),
    "sysctl unread": (
        {"sysctl": lambda it: it["runtime"].clear()},
        "sysctl",
        "?",
        "could not be read",
        "sysctl net.ipv4",
    ),
    "denied": (
        {"selinux": lambda it: it["denied"].append('avc: denied { watch } for comm="keepalived"')},
        "selinux",
        "enforcing",
        'SELinux is enforcing and denies keepalived what it needs: avc: denied { watch } for comm="keepalived"',
        "restorecon",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_on_one_node_is_reported_once(cluster: Cluster, name: str) -> None:
    assert_reported_once(cluster, FAULTS[name])


@pytest.mark.parametrize("boot", ["", "disabled", "enforcing"])
def test_selinux_disabled_is_no_fault(cluster: Cluster, boot: str) -> None:
    """Also where a file says otherwise: it may be the kernel's command line that disables it."""
    observations = all_well(cluster)
    off = replace(
        observations["stash1"],
        selinux={"mode": "Disabled", "boot": boot, "denied": []},
    )
    report = judge(cluster, {**observations, "stash1": off})
    assert report.ok
    assert status(report, "selinux", "stash1") == (Status.OK, "disabled")


@pytest.mark.parametrize(
    ("mode", "boot", "do"),
    [
        ("Enforcing", "permissive", "`sed -i s/^SELINUX=.*/SELINUX=enforcing/ /etc/selinux/config`"),
        ("Enforcing", "disabled", "`sed -i s/^SELINUX=.*/SELINUX=enforcing/ /etc/selinux/config`"),
        ("Permissive", "enforcing", "`setenforce 1`, then verify again"),
        ("Permissive", "disabled", "`setenforce 1`, then verify again"),
        ("Permissive", "permissive", None),
        ("Enforcing", "", None),
    ],
)
def test_another_mode_of_selinux_at_the_next_boot_is_warned_of(
    cluster: Cluster, mode: str, boot: str, do: str | None
) -> None:
    observations = all_well(cluster)
    observations["stash1"] = replace(
        observations["stash1"], selinux={"mode": mode, "boot": boot, "denied": []}
    )
    report = judge(cluster, observations)
    assert report.ok
    what = f"SELinux is {mode.lower()} now, and {boot} after the next boot"
    found = [(problem.status, problem.node, problem.what, problem.do) for problem in report.problems]
    assert found == ([(Status.WARNING, "stash1", what, do)] if do else [])
