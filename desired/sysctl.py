"""Kernel settings, in force now and after a reboot (the recipe's step 6)."""

from __future__ import annotations

from cluster import Cluster, Node
from desired.render import render
from desired.textfile import TextFile
from facts.sysctl import CONF, Line, key_of, read_order

FILE = "/etc/sysctl.d/90-logstash-ha.conf"

OTHER_NAMES = {"net.ipv4.ip_forward": "net.ipv4.conf.all.forwarding"}
"""A second name of the same variable (ip-sysctl of the kernel's documentation); the DISA STIG uses this one."""
RMEM_MAX = "net.core.rmem_max"
"""The setting that limits a socket's `receive_buffer_bytes`. A higher value in force is as good."""
RMEM_MAX_DEFAULT = 212992
"""Its default in the kernel."""


def kernel_settings(cluster: Cluster, node: Node) -> dict[str, str]:
    """The kernel settings that this node needs, by name (ipvs-sysctl of the kernel's documentation)."""
    settings: dict[str, str] = {}
    if 4 in cluster.families:
        # The director is a router, and programs may use the VIP before the node holds it.
        # An interface has a switch of its own, which what came before it may have turned off.
        settings |= {
            "net.ipv4.ip_forward": "1",
            **_of_interfaces(cluster, node, "forwarding"),
            "net.ipv4.ip_nonlocal_bind": "1",
        }
        settings |= _reverse_path(cluster, node) | _secondaries(cluster, node)
    if 6 in cluster.families:
        # The kernel of a router takes no default route from router advertisements. accept_ra stays as it is
        # all the same: nodes have static addresses, and NetworkManager handles advertisements by itself.
        settings |= {"net.ipv6.conf.all.forwarding": "1", "net.ipv6.ip_nonlocal_bind": "1"}
    if "snat" in cluster.forwardings:
        # The firewall translates the source, so it must track IPVS's connections.
        settings["net.ipv4.vs.conntrack"] = "1"
    if not all(server.ops for server in cluster.virtual_servers):
        # A connection to a node that left the pool is ended, and not kept without a receiver.
        settings["net.ipv4.vs.expire_nodest_conn"] = "1"
    if "dr" in cluster.forwardings:
        # A BACKUP delivers what the MASTER sent it, and does not schedule it once more.
        settings["net.ipv4.vs.backup_only"] = "1"
        if 4 in cluster.families:
            # Every node has the VIP on lo, but only its holder may answer ARP for it. IPv6 needs no such
            # setting: a node answers on an interface for that interface's addresses only.
            # An interface with a higher arp_ignore than all have would answer for fewer addresses.
            settings |= {
                "net.ipv4.conf.all.arp_ignore": "1",
                **_of_interfaces(cluster, node, "arp_ignore"),
                "net.ipv4.conf.all.arp_announce": "2",
            }
    buffer = max((input.receive_buffer or 0 for input in cluster.inputs if "udp" in input.plugins), default=0)
    if buffer > RMEM_MAX_DEFAULT:
        settings[RMEM_MAX] = str(buffer)
    return settings


def _of_interfaces(cluster: Cluster, node: Node, name: str) -> dict[str, str]:
    """An IPv4 switch, on for each of the node's interfaces."""
    return {_key(interface, name): "1" for interface in cluster.interfaces_of(node)}


def _key(interface: str, name: str) -> str:
    """The key of an IPv4 variable of an interface, whose name may have dots."""
    return key_of(f"net/ipv4/conf/{interface}/{name}")


def _reverse_path(cluster: Cluster, node: Node) -> dict[str, str]:
    """With `nat` and `dr` the sender's address stays. From a VIP on another interface, the director sends it to the nodes'
    own one, while the way back to the sender may be that other interface: a strict filter would drop it there."""
    keeps_source = any(
        server.vip.version == 4
        and server.forwarding != "snat"
        and any(
            cluster.vip_interface(server.vip, director) != cluster.interface_of(director)
            for director in cluster.peers(node)
        )
        for server in cluster.virtual_servers
    )
    return {_key(cluster.interface_of(node), "rp_filter"): "2"} if keeps_source else {}


def _secondaries(cluster: Cluster, node: Node) -> dict[str, str]:
    """Where a VIP has its network's prefix, another VIP of that network is a secondary address beside it, which the kernel
    would remove together with the first one."""
    vips = [vip for vip in cluster.vips if vip.version == 4 and cluster.vip_prefix(vip) < vip.max_prefixlen]
    return {_key(cluster.vip_interface(vip, node), "promote_secondaries"): "1" for vip in vips}


def boot_settings(settings: dict[str, str]) -> dict[str, str]:
    """The same settings under all their names, as the file sets them.

    systemd-sysctl and sysctl take each name for a variable of its own: the last line of each name counts, and a glob sets
    no name that has a line. So with a line for each of them, no file that is read before ours can undo it, and no glob.
    An interface that is made later gets its own settings then, and not those of `default`.
    """
    named: dict[str, str] = {}
    for key, value in settings.items():
        named[key] = value
        if key in OTHER_NAMES:
            named[OTHER_NAMES[key]] = value
    return named


def files(cluster: Cluster, node: Node) -> list[TextFile]:
    """The file that sets them at boot."""
    return [
        TextFile(
            FILE, render("sysctl.conf.j2", settings=boot_settings(kernel_settings(cluster, node))), step=6
        )
    ]


def differing(settings: dict[str, str], runtime: dict[str, str]) -> dict[str, str]:
    """The settings that have another value, or none, in the running kernel."""
    return {key: value for key, value in settings.items() if not _is_met(key, value, runtime.get(key, ""))}


def _is_met(key: str, desired: str, present: str) -> bool:
    return present == desired or (key == RMEM_MAX and present.isdigit() and int(present) >= int(desired))


def conflicting(settings: dict[str, str], lines: list[Line], file: str) -> tuple[list[Line], list[Line]]:
    """The lines that at the next boot would set another value than `file`, which is ours: those in
    /etc/sysctl.conf, and those in other files that are read after `file`."""
    named = boot_settings(settings)

    def conflicts(line: Line) -> bool:
        return line["key"] in named and not _is_met(line["key"], named[line["key"]], line["value"])

    conf = [line for line in lines if line["path"] == CONF and conflicts(line)]
    last = {line["key"]: line for line in lines if line not in conf}
    return conf, [
        line for line in last.values() if read_order(line["path"]) > read_order(file) and conflicts(line)
    ]
