#!/usr/bin/env python3
"""Takes the VIPs that a killed keepalived has left behind off this node, each as soon as another node says that it holds it.

Until then the kernel goes on spreading what is sent to them here. Nothing is taken off when no other node says so.

Usage: give_up_vips.py INTERFACE SECONDS VIRTUAL-ROUTER-ID=VIP...
It ends when all are taken off, or after so many seconds. systemd runs it when keepalived has ended (ExecStopPost=).
The other node says so by VRRP's adverts (RFC 5798, section 5); a priority of 0 is a MASTER's farewell.

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

clock = getattr(time, "monotonic", time.time)  # Python 2.7 has none


def family_of(vip):
    return socket.AF_INET6 if ":" in vip else socket.AF_INET


def held(vip, interface):
    return bool(subprocess.check_output(["ip", "-o", "address", "show", "dev", interface, "to", vip]))


def ear(family, interface):
    """A socket that hears this family's adverts, multicast or to this node alone."""
    with open("/sys/class/net/%s/ifindex" % interface) as file:
        index = int(file.read())
    connection = socket.socket(family, socket.SOCK_RAW, VRRP)
    group = socket.inet_pton(family, GROUPS[family])
    if family == socket.AF_INET:
        joined = group + struct.pack("=4xi", index)  # struct ip_mreqn
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
    else:
        joined = group + struct.pack("=i", index)  # struct ipv6_mreq
        connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
    return connection


def master_of(family, packet):
    """The id of the virtual router whose MASTER has sent this packet, or None."""
    packet = bytearray(packet)
    if family == socket.AF_INET:  # with its IP header
        packet = packet[4 * (packet[0] & 15) :]
    kind, router, priority = packet[0] & 15, packet[1], packet[2]
    return router if kind == ADVERT and priority else None


def main(arguments):
    interface, bound, places = arguments[0], float(arguments[1]), arguments[2:]
    left = {}
    for place in places:
        router, _, vip = place.partition("=")
        if held(vip, interface):
            left[family_of(vip), int(router)] = vip
    ears = {ear(family, interface): family for family in {family for family, _ in left}}
    end = clock() + bound
    while left and clock() < end:
        for connection in select.select(list(ears), [], [], max(0, end - clock()))[0]:
            key = ears[connection], master_of(ears[connection], connection.recv(4096))
            if key in left:
                subprocess.call(["ip", "address", "delete", left.pop(key), "dev", interface])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
