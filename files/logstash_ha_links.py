"""The links of this node, and keepalived's sockets there: it takes no part while a link is down or has come back only just now,
and is reloaded where it does not hear the others.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP020, UP024, UP031, UP041

from __future__ import unicode_literals

import fcntl
import io
import os
import socket
import struct
import threading

import check_logstash_input as script
import logstash_ha_flags as flags

LINK_HOLD = 3.0
"""Seconds for which the link and the node's address have to be there until the node takes part again: the firewall's
zone comes back with them, and the MASTER's adverts. As long keepalived has its sockets for adverts before it takes part."""
START_TIME = 20.0
"""Seconds that keepalived may take, after its unit has raised the flag, until it opens these sockets."""
DEAF_AFTER = 6.0
"""Seconds without a socket for adverts after which keepalived has none: it takes some time to start or to reload."""
RELOAD_AGAIN = 60.0
"""Seconds until a reload that has not helped is tried again."""
RELOAD_TIME = 60.0
"""Seconds that a reload may take: it waits for a keepalived that has just started."""
LOOK_SOON = 0.1
"""Seconds until the next look where this node is about to take part again."""
VRRP = ":0070"
"""VRRP's protocol number, 112, as a socket's port in /proc/net/raw and raw6."""
PROCESSES = (
    "/sys/fs/cgroup/system.slice/keepalived.service/cgroup.procs",
    "/sys/fs/cgroup/systemd/system.slice/keepalived.service/cgroup.procs",
)
"""Where the processes of keepalived's unit are listed: cgroups v2, and v1 (EL 7 and 8)."""
RTM_NEWLINK, RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 16, 1, 0x10, 0x100
IFF_RUNNING, SIOCGIFFLAGS, SIOCGIFINDEX = 0x40, 0x8913, 0x8933
"""rtnetlink(7), netdevice(7); Python has no names for them."""


class AdvertSockets(object):  # noqa: UP004
    """keepalived's sockets for adverts. It closes them when its interface goes. When that is made anew, or was there
    before the node's address, it fails to open them, does not try again, and can never become MASTER."""

    def __init__(self, vips):
        self.tables = sorted({"/proc/net/raw6" if ":" in vip else "/proc/net/raw" for vip in vips})
        self.there_since = None
        self.missing_since = None

    def look(self):
        """Looks whether there are sockets for VRRP of all families that keepalived has VIPs of, or it runs without."""
        there = self._all_there()
        if not there:
            self.there_since = None
        elif self.there_since is None:
            self.there_since = script.clock()
        if there or not keepalived_runs():
            self.missing_since = None
        elif self.missing_since is None:
            self.missing_since = script.clock()

    def missing(self):
        return self.missing_since is not None

    def missing_for_long(self):
        return self.missing() and script.clock() >= self.missing_since + DEAF_AFTER

    def _all_there(self):
        try:
            return all(self._is_in(table) for table in self.tables)
        except EnvironmentError:  # then nothing is known
            return True

    def _is_in(self, table):
        with io.open(table, encoding="ascii", errors="replace") as lines:
            return any(VRRP in line[:60] for line in lines)


def keepalived_runs():
    """Whether keepalived's unit has a process of that name."""
    for path in PROCESSES:
        try:
            with io.open(path, encoding="ascii") as file:
                pids = file.read().split()
        except EnvironmentError:
            continue
        for pid in pids:
            try:
                with io.open("/proc/%s/comm" % pid, encoding="ascii", errors="replace") as file:
                    if file.read().strip() == "keepalived":
                        return True
            except EnvironmentError:  # it has just ended
                continue
    return False


