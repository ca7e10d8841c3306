#!/usr/bin/env python3
"""Releases the VIPs of this node: those that a killed keepalived has left, or before keepalived or the node goes.

Usage: release_vips.py [--stop PID FLAG | --run COMMAND] INTERFACE SECONDS VIRTUAL-ROUTER-ID=VIP[/PREFIX@OTHER-INTERFACE]...

Until a VIP is removed, the kernel goes on distributing what is sent to it here. So each VIP that a killed keepalived has left is
removed as soon as another node announces that it has it, and one that no other node has stays. systemd does this when keepalived
has ended (ExecStopPost=).

A keepalived that stops takes its VIPs and its pools away before another node has the VIPs. So with --stop (systemd's ExecStop=) it
gives the VIPs up first: by FLAG, a file that keeps its instances in FAULT while it has a line. This node goes on distributing with
the VIPs on its loopback interface until another node has announced that it has them, and then PID, keepalived's first process, is
stopped. It answers in ARP for the VIPs as long as nobody else does, and for none any more (arp_ignore) from the first announcement on.

With --run, it is a command of the shell that has keepalived give the VIPs up (remote/maintenance.py), and that is all.

The program ends when all are released, or after so many seconds. The other node announces a VIP by VRRP's adverts (RFC 5798,
section 5); one with priority 0 says that a MASTER resigns.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP031

from __future__ import unicode_literals

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

VRRP = 112
ADVERT = 1
ANNOUNCED = 2
"""The advert at which a new MASTER has certainly told the senders by ARP that it has the VIP."""
STOP_BOUND = 30
"""Seconds within which keepalived ends; then systemd ends it."""
GROUPS = {socket.AF_INET: "224.0.0.18", socket.AF_INET6: "ff02::12"}

clock = getattr(time, "monotonic", time.time)  # Python 2.7 has no time.monotonic


def family_of(vip):
    return socket.AF_INET6 if ":" in vip else socket.AF_INET


def has_vip(interface, vip):
    return bool(subprocess.check_output(["ip", "-o", "address", "show", "dev", interface, "to", vip]))


def delete(vip, interface):
    length = "" if "/" in vip else "/128" if ":" in vip else "/32"
    subprocess.call(["ip", "address", "delete", vip + length, "dev", interface])


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


class Vips(object):  # noqa: UP004
    """The VIPs that this node holds, by family and virtual router: each with its interface."""

    def __init__(self, interface, virtual_routers):
        self.held = {}
        interfaces = {interface}
        for virtual_router in virtual_routers:
            router_id, _, vip = virtual_router.partition("=")
            vip, _, other = vip.partition("@")
            if has_vip(other or interface, vip.partition("/")[0]):
                self.held[family_of(vip), int(router_id)] = vip, other or interface
                interfaces.add(other or interface)
        self.families = {
            advert_socket(family, interfaces): family for family in {family for family, _ in self.held}
        }

    def announced(self, times, seconds):
        """Each VIP and its interface at each announcement of another node that it has it, until all have been announced so many
        times; for some seconds at most."""
        remaining = dict.fromkeys(self.held, times)
        end = clock() + seconds
        while remaining and clock() < end:
            for connection in select.select(list(self.families), [], [], max(0, end - clock()))[0]:
                family = self.families[connection]
                key = family, virtual_router_of(family, connection.recv(4096))
                if key in remaining:
                    remaining[key] -= 1
                    if not remaining[key]:
                        del remaining[key]
                    yield self.held[key]


def write(path, content):
    """In place, since a new file would have another owner and SELinux label. keepalived reads it when it is closed."""
    with open(path, "w") as file:
        file.write(content)


@contextlib.contextmanager
def carried(vips):
    """The VIPs are on the loopback interface meanwhile. Yields what keeps this node from answering for them in ARP any longer; it
    names none of them when it asks."""
    before, added = {}, []

    def set_to(key, value):
        path = "/proc/sys/net/ipv4/conf/all/" + key
        if path not in before:
            with open(path) as file:
                before[path] = file.read()
        write(path, value)

    try:
        set_to("arp_announce", "2")
        for vip in vips:
            if not has_vip("lo", vip):  # with direct routing it always is
                subprocess.check_call(["ip", "address", "add", vip, "dev", "lo"])
                added.append(vip)
        yield lambda: set_to("arp_ignore", "1")
    finally:
        for vip in added:
            delete(vip, "lo")
        for path, value in before.items():
            write(path, value)


def hand_over(vips, seconds, give_up):
    """Another node has the VIPs, or so many seconds are over. Returns the status of what gives them up."""
    if not vips.held:
        return give_up()
    with carried([vip.partition("/")[0] for vip, _ in vips.held.values()]) as fall_silent:
        status = give_up()
        if not status:
            for _ in vips.announced(ANNOUNCED, seconds):
                fall_silent()
    return status


def stop(pid):
    """Ends keepalived in good order. What is left after a time, systemd kills."""
    os.kill(pid, signal.SIGTERM)
    end = clock() + STOP_BOUND
    while os.path.exists("/proc/%d" % pid) and clock() < end:
        time.sleep(0.05)


def main(arguments):
    """The exit status."""
    count = {"--stop": 3, "--run": 2}.get(arguments[0], 0)
    option, arguments = arguments[:count], arguments[count:]
    seconds, vips = float(arguments[1]), Vips(arguments[0], arguments[2:])
    if not option:
        for vip, holder in vips.announced(1, seconds):
            delete(vip, holder)
    elif option[0] == "--run":
        return hand_over(vips, seconds, lambda: subprocess.call(["sh", "-c", option[1]]))
    elif not vips.held:
        stop(int(option[1]))
    else:
        try:
            hand_over(vips, seconds, lambda: write(option[2], "1\n"))
        finally:
            stop(int(option[1]))
            write(option[2], "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
