"""Step 10: stash2 is a byte-for-byte copy of stash1, and one command makes it stash2."""

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from desired.paths import CLONE
from tests.lab.conftest import ADDRESSES, Cluster, Done, tool
from tests.until import until

WHO = "hostname; cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub; cat /etc/NetworkManager/system-connections/*"

NOBODY = "02:00:00:00:00:01"
"""A MAC that no machine has."""


def become_stash2(cluster: Cluster, *options: str, inventory: str | Path = "inventory.py") -> tuple[str, ...]:
    """The command. The lab's machines have IPv6 addresses, too, which the inventory knows nothing of."""
    addresses = 'clone_addresses={"fd77::11": "fd77::12"}'
    where = ("--limit", "stash2", "--data", "ssh_hostname=stash1", "--data", addresses)
    return (tool("pyinfra"), "-y", *options, str(inventory), "clone.py", *where)


def on_clone(cluster: Cluster, script: str) -> str:
    """What a script prints on the clone while it is like stash1."""
    try:
        return cluster.get("stash1", script)
    finally:
        cluster.lab.guest("stash1").forget_connection()


def untouched(cluster: Cluster) -> bool:
    """Whether it answers as stash1, at stash1's address, with nothing under way."""
    if not cluster.lab.guest("stash1").answers():  # ssh would wait for longer
        return False
    said = cluster.on("stash1", f"hostname; hostname -I; test -e {CLONE}/undoing && echo undoing").stdout
    cluster.lab.guest("stash1").forget_connection()
    return said.split()[:2] == ["stash1", ADDRESSES["stash1"]] and "undoing" not in said


@contextmanager
def leads_to(cluster: Cluster, name: str, mac: str) -> Iterator[None]:
    """The address of this node leads to the machine with this MAC, whoever else has it."""
    network = cluster.lab.network
    neighbour = (*network.enter_command, "ip", "neighbour")
    who = (ADDRESSES[name], "dev", "br0")
    subprocess.run((*neighbour, "replace", *who, "lladdr", mac, "nud", "permanent"), check=True)
    try:
        yield
    finally:
        subprocess.run((*neighbour, "delete", *who), check=True)


def bring_back_source(cluster: Cluster) -> None:
    """stash1 is on, and reaches the others."""
    source = cluster.lab.guest("stash1")
    if source.running():
        cluster.lab.network.heal(source.machine)
    else:
        cluster.lab.power_on("stash1", lambda text: None)


def at(cluster: Cluster, guest: str) -> AbstractContextManager[None]:
    """stash1's address leads to this guest."""
    return leads_to(cluster, "stash1", cluster.lab.guest(guest).machine.mac)


@pytest.fixture(scope="module")
def copied(cluster: Cluster) -> Iterator[tuple[Cluster, dict[str, str]]]:
    """A clone of stash1 with stash2's MAC, alone, at stash1's address; and what stash1 is and has."""
    keys = {"who": WHO, "id": "cat /etc/machine-id", "uuid": "cat /var/lib/logstash/uuid"}
    before = {name: cluster.get("stash1", script) for name, script in keys.items()}
    cluster.get("stash1", "sync")
    for name in ADDRESSES:
        cluster.lab.guest(name).power_off()
    cluster.lab.clone("stash1", "stash2", lambda text: None)
    assert on_clone(cluster, WHO) == before["who"]
    yield cluster, before
    if (
        "stash2" not in cluster.on("stash2", "hostname").stdout
    ):  # the last test was not among those that were run
        cluster.run(*become_stash2(cluster))
        bring_back_source(cluster)


