"""Machines that nobody has deployed to: what they are, and that wrong input leaves them so."""

import sys
from pathlib import Path

import pytest

from tests.lab.conftest import ALLOWED, NODES, VIP, Cluster

FORGED = """\
[forged]
name=A repository that a stranger signed
baseurl=http://10.77.0.1/packages/forged/yum
gpgcheck={packages}
repo_gpgcheck={index}
gpgkey=http://10.77.0.1/GPG-KEY-elasticsearch
"""

STATE = (
    "rpm -qa | sort; find /etc -type f -exec sha256sum {} + | sort; sysctl -a 2>/dev/null | grep ip_forward"
)


def states(cluster: Cluster) -> dict[str, str]:
    return {name: cluster.get(name, STATE) for name in NODES}


@pytest.fixture(scope="module")
def before(fresh: Cluster) -> dict[str, str]:
    """The nodes as nobody has changed them, which they are to stay."""
    return states(fresh)


@pytest.fixture(scope="module")
def planned(fresh: Cluster, before: dict[str, str]) -> tuple[dict[str, list[str]], str]:
    """What a dry run of the project's own inventory tells."""
    return fresh.plan()


def test_a_guest_is_its_el_to_whoever_logs_in(fresh: Cluster) -> None:
    for name, version in {"stash1": 9, "stash2": 10, "stash3": 7}.items():
        assert f'VERSION_ID="{version}"' in fresh.get(name, "cat /etc/os-release")
    assert fresh.on("stash3", "command -v dnf nmcli").returncode != 0
    assert fresh.get("stash1", "getenforce") == "Enforcing"
    assert fresh.get("stash1", "firewall-cmd --state") == "running"
    assert fresh.get("stash1", "getsebool nis_enabled") == "nis_enabled --> off"
    assert fresh.get("stash1", "yum --version") == fresh.get("stash1", "dnf --version")


def test_nothing_of_the_recipe_is_there(fresh: Cluster) -> None:
    for name in NODES:
        for package in ("logstash", "keepalived", "ipvsadm", "tcpdump", "java"):
            assert fresh.on(name, f"rpm -q --whatprovides {package}").returncode == 1
            assert fresh.on(name, f"command -v {package}").returncode != 0
        assert "ip_vs" not in fresh.get(name, "lsmod")


@pytest.mark.parametrize(("packages", "index"), [(1, 0), (0, 1)], ids=["package", "repository"])
def test_dnf_refuses_what_a_stranger_signed(fresh: Cluster, packages: int, index: int) -> None:
    repository = FORGED.format(packages=packages, index=index)
    fresh.get("sender", "cat >/etc/yum.repos.d/forged.repo", repository)
    try:
        done = fresh.on("sender", "dnf -y --disablerepo='*' --enablerepo=forged install logstash")
        assert done.returncode != 0
        assert "GPG" in done.stdout + done.stderr
        assert fresh.on("sender", "rpm -q logstash").returncode == 1
    finally:
        fresh.get("sender", "rm /etc/yum.repos.d/forged.repo; dnf -q clean all")


def test_a_dry_run_tells_all_and_changes_nothing(
    fresh: Cluster, before: dict[str, str], planned: tuple[dict[str, list[str]], str]
) -> None:
    changes, said = planned
    assert {name for hosts in changes.values() for name in hosts} == {*NODES}
    assert any("Packages" in step for step in changes)
    for text in ("+ virtual_server 10.77.0.10 5514 {", "+     id => ", "+ net.ipv4.ip_forward = 1"):
        assert text in said
    assert states(fresh) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"10.77.0.12"', '"10.77.0.11"', "nodes: address 10.77.0.11 is given twice"),
        ('interface="eth0"', 'interface="ens33"', "has no ens33; choose one of eth0"),
        ("connection=connection,", 'connection={**connection, "ssh_user": "visitor"},', "no sudo"),
        ('{"stash1": "10.77.0.11", ', '{"stash9": "10.77.0.19", ', "stash9: can't be reached by ssh"),
    ],
    ids=["model", "interface", "sudo", "unreachable"],
)
def test_wrong_input_is_told_in_a_line_and_changes_nothing(
    fresh: Cluster, before: dict[str, str], tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = Path("inventory.py").read_text()
    assert old in text
    inventory = tmp_path / "inventory.py"
    inventory.write_text(text.replace(old, new))
    done = fresh.deploy("-y", inventory=inventory)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert any(message in line for line in said.splitlines()), said
    assert "Traceback" not in said
    assert states(fresh) == before


def start(cluster: Cluster, folder: Path, *names: str) -> Path:
    """The inventory that init.py writes of these guests. By hand, as the lab's packages are its own, it names where they are."""
    done = cluster.run(
        *(sys.executable, "init.py", str(folder), *names),
        *("--ssh-config", str(cluster.lab.folder / "ssh_config")),
        *("--vip", VIP, "--senders", ALLOWED, "--yes"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attention" not in done.stdout, done.stdout
    inventory = folder / "inventory.py"
    text, end = inventory.read_text(), "    connection=connection,\n"
    assert text.count(end) == 1
    lab = '    artifacts_url="http://10.77.0.1",\n    repository={"seen_from": "nodes"},\n'
    inventory.write_text(text.replace(end, f"{lab}{end}"))
    return inventory


def test_an_inventory_is_written_of_what_the_machines_are_and_a_dry_deploy_reads_it(
    fresh: Cluster, before: dict[str, str], planned: tuple[dict[str, list[str]], str], tmp_path: Path
) -> None:
    """It describes the same cluster as the project's own."""
    inventory = start(fresh, tmp_path / "logs", *NODES)
    text = inventory.read_text()
    for line in (
        '"stash1": "10.77.0.11",',
        '"stash2": "10.77.0.12",',
        'network="10.77.0.0/24",',
        'interface="eth0",',
        "logstash=9,",
        '"_sudo": True',
    ):
        assert line in text
    changes, _ = fresh.plan(inventory)
    assert changes == planned[0]
    assert fresh.verify("--inventory", str(inventory))["status"] == 1  # nothing is deployed yet
    assert states(fresh) == before


def test_an_inventory_with_an_enterprise_linux_7_can_be_deployed(fresh: Cluster, tmp_path: Path) -> None:
    inventory = start(fresh, tmp_path, "stash1", "stash3")
    assert (tmp_path / "auth_pass").stat().st_mode & 0o777 == 0o600
    changes, _ = fresh.plan(inventory)
    assert {name for hosts in changes.values() for name in hosts} == {"stash1", "stash3"}
