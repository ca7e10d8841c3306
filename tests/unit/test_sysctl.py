"""Kernel settings and modules: which ones a cluster needs, and how a machine gets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from desired.modules import module_names
from desired.paths import RECORD
from desired.sysctl import FILE as OURS
from desired.sysctl import boot_settings, conflicting, kernel_settings
from facts.modules import MissingModules
from facts.sysctl import Line, Sysctl
from operations import modules, sysctl
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine

FORWARD = "net.ipv4.ip_forward"
STIG = "net.ipv4.conf.all.forwarding"
"""Another name of the same variable."""
RECIPE = {FORWARD: "1", "net.ipv4.conf.eth0.forwarding": "1", "net.ipv4.ip_nonlocal_bind": "1"}
BUFFER = {"net.core.rmem_max": "16777216"}
IPV6 = {"net.ipv6.conf.all.forwarding": "1", "net.ipv6.ip_nonlocal_bind": "1"}
CONNECTIONS = {"net.ipv4.vs.expire_nodest_conn": "1"}
DIRECT = {"net.ipv4.vs.backup_only": "1", "net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.eth0.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}  # fmt: skip


def settings_of(cluster: Cluster) -> dict[str, str]:
    """Of the first node."""
    return kernel_settings(cluster, cluster.nodes[0])


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Cluster]:
    return lambda **settings: make_cluster(tmp_path, **settings)


@pytest.mark.parametrize(
    ("inputs", "desired"),
    [
        ([{}], RECIPE | BUFFER),
        ([{"protocol": "tcp"}], RECIPE | CONNECTIONS | {"net.ipv4.vs.conntrack": "1"}),
        ([{}, {"protocol": "tcp"}], RECIPE | BUFFER | CONNECTIONS | {"net.ipv4.vs.conntrack": "1"}),
        ([{"protocol": "tcp", "forwarding": "dr"}], RECIPE | CONNECTIONS | DIRECT),
        ([{"forwarding": "dr"}], RECIPE | BUFFER | DIRECT),
        ([{"scheduler": "wlc"}], RECIPE | BUFFER | CONNECTIONS),
        ([{"receive_buffer_bytes": 65536}], RECIPE),
        ([{"receive_buffer_bytes": None}], RECIPE),
        ([{"events_per_second": 4000}], RECIPE | {"net.core.rmem_max": "55574528"}),
        ([{"events_per_second": 100}], RECIPE | BUFFER),
        ([{"receive_buffer_bytes": 4194304}], RECIPE | {"net.core.rmem_max": "4194304"}),
        (
            [{"receive_buffer_bytes": 4194304}, {"receive_buffer_bytes": 8388608}],
            RECIPE | {"net.core.rmem_max": "8388608"},
        ),
    ],
)
def test_kernel_settings_follow_from_the_inputs(
    make: Callable[..., Cluster], inputs: list[dict[str, Any]], desired: dict[str, str]
) -> None:
    named = [{"id": f"in{number}", "port": 5514 + number, **input} for number, input in enumerate(inputs)]
    assert settings_of(make(inputs=named)) == desired


NODE = {4: "10.77.0.1{}", 6: "fd00:77::1{}"}


@pytest.mark.parametrize(
    ("families", "forwarding", "desired"),
    [
        ([4, 6], "nat", RECIPE | IPV6),
        ([6], "nat", IPV6),
        ([6], "dr", IPV6 | {"net.ipv4.vs.backup_only": "1"}),
    ],
)
def test_kernel_settings_follow_from_the_families(
    families: list[int], forwarding: str, desired: dict[str, str]
) -> None:
    nodes = [
        {"name": f"stash{n}", "address": [NODE[family].format(n) for family in families]} for n in (1, 2)
    ]
    vips = [NODE[family].format(0) for family in families]
    cluster = Cluster.model_validate(
        {
            "nodes": nodes,
            "network": ["10.77.0.0/24", "fd00:77::/64"],
            "interface": "eth0",
            "vip": vips,
            "inputs": [{"id": "udp-5514", "port": 5514, "forwarding": forwarding}],
            "senders": ["fd00:77::65"],
            "vrrp": 3,
        }
    )
    assert settings_of(cluster) == desired | BUFFER


def test_the_modules_are_ipvs_and_the_schedulers_in_use(make: Callable[..., Cluster]) -> None:
    inputs = [{"id": f"in{number}", "port": 5514 + number, "scheduler": name} for number, name in enumerate(["wlc", "rr", "wlc", "mh"])]  # fmt: skip
    assert module_names(make(inputs=inputs)) == ["ip_vs", "ip_vs_wlc", "ip_vs_rr", "ip_vs_mh"]


def test_a_missing_module_is_recorded_and_then_loaded(machine: ShellMachine) -> None:
    machine.program("modprobe", f'cat {machine.root}/var/lib/logstash-ha/record; echo "$@"')
    assert machine.fact(MissingModules, modules=["no_such_module", "kernel"]) == ["no_such_module"]
    (done,) = machine.run(modules.loaded, modules=["no_such_module"])
    assert done.stdout == "module no_such_module\n--all no_such_module\n"


def line(path: str, value: str, number: int = 1, key: str = FORWARD) -> Line:
    return Line(path=path, number=number, text=f"{key} = {value}", key=key, value=value)


CONF, EARLY, LATE = (
    "/etc/sysctl.conf",
    "/usr/lib/sysctl.d/50-default.conf",
    "/run/sysctl.d/99-zz.conf",
)


@pytest.mark.parametrize(
    ("lines", "comments", "reported"),
    [
        ([line(OURS, "1")], [], []),
        ([line(EARLY, "0")], [], []),
        ([line(EARLY, "0"), line(OURS, "1")], [], []),
        ([line(OURS, "1"), line(CONF, "0")], [CONF], []),
        ([line(OURS, "1"), line(CONF, "0"), line(CONF, "1", 2)], [CONF], []),
        ([line(OURS, "1"), line(LATE, "0")], [], [LATE]),
        ([line(OURS, "1"), line(LATE, "0"), line(LATE, "1", 2)], [], []),
        ([line(OURS, "1"), line(CONF, "1"), line(LATE, "0")], [], [LATE]),
        ([line(OURS, "1"), line(CONF, "0"), line(LATE, "0")], [CONF], [LATE]),
        ([line(OURS, "1"), line("/etc/sysctl.d/95-x.conf", "0"), line(CONF, "1")], [], []),
        ([line(OURS, "1"), line(LATE, "0", key="net.ipv4.conf.all.rp_filter")], [], []),
        ([line(OURS, "1"), line(CONF, "0", key=STIG)], [CONF], []),
        ([line(OURS, "1"), line(LATE, "0", key=STIG)], [], [LATE]),
        ([line(OURS, "1"), line(LATE, "0", key=STIG), line(LATE, "1", 2)], [], [LATE]),
        ([line(OURS, "1"), line(LATE, "", key=STIG)], [], [LATE]),  # a line without a value: `-KEY`
        # No glob sets what has a line of its own, and every name of ours has one.
        ([line(OURS, "1"), line(LATE, "0", key="net.ipv4.conf.*.forwarding")], [], []),
        ([line(OURS, "1"), line(LATE, "0", key="net.ipv4.conf.default.forwarding")], [], []),
    ],
)
def test_a_line_conflicts_when_it_is_read_after_ours_or_is_in_sysctl_conf(
    lines: list[Line], comments: list[str], reported: list[str]
) -> None:
    conf, others = conflicting({FORWARD: "1"}, lines, OURS)
    assert [conflict["path"] for conflict in conf] == comments
    assert [conflict["path"] for conflict in others] == reported


def test_an_interface_with_a_dot_in_its_name_is_set_under_the_name_that_the_kernel_has(
    make: Callable[..., Cluster],
) -> None:
    settings = settings_of(make(interface="bond0.91"))
    assert list(settings) == [
        FORWARD,
        "net.ipv4.conf.bond0/91.forwarding",
        "net.ipv4.ip_nonlocal_bind",
        *BUFFER,
    ]
    late = [line(LATE, "0", key="net.ipv4.conf.bond0/91.forwarding")]
    assert conflicting(settings, late, OURS) == ([], late)


def sysctl_at_boot(files: dict[str, list[tuple[str, str]]]) -> dict[str, str]:
    """The kernel's forwarding after systemd-sysctl has read these files: a line that repeats a name's value changes
    nothing, another value moves the name to the end, and `all` sets each interface when it changes (systemd's
    sysctl.c, the kernel's devinet.c)."""
    order: dict[str, str] = {}
    for _, lines in sorted(files.items()):
        for key, value in lines:
            if order.get(key) != value:
                order.pop(key, None)
                order[key] = value
    kernel = {"all": "0", "default": "0", "eth0": "0"}
    for key, value in order.items():
        names = [name for name in kernel if key == f"net.ipv4.conf.{name}.forwarding" or key == FORWARD]
        if "*" in key:
            names = [name for name in kernel if f"net.ipv4.conf.{name}.forwarding" not in order]
        for name in names:
            if name == "all" and kernel["all"] != value:
                kernel = dict.fromkeys(kernel, value)
            elif key != FORWARD:
                kernel[name] = value
    return kernel


@pytest.mark.parametrize(
    "before",
    [
        [],
        [(STIG, "0")],
        [(FORWARD, "1"), (STIG, "0")],
        [(FORWARD, "1"), ("net.ipv4.conf.eth0.forwarding", "0")],
        [("net.ipv4.conf.*.forwarding", "0")],
        [(FORWARD, "0"), (STIG, "0"), ("net.ipv4.conf.eth0.forwarding", "1")],
    ],
)
@pytest.mark.parametrize("after", [[], [("net.ipv4.conf.*.forwarding", "0")]])
def test_nothing_that_is_read_before_ours_turns_forwarding_off(
    make: Callable[..., Cluster], before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    ours = list(boot_settings(settings_of(make())).items())
    kernel = sysctl_at_boot({"50": before, "90": ours, "99": after})
    assert (kernel["all"], kernel["eth0"]) == ("1", "1")


def test_a_setting_that_is_no_longer_needed_is_restored_and_leaves_the_record(machine: ShellMachine) -> None:
    machine.program("sysctl", f'echo "$@" >>{machine.root}/calls')
    record = machine.write("/var/lib/logstash-ha/record", "package x\n")
    was = machine.fact(Sysctl, keys=[FORWARD])["runtime"][FORWARD]
    machine.run(sysctl.effective, settings={FORWARD: "7"}, file=OURS)
    machine.run(sysctl.effective, settings={FORWARD: "8"}, file=OURS)
    assert record.read_text().splitlines() == ["package x", f"sysctl {FORWARD}={was}"]
    assert machine.run(sysctl.restored, settings={FORWARD: "8"}) == []
    (done,) = machine.run(sysctl.restored, settings={})
    assert done.returncode == 0, done.stderr
    assert (machine.root / "calls").read_text().splitlines()[-1] == f"-q -e -w {FORWARD}={was}"
    assert record.read_text() == "package x\n"
    assert machine.run(sysctl.restored, settings={}) == []


# The kernel: what `sysctl -w` sets is what is read afterwards.
KERNEL = """\
for argument; do
    case $argument in *=*) echo "${{argument#*=}}" >{root}/proc/sys/$(echo "${{argument%%=*}}" | tr . /) ;; esac
done
"""


@pytest.fixture
def kernel(machine: ShellMachine) -> Path:
    """The file of a setting of the machine's kernel, whose value is 0."""
    (machine.root / "proc/sys/net/ipv4").mkdir(parents=True)
    machine.program("sysctl", KERNEL.format(root=machine.root))
    return machine.write(f"/proc/sys/{FORWARD.replace('.', '/')}", "0\n")


def test_the_value_before_the_first_deploy_is_the_one_that_is_restored(
    machine: ShellMachine, kernel: Path
) -> None:
    for value in ("7", "8"):
        for done in machine.run(sysctl.effective, settings={FORWARD: value}, file=OURS):
            assert (done.returncode, done.stderr) == (0, "")
        assert kernel.read_text() == f"{value}\n"
    assert machine.path(RECORD).read_text() == f"sysctl {FORWARD}=0\n"
    machine.run(sysctl.restored, settings={})
    assert kernel.read_text() == "0\n"
    assert machine.path(RECORD).read_text() == ""


def test_of_two_recorded_values_the_first_one_is_restored(machine: ShellMachine, kernel: Path) -> None:
    machine.write(RECORD, f"sysctl {FORWARD}=1\npackage x\nsysctl {FORWARD}=7\n")
    for done in machine.run(sysctl.restored, settings={}):
        assert (done.returncode, done.stderr) == (0, "")
    assert kernel.read_text() == "1\n"
    assert machine.path(RECORD).read_text() == "package x\n"
    assert machine.run(sysctl.restored, settings={}) == []


def test_a_line_of_the_stig_becomes_a_comment_and_is_recorded(machine: ShellMachine) -> None:
    machine.program("sysctl", f'echo "$@" >>{machine.root}/calls')
    conf = machine.write(
        CONF,
        f"# {FORWARD} = 0\n  {FORWARD}=0 \n{FORWARD}_use_pmtu = 0\nnet/ipv4/ip_forward = 0\n{FORWARD}=1\n",
    )
    machine.run(sysctl.effective, settings={FORWARD: "1"}, file=OURS)
    assert conf.read_text().splitlines() == [
        f"# {FORWARD} = 0",
        f"# {FORWARD}=0",
        f"{FORWARD}_use_pmtu = 0",
        "# net/ipv4/ip_forward = 0",
        f"{FORWARD}=1",
    ]
    record = machine.path("/var/lib/logstash-ha/record").read_text()
    stig = [line for line in record.splitlines() if line.startswith("stig ")]
    assert stig == [f"stig {FORWARD}=0", "stig net/ipv4/ip_forward = 0"]
    machine.run(sysctl.effective, settings={FORWARD: "1"}, file=OURS)
    assert machine.path("/var/lib/logstash-ha/record").read_text() == record


def test_the_stig_s_name_of_today_becomes_a_comment_too(machine: ShellMachine) -> None:
    machine.program("sysctl", ":")
    conf = machine.write(
        CONF, f"{STIG} = 0\n-net/ipv4/conf/all/forwarding=0\nnet.ipv4.conf.all.rp_filter = 1\n"
    )
    machine.run(sysctl.effective, settings={FORWARD: "1"}, file=OURS)
    assert conf.read_text().splitlines() == [
        f"# {STIG} = 0",
        "# -net/ipv4/conf/all/forwarding=0",
        "net.ipv4.conf.all.rp_filter = 1",
    ]


def test_files_of_others_are_named_and_left_alone(
    machine: ShellMachine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.program("sysctl", ":")
    theirs = machine.write("/etc/sysctl.d/99-hardening.conf", f"# ours\n-{FORWARD} = 0\n")
    machine.run(sysctl.effective, settings={FORWARD: "1"}, file=OURS)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"/etc/sysctl.d/99-hardening.conf, line 2: `-{FORWARD} = 0` wins over {OURS} at the next boot; "
        "take that line out"
    ]
    assert theirs.read_text() == f"# ours\n-{FORWARD} = 0\n"


def test_the_fact_reads_the_kernel_and_the_files_in_the_order_of_boot(machine: ShellMachine) -> None:
    machine.write("/etc/sysctl.conf", f"#{FORWARD} = 0\n{FORWARD} = 0\n")
    machine.path("/etc/sysctl.d").mkdir()
    machine.path("/etc/sysctl.d/99-sysctl.conf").symlink_to(machine.path(CONF))
    machine.write("/etc/sysctl.d/sysctl.conf", f"{FORWARD} = 1\n")
    machine.write(OURS, f"{FORWARD} = 1\nnet.ipv4.ip_nonlocal_bind = 1\n")
    state = machine.fact(Sysctl, keys=[FORWARD, "net.ipv4.ip_nonlocal_bind", "net.no.such"])
    assert state["runtime"] == {
        FORWARD: Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
        "net.ipv4.ip_nonlocal_bind": Path("/proc/sys/net/ipv4/ip_nonlocal_bind").read_text().strip(),
    }
    asked = [found for found in state["lines"] if found["key"] in state["runtime"]]
    assert [(found["path"], found["number"]) for found in asked] == [
        (OURS, 1),
        (OURS, 2),
        (CONF, 2),
        ("/etc/sysctl.d/sysctl.conf", 1),
    ]