class LinkMonitor(threading.Thread):
    """Keeps keepalived in FAULT while a link of this node is down, and for some time after that: the network is not ready
    at once, and without the MASTER's adverts keepalived would become a second MASTER, with a pool of its node alone.
    When keepalived starts, its unit raises the flag, and it is kept in FAULT for the same time.

    It also has keepalived reloaded where its interface was made anew, or where it has no socket for adverts."""

    def __init__(self, link, title, request, vips):
        """`request` is the file that asks for a reload. The sockets for adverts are those for these VIPs."""
        super(LinkMonitor, self).__init__()  # noqa: UP008
        self.daemon = True
        self.flag = flags.FlagFile(link["fault"]) if link["fault"] is not None else None
        self.reload = request
        self.interface = link["interface"]
        self.addresses = link["addresses"]
        self.title = title
        self.sockets = AdvertSockets(vips)
        self.held = self.flag is not None and self.flag.raised
        """Whether this node should take no part."""
        self.ready_since = None
        """Since when the link is up and the node has its addresses there."""
        self.there_since = None
        """The same, whether or not this node takes part."""
        self.starts_since = None
        """Since when keepalived starts: its unit has raised the flag."""
        self.index = None
        """The index that the interface had when it was last there."""
        self.renewed = False
        """Whether the interface was made anew, and keepalived must be reloaded for that."""
        self.asked_at = None
        """When a reload was last asked for."""
        self.waiting = os.path.exists(self.reload)
        """Whether it is not done yet."""
        self.complained = False
        self.connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.connection.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        self.read_link()

    def _ioctl(self, request, answer_format):
        """netdevice(7)."""
        name = struct.pack("16s24x", self.interface.encode("ascii"))
        connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            answer = fcntl.ioctl(connection.fileno(), request, name)
            return struct.unpack_from(answer_format, answer, 16)[0]
        finally:
            connection.close()

    def _read_index(self):
        """The interface's index now."""
        index = self._ioctl(SIOCGIFINDEX, "=i")
        if index != self.index:
            self.renewed = self.renewed or self.index is not None
            self.index, self.ready_since = index, None
        return index

    def read_link(self):
        """Whether the link is up now."""
        try:
            self._read_index()
            self.running = bool(self._ioctl(SIOCGIFFLAGS, "=H") & IFF_RUNNING)
        except EnvironmentError:  # no such link
            self.running = False

    def receive(self, message):
        """Whether the link is up by a message of the kernel's, so that no change is too short to be seen."""
        if len(message) < 32:
            return
        _, kind, _, _, _, _, _, index, flags, _ = struct.unpack("=LHHLLBxHiLL", message[:32])
        if index == self._read_index() and kind == RTM_NEWLINK:
            self.running = bool(flags & IFF_RUNNING)

    def missing_address(self):
        """The first of the node's addresses that this link should have and does not; None where they are all there.

        The kernel sends from an address to itself, and sends nothing here. With ip_nonlocal_bind, as the recipe sets it, a
        socket can be bound to any address."""
        for address in self.addresses:
            family = script.family_of(address)
            connection = socket.socket(family, socket.SOCK_DGRAM)
            try:
                connection.connect((address, script.API_PORT))
                source = connection.getsockname()[0].partition("%")[0]
            except socket.error:
                return address
            finally:
                connection.close()
            # From 127.0.0.1 to all addresses of the loopback interface.
            if (
                socket.inet_pton(family, source) != socket.inet_pton(family, address)
                and source != "127.0.0.1"
            ):
                return address
        return None

    def update(self):
        """Tells keepalived. How many seconds to wait for the next message."""
        self._read_flag()
        self.sockets.look()
        if not self.running:
            self.ready_since = self.there_since = None
            self._hold("%s is down" % self.title)
            return flags.LOOK
        missing = self.missing_address()
        if missing is not None:
            self.there_since = None
        elif self.there_since is None:
            self.there_since = script.clock()
        if self.renewed:
            self._hold("%s was made anew" % self.interface)
        elif missing is not None:
            # keepalived keeps the VIP, or takes it again, and nothing that comes there can be sent on.
            self._hold("the node does not have its address %s" % missing)
        elif self.sockets.missing_for_long() and self._may_ask():
            self._hold("keepalived has no socket for VRRP")
        if not self.held:
            return flags.LOOK
        if missing is not None:
            self.ready_since = None
            return LOOK_SOON
        now = script.clock()
        if self.ready_since is None:
            self.ready_since = now
        # No advert has come in before keepalived had its sockets, however long its start takes.
        end = max(self.ready_since, self.sockets.there_since or 0) + LINK_HOLD
        if now < end:
            return min(end - now, flags.LOOK)
        if self._starting() or self._reloading():
            return LOOK_SOON
        self._release()
        return flags.LOOK

    def there_for(self, seconds):
        """Whether the link has been up for so long, with the node's addresses."""
        since = self.there_since
        return since is not None and script.clock() >= since + seconds

    def _read_flag(self):
        """Takes in what others have made of the flag since the last look."""
        if self.flag is None:
            return
        if self.flag.read():
            self.ready_since, self.starts_since = None, script.clock()
            script.print_line("keepalived starts: it takes no part yet", to=2)
        self.held = self.flag.raised

    def _hold(self, why):
        if self.held:
            return
        self._set(True)
        script.print_line(why + ("" if self.flag is None else ": keepalived takes no part"), to=2)

    def _release(self):
        self._set(False)
        script.print_line(
            "%s is up" % self.title + ("" if self.flag is None else ": keepalived takes part again"), to=2
        )

    def _set(self, held):
        self.held, self.ready_since, self.starts_since = held, None, None
        if self.flag is not None:
            self.flag.write(held)

    def _may_ask(self):
        return self.asked_at is None or script.clock() >= self.asked_at + RELOAD_AGAIN

    def _starting(self):
        """Whether keepalived has raised the flag, and does not run yet."""
        return (
            self.starts_since is not None
            and self.sockets.there_since is None
            and not self.sockets.missing()
            and script.clock() < self.starts_since + START_TIME
        )

    def _reloading(self):
        """Whether keepalived has to be reloaded first, and to open its sockets; asks for that."""
        if self.waiting:
            self.waiting = os.path.exists(self.reload)
            if self.waiting:
                self._complain()
                return True
            self.sockets.missing_since = None  # it has time to open them, from now on
            self.sockets.look()
        if self.renewed or (self.sockets.missing_for_long() and self._may_ask()):
            io.open(self.reload, "wb").close()
            script.print_line("keepalived has to be reloaded, to use %s as it is now" % self.interface, to=2)
            self.renewed, self.waiting, self.complained = False, True, False
            self.asked_at = script.clock()
            return True
        return self.sockets.missing() and not self.sockets.missing_for_long()

    def _complain(self):
        """Tells the journal, once, that a reload takes too long."""
        late = self.asked_at is not None and script.clock() >= self.asked_at + RELOAD_TIME
        if late and not self.complained:
            self.complained = True
            script.print_line("keepalived is not reloaded: is logstash-ha-reload.path active?", to=2)

    def run(self):
        try:
            while True:
                self.connection.settimeout(self.update())
                try:
                    self.receive(self.connection.recv(65536))
                except socket.timeout:
                    pass
                except EnvironmentError:  # more messages than the socket can hold, or no such link
                    self.read_link()
        except EnvironmentError as error:
            script.print_line("the link's state can't be written: %s" % error, to=2)
