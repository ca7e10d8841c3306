"""Whether something listens at this node's own ports, asked of its kernel (sock_diag(7)).

The question costs some microseconds, and the program that listens does not see it: no datagram and no connection comes.
From Linux 4.2 on, the kernel also says when a socket of one of these ports is closed, so that nobody need ask often.
Where it finds no socket, its table in /proc/net (proc(5)) must say the same, since a kernel without its module `udp_diag` or
`tcp_diag` finds none at all. Reading a table takes longer, the more connections there are.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: RUF005, UP010, UP018, UP020, UP024, UP031

from __future__ import unicode_literals

import array
import errno
import io
import os
import socket
import struct

import check_logstash_input as script

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR = 4, 20, 1, 2
"""netlink(7), sock_diag(7); Python has no names for them."""
ANY_STATE, ANY_COOKIE = 0xFFFFFFFF, 0xFFFFFFFF
# Not literals of text: the first struct module of Python 2.7 takes none.
_HEADER = struct.Struct(str("=LHHLL"))
_REQUEST = struct.Struct(str("=BBBBL2s2s16s16sLLL"))
_ERROR = struct.Struct(str("=i"))
CLOSED_TCP, CLOSED_UDP = 0b0101, 0b1010
"""The groups of netlink messages about sockets that are closed, those of IPv4 and IPv6."""
TABLES = "/proc/net"
LISTENS = "0A"
"""The state of a TCP socket that listens, TCP_LISTEN, in such a table."""
SO_ATTACH_FILTER = 26
"""socket(7)."""
LOCAL_PORT, REMOTE_PORT = 20, 22
"""Where the ports are in such a message: in its struct inet_diag_msg, after 16 bytes of struct nlmsghdr."""
LOAD_HALF, JUMP_IF_EQUAL, RETURN = 0x28, 0x15, 0x06
"""Instructions of a filter, struct sock_filter (linux/filter.h)."""
WHOLE = 0xFFFFFFFF


class Listener(object):  # noqa: UP004
    """What listens at one port of this node."""

    def __init__(self, ip, protocol, port):
        self.tcp = protocol == "tcp"
        self.port = port
        self.addresses = local_addresses(ip)
        self.seen = False
        """Whether something listened there when the kernel was last asked."""
        family = script.family_of(ip)
        address = socket.inet_pton(family, ip).ljust(16, b"\0")
        port_bytes = struct.pack(str(">H"), port)
        # Both ends are this one: the kernel takes the local one from the first for TCP, from the second for UDP.
        protocol_number = socket.IPPROTO_TCP if self.tcp else socket.IPPROTO_UDP
        ends = (port_bytes, port_bytes, address, address)
        request = _REQUEST.pack(
            family, protocol_number, 0, 0, ANY_STATE, *(ends + (0, ANY_COOKIE, ANY_COOKIE))
        )
        self.request = request

    def vanished(self, kernel):
        """Whether nothing listens there any more, where something did before."""
        found = kernel.find(self.request)
        if found:
            self.seen = True
        elif found is not None and self.seen and not self.in_table():
            self.seen = False
            return True
        return False

    def listens(self, kernel):
        """Whether anything listens there, as far as the kernel says."""
        return kernel.find(self.request) or self.in_table()

    def in_table(self):
        """Whether the kernel's tables have the socket, or can't be read."""
        name = "tcp" if self.tcp else "udp"
        try:
            with io.open("%s/%s" % (TABLES, name), encoding="ascii", errors="replace") as table:
                if self._is_in(table):
                    return True
            six = "%s/%s6" % (TABLES, name)
            if not os.path.exists(six):  # a kernel without IPv6
                return False
            with io.open(six, encoding="ascii", errors="replace") as table:
                return self._is_in(table)
        except EnvironmentError:
            return True

    def _is_in(self, table):
        next(table, None)
        for line in table:
            fields = line.split(None, 4)
            address, _, port = fields[1].rpartition(":")
            at_port = int(port, 16) == self.port and address in self.addresses
            if at_port and (not self.tcp or fields[3] == LISTENS):
                return True
        return False


def local_addresses(ip):
    """The addresses at which a socket takes what is sent to this one, as the tables write them: itself, and those that
    stand for all."""
    packed = socket.inet_pton(script.family_of(ip), ip)
    words = struct.unpack(str("=%dI") % (len(packed) // 4), packed)
    return {"".join("%08X" % word for word in words), "0" * 8, "0" * 32}


class OwnPort(object):  # noqa: UP004
    """A probe, as `check_logstash_input.PortProbe` is one, that asks this node's kernel alone."""

    certain = True

    def __init__(self, kernel, ip, protocol, port):
        self.kernel = kernel
        self.listener = Listener(ip, protocol, port)

    def start(self):
        """Does nothing: the kernel answers at once."""

    def refused(self):
        """Whether nothing listens at the port."""
        return not self.listener.listens(self.kernel)


