"""A clone and what it becomes: how it is distinguished, planned and changed. tests/lab tries it for real."""

from __future__ import annotations

import logging
import subprocess
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from paramiko import HostKeys, RSAKey
from pyinfra.api import FunctionCommand, Host, StringCommand

from cluster import Cluster, ClusterError
from desired import clone as desired
from desired.paths import CLONE, CLONE_REBOOT, HARDWARE
from facts.clone import Identity, IdentityState, Profile, parse_identity
from operations import clone
from remote import clone as remote_clone
from remote.known_hosts import replace_keys, with_keys
from tests.unit.clusters import make_cluster

KEYFILE = "/etc/NetworkManager/system-connections/eth0.nmconnection"
UUID = "5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03"
OLD_MAC, MAC = "52:54:00:4d:00:0b", "52:54:00:4d:00:0c"


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


def copy(**changes: Any) -> IdentityState:
    """A copy of stash1, on hardware of its own."""
    identity: dict[str, Any] = {
        "hostname": "stash1.example.com",
        "links": {"eth0": MAC, "lo": "00:00:00:00:00:00"},
        "product": "4c4c4544-0001",
        "recorded": [OLD_MAC, "4c4c4544-0000"],
        "addresses": {"10.77.0.11": "eth0"},
        "profiles": {KEYFILE: Profile(addresses=["10.77.0.11"], uuid=UUID, mac=OLD_MAC, interface="eth0")},
        "stages": [],
    }
    return cast(IdentityState, {**identity, **changes})


def plan(cluster: Cluster, identity: IdentityState, **other: str) -> desired.Plan | None:
    return desired.plan(cluster, cluster.node("stash2"), identity, other)


def test_a_clone_gets_the_name_the_addresses_the_uuid_and_the_mac_of_its_own(cluster: Cluster) -> None:
    planned = plan(cluster, copy())
    assert planned is not None
    assert (planned.hostname, planned.begun) == ("stash2.example.com", False)
    assert planned.hardware == [MAC, "4c4c4544-0001"]
    assert planned.addresses == {"10.77.0.11": "10.77.0.12"}
    assert planned.profiles == [KEYFILE]
    new_uuid = planned.replaced.pop(UUID)
    assert new_uuid != UUID
    assert planned.replaced == {"10.77.0.11": "10.77.0.12", OLD_MAC: MAC}


def test_a_clone_always_gets_the_same_uuid_and_another_one_a_different_one(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, 3)
    plans = [desired.plan(cluster, cluster.node(name), copy(), {}) for name in ("stash2", "stash2", "stash3")]
    uuids = [planned.replaced[UUID] for planned in plans if planned]
    assert uuids[0] == uuids[1] != uuids[2]


def test_a_machine_that_is_itself_is_left_alone(cluster: Cluster) -> None:
    addresses = {"10.77.0.12": "eth0", "10.77.0.10": "eth0"}
    assert plan(cluster, copy(addresses=addresses, recorded=[])) is None


