"""What on a node fights with the cluster: each kind is a check of its own, and has a row in docs/preflight.md. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

from cluster import API_PORT, OWN_PIPELINE_FILE, Address, Cluster, Node
from cluster.errors import listed
from desired import health, keepalived, keepalived_conf, logstash
from desired.paths import RECORD
from facts.ipvs import socket_name
from facts.others import OthersState

FIREWALLS = ("iptables", "ip6tables", "nftables")
UNITS = ("ipvsadm", *FIREWALLS, "firewalld", "fapolicyd", "keepalived")
"""The units that are looked for."""
PROGRAMS = "/etc/keepalived"
"""Where the deploy's programs are that services run."""

_ADDRESS_TAKEN = "choose a free address in inventory.py, or take it away there"


@dataclass(frozen=True)
class Conflict:
    """What fights with the cluster on a node, and what to do, in words."""

    what: str
    do: str
    certain: bool = True
    """Whether the cluster can't work with it, now or after the next boot; otherwise it may, or may not."""


Check = Callable[[Cluster, Node, OthersState], Iterator[Conflict]]


def conflicts(
    cluster: Cluster, node: Node, others: OthersState, without: Collection[str] = ()
) -> list[Conflict]:
    """All that fights with the cluster on this node, but for the kinds in `without`."""
    return [
        conflict
        for kind, check in CHECKS.items()
        if kind not in without
        for conflict in check(cluster, node, others)
    ]


def ipvs_users(cluster: Cluster, _: Node, others: OthersState) -> Iterator[Conflict]:
    """Virtual servers in IPVS before the first deploy that are not those of the keepalived there."""
    vips = set(map(str, cluster.vips))
    theirs = keepalived_conf.servers(keepalived_conf.parse(others.keepalived))
    found = [decoded(entry) for entry in others.virtual_servers]
    for name, address in found:
        if name in theirs:
            continue
        if address in vips:
            yield Conflict(
                f"IPVS has the virtual server {name} already, at a VIP of the cluster",
                "stop what has put it there, and remove it with `ipvsadm -D`",
            )
        else:
            yield Conflict(
                f"IPVS has the virtual server {name} of another program, which may clear the tables for all",
                "find out what puts it there; two programs can share IPVS only when neither clears it",
                certain=False,
            )


def decoded(entry: str) -> tuple[str, str]:
    """A virtual server of /proc/net/ip_vs as `ipvsadm -ln` writes it, and its address: `UDP 10.77.0.10:5514`."""
    protocol, _, socket = entry.partition(" ")
    if protocol == "FWM":
        return f"FWM {int(socket, 16)}", ""
    host, _, port = socket.rpartition(":")
    address: Address = ip_address(host.strip("[]")) if host.startswith("[") else IPv4Address(int(host, 16))
    return f"{protocol} {socket_name(address, int(port, 16))}", str(address)


def ipvsadm_service(_: Cluster, __: Node, others: OthersState) -> Iterator[Conflict]:
    """The unit of ipvsadm's package: its stop clears IPVS, and its start puts its own tables there."""
    if "ipvsadm" in others.enabled:
        yield Conflict(
            "ipvsadm.service is enabled: it writes its own tables into IPVS when it starts, and clears all when it stops",
            "run `systemctl disable ipvsadm`, and leave it running until the next boot",
        )


def kube_proxy(cluster: Cluster, _: Node, others: OthersState) -> Iterator[Conflict]:
    """kube-proxy in IPVS mode, which takes all of IPVS for its own."""
    if "kube-ipvs0" in others.links:
        networks = ",".join(str(ip_network(vip)) for vip in cluster.vips)
        yield Conflict(
            "kube-proxy runs in IPVS mode, and removes virtual servers that are not Kubernetes'",
            f"take another machine, or start kube-proxy with --ipvs-exclude-cidrs={networks} and `ip link del kube-ipvs0` "
            "once it runs in another mode",
        )


def vrrp_speakers(_: Cluster, __: Node, others: OthersState) -> Iterator[Conflict]:
    """A program other than keepalived's service that receives VRRP."""
    if others.vrrp and "keepalived" not in others.running:
        yield Conflict(
            "a program other than keepalived.service speaks VRRP",
            "`ss -awp` names it; stop it, or make sure that it has another virtual_router_id",
            certain=False,
        )


def vip_here(cluster: Cluster, _: Node, others: OthersState) -> Iterator[Conflict]:
    """A VIP that the machine has before the first deploy."""
    for vip in map(str, cluster.vips):
        for interface, addresses in others.addresses.items():
            if vip in addresses:
                yield Conflict(f"it has the VIP {vip} on {interface} already", _ADDRESS_TAKEN)