class Kernel(object):  # noqa: UP004
    """The kernel's list of sockets."""

    def __init__(self):
        try:
            self.connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
            self.connection.setblocking(False)
        except socket.error:
            self.connection = None
        self.asked = 0

    def find(self, request):
        """Whether there is such a socket; None where the kernel does not say."""
        if self.connection is None:
            return None
        self.asked += 1
        size = _HEADER.size + len(request)
        try:
            self.connection.send(
                _HEADER.pack(size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, self.asked, 0) + request
            )
            answer = self.connection.recv(4096)
            while (
                _HEADER.unpack_from(answer)[3] != self.asked
            ):  # one that came too late for an earlier question
                answer = self.connection.recv(4096)
        except (socket.error, struct.error):
            return None
        if len(answer) < _HEADER.size + _ERROR.size:
            return None
        kind = _HEADER.unpack_from(answer)[1]
        if kind == NLMSG_ERROR:
            return False if _ERROR.unpack_from(answer, _HEADER.size)[0] == -errno.ENOENT else None
        return kind == SOCK_DIAG_BY_FAMILY or None


class ClosedSockets(object):  # noqa: UP004
    """The kernel's messages about sockets of these ports that have been closed; a filter keeps all others away.

    Without any, `connection` is None: the kernel is older, or does not say.
    """

    def __init__(self, targets):
        """`targets` are the protocols and ports."""
        groups = 0
        for protocol, _ in targets:
            groups |= CLOSED_TCP if protocol == "tcp" else CLOSED_UDP
        self.connection = None
        if not groups:
            return
        try:
            connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
            connection.setblocking(False)
            _attach(connection, closed_filter(sorted({port for _, port in targets})))
            connection.bind((0, groups))
            self.connection = connection
        except EnvironmentError:
            pass

    def drain(self):
        """Takes in the messages that have come: whichever they were, the ports have to be looked at."""
        try:
            while True:
                self.connection.recv(4096)
        except socket.error:  # no more of them, or more than the socket could hold
            pass


def closed_filter(ports):
    """The filter's instructions: a socket that had no other end, at one of these ports."""
    instructions = [(LOAD_HALF, 0, 0, REMOTE_PORT), (JUMP_IF_EQUAL, 1, 0, 0), (RETURN, 0, 0, 0)]
    instructions.append((LOAD_HALF, 0, 0, LOCAL_PORT))
    for port in ports:
        instructions += [(JUMP_IF_EQUAL, 0, 1, port), (RETURN, 0, 0, WHOLE)]
    return instructions + [(RETURN, 0, 0, 0)]


def _attach(connection, instructions):
    packed = b"".join(struct.pack(str("=HBBL"), *instruction) for instruction in instructions)
    buffer = array.array(str("B"), bytearray(packed))
    program = struct.pack(str("@HP"), len(instructions), buffer.buffer_info()[0])
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