def test_a_clone_is_left_alone_while_its_source_is_on(copied: tuple[Cluster, dict[str, str]]) -> None:
    """Afterwards the source is cut off, which is as good as off to all others, and back without another boot."""
    cluster, before = copied
    with at(cluster, "stash1"):  # not the clone, which answers already
        cluster.lab.power_on("stash1", lambda text: None)
        cluster.lab.guest("stash1").forget_connection()
    try:
        for guest, message in (
            ("stash2", "nodes.stash2: another machine answers for 10.77.0.11 at the same time; power it off"),
            ("stash1", "nodes.stash2: this machine is stash1 itself and no clone of it"),
        ):
            with at(cluster, guest):
                done = cluster.run(*become_stash2(cluster))
                assert done.returncode == 1
                assert message in done.stderr
                assert on_clone(cluster, f"{WHO}; test ! -e {CLONE}") == before["who"]
    finally:
        cluster.lab.network.cut(cluster.lab.guest("stash1").machine)
        cluster.lab.guest("stash1").forget_connection()


@pytest.mark.long
def test_a_wrong_address_goes_back_by_itself(copied: tuple[Cluster, dict[str, str]]) -> None:
    cluster, before = copied
    wrong = cluster.inventory("wrong", nodes={**ADDRESSES, "stash2": "10.77.0.19"})
    done = cluster.run(*become_stash2(cluster, inventory=wrong))
    assert done.returncode == 1
    assert "not reached by `ssh stash2` at the new address; it is back at its old one" in done.stderr
    assert untouched(cluster)
    assert on_clone(cluster, WHO) == before["who"]


def test_a_run_that_ends_before_it_confirms_changes_nothing(copied: tuple[Cluster, dict[str, str]]) -> None:
    cluster, before = copied
    clone = cluster.lab.guest("stash2")
    # Its new IPv4 address leads nowhere: the run could confirm at once, before it is ended.
    with leads_to(cluster, "stash2", NOBODY), cluster.start(*become_stash2(cluster)) as process:
        try:
            until(lambda: clone.answers(clone.machine.addresses6[0]), 240, "the clone at stash2's address")
            assert process.poll() is None, process.communicate()
        finally:
            process.kill()
    until(lambda: untouched(cluster), 120, "the clone back at stash1's address")
    assert on_clone(cluster, WHO) == before["who"]


@pytest.fixture(scope="module")
def become(copied: tuple[Cluster, dict[str, str]]) -> Done:
    """The one command."""
    cluster, _ = copied
    return cluster.run(*become_stash2(cluster))


def test_one_command_makes_it_stash2(copied: tuple[Cluster, dict[str, str]], become: Done) -> None:
    cluster, before = copied
    assert become.returncode == 0, become.stderr
    assert cluster.get("stash2", "hostname; cat /etc/hostname").split() == ["stash2", "stash2"]
    addresses = cluster.get("stash2", "hostname -I").split()
    assert ADDRESSES["stash2"] in addresses
    assert not {ADDRESSES["stash1"], "fd77::11"} & set(addresses)
    assert cluster.get("stash2", "cat /etc/machine-id") != before["id"]
    assert cluster.get("stash2", "cat /etc/ssh/ssh_host_*_key.pub") not in before["who"]
    services = cluster.on(
        "stash2", "systemctl is-enabled logstash keepalived; ls /var/lib/logstash/uuid"
    ).stdout
    assert services.split() == ["disabled", "disabled"], "they start with files of their own"
    assert cluster.get("stash2", f"ls -d {CLONE} /run/logstash-ha-clone 2>/dev/null || true") == ""


def test_once_more_changes_nothing(copied: tuple[Cluster, dict[str, str]], become: Done) -> None:
    cluster, _ = copied
    done = cluster.run(tool("pyinfra"), "-y", "inventory.py", "clone.py", "--limit", "stash2")
    assert done.returncode == 0, done.stderr
    assert "[stash2] No changes" in done.stderr


def test_with_its_source_it_is_a_cluster(copied: tuple[Cluster, dict[str, str]], become: Done) -> None:
    cluster, before = copied
    bring_back_source(cluster)
    deployed = cluster.deploy("-y")
    assert deployed.returncode == 0, deployed.stderr
    until(cluster.whole, 120, "verify finds nothing wrong")
    uuids = {name: cluster.get(name, "cat /var/lib/logstash/uuid") for name in ADDRESSES}
    assert uuids["stash1"] == before["uuid"] != uuids["stash2"]
