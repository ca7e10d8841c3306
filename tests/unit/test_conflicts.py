"""What fights with the cluster on a node: each kind is told with its mend, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from desired.conflicts import CHECKS, conflicts, decoded, others_arguments
from facts.others import Chain, Others, OthersState, Route, Socket, parse_others
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine
from tests.unit.observations import all_well
from verification.judge import judge
from verification.report import Status

PAGE = Path(__file__).parents[2] / "docs/preflight.md"
TCP = {"inputs": [{"id": "tcp-6514", "port": 6514, "protocol": "tcp"}]}
SYSLOG = Socket("udp", "*", 5514, "rsyslogd", "rsyslog.service")
NORMAL = OthersState(
    first=True,
    addresses={"lo": ["127.0.0.1"], "eth0": ["10.77.0.11"]},
    neighbours={"10.77.0.12": "52:54:00:00:00:02"},
    enabled=["firewalld", "keepalived"],
    running=["firewalld", "keepalived"],
    vrrp=True,
    virtual_servers=[],
    routes=[Route("0.0.0.0/0", "eth0", 100), Route("10.77.0.0/24", "eth0", 100)],
    rp_filter={"all": 1, "eth0": 1},
    selinux=("enforcing", "enforcing"),
    chains=[Chain("inet firewalld filter_INPUT", "input")],
    sockets=[
        Socket("udp", "10.77.0.11", 5514, "java", "logstash.service"),
        Socket("udp", "10.77.0.11", 9600, "python3", "logstash-ha-health.service"),
        Socket("tcp", "127.0.0.1", 9600, "other", "other.service"),
        Socket("udp", "10.77.0.10", 5514, "other", "other.service"),
    ],
)
FAR = {"senders": ["198.51.100.0/24"]}
TWO_WAYS = [
    Route("0.0.0.0/0", "eth1", 100),
    Route("0.0.0.0/0", "eth0", 101),
    Route("10.77.0.0/24", "eth0", 0),
]

FOUND: dict[str, list[tuple[dict[str, Any], dict[str, Any], str, str, bool]]] = {
    "ipvs-users": [
        ({"virtual_servers": ["UDP 0A4D000A:158A"]}, {}, "UDP 10.77.0.10:5514 already, at a VIP", "ipvsadm -D", True),
        ({"virtual_servers": ["TCP C0000250:01BB"]}, {}, "TCP 192.0.2.80:443 of another program", "find out", False),
    ],
    "ipvsadm-service": [({"enabled": ["firewalld", "ipvsadm"]}, {}, "ipvsadm.service is enabled", "systemctl disable ipvsadm", True)],
    "kube-proxy": [({"links": ["kube-ipvs0"]}, {}, "kube-proxy runs in IPVS mode", "--ipvs-exclude-cidrs=10.77.0.10/32", True)],
    "vrrp-speakers": [({"running": ["firewalld"]}, {}, "a program other than keepalived.service speaks VRRP", "ss -awp", False)],
    "vip-here": [({"addresses": {"eth1": ["10.77.0.10"]}}, {}, "it has the VIP 10.77.0.10 on eth1", "free address", True)],
    "vip-elsewhere": [({"neighbours": {"10.77.0.10": "aa:aa:aa:aa:aa:aa", "10.77.0.12": "52:54:00:00:00:02"}}, {}, "with the MAC address aa:aa:aa:aa:aa:aa, answers for the VIP 10.77.0.10", "free address", True)],
    "ports": [
        ({"sockets": [SYSLOG]}, {}, "rsyslogd (rsyslog.service) has UDP port 5514", "server_port", True),
        ({"sockets": [Socket("tcp", "10.77.0.11", 9600, "", "")]}, {}, "another program has TCP port 9600", "use another port", True),
        ({"sockets": [Socket("udp", "127.0.0.1", 5514, "x", "x.service")]}, {"inputs": [{"id": "a", "port": 5514, "forwarding": "dr"}]}, "x (x.service) has UDP port 5514", "server_port", True),
    ],
    "firewall-services": [({"enabled": ["firewalld", "nftables"]}, {}, "nftables.service starts at boot beside firewalld", "systemctl disable --now nftables", True)],
    "drop-policies": [
        ({"chains": [Chain("ip filter INPUT", "input")]}, {}, "the chain ip filter INPUT drops", "let the nodes'", False),
        ({"chains": [Chain("ip filter FORWARD", "forward")]}, TCP, "the chain ip filter FORWARD drops", "let the nodes'", False),
    ],
    "fapolicyd": [({"running": ["firewalld", "keepalived", "fapolicyd"]}, {}, "fapolicyd lets no program", "dir=/etc/keepalived/", True)],
    "noexec": [({"noexec": ["/tmp"]}, {}, "/tmp is mounted noexec", "-Djava.io.tmpdir=", False)],
    "reverse-path": [({"routes": TWO_WAYS}, FAR, "the way back to 198.51.100.0/24 is eth1, and rp_filter is strict", "rp_filter = 2", False)],
    "next-boot": [
        ({"selinux": ("permissive", "enforcing")}, {}, "SELinux is permissive, and will be enforcing", "/etc/selinux/config", False),
        ({"enabled": []}, {}, "firewalld runs, and will not start at the next boot", "systemctl enable firewalld", False),
    ],
}  # fmt: skip
"""By kind: what is found, the cluster's settings, words of what is said and of the mend, and whether it is certain."""


