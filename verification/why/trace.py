"""What `files/trace_sender.py` has seen on a node, and what it is asked for. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from typing import Any

from cluster import Address, Cluster, Node
from desired.health_script import CHECK
from verification.why.iptables_rules import parse_ipset, parse_iptables_save
from verification.why.nft_rules import parse_nft
from verification.why.ruleset import Table

UDP_TABLES = {4: "/proc/net/udp", 6: "/proc/net/udp6"}
TCP_TABLES = {4: "/proc/net/tcp", 6: "/proc/net/tcp6"}
NETSTAT, CONNECTIONS = "/proc/net/netstat", "/proc/net/ip_vs_conn"
DEVICES, BACKLOG = "/proc/net/dev", "/proc/net/softnet_stat"
SETTLING = 2.2
"""Seconds until all counters have what was seen: IPVS adds its packets up every 2 s, and Logstash works in batches."""
_IPVS = "[ ! -e /proc/net/ip_vs ] || exec ipvsadm -ln --stats --exact"
_IPSET = "[ ! -e /sys/module/ip_set ] || exec ipset save"
"""Both programs would load their kernel modules, and nothing is to be changed."""
_LISTENS = "0A"
_RP_FILTER = "/proc/sys/net/ipv4/conf/{}/rp_filter"


@dataclass(frozen=True)
class Frames:
    """Packets of the sender that were alike."""

    incoming: bool
    interface: str
    source_mac: str
    destination_mac: str
    protocol: str
    """`UDP`, `TCP` or IP's number of another one."""
    address: Address
    port: int | None
    count: int


@dataclass(frozen=True)
class SocketState:
    """A socket that takes packets."""

    address: Address
    queue: int
    """What waits in it: bytes, or with TCP connections."""
    drops: int


@dataclass(frozen=True)
class PipelineCounts:
    """What a pipeline has done since it started."""

    taken: int
    out: int
    holding: tuple[str, ...]
    """Its outputs that have not yet given back all that they have got, by plugin."""


@dataclass
class Counters:
    """What a node has counted at one moment."""

    packets: dict[tuple[str, str], int] = field(default_factory=dict)
    """IPVS's incoming packets, by protocol and `ADDRESS:PORT` of a virtual server."""
    forwarded: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """The same, by that of a real server, too."""
    sockets: dict[tuple[str, int], list[SocketState]] = field(default_factory=dict)
    """By protocol and port."""
    filtered: int = 0
    """Packets that the reverse-path filter has dropped."""
    card: int = 0
    """Packets for which the interfaces, or the kernel's queue behind them, had no room."""
    connections: list[str] = field(default_factory=list)
    """IPVS's states of the sender's connections."""
    inputs: dict[str, int] | None = None
    """Events by input; None where the API has not answered."""
    pipelines: dict[str, PipelineCounts] = field(default_factory=dict)


@dataclass
class Trace:
    """What was seen on one node."""

    frames: list[Frames]
    missed: int
    answers: dict[str, list[str]]
    """By address: the MAC addresses that answer for it, as this node hears it."""
    macs: dict[str, str]
    errors: dict[str, str]
    before: Counters
    after: Counters
    route: str
    """The route to the sender, as `ip route get` has it, or why there is none."""
    rp_filter: dict[str, int]
    rules: list[Table] | None
    """The kernel's firewall rules; None where they could not be read."""


def settings(cluster: Cluster, node: Node, sender: Address, seconds: float) -> dict[str, Any]:
    """What the program is asked for on this node."""
    interfaces = cluster.interfaces_of(node)
    ports = sorted({port for input in cluster.inputs for port in (input.port, input.target_port)})
    socket_lines = f":({'|'.join(f'{port:04X}' for port in ports)}) [0-9A-F]+:0000 "
    tables = [*UDP_TABLES.values(), *TCP_TABLES.values()]
    python = f"for python in /usr/libexec/platform-python python3 python; do ! command -v $python >/dev/null || exec $python {CHECK} --stats {node.address}; done"
    return {
        "sender": str(sender),
        "seconds": seconds,
        "settling": SETTLING,
        "interfaces": list(interfaces),
        "ask": [[str(vip), cluster.vip_interface(vip, node)] for vip in cluster.vips if vip.version == 4],
        "files": [*tables, NETSTAT, CONNECTIONS, DEVICES, BACKLOG],
        "commands": {"ipvs": ["sh", "-c", _IPVS], "api": ["sh", "-c", python]},
        "lines": {
            **dict.fromkeys(tables, socket_lines),
            NETSTAT: "^TcpExt: ",
            CONNECTIONS: f" {packed(sender)} ",
        },
        "once": {
            "nft": ["nft", "-nn", "-a", "list", "ruleset"],
            "iptables": ["iptables-save"],
            "ip6tables": ["ip6tables-save"],
            "ipset": ["sh", "-c", _IPSET],
            "route": ["sh", "-c", f"ip route get {sender} 2>&1"],
            "rp_filter": [
                "sh",
                "-c",
                "; ".join(
                    f"echo {name} $(cat {_RP_FILTER.format(name)} 2>/dev/null)"
                    for name in ("all", *interfaces)
                ),
            ],
        },
    }


def packed(address: Address) -> str:
    """An address as /proc/net/ip_vs_conn has it."""
    if isinstance(address, IPv4Address):
        return f"{int(address):08X}"
    return address.exploded.lower()


