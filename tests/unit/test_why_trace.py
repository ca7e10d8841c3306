"""What the program on a node has seen, as real machines print it."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.unit.clusters import make_cluster
from verification.why.trace import (
    BACKLOG,
    CONNECTIONS,
    DEVICES,
    NETSTAT,
    TCP_TABLES,
    UDP_TABLES,
    Frames,
    PipelineCounts,
    SocketState,
    packed,
    parse_api,
    parse_card,
    parse_counters,
    parse_ipvs_stats,
    parse_sockets,
    parse_trace,
    routes_through,
    settings,
)

SAMPLES = Path(__file__).parents[1] / "samples"
IPVS = """\
IP Virtual Server version 1.2.1 (size=256)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
UDP  10.77.0.10:5514                    44       44        0     2112        0
  -> 10.77.0.11:5514                    21       21        0     1008        0
  -> 10.77.0.12:5514                    23       23        0     1104        0
FWM  1819501665                          0        0        0        0        0
  -> 127.0.0.1:9                         0        0        0        0        0
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  257: 0B004D0A:2580 00000000:0000 07 00000000:00000000 00:00000000 00000000   996        0 4741 2 00000000ad11a9b6 0
  267: 0B004D0A:158A 00000000:0000 07 00000000:00001E40 00:00000000 00000000   999        0 5068 2 000000003787a6cf 12
  365: 0B004D0A:A7EC 0C004D0A:158A 01 00000000:00000000 00:00000000 00000000   996        0 4747 2 00000000384e0fee 0
"""
UDP6 = "  267: 00000000000000000000000000000000:158A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   999        0 5068 2 000000003787a6cf 0\n"
TCP = """\
   0: 0B004D0A:158A 00000000:0000 0A 00000000:00000002 00:00000000 00000000   999        0 5070 1 0000000012d3a1c5 100 0 0 10 0
   1: 0B004D0A:158A 6500 4D0A:D431 01 00000000:00000000 02:0000A8C0 00000000   999        0 5071 2 0000000012d3a1c6 20 4 30 10 -1
"""
NETSTATS = "TcpExt: SyncookiesSent IPReversePathFilter TCPTimeWaitOverflow\nTcpExt: 0 7 0\n"
DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1184740    6101    0    9    0     0          0         0  1184740    6101    0    0    0     0       0          0
  eth0: 3424148   21554    0    5    2     0          0         0   564306    3031    0   77    0     0       0          0
"""
SOFTNET = """\
00005432 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
00001234 0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000001
"""
VS_CONNECTIONS = "TCP 0A4D0065 D431 0A4D000A 158A 0A4D000B 158A ESTABLISHED     899\n"


def test_ipvs_counts_by_virtual_and_by_real_server() -> None:
    packets, forwarded = parse_ipvs_stats(IPVS)
    server = "UDP", "10.77.0.10:5514"
    assert packets == {server: 44, ("FWM", "1819501665"): 0}
    assert forwarded[(*server, "10.77.0.12:5514")] == 23
    assert parse_ipvs_stats("") == ({}, {})


@pytest.mark.parametrize("port", [5514, 9600])
def test_only_lines_of_sockets_at_the_ports_that_listen_to_everyone_are_asked_for(
    tmp_path: Path, port: int
) -> None:
    cluster = make_cluster(tmp_path)
    asked = settings(cluster, cluster.nodes[0], ip_address("10.77.0.101"), 10)
    lines = [line for line in UDP.splitlines() if re.search(asked["lines"][UDP_TABLES[4]], line)]
    assert [line.split()[1] for line in lines] == ["0B004D0A:158A"]


def test_a_socket_has_what_waits_in_it_and_what_it_has_dropped() -> None:
    found = dict(parse_sockets("\n".join(UDP.splitlines()[1:]), "UDP"))
    assert found[5514] == SocketState(ip_address("10.77.0.11"), 0x1E40, 12)
    assert dict(parse_sockets(UDP6, "UDP")) == {5514: SocketState(ip_address("::"), 0, 0)}


def test_a_tcp_socket_counts_where_it_listens() -> None:
    assert parse_sockets(TCP, "TCP") == [(5514, SocketState(ip_address("10.77.0.11"), 2, 0))]