def changed(**found: Any) -> OthersState:
    return OthersState(**{**vars(NORMAL), **found})


def test_there_is_a_case_and_a_row_in_the_page_for_each_kind() -> None:
    assert list(FOUND) == list(CHECKS)
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.M) == list(CHECKS)


@pytest.mark.parametrize(
    ("kind", "found", "settings", "what", "do", "certain"),
    [(kind, *case) for kind, cases in FOUND.items() for case in cases],
)
def test_a_conflict_is_told_once_and_with_its_mend(
    tmp_path: Path,
    kind: str,
    found: dict[str, Any],
    settings: dict[str, Any],
    what: str,
    do: str,
    certain: bool,
) -> None:
    cluster = make_cluster(tmp_path, **settings)
    state = changed(**found)
    (conflict,) = CHECKS[kind](cluster, cluster.nodes[0], state)
    assert conflicts(cluster, cluster.nodes[0], state) == [conflict]
    assert what in conflict.what
    assert do in conflict.do
    assert conflict.certain is certain


@pytest.mark.parametrize(
    ("found", "settings"),
    [
        ({}, {}),
        ({}, TCP),
        ({"vrrp": False, "running": ["firewalld"]}, {}),
        ({"neighbours": {"10.77.0.10": "52:54:00:00:00:02", "10.77.0.12": "52:54:00:00:00:02"}}, {}),
        ({"enabled": ["nftables"], "chains": [Chain("inet mine input", "input")]}, {"firewall": "none"}),
        ({"chains": [Chain("ip filter FORWARD", "forward")]}, {}),
        ({"running": ["firewalld", "keepalived", "fapolicyd"], "trusted": True}, {}),
        ({"noexec": ["/tmp"], "temporary": True}, {}),
        ({"routes": TWO_WAYS, "rp_filter": {"all": 0, "eth0": 2}}, FAR),
        ({"routes": TWO_WAYS}, {}),
        ({"selinux": ("", "disabled")}, {}),
        (
            {
                "virtual_servers": ["TCP C0000250:01BB"],
                "keepalived": ["virtual_server 192.0.2.80 443 {", "}"],
            },
            {},
        ),
    ],
)
def test_what_does_no_harm_is_not_told(
    tmp_path: Path, found: dict[str, Any], settings: dict[str, Any]
) -> None:
    cluster = make_cluster(tmp_path, **settings)
    assert conflicts(cluster, cluster.nodes[0], changed(**found)) == []


def test_java_may_be_given_its_folder_in_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("LS_JAVA_OPTS=-Djava.io.tmpdir=/var/lib/logstash/tmp\n")
    cluster = make_cluster(tmp_path, environment_file=tmp_path / "env")
    assert conflicts(cluster, cluster.nodes[0], changed(noexec=["/tmp"])) == []


def test_virtual_servers_are_decoded_from_proc() -> None:
    assert decoded("UDP 0A4D000A:158A") == ("UDP 10.77.0.10:5514", "10.77.0.10")
    address = "[fd00:0077:0000:0000:0000:0000:0000:0010]"
    assert decoded(f"TCP {address}:1A0A") == ("TCP [fd00:77::10]:6666", "fd00:77::10")
    assert decoded("FWM 00000010") == ("FWM 16", "")