def vip_elsewhere(cluster: Cluster, node: Node, others: OthersState) -> Iterator[Conflict]:
    """A machine that is no node of the cluster and answers for a VIP before the first deploy."""
    nodes = {
        others.neighbours[str(address)]
        for member in cluster.nodes
        for address in (*member.addresses, *cluster.sources_of(member))
        if str(address) in others.neighbours
    }
    for vip in cluster.vips:
        mac = others.neighbours.get(str(vip))
        if mac and mac not in nodes:
            # On an interface where nodes have no address, it may also be a node that holds the VIP.
            known = cluster.vrrp_interface(vip, node) == cluster.vip_interface(vip, node)
            yield Conflict(
                f"a machine that is {'not a node' if known else 'perhaps not a node'}, with the MAC address {mac}, "
                f"answers for the VIP {vip}",
                _ADDRESS_TAKEN,
                certain=known,
            )


def ports(cluster: Cluster, node: Node, others: OthersState) -> Iterator[Conflict]:
    """Another program at a port of Logstash's inputs, its API, or the health service."""
    taken: dict[tuple[str, int], set[str]] = {
        (protocol, input.target_port): {logstash.listen_address(cluster, node, input)}
        for input in cluster.inputs
        for protocol in input.protocols
    }
    taken |= {("tcp", API_PORT): {logstash.api_host(cluster, node)}, ("udp", API_PORT): {str(node.address)}}
    everywhere = {"0.0.0.0", "::"}
    units = {f"{unit}.service" for unit in (logstash.UNIT, health.UNIT)}
    for socket in others.sockets:
        wanted = taken.get((socket.protocol, socket.port))
        if wanted is None or socket.unit in units:
            continue
        if socket.address == "*" or wanted & everywhere or socket.address in wanted:
            who = f"{socket.program or 'another program'}{f' ({socket.unit})' if socket.unit else ''}"
            yield Conflict(
                f"{who} has {socket.protocol.upper()} port {socket.port} already, where the cluster's own is to listen",
                "stop it, or choose another server_port in inventory.py"
                if socket.port != API_PORT
                else "stop it, or let it use another port",
            )


def firewall_services(cluster: Cluster, _: Node, others: OthersState) -> Iterator[Conflict]:
    """Another firewall that starts at boot beside firewalld: systemd starts one of them, or each overwrites the other."""
    if cluster.firewall == "none":
        return
    for unit in FIREWALLS:
        if unit in others.enabled:
            yield Conflict(
                f"{unit}.service starts at boot beside firewalld, and may keep it from starting",
                f"move its rules to firewalld and run `systemctl disable --now {unit}`, or set firewall='none'",
            )


def drop_policies(cluster: Cluster, _: Node, others: OthersState) -> Iterator[Conflict]:
    """Chains that drop what they do not accept: what firewalld accepts does not count there."""
    if cluster.firewall == "none":
        return
    # Only the replies that a director passes on are forwarded; IPVS takes events from the input chain.
    hooks = {"input", "output", *(["forward"] if "snat" in cluster.forwardings else [])}
    for chain in others.chains:
        if chain.hook in hooks and not chain.table.startswith("inet firewalld "):
            yield Conflict(
                f"the chain {chain.table} drops what it does not accept, whatever firewalld accepts",
                "let the nodes' and senders' packets through there, too; docs/preflight.md lists them",
                certain=False,
            )


def fapolicyd(_: Cluster, __: Node, others: OthersState) -> Iterator[Conflict]:
    """fapolicyd lets only known programs run, and the deploy's are not in its lists."""
    if "fapolicyd" in {*others.running, *others.enabled} and not others.trusted:
        yield Conflict(
            f"fapolicyd lets no program of the deploy in {PROGRAMS} run",
            f"put `allow perm=any all : dir={PROGRAMS}/` into /etc/fapolicyd/rules.d/30-logstash-ha.rules, and run "
            "`fagenrules --load` and `systemctl restart fapolicyd`",
        )


def noexec(cluster: Cluster, _: Node, others: OthersState) -> Iterator[Conflict]:
    """Java's folder for temporary files, from which Logstash loads libraries that it has unpacked there."""
    options = cluster.environment.get("LS_JAVA_OPTS")
    given = others.temporary or (options is not None and "-Djava.io.tmpdir=" in options.get_secret_value())
    if "/tmp" in others.noexec and not given:
        yield Conflict(
            "/tmp is mounted noexec, and Logstash loads libraries that it unpacks there",
            "make a folder that is the user logstash's, and name it in /etc/logstash/jvm.options: "
            "`-Djava.io.tmpdir=/var/lib/logstash/tmp`",
            certain=False,
        )