def parse_trace(lines: list[str]) -> Trace:
    """The program's JSON. Raises ValueError where it is none."""
    document: dict[str, Any] = json.loads("\n".join(lines))
    once: dict[str, str | None] = document["once"]
    return Trace(
        frames=[_frames(*each) for each in document["frames"]],
        missed=document["missed"],
        answers=document["answers"],
        macs=document["macs"],
        errors=document["errors"],
        before=parse_counters(document["before"]),
        after=parse_counters(document["after"]),
        route=" ".join((once["route"] or "").split()),
        rp_filter={
            words[0]: int(words[1])
            for line in (once["rp_filter"] or "").splitlines()
            if len(words := line.split()) > 1
        },
        rules=_rules(once),
    )


def _frames(
    direction: str,
    interface: str,
    source: str,
    destination: str,
    protocol: int,
    address: str,
    port: int | None,
    count: int,
) -> Frames:
    name = {6: "TCP", 17: "UDP"}.get(protocol, str(protocol))
    return Frames(direction == "in", interface, source, destination, name, ip_address(address), port, count)


def _rules(once: dict[str, str | None]) -> list[Table] | None:
    if once["nft"] is None and once["iptables"] is None:
        return None
    sets = parse_ipset(once["ipset"] or "")
    return [
        *parse_nft(once["nft"] or ""),
        *parse_iptables_save(once["iptables"] or "", "ip", sets),
        *parse_iptables_save(once["ip6tables"] or "", "ip6", sets),
    ]


def parse_counters(document: dict[str, Any]) -> Counters:
    """What was counted: files and the output of commands."""
    files, commands = document["files"], document["commands"]
    packets, forwarded = parse_ipvs_stats(commands["ipvs"] or "")
    inputs, pipelines = parse_api(commands["api"] or "")
    sockets: dict[tuple[str, int], list[SocketState]] = {}
    for protocol, tables in (("UDP", UDP_TABLES), ("TCP", TCP_TABLES)):
        for path in tables.values():
            for port, state in parse_sockets(files[path] or "", protocol):
                sockets.setdefault((protocol, port), []).append(state)
    return Counters(
        packets=packets,
        forwarded=forwarded,
        sockets=sockets,
        filtered=_reverse_path(files[NETSTAT] or ""),
        card=parse_card(files[DEVICES] or "", files[BACKLOG] or ""),
        connections=[line.split()[7] for line in (files[CONNECTIONS] or "").splitlines()],
        inputs=inputs,
        pipelines=pipelines,
    )


def parse_ipvs_stats(text: str) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str, str], int]]:
    """The packets of virtual servers, and of their real servers, in what `ipvsadm -ln --stats --exact` prints."""
    packets: dict[tuple[str, str], int] = {}
    forwarded: dict[tuple[str, str, str], int] = {}
    server = ("", "")
    for words in map(str.split, text.splitlines()[3:]):
        if words[:1] == ["->"]:
            forwarded[(*server, words[1])] = int(words[3])
        elif len(words) > 3:
            server = words[0], words[1]
            packets[server] = int(words[3])
    return packets, forwarded


def parse_sockets(text: str, protocol: str) -> list[tuple[int, SocketState]]:
    """The ports and states of sockets that take packets from everyone, in lines of /proc/net/udp, tcp and their like."""
    found = []
    for words in map(str.split, text.splitlines()):
        if len(words) < 12 or (protocol == "TCP" and words[3] != _LISTENS):
            continue
        address, _, port = words[1].partition(":")
        # UDP's last column counts what found no room in the buffer.
        drops = int(words[-1]) if protocol == "UDP" else 0
        queue = int(words[4].partition(":")[2], 16)
        found.append((int(port, 16), SocketState(_address(address), queue, drops)))
    return found


def _address(text: str) -> Address:
    """An address of /proc/net: words of 32 bits in the machine's byte order, which is little endian."""
    raw = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    return IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)


def _reverse_path(text: str) -> int:
    """`IPReversePathFilter` in /proc/net/netstat: a line with names, and one with their values."""
    lines = [line.split() for line in text.splitlines()]
    for names, values in pairwise(lines):
        if "IPReversePathFilter" in names:
            return int(values[names.index("IPReversePathFilter")])
    return 0


def parse_card(devices: str, backlog: str) -> int:
    """What was dropped on its way in, by /proc/net/dev (`drop` and `fifo` of all interfaces) and by the second column of
    /proc/net/softnet_stat (all CPUs, hexadecimal)."""
    dropped = 0
    for line in devices.splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() != "lo":
            words = numbers.split()
            dropped += int(words[3]) + int(words[4])
    return dropped + sum(int(line.split()[1], 16) for line in backlog.splitlines())


def parse_api(text: str) -> tuple[dict[str, int] | None, dict[str, PipelineCounts]]:
    """The inputs' and the pipelines' events in the API's answer; None where it is not one."""
    try:
        pipelines: dict[str, Any] = json.loads(text)["pipelines"]
        inputs = {
            plugin["id"]: plugin["events"]["out"]
            for pipeline in pipelines.values()
            for plugin in pipeline["plugins"]["inputs"]
            if plugin.get("events") is not None  # it has none while its pipeline is starting
        }
        counts = {
            name: PipelineCounts(
                taken=pipeline["events"]["in"],
                out=pipeline["events"]["out"],
                holding=tuple(
                    output["name"]
                    for output in pipeline["plugins"]["outputs"]
                    if (events := output.get("events")) and events.get("in", 0) > events.get("out", 0)
                ),
            )
            for name, pipeline in pipelines.items()
            if pipeline.get("events")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, {}
    return inputs, counts


def routes_through(route: str) -> str | None:
    """The interface of a route; None where there is none."""
    match = re.search(r"\bdev (\S+)", route)
    unreachable = route.startswith(("unreachable", "blackhole", "prohibit", "RTNETLINK", "Error"))
    return match[1] if match and not unreachable else None
