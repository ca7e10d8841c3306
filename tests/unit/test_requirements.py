"""Which machines the deploy refuses, and with which messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from desired import requirements
from desired.modules import BASIC, needed_modules
from facts.machine import Machine, MachineState, parse_machine
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine


def fit_machine(el: int = 9, **changes: Any) -> MachineState:
    """A machine that can be the first node; `changes` replace parts of its state."""
    state = MachineState(
        os={"ID": "rocky", "ID_LIKE": "rhel centos fedora", "VERSION_ID": f"{el}.0", "PRETTY_NAME": "Rocky"},
        root="yes",
        interfaces={"lo": ["127.0.0.1"], "eth0": ["10.77.0.11", "fd00:77::11"]},
        firewalld="active",
        iptables=True,
        nftables=True,
        fips=False,
        logstash=None,
        kernel="",
        missing_modules=[],
        modules_package="",
        queues_free=None,
        queues_size=None,
        keepalived=None,
    )
    return {**state, **changes}  # type: ignore[typeddict-item]


TCP: dict[str, Any] = {"inputs": [{"id": "tcp-6514", "port": 6514, "protocol": "tcp"}]}
DIRECT: dict[str, Any] = {"inputs": [{"id": "tcp-6514", "port": 6514, "protocol": "tcp", "forwarding": "dr"}]}
PIPELINES = {"inputs": [{"id": "a", "port": 5514}, {"id": "b", "port": 5515, "pipeline": "b"}]}
STICKY = {"inputs": [{"id": "flow", "port": 2055, "scheduler": "mh"}]}


def without(*modules: str, release: str = "4.18.0-553.el8_10.x86_64", packages: str = "kernel-core kernel kernel-modules") -> dict[str, Any]:  # fmt: skip
    """A machine whose kernel, of these packages, lacks modules."""
    state = parse_machine([f"missing {' '.join(modules)}", f"kernel {release} {packages}"])
    return {name: state[name] for name in ("kernel", "missing_modules", "modules_package")}


EXTRA = "kernel-modules-extra-4.18.0-553.el8_10.x86_64"


@pytest.mark.parametrize(
    ("settings", "el", "state"),
    [
        ({"vrrp": 2}, 7, {}),
        ({}, 8, {}),
        ({}, 10, {}),
        ({"firewall": "none"}, 9, {"firewalld": "absent", "iptables": False}),
        (TCP, 9, {}),
        (TCP, 10, {"iptables": False}),
        (TCP, 8, {"nftables": False}),
        ({**TCP, "vrrp": 2}, 7, {"nftables": False}),
        (DIRECT, 9, {"iptables": False, "nftables": False}),
        (STICKY, 8, {}),
        ({"vrrp": 2}, 8, {}),
        ({"logstash": 6}, 9, {}),
        ({"logstash": 7}, 10, {}),
        ({"logstash": 7, "version": "7.10.0"}, 10, {}),
        ({}, 9, {"fips": True}),
        ({"version": "8.6.2"}, 9, {"fips": True}),
        ({"logstash": 7, "vrrp": 2}, 7, {"fips": True}),
        ({}, 9, {"logstash": "8.9.2"}),
        ({"version": "latest"}, 9, {"logstash": "7.17.29"}),
        ({"version": "8.19.3"}, 9, {"logstash": "7.17.29"}),
        ({"logstash": 7, **PIPELINES}, 9, {"logstash": "7.4.0"}),
        ({"logstash": 7, "version": "7.17.29", **PIPELINES}, 9, {"logstash": "7.3.1"}),
        ({"logstash": 7}, 9, {"logstash": "7.3.1"}),
        ({}, 8, without("ip_vs_mh", "nft_compat", "xt_nat")),
        (DIRECT, 10, without("nft_compat")),
        ({**TCP, "vrrp": 2}, 7, without("nft_compat")),
        (TCP, 10, without("nft_compat", "xt_nat")),
        ({}, 10, {"keepalived": "2.2.8"}),
        ({}, 10, {"keepalived": "2.3.3"}),
    ],
)
def test_a_machine_that_meets_the_requirements_is_accepted(
    tmp_path: Path, settings: dict[str, Any], el: int, state: dict[str, Any]
) -> None:
    cluster = make_cluster(tmp_path, **settings)
    machine = fit_machine(el, **state)
    assert requirements.problems(cluster, cluster.nodes[0], machine) == []
    assert requirements.supported_release(machine) == el


@pytest.mark.parametrize(
    ("settings", "el", "state", "error"),
    [
        ({}, 11, {}, "stash1: its system is Rocky; take a machine with Enterprise Linux 7 to 10"),
        ({}, 9, {"os": {}}, "stash1: its system is unknown; take a machine with Enterprise Linux 7 to 10"),
        ({}, 9, {"root": "sudo: a password is required"}, "stash1: no sudo (sudo: a password is required); run this on a terminal, which asks for the password, or give `_sudo_password` in `connection`; or let the user that logs in run sudo without a password, or log in as root"),
        ({"vrrp": 2}, 7, {"root": "sudo: sorry, you must have a tty to run sudo"}, "stash1: no sudo without a terminal (sudo: sorry, you must have a tty to run sudo); add a line `Defaults:USER !requiretty` with visudo there, with the name of the user that logs in, or log in as root"),
        (STICKY, 8, without("ip_vs_mh"), f"stash1: its kernel 4.18.0-553.el8_10.x86_64 does not have all modules that this cluster needs (missing: ip_vs_mh); run `dnf install {EXTRA}` there, or, where no repository has that version any more, update the kernel, install kernel-modules-extra, and reboot"),
        (TCP, 10, without("ip_vs", "ip_vs_wrr", "nf_conntrack", "xt_nat", packages="kernel-core"), f"stash1: its kernel 4.18.0-553.el8_10.x86_64 does not have all modules that this cluster needs (missing: ip_vs, ip_vs_wrr, nf_conntrack); run `dnf install {EXTRA.replace('-extra', '')}` there, or, where no repository has that version any more, update the kernel, install kernel-modules, and reboot"),
        ({}, 9, without("ip_vs", release="5.15.0-3.el9uek.x86_64", packages="kernel-uek-core kernel-uek-modules"), "stash1: its kernel 5.15.0-3.el9uek.x86_64 does not have all modules that this cluster needs (missing: ip_vs); run `dnf install kernel-uek-modules-extra-5.15.0-3.el9uek.x86_64` there, or, where no repository has that version any more, update the kernel, install kernel-uek-modules-extra, and reboot"),
        ({}, 9, without("ip_vs", release="5.14.0-503.el9.x86_64+rt", packages="kernel-rt-core"), "stash1: its kernel 5.14.0-503.el9.x86_64+rt does not have all modules that this cluster needs (missing: ip_vs); run `dnf install kernel-rt-modules-5.14.0-503.el9.x86_64` there, or, where no repository has that version any more, update the kernel, install kernel-rt-modules, and reboot"),
        ({"vrrp": 2}, 7, without("ip_vs", release="3.10.0-1160.el7.x86_64", packages="kernel"), "stash1: its kernel 3.10.0-1160.el7.x86_64 does not have all modules that this cluster needs (missing: ip_vs); boot it into a kernel of its distribution whose modules are installed"),
        ({**TCP, "vrrp": 2}, 7, without("xt_nat", release="3.10.0-1160.el7.x86_64", packages="kernel"), "stash1: its kernel 3.10.0-1160.el7.x86_64 does not have all modules that this cluster needs (missing: xt_nat); boot it into a kernel of its distribution whose modules are installed"),
        ({}, 9, without("ip_vs", packages=""), "stash1: its kernel 4.18.0-553.el8_10.x86_64 does not have all modules that this cluster needs (missing: ip_vs); boot it into a kernel of its distribution whose modules are installed"),
        ({}, 9, without("ip_vs", packages="kernel-core kernel-modules kernel-modules-extra"), "stash1: its kernel 4.18.0-553.el8_10.x86_64 does not have all modules that this cluster needs (missing: ip_vs); boot it into a kernel of its distribution whose modules are installed"),
        ({"interface": "ens33"}, 9, {}, "interface: stash1 has no ens33; choose one of eth0, lo"),
        ({}, 9, {"interfaces": {"eth0": []}}, "nodes.stash1: 10.77.0.11 is not on its eth0, which has no address; correct the address or the interface in inventory.py, or, if it is a clone, run clone.py"),
        ({"vrrp": 2}, 7, {"firewalld": "absent"}, "stash1: firewalld is absent, so Logstash's API would be open to everyone; run `yum install firewalld && systemctl enable --now firewalld` there, or set firewall='none' where you have another one"),
        ({}, 9, {"firewalld": "masked"}, "stash1: firewalld is masked, so Logstash's API would be open to everyone; run `systemctl unmask firewalld && systemctl enable --now firewalld` there, or set firewall='none' where you have another one"),
        ({}, 9, {"firewalld": "inactive"}, "stash1: firewalld is inactive, so Logstash's API would be open to everyone; run `systemctl enable --now firewalld` there, or set firewall='none' where you have another one"),
        (TCP, 10, {"iptables": False, "nftables": False}, "stash1: has no nft, or no kernel module nft_nat, which translate the source for 'snat'; run `dnf install nftables && modprobe nft_nat` there, or choose forwarding 'dr'"),
        ({**TCP, "vrrp": 2}, 7, {"iptables": False}, "stash1: has no iptables, or no kernel module xt_nat, which translate the source for 'snat'; run `yum install iptables && modprobe xt_nat` there, or choose forwarding 'dr'"),
        ({"advert_interval": 0.2}, 7, {}, "vrrp: 3 is not sound in the keepalived 1.3.5 of stash1's Enterprise Linux 7; choose 2, which means IPv4 and whole seconds, or a node with Enterprise Linux 8 or later"),
        ({**STICKY, "vrrp": 2}, 7, {}, "inputs.0.scheduler: 'mh' is not in the kernel of stash1's Enterprise Linux 7; choose 'sh', or a node with Enterprise Linux 8 or later"),
        ({"logstash": 6}, 10, {}, "logstash: 6 needs Java 8, which stash1's Enterprise Linux 10 does not have; choose a Logstash that brings its own, 7.10.0 or later"),
        ({"logstash": 7, "version": "7.9.3"}, 10, {}, "version: 7.9.3 needs Java 8, which stash1's Enterprise Linux 10 does not have; choose a Logstash that brings its own, 7.10.0 or later"),
        ({"logstash": 7}, 8, {"fips": True}, "logstash: 7 can't be installed on stash1, which is in FIPS mode: its package has no SHA-256 digests; choose 8.6.2 or later"),
        ({"version": "8.6.1"}, 9, {"fips": True}, "version: 8.6.1 can't be installed on stash1, which is in FIPS mode: its package has no SHA-256 digests; choose 8.6.2 or later"),
        ({"logstash": 7, **PIPELINES}, 9, {"logstash": "7.3.2"}, "version: stash1 has 7.3.2, whose API lists one of several pipelines (elastic/logstash #11021); set version to 7.4.0 or later, or choose one pipeline for all inputs"),
        ({}, 9, {"logstash": "7.17.29"}, "logstash: stash1 has 7.17.29, not 8, and is left at it while no version is given; set version='latest' to change it, or logstash=7"),
        ({}, 10, {"keepalived": "2.3.0"}, "stash1: its keepalived 2.3.0 crashes with FILE_CHECK; install 2.3.3 or later, or 2.2.8"),
        ({}, 9, {"keepalived": "2.3.2"}, "stash1: its keepalived 2.3.2 crashes with FILE_CHECK; install 2.3.3 or later, or 2.2.8"),
    ],
)  # fmt: skip
def test_a_machine_that_does_not_is_refused_with_what_to_do(
    tmp_path: Path, settings: dict[str, Any], el: int, state: dict[str, Any], error: str
) -> None:
    cluster = make_cluster(tmp_path, **settings)
    assert requirements.problems(cluster, cluster.nodes[0], fit_machine(el, **state)) == [error]


def test_a_node_of_two_families_must_have_both_addresses() -> None:
    cluster = Cluster.model_validate(
        {
            "nodes": [{"name": f"stash{n}", "address": [f"10.77.0.1{n}", f"fd00:77::1{n}"]} for n in (1, 2)],
            "network": ["10.77.0.0/24", "fd00:77::/64"],
            "interface": "eth0",
            "vip": ["10.77.0.10", "fd00:77::10"],
            "inputs": [{"id": "udp-5514", "port": 5514}],
            "senders": ["fd00:77::65"],
            "vrrp": 3,
        }
    )
    assert requirements.problems(cluster, cluster.nodes[0], fit_machine()) == []
    one = fit_machine(interfaces={"eth0": ["10.77.0.11"]})
    (line,) = requirements.problems(cluster, cluster.nodes[0], one)
    assert line.startswith("nodes.stash1: fd00:77::11 is not on its eth0, which has 10.77.0.11;")


def test_all_that_a_machine_lacks_is_told_at_once(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, **TCP, logstash=6)
    machine = fit_machine(
        10,
        root="",
        interfaces={"eth0": []},
        firewalld="inactive",
        iptables=False,
        nftables=False,
        keepalived="2.3.0",
        fips=True,
        logstash="8.9.2",
        **without("ip_vs"),
    )
    found = requirements.problems(cluster, cluster.nodes[0], machine)
    beginnings = (
        "nodes.stash1: 10.77.0.11 is not on its eth0",
        "stash1: no sudo (no answer); ",
        "stash1: firewalld is inactive",
        "stash1: has no nft, ",
        "stash1: its kernel ",
        "logstash: 6 needs Java 8",
        "stash1: its keepalived 2.3.0 ",
        "logstash: 6 can't be installed on stash1, which is in FIPS mode",
        "logstash: stash1 has 8.9.2, not 6",
    )
    assert len(found) == len(beginnings)
    for line, beginning in zip(found, beginnings, strict=True):
        assert line.startswith(beginning)
        assert "; " in line


@pytest.mark.parametrize(
    ("shown", "firewalld"),
    [
        ("LoadState=loaded\\nActiveState=active", "active"),
        ("LoadState=loaded\\nActiveState=inactive", "inactive"),
        ("LoadState=masked\\nActiveState=active", "masked"),
        ("LoadState=not-found\\nActiveState=inactive", "absent"),
        ("", "unknown"),
    ],
)
def test_the_fact_reads_the_system_root_firewalld_and_logstash(
    machine: ShellMachine, shown: str, firewalld: str
) -> None:
    machine.write("/etc/os-release", 'ID="rocky"\nVERSION_ID="9.6"\n')
    machine.program("systemctl", f"printf '{shown}\\n'")
    machine.program("rpm", "echo package logstash is not installed; echo keepalived 2.2.8; exit 1")
    state = machine.fact(Machine)
    assert state["os"] == {"ID": "rocky", "VERSION_ID": "9.6"}
    assert (state["root"], state["firewalld"]) == ("yes", firewalld)
    assert (state["logstash"], state["keepalived"]) == (None, "2.2.8")
    assert "127.0.0.1" in state["interfaces"]["lo"]


def test_the_fact_reads_which_modules_the_kernel_does_not_have(machine: ShellMachine) -> None:
    """One that is loaded is not asked for, and where none is missing no package is."""
    machine.program("modprobe", f'echo "$@" >>{machine.root}/asked; [ "$2" != ip_vs_mh ]')
    machine.program(
        "rpm", f'echo "$@" >>{machine.root}/asked; [ $1 = -q ] || echo kernel-core kernel-modules'
    )
    machine.program("uname", "echo 6.12.0-55.el10.x86_64+64k")
    state = machine.fact(Machine, modules=["kernel", "ip_vs", "ip_vs_mh"])
    assert (state["kernel"], state["missing_modules"]) == ("6.12.0-55.el10.x86_64+64k", ["ip_vs_mh"])
    assert state["modules_package"] == "kernel-modules-extra-6.12.0-55.el10.x86_64"
    asked = (machine.root / "asked").read_text().splitlines()
    assert asked[:3] == [
        "-nq ip_vs",
        "-nq ip_vs_mh",
        "-qa --queryformat %{NAME}  kernel*-6.12.0-55.el10.x86_64",
    ]
    (machine.root / "asked").unlink()
    state = machine.fact(Machine, modules=["kernel", "ip_vs"])
    assert (state["kernel"], state["missing_modules"], state["modules_package"]) == ("", [], "")
    assert "-qa" not in (machine.root / "asked").read_text()


def test_the_modules_that_a_kernel_must_have_follow_from_the_cluster(tmp_path: Path) -> None:
    assert needed_modules(make_cluster(tmp_path), 9) == BASIC
    translated = make_cluster(tmp_path, **TCP)
    assert needed_modules(translated, 7) == [*BASIC, "xt_tcpudp", "xt_nat"]
    assert needed_modules(translated, 10) == BASIC
    both = make_cluster(tmp_path, inputs=[*TCP["inputs"], {**DIRECT["inputs"][0], "id": "b", "port": 6515}])
    assert needed_modules(both, 7) == [*BASIC, "xt_tcpudp", "xt_nat", "xt_CT"]
    assert set(requirements.asked_modules(both)) == {*BASIC, "xt_tcpudp", "xt_nat", "xt_CT"}


def test_a_machine_with_bonds_has_no_interface_of_the_name_bonding_masters(
    machine: ShellMachine,
) -> None:
    folder = machine.root / "sys/class/net"
    for name in ("bond0", "bond0.91"):
        (machine.root / "devices" / name).mkdir(parents=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(machine.root / "devices" / name)
    (folder / "bonding_masters").write_text("bond0\n")
    machine.program("ip", "true")
    command = Machine().command().replace("/sys/class/net", str(folder))
    state = parse_machine(machine.sh(command).stdout.splitlines())
    assert sorted(state["interfaces"]) == ["bond0", "bond0.91"]


PERSISTED: dict[str, Any] = {"queue": "persisted", "queue_max_bytes": "8g"}


@pytest.mark.parametrize(
    ("settings", "free", "size", "said"),
    [
        (PERSISTED, 8 * 2**30, 0, []),
        (PERSISTED, 6 * 2**30, 2 * 2**30, []),  # what the queue has already counts
        (
            PERSISTED,
            7 * 2**30,
            None,
            [
                "stash1: its persisted queues may grow by 8.0 GiB, and 7.0 GiB are free in /var/lib/logstash/queue; Logstash would "
                "not open them: make room there, or choose a smaller queue_max_bytes"
            ],
        ),
        (
            {**PIPELINES, "queue": "persisted", "logstash_settings": {"path.data": "/data"}},
            2**30,
            0,
            [
                "stash1: its persisted queues may grow by 2.0 GiB, and 1.0 GiB are free in /data/queue; Logstash would not open "
                "them: make room there, or choose a smaller queue_max_bytes"
            ],
        ),
        ({**PIPELINES, "pipeline_settings": {"b": {"queue.type": "persisted"}}}, 2**30, 0, []),
        ({"queue": "persisted", "logstash_settings": {"queue.page_capacity": "${PAGE}"}}, 0, 0, []),
        ({}, 0, 0, []),
    ],
)
def test_persisted_queues_need_room(
    tmp_path: Path, settings: dict[str, Any], free: int, size: int | None, said: list[str]
) -> None:
    cluster = make_cluster(tmp_path, **settings)
    machine = fit_machine(queues_free=free, queues_size=size)
    assert list(requirements.problems(cluster, cluster.nodes[0], machine)) == said


def test_room_is_asked_for_where_the_queues_will_be(tmp_path: Path) -> None:
    """As the machine itself says it, also before the folder is there; a queue's files count with their whole size."""
    machine = ShellMachine(tmp_path, "dash")

    def look() -> MachineState:
        state: MachineState = machine.fact(Machine, queues="/var/lib/new/queue")
        return state

    machine.path("/var/lib/new").parent.mkdir(parents=True)
    before = look()
    assert before["queues_free"]
    assert before["queues_size"] == 0
    with machine.write("/var/lib/new/queue/main/page.0", "").open("wb") as page:
        page.truncate(2**26)
    size = look()["queues_size"]
    assert size is not None
    assert 2**26 <= size < 2**26 + 2**16
