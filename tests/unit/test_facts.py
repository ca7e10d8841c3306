"""The facts' commands really run, with each shell: odd names, missing files, and how many processes they start."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from desired.compared import compared_facts
from desired.conflicts import others_arguments
from desired.files import desired_files
from desired.paths import CLONE, DRAINED, HARDWARE, LAST_GOOD, RECORD, STATE
from desired.units import managed_units
from facts.batch import BatchFacts
from facts.clone import Identity
from facts.files import MatchingFiles
from facts.firewalld import Firewall, ZoneOpenings
from facts.health import RaisedVerdicts
from facts.iptables import OwnChains
from facts.ipvs import DrainFlags
from facts.others import Others
from facts.record import Record
from facts.selinux import SELinux
from facts.services import UnitStates
from facts.users import User
from tests.unit.machine import ShellMachine
from tests.until import until

ACTIVE = 'a{sa{sas}} 2 "internal" 1 "interfaces" 1 "eth9" "dmz" 1 "interfaces" 2 "eth00" "eth0"'
BUSCTL = """\
sources() {
    case $1 in *dmz) printf '1 "192.0.2.9"' ;; *internal | *later) printf '1 "192.0.2.0/24"' ;; *) printf 0 ;; esac
}
settings2() {
    printf 'a{sv} 5 "target" s "default" "forward" b true "ports" a(ss) 1 "1" "tcp" "sources" as %s' "$(sources $1)"
    printf ' "rules_str" as 1 "rule of %s"\\n' "$1"
}
settings() {
    printf '(sssbsasa(ss)asba(ssss)asasasasa(ss)b) "" "" "" false "default" 0 1 "%s" "tcp" 0 false 0 0 ' $1
    sources $2
    printf ' 1 "rule of %s" 0 0 false\\n' "$2"
}
case "$*" in
*" state") echo 's "RUNNING"' ;;
*getActiveZones) echo 'ACTIVE' ;;
*getDefaultZone) echo 's "public"' ;;
*getZoneByName*gone) exit 1 ;;
*getZoneByName*) echo "o \\"/of/$7\\"" ;;
*getZoneSettings*later) exit 1 ;;
*getZoneSettings2*) settings2 "$7" ;;
*getZoneSettings*) settings 1 "$7" ;;
*getSettings) settings 2 "$3" ;;
*getAllRules) echo "a(sssias) 0" ;;
esac
""".replace("ACTIVE", ACTIVE)
OPENED: list[ZoneOpenings] = [
    {"target": "default", "ports": [f"{port} tcp"], "protocols": [], "forwards": []} for port in (1, 2)
]


@pytest.mark.parametrize(
    ("interface", "zone", "old"),
    [("eth0", "dmz", False), ("eth1", "public", False), ("eth1", "public", True)],
)
def test_rules_are_those_of_the_zone_of_the_interface(
    machine: ShellMachine, interface: str, zone: str, old: bool
) -> None:
    """EL 7's firewalld gives a zone's settings as a tuple alone."""
    machine.program("busctl", BUSCTL.replace(") settings2", ") exit 1; settings2") if old else BUSCTL)
    assert machine.fact(Firewall, interface=interface) == {
        "state": "RUNNING",
        "zone": zone,
        "runtime": [f"rule of {zone}"],
        "permanent": [f"rule of /of/{zone}"],
        "source_zones": {},
        "zones": [],
        "openings": {zone: {"runtime": OPENED[0], "permanent": OPENED[1]}},
        "sets": {},
    }


def test_without_firewalld_rules_are_unknown(machine: ShellMachine) -> None:
    machine.program("busctl", "exit 1")
    assert machine.fact(Firewall, interface="eth0") is None


@pytest.mark.parametrize(
    ("interface", "other", "zones"),
    [
        ("eth1", "eth0", ["dmz"]),
        ("eth0", "eth1", ["public"]),
        ("eth1", "eth7", []),
        ("eth0", "eth9", ["internal"]),
    ],
)
def test_the_zones_of_further_interfaces_are_read_with_their_rules(
    machine: ShellMachine, interface: str, other: str, zones: list[str]
) -> None:
    """One that no zone lists is in the default zone."""
    machine.program("busctl", BUSCTL)
    state = machine.fact(Firewall, interface=interface, others=[other])
    assert state["zones"] == zones
    assert {name: state["source_zones"][name]["runtime"] for name in zones} == {
        name: [f"rule of {name}"] for name in zones
    }


def test_zones_are_read_with_few_processes(machine: ShellMachine) -> None:
    """Those of the interfaces, and those that sources are bound to, now or after the next start."""
    active = (
        'a{sa{sas}} 4 "public" 1 "interfaces" 1 "eth0" "lab" 1 "interfaces" 1 "eth9" '
        '"dmz" 2 "interfaces" 1 "eth1" "sources" 1 "192.0.2.9" "internal" 1 "sources" 1 "192.0.2.0/24"'
    )
    calls = machine.root / "calls"
    script = BUSCTL.replace(ACTIVE, active).replace("*gone", "*internal")
    machine.program("busctl", f"echo busctl >>{calls}\n{script}")
    both = {"runtime": OPENED[0], "permanent": OPENED[1]}
    now = {"runtime": OPENED[0], "permanent": None}
    found = machine.fact(Firewall, interface="eth0")
    assert found["openings"] == {"public": both, "dmz": both, "internal": now}
    assert len(calls.read_text().split()) == 2 + 3 + 3 + 2 + 1
    source = '<zone>\n  <source address="192.0.2.0/24"/>\n</zone>'
    for name, text in {"later": source, "public": source, "closed": "<zone>\n</zone>"}.items():
        machine.write(f"/etc/firewalld/zones/{name}.xml", text)
    calls.unlink()
    found = machine.fact(Firewall, interface="eth7", others=["eth1"])
    assert found["openings"] == {
        "public": both,
        "dmz": both,
        "internal": now,
        "later": {"runtime": None, "permanent": OPENED[1]},
    }
    assert found["source_zones"]["later"]["sources"] == ["192.0.2.0/24"]
    assert len(calls.read_text().split()) == 3 + 3 + 3 + 2 + 4 + 1
    machine.write("/etc/firewalld/direct.xml", "<direct>\n</direct>")
    assert machine.fact(Firewall, interface="eth7", others=["eth1"]) == found
    assert len(calls.read_text().split()) == 16 + 17


def test_units_are_read_with_their_files_whatever_the_names(machine: ShellMachine) -> None:
    machine.program("systemctl", "echo Id=logstash.service; echo ActiveState=active")
    machine.program("rpm", "echo package keepalived is not installed; echo logstash-8.19.3-1.x86_64; exit 1")
    paths = ["/etc/logstash/it's my own.conf", "/etc/logstash/none.conf"]
    machine.write(paths[0], "text\n")
    machine.write(f"{LAST_GOOD}/logstash/etc/a b.conf", "")
    machine.write(f"{LAST_GOOD}/logstash.new/etc/c.conf", "")
    machine.write(f"{STATE}/logstash.sha256", "logstash-8.19.3-1.x86_64\n\\no newline at its end")
    found = machine.fact(
        UnitStates, units={"logstash": paths, "keepalived": []}, fingerprints=STATE, good=LAST_GOOD
    )
    state = found["logstash"]
    assert list(state["files"]) == [paths[0]]
    assert state["service"]["active"]
    assert state["package"] == "logstash-8.19.3-1.x86_64"
    assert state["good"] == ["/etc/a b.conf"]
    assert state["fingerprint"] == ["logstash-8.19.3-1.x86_64", "\\no newline at its end"]
    assert found["keepalived"] == {
        "service": {"enabled": False, "active": False, "stale": False},
        "condition": {"masked": False, "frozen": False, "drop_ins": []},
        "fingerprint": [],
        "package": "package keepalived is not installed",
        "files": {},
        "good": [],
    }


@pytest.mark.parametrize("version", ["", "/systemd"])
def test_a_process_that_is_stopped_shows_in_its_unit(machine: ShellMachine, version: str) -> None:
    """Whatever its name is, and in control groups of both versions; one that is gone meanwhile is left out."""
    machine.program(
        "systemctl", "for unit in keepalived logstash health; do echo Id=$unit.service; echo; done"
    )
    machine.program("rpm", "exit 1")
    groups = machine.root / "cgroup"
    name = machine.root / "a) T (b"
    shutil.copy("/bin/sleep", name)
    with subprocess.Popen([name, "60"]) as process, subprocess.Popen(["sleep", "60"]) as running:
        try:
            until(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == name.name)
            for unit, pid in (
                ("keepalived", process.pid),
                ("logstash", running.pid),
                ("health", running.pid),
            ):
                folder = groups / version.lstrip("/") / f"system.slice/{unit}.service"
                folder.mkdir(parents=True)
                (folder / "cgroup.procs").write_text(f"999999999\n{pid}\n")
            (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")
            units = ["keepalived", "logstash", "health"]

            def frozen() -> list[str]:
                fact = UnitStates()
                command = fact.command({unit: [] for unit in units}, STATE, LAST_GOOD)
                done = machine.sh(command.replace("/sys/fs/cgroup", str(groups)))
                assert (done.returncode, done.stderr) == (0, "")
                found = fact.process(done.stdout.splitlines())
                assert list(found) == units
                return [unit for unit, state in found.items() if state["condition"]["frozen"]]

            assert frozen() == []
            process.send_signal(signal.SIGSTOP)
            until(lambda: frozen() == ["keepalived"])
            (folder / "cgroup.events").write_text("populated 1\nfrozen 1\n")
            assert frozen() == ["keepalived", "health"]
        finally:
            process.kill()
            running.kill()


def test_selinuxs_mode_at_the_next_boot_is_read_from_its_file(machine: ShellMachine) -> None:
    machine.program("getenforce", "echo Enforcing")
    machine.program("dmesg", "")
    assert machine.fact(SELinux)["boot"] == ""
    text = "# SELINUX=disabled\nSELINUXTYPE=targeted\nSELINUX = Permissive  \n"
    machine.write("/etc/selinux/config", text)
    assert machine.fact(SELinux) == {"mode": "Enforcing", "boot": "permissive", "denied": []}


def test_iptables_is_asked_for_the_families_that_it_has(machine: ShellMachine) -> None:
    saved = "echo '# by'; echo '*filter'; echo ':INPUT ACCEPT [0:0]'; echo '-A INPUT -p udp -j DROP'; echo '-A OWN -j DROP'"
    machine.program("iptables-save", saved)
    machine.program("ip6tables-save", "echo broken >&2; exit 1")
    drop = "ipv4 filter -A INPUT -p udp -j DROP"
    assert machine.fact(OwnChains, families=[4]) == [drop]
    assert machine.fact(OwnChains, families=[4, 6]) == [drop]


def test_files_that_match_are_found_by_the_shell(machine: ShellMachine) -> None:
    pattern = "/etc/logstash/conf.d/*.conf"
    assert machine.fact(MatchingFiles, patterns=[pattern]) == []
    for name in ("b c.conf", "a.conf", "a.conf.bak", ".a.conf.staged"):
        machine.write(f"/etc/logstash/conf.d/{name}", "")
    machine.path("/etc/logstash/conf.d/folder.conf").mkdir()
    assert machine.fact(MatchingFiles, patterns=[pattern]) == [
        "/etc/logstash/conf.d/a.conf",
        "/etc/logstash/conf.d/b c.conf",
    ]


def test_a_verdict_is_raised_by_what_is_in_it(machine: ShellMachine) -> None:
    paths = [f"/etc/verdicts/{name}" for name in ("up", "down", "missing")]
    machine.write(paths[0], "")
    machine.write(paths[1], "1\n")
    assert machine.fact(RaisedVerdicts, paths=paths) == [paths[1]]


def test_a_record_is_read_as_it_is(machine: ShellMachine) -> None:
    assert machine.fact(Record, path=RECORD) == {}
    machine.write(RECORD, "rich public rule a\\tb  *\nfile /etc/a b")
    assert machine.fact(Record, path=RECORD) == {"rich": ["public rule a\\tb  *"], "file": ["/etc/a b"]}


def test_drain_flags_are_the_names_of_files(machine: ShellMachine) -> None:
    assert machine.fact(DrainFlags, folder=DRAINED) == []
    machine.path(DRAINED).mkdir(parents=True)
    assert machine.fact(DrainFlags, folder=DRAINED) == []
    for address in ("192.0.2.11", "2001:db8::11"):
        machine.write(f"{DRAINED}/{address}", "")
    assert machine.fact(DrainFlags, folder=DRAINED) == ["192.0.2.11", "2001:db8::11"]


def test_a_user_has_a_home_or_does_not_exist(machine: ShellMachine) -> None:
    assert machine.fact(User, user="root") == "/root"
    assert machine.fact(User, user="nobody_at_all") is None


def test_an_identity_is_read_from_the_kernel_and_from_files_that_configure_the_network(
    machine: ShellMachine,
) -> None:
    folder = "/etc/NetworkManager/system-connections"
    machine.write(
        f"{folder}/Wired connection 1.nmconnection", "uuid=1\npsk=secret\n address1 = 192.0.2.11/24\n"
    )
    for backup in ("a~", "a.bak", "a.orig", "a.rpmsave"):
        machine.write(f"{folder}/{backup}", "uuid=2\n")
    machine.write("/etc/sysconfig/network-scripts/ifcfg-eth0", "HWADDR=52:54:00:00:00:0B\n")
    machine.write(HARDWARE, "52:54:00:00:00:0b\n4c4c\n")
    machine.write(f"{CLONE}/confirmed", "")
    found = machine.fact(Identity, folder=CLONE, reboot="/nowhere/reboot", hardware=HARDWARE)
    empty = {"addresses": [], "uuid": "", "mac": "", "interface": ""}
    assert found["profiles"] == {
        "/etc/sysconfig/network-scripts/ifcfg-eth0": {**empty, "mac": "52:54:00:00:00:0b"},
        f"{folder}/Wired connection 1.nmconnection": {**empty, "uuid": "1", "addresses": ["192.0.2.11"]},
    }
    assert found["hostname"] == Path("/proc/sys/kernel/hostname").read_text().strip()
    assert found["links"]["lo"] == "00:00:00:00:00:00"
    assert found["recorded"] == ["52:54:00:00:00:0b", "4c4c"]
    assert found["stages"] == ["confirmed"]


def test_a_deploy_starts_few_processes_for_its_facts(machine: ShellMachine, cluster: Cluster) -> None:
    """On a small machine a process costs more than all that it reads."""
    node = cluster.nodes[0]
    files = list(desired_files(cluster, node, 9).values())
    for file in files:
        machine.write(file.path, file.content)
    calls = machine.root / "calls"
    for name in ("find", "grep", "ip", "sha256sum"):
        machine.program(name, f'echo {name} >>{calls}; exec {shutil.which(name)} "$@"')
    machine.program("busctl", f"echo busctl >>{calls}\n{BUSCTL}")
    for name in ("rpm", "systemctl"):
        machine.program(name, f"echo {name} >>{calls}")
    units = [unit.name for unit in managed_units(cluster, node, 9)]
    facts = {f"fact{n}": request for n, request in enumerate(compared_facts(cluster, node, units, files))}
    # No other program is found.
    done = machine.sh(f"PATH={machine.root}/bin\n{BatchFacts().command(facts=facts)}")
    assert (done.returncode, done.stderr) == (0, "")
    started = calls.read_text().split()
    assert {name: started.count(name) for name in sorted(set(started))} == {
        "busctl": 6,
        "find": 2,
        "grep": 3,
        "ip": 1,
        "rpm": 3,
        "sha256sum": 3,
        "systemctl": 1,
    }


def test_a_look_at_what_others_have_starts_few_processes(machine: ShellMachine, cluster: Cluster) -> None:
    """On a node that has been deployed: the others are for its first deploy, and none where only that is asked for."""
    calls = machine.root / "calls"
    for name in ("find", "grep", "ip", "iptables", "nft", "ping", "ss", "systemctl"):
        machine.program(name, f"echo {name} >>{calls}")
    for file in desired_files(cluster, cluster.nodes[0], 9).values():
        machine.write(file.path, file.content)
    machine.write(RECORD, "file /etc/x\n")
    facts: dict[str, Any] = {"others": (Others, others_arguments(cluster, cluster.nodes[0]))}
    done = machine.sh(f"PATH={machine.root}/bin\n{BatchFacts().command(facts=facts)}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "looked"
    assert calls.read_text().split() == ["ss", "nft"]
    calls.unlink()
    facts = {"others": (Others, {**others_arguments(cluster, cluster.nodes[0]), "always": False})}
    done = machine.sh(f"PATH={machine.root}/bin\n{BatchFacts().command(facts=facts)}")
    assert (done.stdout.splitlines()[1:], done.stderr) == (["looked"], "")
    assert not calls.exists(), "a deploy asks all its nodes so, each time"
