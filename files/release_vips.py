#!/usr/bin/env python3
"""Removes the VIPs that a killed keepalived has left on this node, each as soon as another node announces that it has it.

Usage: release_vips.py INTERFACE SECONDS VIRTUAL-ROUTER-ID=VIP[/PREFIX@OTHER-INTERFACE]...

Until a VIP is removed, the kernel goes on distributing what is sent to it here; so a VIP that no other node has stays.
The program ends when all are removed, or after so many seconds. systemd runs it when keepalived has ended
(ExecStopPost=). The other node announces the VIP by VRRP's adverts (RFC 5798, section 5); one with priority 0 says that
a MASTER resigns.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP031

from __future__ import unicode_literals

import select
import socket
import struct
import subprocess
import sys
import time

VRRP = 112
ADVERT = 1
GROUPS = {socket.AF_INET: "224.0.0.18", socket.AF_INET6: "ff02::12"}

clock = getattr(time, "monotonic", time.time)  # Python 2.7 has no time.monotonic


def family_of(vip):
    return socket.AF_INET6 if ":" in vip else socket.AF_INET


def has_vip(interface, vip):
    return bool(subprocess.check_output(["ip", "-o", "address", "show", "dev", interface, "to", vip]))


def advert_socket(family, interfaces):
    """A socket that receives this family's adverts, multicast on these interfaces and unicast."""
    connection = socket.socket(family, socket.SOCK_RAW, VRRP)
    group = socket.inet_pton(family, GROUPS[family])
    for interface in interfaces:
        with open("/sys/class/net/%s/ifindex" % interface) as file:
            index = int(file.read())
        if family == socket.AF_INET:
            membership = group + struct.pack("=4xi", index)  # struct ip_mreqn
            connection.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        else:
            membership = group + struct.pack("=i", index)  # struct ipv6_mreq
            connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
    return connection


def virtual_router_of(family, packet):
    """The id of the virtual router whose MASTER has sent this packet; None where it is no advert or one that resigns."""
    packet = bytearray(packet)
    if family == socket.AF_INET:  # its IP header comes first
        packet = packet[4 * (packet[0] & 15) :]
    kind, router_id, priority = packet[0] & 15, packet[1], packet[2]
    return router_id if kind == ADVERT and priority else None


def main(arguments):
    """The exit status."""
    interface, seconds, virtual_routers = arguments[0], float(arguments[1]), arguments[2:]
    remaining = {}
    interfaces = {interface}
    for virtual_router in virtual_routers:
        router_id, _, vip = virtual_router.partition("=")
        vip, _, other = vip.partition("@")
        if has_vip(other or interface, vip.partition("/")[0]):
            remaining[family_of(vip), int(router_id)] = vip, other or interface
            interfaces.add(other or interface)
    families = {advert_socket(family, interfaces): family for family in {family for family, _ in remaining}}
    end = clock() + seconds
    while remaining and clock() < end:
        for connection in select.select(list(families), [], [], max(0, end - clock()))[0]:
            family = families[connection]
            key = family, virtual_router_of(family, connection.recv(4096))
            if key in remaining:
                vip, holder = remaining.pop(key)
                subprocess.call(["ip", "address", "delete", vip, "dev", holder])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