@pytest.mark.parametrize("stage", ["unconfirmed", "confirmed", "logstash-ha-clone"])
def test_an_interrupted_run_is_finished(cluster: Cluster, stage: str) -> None:
    planned = plan(cluster, copy(addresses={"10.77.0.12": "eth0"}, stages=[stage]))
    assert planned is not None
    assert planned.begun


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recorded": []}, r"nodes.stash2: can't tell whether this machine is stash1 or a clone of it: .*run deploy.py"),
        ({"links": {"eth0": OLD_MAC}}, rf"nodes.stash2: this machine is stash1 itself .* \({OLD_MAC}\); power stash1 off"),
        ({"product": "4c4c4544-0000"}, r"nodes.stash2: this machine is stash1 itself .* \(4c4c4544-0000\)"),
        ({"addresses": {"192.0.2.7": "eth0"}}, r"nodes.stash2: the machine's addresses \(192.0.2.7\) are no other node's"),
        ({"addresses": {}}, r"nodes.stash2: the machine's addresses \(none\) are no other node's"),
        ({"profiles": {}}, r"nodes.stash2: its present address 10.77.0.11 is in no ifcfg file"),
    ],
)  # fmt: skip
def test_a_machine_that_is_not_surely_a_clone_is_refused(
    cluster: Cluster, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        plan(cluster, copy(**changes))


def test_every_address_that_the_source_keeps_must_be_replaced(cluster: Cluster) -> None:
    profiles = {
        KEYFILE: Profile(addresses=["10.77.0.11", "fd77::11"], uuid="", mac="", interface="eth0"),
        "/etc/sysconfig/network-scripts/ifcfg-lo": Profile(
            addresses=["127.0.0.1"], uuid="", mac="", interface="lo"
        ),
    }
    with pytest.raises(ClusterError, match=r"clone_addresses: .*eth0.nmconnection has fd77::11, too"):
        plan(cluster, copy(profiles=profiles))
    planned = plan(cluster, copy(profiles=profiles), **{"fd77::11": "fd77::12"})
    assert planned is not None
    assert planned.addresses == {"10.77.0.11": "10.77.0.12", "fd77::11": "fd77::12"}


def test_addresses_given_with_data_are_parsed_or_refused_with_an_example() -> None:
    assert desired.other_addresses({"FD77::11": "fd77:0::12"}) == {"fd77::11": "fd77::12"}
    for wrong in ("fd77::11", {"fd77::11": "fd77::x"}, {"fd77::11": "1/;d"}):
        with pytest.raises(ClusterError, match=r"clone_addresses: .*; write it as"):
            desired.other_addresses(wrong)


@pytest.mark.parametrize(
    ("conflicts", "message"),
    [
        ({"10.77.0.11": "taken", "10.77.0.12": "free"}, "another machine answers for 10.77.0.11 at the same time"),
        ({"10.77.0.11": "free", "10.77.0.12": "taken"}, "answers for 10.77.0.12 .*, or choose a free address"),
        ({"10.77.0.11": "free", "10.77.0.12": "unknown"}, "can't find out whether another machine has 10.77.0.12"),
        ({}, "can't find out whether another machine has 10.77.0.11"),
    ],
)  # fmt: skip
def test_an_address_that_another_machine_has_is_refused(
    cluster: Cluster, conflicts: dict[str, str], message: str
) -> None:
    planned = plan(cluster, copy())
    assert planned is not None
    with pytest.raises(ClusterError, match=message):
        desired.check_conflicts(cluster.node("stash2"), planned, conflicts)
    desired.check_conflicts(cluster.node("stash2"), planned, {"10.77.0.11": "free", "10.77.0.12": "free"})


@pytest.mark.parametrize(
    ("present", "source", "name", "expected"),
    [
        ("stash1", "stash1", "stash2", "stash2"),
        ("stash1.example.com", "stash1", "stash2", "stash2.example.com"),
        ("stash1.example.com", "stash1.example.com", "stash2.example.com", "stash2.example.com"),
        ("stash10.example.com", "stash1", "stash2", "stash2"),
        ("localhost.localdomain", "stash1", "stash2", "stash2"),
    ],
)
def test_the_new_host_name_keeps_the_domain_of_the_old_one(
    present: str, source: str, name: str, expected: str
) -> None:
    assert desired.hostname(present, source, name) == expected


IFCFG_OF_EL7 = """\
TYPE="Ethernet"
BOOTPROTO="none"
NAME="ens33"
UUID="5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03"
DEVICE="ens33"
HWADDR=52:54:00:4D:00:0B
ONBOOT="yes"
IPADDR="10.77.0.11"
PREFIX="24"
IPADDR1=10.77.0.110
GATEWAY="10.77.0.1"
DNS1="110.77.0.11"
IPV6ADDR="fd77::11/64"
IPV6ADDR_SECONDARIES="fd77::111/64 fd77::11:5/64"
"""

KEYFILE_OF_EL9 = """\
[connection]
id=ens33
uuid=5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03
type=ethernet
interface-name=ens33

[ethernet]
mac-address=52:54:00:4D:00:0B

[ipv4]
address1=10.77.0.11/24,10.77.0.1
address2=10.77.0.110/24
method=manual
route1=192.0.2.0/24,10.77.0.1
route1_options=src=10.77.0.11

[ipv6]
address1=fd77::11/64
method=manual
"""


def changed(before: str, after: str) -> list[str]:
    return [new for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            IFCFG_OF_EL7,
            [
                'UUID="11111111-2222-3333-4444-555555555555"',
                f"HWADDR={MAC}",
                'IPADDR="10.77.0.12"',
                'IPV6ADDR="fd77::12/64"',
            ],
        ),
        (
            KEYFILE_OF_EL9,
            [
                "uuid=11111111-2222-3333-4444-555555555555",
                f"mac-address={MAC}",
                "address1=10.77.0.12/24,10.77.0.1",
                "route1_options=src=10.77.0.12",
                "address1=fd77::12/64",
            ],
        ),
    ],
    ids=["ifcfg", "keyfile"],
)
def test_the_network_s_files_change_where_they_must_and_nowhere_else(text: str, lines: list[str]) -> None:
    edits = desired.edits(
        {
            "10.77.0.11": "10.77.0.12",
            "fd77::11": "fd77::12",
            UUID: "11111111-2222-3333-4444-555555555555",
            OLD_MAC: MAC,
        }
    )
    done = subprocess.run(["sed", edits], input=text, capture_output=True, text=True, check=True)
    assert changed(text, done.stdout) == lines


@pytest.mark.parametrize(
    ("name", "text", "profile"),
    [
        (
            "/etc/sysconfig/network-scripts/ifcfg-ens33",
            IFCFG_OF_EL7,
            ["10.77.0.11", "10.77.0.110", "fd77::11", "fd77::111", "fd77::11:5"],
        ),
        (KEYFILE, KEYFILE_OF_EL9, ["10.77.0.11", "10.77.0.110", "fd77::11"]),
    ],
    ids=["ifcfg", "keyfile"],
)
def test_the_fact_reads_what_the_plan_replaces_and_no_secret(
    tmp_path: Path, name: str, text: str, profile: list[str]
) -> None:
    """With the fact's own command, on files like a machine's; no other line of them leaves the machine."""
    for path, content in ((name, f"{text}psk=secret\n"), (f"{name}.bak", text), (f"{name}.rpmsave", text)):
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    command = Identity().command(CLONE, CLONE_REBOOT, HARDWARE).replace("/etc/", f"{tmp_path}/etc/")
    output = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert "secret" not in output
    assert parse_identity(output.splitlines())["profiles"] == {
        f"{tmp_path}{name}": Profile(addresses=profile, uuid=UUID, mac=OLD_MAC, interface="ens33")
    }