def reverse_path(cluster: Cluster, node: Node, others: OthersState) -> Iterator[Conflict]:
    """Senders whose events come in at a VIP's interface, while the way back to them is another one: the kernel's strict
    reverse-path filter drops what they send."""
    lost: dict[tuple[str, str], list[str]] = {}
    for vip in cluster.vips:
        at = cluster.vip_interface(vip, node)
        if max(others.rp_filter.get("all", 0), others.rp_filter.get(at, 0)) != 1:
            continue
        # With its network's prefix, the VIP brings a route to that network along.
        routed = cluster.network_of(vip) if cluster.vip_prefix(vip) < vip.max_prefixlen else None
        for sender in dict.fromkeys(s for input in cluster.inputs for s in cluster.senders_of(input, vip)):
            if not isinstance(sender, IPv4Network) or (routed and sender.subnet_of(routed)):  # type: ignore[arg-type]
                continue
            interface = _way_to(sender, others)
            if interface and interface != at and str(sender) not in lost.setdefault((interface, at), []):
                lost[interface, at].append(str(sender))
    for (interface, at), senders in lost.items():
        if senders:
            yield Conflict(
                f"the way back to {listed(senders)} is {interface}, and rp_filter is strict: the kernel drops what comes "
                f"from there to {at}",
                f"give {at} a route to them, or set net.ipv4.conf.{at}.rp_filter = 2 in a file in /etc/sysctl.d",
                certain=False,
            )


def _way_to(network: IPv4Network, others: OthersState) -> str | None:
    """The interface of the most specific route to a network, of those with the lowest metric."""
    fitting = [
        (ip_network(route.destination).prefixlen, -route.metric, route.interface)
        for route in others.routes
        if network.network_address in ip_network(route.destination)
    ]
    return max(fitting)[2] if fitting else None


def next_boot(cluster: Cluster, _: Node, others: OthersState) -> Iterator[Conflict]:
    """What is so now, and will not be after the next boot."""
    now, later = others.selinux
    if now and later and now != later:
        yield Conflict(
            f"SELinux is {now}, and will be {later} after the next boot",
            f"choose one: `setenforce`, or SELINUX={now} in /etc/selinux/config",
            certain=False,
        )
    if (
        cluster.firewall == "firewalld"
        and "firewalld" in others.running
        and "firewalld" not in others.enabled
    ):
        yield Conflict(
            "firewalld runs, and will not start at the next boot",
            "run `systemctl enable firewalld`",
            certain=False,
        )


CHECKS: dict[str, Check] = {
    "ipvs-users": ipvs_users,
    "ipvsadm-service": ipvsadm_service,
    "kube-proxy": kube_proxy,
    "vrrp-speakers": vrrp_speakers,
    "vip-here": vip_here,
    "vip-elsewhere": vip_elsewhere,
    "ports": ports,
    "firewall-services": firewall_services,
    "drop-policies": drop_policies,
    "fapolicyd": fapolicyd,
    "noexec": noexec,
    "reverse-path": reverse_path,
    "next-boot": next_boot,
}
"""Each kind of conflict, by its name in docs/preflight.md."""


def others_arguments(cluster: Cluster, node: Node) -> dict[str, Any]:
    """The arguments of `facts.others.Others` for this node."""
    folders = [logstash.folder(cluster, pipeline) for pipeline in cluster.pipeline_ids]
    known = [
        f"{logstash.folder(cluster, pipeline)}/{name}"
        for pipeline in cluster.pipeline_ids
        for name in (OWN_PIPELINE_FILE, *cluster.pipeline_files.get(pipeline, {}))
    ]
    ports = {input.target_port for input in cluster.inputs} | {API_PORT}
    links: dict[str, list[str]] = {interface: [] for interface in cluster.interfaces_of(node)}
    for vip in cluster.vips:
        at = links[cluster.vip_interface(vip, node)]
        sources = cluster.virtual_address(vip).sources.values()
        at += [str(address) for address in (vip, *sources) if str(address) not in at]
    own = links[cluster.interface_of(node)]
    addresses = [str(address) for member in cluster.nodes for address in member.addresses]
    own += [address for address in addresses if address not in own]
    return {
        "record": RECORD,
        "conf": keepalived.CONF,
        "adopted": keepalived.ADOPTED,
        "settings": logstash.SETTINGS,
        "pipelines": logstash.PIPELINES,
        "package": list(logstash.PACKAGE_SETTINGS),
        "globs": [f"{folder}/*.conf" for folder in folders],
        "known": known,
        "units": list(UNITS),
        "ports": sorted(ports),
        "programs": PROGRAMS,
        "links": links,
    }