def test_verify_tells_the_same(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    observations = all_well(cluster)
    seen = observations["stash1"]
    object.__setattr__(seen, "others", changed(first=False))
    assert judge(cluster, observations).problems == ()
    state = changed(first=False, enabled=["ipvsadm"], noexec=["/tmp"], selinux=("permissive", "enforcing"))
    object.__setattr__(seen, "others", state)
    report = judge(cluster, observations)  # which sees what ends at the next boot by rows of its own
    assert [(problem.status, problem.check, problem.node) for problem in report.problems] == [
        (Status.WRONG, "others", "stash1"),
        (Status.WARNING, "others", "stash1"),
    ]
    assert "ipvsadm.service" in report.problems[0].what


def test_adopted_pipeline_files_are_no_surprise(tmp_path: Path) -> None:
    for existing, problems in ((None, 2), ("adopt", 0)):
        cluster = make_cluster(tmp_path, existing=existing)
        observations = all_well(cluster)
        for seen in observations.values():
            seen.pipeline_files.append("/etc/logstash/conf.d/10-app.conf")  # type: ignore[union-attr]
        assert len(judge(cluster, observations).problems) == problems


def test_adopted_virtual_servers_are_no_surprise_in_ipvs(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, existing="adopt")
    observations = all_well(cluster)
    for seen in observations.values():
        seen.virtual_servers.append(  # type: ignore[union-attr]
            {
                "protocol": "TCP",
                "address": "10.77.0.20:443",
                "scheduler": "rr",
                "flags": [],
                "real_servers": [],
            }
        )
    assert len(judge(cluster, observations).problems) == 2
    for seen in observations.values():
        object.__setattr__(
            seen, "others", changed(first=False, adopted=["virtual_server 10.77.0.20 443 {", "}"])
        )
    assert judge(cluster, observations).problems == ()


NFT = """\
table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
	}
	chain filter_IN_public {
	}
}
table ip filter {
	chain DOCKER {
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
"""
SS = """\
Netid State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess
udp   UNCONN 0      0      10.77.0.11:5514    0.0.0.0:*    users:(("rsyslogd",pid=1,fd=4))
tcp   LISTEN 0      50     [::ffff:127.0.0.1]:9600 *:*
udp   UNCONN 0      0      0.0.0.0%eth0:5514    0.0.0.0:*    users:(("x y",pid=4000000,fd=4),("z",pid=4000001,fd=5))
"""


def test_the_fact_reads_what_others_have(machine: ShellMachine, tmp_path: Path) -> None:
    """With each shell, and really from this machine's /proc."""
    cluster = make_cluster(tmp_path, pipelines=None)
    machine.write("/etc/keepalived/keepalived.conf", "vrrp_instance A {\n  auth_pass s3cret\n}\nno newline")
    machine.write(
        "/etc/logstash/logstash.yml",
        f'# x: y\npath.data: {machine.root}/var/lib/logstash\npipeline:\n  batch: 5 # a: b\nxpack.password: "s:3"\n - a: b\n',
    )
    machine.write(
        "/etc/logstash/pipelines.yml",
        '# - pipeline.id: no\n- pipeline.id: app\n  path.config: "/srv/*"\n  config.string: "s3cret"\n',
    )
    machine.write("/etc/logstash/conf.d/logstash-ha.conf", "output {\n")
    machine.write("/etc/logstash/conf.d/a b.conf", "filter { } output { }\n")
    machine.write("/etc/logstash/conf.d/c.conf", "# output {\nfilter { if [my_output] { } }\n")
    machine.write("/etc/logstash/jvm.options", "# -Djava.io.tmpdir=x\n-Xmx1g\n")
    machine.write("/etc/fapolicyd/rules.d/30.rules", "allow perm=any all : dir=/etc/other/\n")
    machine.path("/etc/systemd/system/sysinit.target.wants").mkdir(parents=True)
    machine.path("/etc/systemd/system/sysinit.target.wants/nftables.service").symlink_to("/nowhere")
    machine.write("/etc/selinux/config", "# SELINUX=x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n")
    machine.program("nft", f"cat <<'END'\n{NFT}END")
    machine.program("ss", f"cat <<'END'\n{SS}END")
    machine.program("ping", 'case "$*" in *10.77.0.10) exit 0;; esac; exit 1')
    machine.program("ip", """\
case "$*" in
*addr*) echo '2: eth0    inet 10.77.0.11/24 brd 10.77.0.255 scope global eth0' ;;
*neigh*) echo '10.77.0.10 lladdr AA:aa:aa:aa:aa:aa DELAY'; echo '10.77.0.12 lladdr 52:54:00:00:00:02 REACHABLE'
         echo '10.77.0.13 lladdr 52:54:00:00:00:03 STALE'; echo '10.77.0.14 FAILED' ;;
esac""")  # fmt: skip
    state = machine.fact(Others, **others_arguments(cluster, cluster.nodes[0]))
    assert state == machine.fact(Others, **others_arguments(cluster, cluster.nodes[0]), always=False)
    assert state.first
    assert state.keepalived == ["vrrp_instance A {", "}", "no newline"]
    assert state.adopted is None
    assert state.settings == ["pipeline:", "  batch:", "xpack.password:"]
    assert state.pipelines == ["- pipeline.id: app", '  path.config: "/srv/*"']
    assert state.pipeline_files == {
        "/etc/logstash/conf.d/a b.conf": True,
        "/etc/logstash/conf.d/c.conf": False,
    }
    assert state.enabled == ["nftables"]
    assert not state.temporary
    assert not state.trusted
    assert state.selinux[1] == "enforcing"
    assert state.chains == [Chain("ip filter FORWARD", "forward")]
    assert [(socket.protocol, socket.address, socket.port, socket.program) for socket in state.sockets] == [
        ("udp", "10.77.0.11", 5514, "rsyslogd"),
        ("tcp", "::ffff:127.0.0.1", 9600, ""),
        ("udp", "*", 5514, "x y"),
    ]
    assert state.addresses == {"eth0": ["10.77.0.11"]}
    assert state.neighbours == {"10.77.0.10": "aa:aa:aa:aa:aa:aa", "10.77.0.12": "52:54:00:00:00:02"}
    # After the first deploy.
    machine.write("/var/lib/logstash-ha/record", "file /etc/x\n")
    machine.write("/etc/keepalived/keepalived.conf", "# Written by the deploy: …\nvrrp_instance A {\n")
    machine.write("/etc/keepalived/adopted.conf", "# The blocks\n")
    machine.write("/etc/logstash/jvm.options", "-Djava.io.tmpdir=/x\n")
    machine.write(
        "/etc/fapolicyd/rules.d/30.rules", f"allow perm=any all : dir={machine.root}/etc/keepalived/\n"
    )
    state = machine.fact(Others, **others_arguments(cluster, cluster.nodes[0]))
    assert (state.first, state.keepalived, state.adopted) == (False, [], ["# The blocks"])
    assert (state.addresses, state.neighbours, state.temporary, state.trusted) == ({}, {}, True, True)


def test_what_the_kernel_shows_is_parsed() -> None:
    state = parse_others(
        [
            "ipvs IP Virtual Server version 1.2.1 (size=4096)",
            "ipvs Prot LocalAddress:Port Scheduler Flags",
            "ipvs -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
            "ipvs UDP  0A4D000A:158A rr ops",
            "ipvs -> 0A4D000B:158A      Masq    1      0          0",
            "route eth1\t00000000\t01020A0A\t0003\t0\t0\t100\t00000000\t0\t0\t0",
            "route eth0 004D0A00 00000000 0001 0 0 101 00FFFFFF 0 0 0",
            "route eth0 00000000 01020A0A 0002 0 0 0 00000000 0 0 0",
            "rp_filter all 1",
            "rp_filter eth9",
            "enforcing 0",
            "selinux Enforcing",
            "iptables -P FORWARD DROP",
            "iptables -P INPUT ACCEPT",
            "socket - Netid State Recv-Q Send-Q Local Address:Port Peer",
        ]
    )
    assert state.virtual_servers == ["UDP 0A4D000A:158A"]
    assert state.routes == [Route("0.0.0.0/0", "eth1", 100), Route("0.10.77.0/24", "eth0", 101)]
    assert state.rp_filter == {"all": 1}
    assert state.selinux == ("permissive", "enforcing")
    assert state.chains == [Chain("iptables FORWARD", "forward")]
    assert state.sockets == []
