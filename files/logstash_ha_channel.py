"""What the health services of a cluster's nodes tell each other, by UDP, at the port number of Logstash's API.

A datagram has these parts, in this order:
    code      32 bytes  the HMAC-SHA256 (RFC 2104) of the cluster's id, the sender's address, the receiver's, and all that follows
    cluster    8 bytes  the beginning of the SHA-256 of the cluster's id
    session    8 bytes  a random number of the sender's run
    echo       8 bytes  the receiver's session, as the sender knows it; zeros where it does not
    count      8 bytes  how many messages the sender has sent in this run, as a big-endian number
    down       the rest JSON in ASCII, {"udp-5514": ["refused", "connection refused"]}: the sender's inputs that take no event, each
                        with its `reason` and `message`; nothing where there are none

A message counts where its sender has the cluster's key, it is from one node of this cluster to this one, its `echo` is
this run's `session`, and its `count` is above those before. So a datagram that somebody has recorded says nothing when it
is sent again: not in this run, since its count has been, or its session has ended; not in a later one, since that has
another session; and not to another node. A message whose `echo` is not this session, as each service's first, is
answered, and says nothing else.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: B905, UP010, UP018, UP020, UP024

from __future__ import unicode_literals

import collections
import hashlib
import hmac
import io
import json
import os
import struct

import check_logstash_input as script

CODE_SIZE = 32
SESSION_SIZE = 8
UNKNOWN = b"\0" * SESSION_SIZE
LARGEST = 60000
"""Bytes of a datagram, which can be 65,507."""
ENDED = 1000
"""How many of the other service's sessions are known again."""
SHORTEST_KEY = 32
"""Characters; a file with fewer is one that is not yet whole."""
# Not a literal of text: the first struct module of Python 2.7 takes none.
_HEADER = struct.Struct(str(">8s8s8sQ"))

Message = collections.namedtuple("Message", "session echo count down")


def read_key(path):
    """The cluster's key in a file, or None where there is none that can be used."""
    try:
        with io.open(path, "rb") as file:
            key = file.read().strip()
    except EnvironmentError:
        return None
    return key if len(key) >= SHORTEST_KEY else None


def same(one, other):
    """Whether two strings of bytes are the same; how long it takes does not tell where they differ."""
    if len(one) != len(other):
        return False
    different = 0
    for left, right in zip(bytearray(one), bytearray(other)):
        different |= left ^ right
    return different == 0


def new_session():
    """The number of a run."""
    return os.urandom(SESSION_SIZE)


class Way(object):  # noqa: UP004
    """One direction between two nodes of a cluster: its datagrams are sealed and opened with the cluster's key."""

    def __init__(self, cluster, sender, receiver):
        self.cluster = hashlib.sha256(cluster.encode("ascii")).digest()[:8]
        self.ends = "\n".join((cluster, sender, receiver, "")).encode("ascii")
        self.key = None
        self.begun = None
        """The code of what all datagrams have in common."""

    def _code(self, key, content):
        if key != self.key:
            self.key, self.begun = key, hmac.new(key, self.ends, hashlib.sha256)
        code = self.begun.copy()
        code.update(content)
        return code.digest()

    def seal(self, key, message):
        """A message as a datagram."""
        content = _HEADER.pack(self.cluster, message.session, message.echo, message.count) + message.down
        return self._code(key, content) + content

    def open(self, key, datagram):
        """The message in a datagram; None where it is none, or its sender has not the key, or sent it elsewhere."""
        content = datagram[CODE_SIZE:]
        if len(content) < _HEADER.size or not same(self._code(key, content), datagram[:CODE_SIZE]):
            return None
        _, session, echo, count = _HEADER.unpack_from(content)
        return Message(session, echo, count, content[_HEADER.size :])


class Link(object):  # noqa: UP004
    """The messages between this node and another one. `session` is this run's."""

    def __init__(self, cluster, own, peer, session):
        self.there = Way(cluster, own, peer)
        self.back = Way(cluster, peer, own)
        self.session = session
        self.echo = UNKNOWN
        """The other service's session, once it has proved that it is there now."""
        self.sent = 0
        self.received = 0
        """The highest count of the other service's session."""
        self.ended = collections.deque(maxlen=ENDED)
        """The sessions of the other service's runs before."""

    def compose(self, key, down, echo=None):
        """The datagram that tells the other service which inputs of this node are down."""
        self.sent += 1
        message = Message(self.session, self.echo if echo is None else echo, self.sent, format_down(down))
        return self.there.seal(key, message)

    def read(self, key, datagram):
        """The message in a datagram; None where it is none from that node to this one."""
        return self.back.open(key, datagram)

    def accept(self, message):
        """What a message says: by input id, the reason and message of what is down there; None where it does not count."""
        if message.echo != self.session or message.session in self.ended:
            return None
        if message.session == self.echo and message.count <= self.received:
            return None
        if message.session != self.echo:
            self.ended.append(self.echo)
        self.echo, self.received = message.session, message.count
        return parse_down(message.down)

    def is_strange(self, message):
        """Whether a message's sender does not know this session: an answer to its own lets it know."""
        return message.echo != self.session


def format_down(down):
    """The inputs that are down as the last part of a datagram; where they are very many, without words."""
    if not down:
        return b""
    text = json.dumps(down, sort_keys=True).encode("ascii")
    if len(text) < LARGEST:
        return text
    return json.dumps({input_id: [reason, ""] for input_id, (reason, _) in down.items()}).encode("ascii")


def parse_down(text):
    """By input id, the reason and message of each input in a datagram; what this version does not know is left out."""
    if not text:
        return {}
    try:
        down = json.loads(text.decode("ascii"))
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return {}
    found = {}
    for input_id, why in down.items() if isinstance(down, dict) else ():
        known = isinstance(why, list) and [type(word) for word in why] == [script.TEXT, script.TEXT]
        if known and why[0] in script.REASONS:
            found[input_id] = why[0], script.shortened(why[1])
    return found