@pytest.mark.parametrize("version", ["7.17.29", "8.19.18"])
def test_a_real_logstash_says_what_its_inputs_and_pipelines_have_done(version: str) -> None:
    inputs, pipelines = parse_api((SAMPLES / f"{version}.02-ok.node_stats.200.json").read_text())
    assert inputs == {"udp-5514": 1, "tcp-5514": 0}
    assert pipelines == {"main": PipelineCounts(taken=1, out=1, holding=())}


def test_an_output_that_has_not_given_back_all_is_named() -> None:
    document = json.loads((SAMPLES / "8.19.18.02-ok.node_stats.200.json").read_text())
    document["pipelines"]["main"]["plugins"]["outputs"][1]["events"].update({"in": 126, "out": 1})
    assert parse_api(json.dumps(document))[1]["main"].holding == ("file",)


@pytest.mark.parametrize("text", ["", "no answer: refused", "{}", '{"pipelines": []}', "[]"])
def test_no_answer_of_the_api_is_told_from_no_events(text: str) -> None:
    assert parse_api(text) == (None, {})


def test_what_the_card_and_the_queue_behind_it_had_no_room_for_is_counted() -> None:
    """Loopback and what was sent do not count."""
    assert parse_card(DEV, SOFTNET) == 5 + 2 + 3 + 10
    assert parse_card("", "") == 0


def test_counters_are_put_together() -> None:
    files: dict[str, str | None] = dict.fromkeys([*UDP_TABLES.values(), *TCP_TABLES.values()], "")
    files |= {
        UDP_TABLES[4]: UDP,
        TCP_TABLES[6]: None,
        NETSTAT: NETSTATS,
        CONNECTIONS: VS_CONNECTIONS,
        DEVICES: DEV,
        BACKLOG: SOFTNET,
    }
    files[UDP_TABLES[4]] = "\n".join(UDP.splitlines()[1:])
    found = parse_counters({"files": files, "commands": {"ipvs": IPVS, "api": None}})
    assert found.packets["UDP", "10.77.0.10:5514"] == 44
    assert found.sockets["UDP", 5514][0].drops == 12
    assert (found.filtered, found.connections, found.inputs) == (7, ["ESTABLISHED"], None)


def test_the_programs_document_is_read() -> None:
    moment = {
        "files": dict.fromkeys(
            [*UDP_TABLES.values(), *TCP_TABLES.values(), NETSTAT, CONNECTIONS, DEVICES, BACKLOG]
        ),
        "commands": {"ipvs": None, "api": None},
    }
    document = {
        "before": moment,
        "after": moment,
        "once": {
            "nft": None,
            "iptables": None,
            "ip6tables": None,
            "ipset": None,
            "route": "10.77.0.101 dev eth0 src 10.77.0.11 uid 0 \n    cache \n",
            "rp_filter": "all 0\neth0 1\ngone \n",
        },
        "frames": [
            ["in", "eth0", "a", "b", 17, "10.77.0.10", 5514, 7],
            ["out", "eth0", "a", "b", 1, "10.77.0.1", None, 1],
        ],
        "missed": 0,
        "answers": {"10.77.0.10": ["b"]},
        "macs": {"eth0": "b"},
        "errors": {},
    }
    found = parse_trace([json.dumps(document)])
    assert found.frames[0] == Frames(True, "eth0", "a", "b", "UDP", ip_address("10.77.0.10"), 5514, 7)
    assert (found.frames[1].incoming, found.frames[1].protocol) == (False, "1")
    assert found.rp_filter == {"all": 0, "eth0": 1}
    assert routes_through(found.route) == "eth0"
    assert found.rules is None


@pytest.mark.parametrize(
    ("route", "interface"),
    [
        ("10.77.0.101 via 10.77.0.1 dev eth1 src 10.77.0.11 uid 0 cache", "eth1"),
        ("RTNETLINK answers: Network is unreachable", None),
        ("RTNETLINK answers: No route to host", None),
        ("unreachable 10.77.0.101 dev lo src 10.77.0.11", None),
        ("", None),
    ],
)
def test_a_route_leads_through_an_interface_or_nowhere(route: str, interface: str | None) -> None:
    assert routes_through(route) == interface


def test_an_address_is_spelled_as_the_kernel_lists_connections() -> None:
    assert packed(ip_address("10.77.0.101")) == "0A4D0065"
    assert packed(ip_address("fd77::101")) == "fd77:0000:0000:0000:0000:0000:0000:0101"