def test_a_change_is_staged_made_followed_and_confirmed_in_this_order(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "state", SimpleNamespace(config=SimpleNamespace(DIFF=False)))
    commands: list[StringCommand | FunctionCommand] = list(
        clone.become._inner(plan=plan(cluster, copy()), addresses=["10.77.0.12"])
    )
    steps = [
        command.function.__name__
        if isinstance(command, FunctionCommand)
        else str(command).split("run ")[-1].split()[0]
        for command in commands
    ]
    assert steps == [
        "stage",
        "learn_host_keys",
        "switch",
        "follow",
        "read_boot_id",
        "confirm",
        "wait_for_reboot",
    ]
    assert commands[0].connector_arguments["_stdin"] == desired.script()
    assert f"switch {desired.WINDOW} {KEYFILE} 10.77.0.11" in str(commands[2])


def test_the_script_on_the_clone_has_no_syntax_error() -> None:
    subprocess.run(["sh", "-n"], input=desired.script(), text=True, check=True)


def test_an_interrupted_upload_does_nothing(tmp_path: Path) -> None:
    """The script's last line starts it, so that a part of the script changes nothing."""
    part = desired.script().rsplit('"$@"', 1)[0]
    done = subprocess.run(
        ["sh", "-s", "fail", "started"], input=part, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    whole = subprocess.run(
        ["sh", "-s", "fail", "started"], input=desired.script(), text=True, capture_output=True, check=False
    )
    assert (whole.returncode, whole.stderr) == (1, "started\n")


KEYS = ["ssh-ed25519 AAAAnew", "ssh-rsa AAAAtoo"]
NEW = "stash2,10.77.0.12 ssh-ed25519 AAAAnew\nstash2,10.77.0.12 ssh-rsa AAAAtoo\n"


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("", ""),
        ("stash1 ssh-ed25519 AAAAold", "stash1 ssh-ed25519 AAAAold\n"),
        ("stash2 ssh-ed25519 AAAAold\n", ""),
        ("stash1,stash2,10.77.0.12 ssh-ed25519 AAAAold\n", "stash1 ssh-ed25519 AAAAold\n"),
        (f"{HostKeys.hash_host('stash2')} ssh-ed25519 AAAAold\n", ""),
        ("# stash2\n\n@revoked stash2 ssh-rsa AAAA\n", "# stash2\n\n@revoked stash2 ssh-rsa AAAA\n"),
        ("stash20 ssh-ed25519 AAAAold\n", "stash20 ssh-ed25519 AAAAold\n"),
        (NEW, ""),
    ],
    ids=["none", "other", "old", "alias", "hashed", "comment and revoked", "longer name", "new"],
)
def test_known_hosts_has_the_new_keys_and_no_other_ones_for_the_host(before: str, kept: str) -> None:
    assert with_keys(before, ["stash2", "10.77.0.12"], KEYS) == kept + NEW


def test_the_keys_go_into_the_file_that_pyinfra_reads(tmp_path: Path) -> None:
    config, known = tmp_path / "ssh_config", tmp_path / "known_hosts"
    config.write_text(f"Host stash2\nHostName 192.0.2.12\nPort 2222\nUserKnownHostsFile {known} /dev/null\n")
    stale = RSAKey.generate(1024)
    known.write_text(f"{HostKeys.hash_host('[stash2]:2222')} ssh-rsa {stale.get_base64()}\n")
    known.chmod(0o644)
    read, new = HostKeys(str(known)), RSAKey.generate(1024)
    host = SimpleNamespace(name="stash2", data={"ssh_config_file": str(config)})
    assert replace_keys(cast(Host, host), read, ["10.77.0.12"], [f"ssh-rsa {new.get_base64()}"]) == known
    patterns = "[stash2]:2222,[192.0.2.12]:2222,[10.77.0.12]:2222"
    assert known.read_text() == f"{patterns} ssh-rsa {new.get_base64()}\n"
    assert known.stat().st_mode & 0o777 == 0o644
    assert read.check("[192.0.2.12]:2222", new), "this run's own connections know it, too"
    assert not read.check("[stash2]:2222", stale)


def test_paramiko_is_quiet_only_while_a_connection_is_tried() -> None:
    """Also when the attempt ends in an error: the log is as it was."""
    before = logging.getLogger("paramiko").level
    with suppress(RuntimeError), remote_clone._without_tracebacks():
        assert not logging.getLogger("paramiko").isEnabledFor(logging.ERROR)
        raise RuntimeError
    assert logging.getLogger("paramiko").level == before
