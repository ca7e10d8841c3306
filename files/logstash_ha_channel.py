"""What the health services of a cluster's nodes tell each other, by UDP, at the port number of Logstash's API.

A datagram is the HMAC-SHA256 (RFC 2104) of what follows it, and that is a JSON object:
    {"cluster": "192.0.2.10", "from": "192.0.2.11", "to": "192.0.2.12", "session": "9f86d081884c7d65", "echo": "60303ae22b998861",
     "count": 17, "down": {"udp-5514": ["refused", "connection refused"]}}

`down` has the sender's inputs that take no event, each with its `reason` and `message`. `session` is a random number of the
sender's run, and `echo` the receiver's, as the sender knows it. `count` rises with each message of a session.

A message counts where its sender has the cluster's key, it is from one node of this cluster to this one, its `echo` is
this run's `session`, and its `count` is above those before. So a datagram that somebody has recorded says nothing when it
is sent again: not in this run, since its count has been, or its session has ended; not in a later one, since that has
another session; and not to another node. A message whose `echo` is not this session, as each service's first, is
answered, and says nothing else.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: B905, UP010, UP020, UP024

from __future__ import unicode_literals

import binascii
import collections
import hashlib
import hmac
import io
import json
import os

import check_logstash_input as script

DIGEST_SIZE = 32
LARGEST = 60000
"""Bytes of a datagram, which can be 65,507."""
ENDED = 1000
"""How many of the other service's sessions are known again."""
SHORTEST_KEY = 32
"""Characters; a file with fewer is one that is not yet whole."""


def read_key(path):
    """The cluster's key in a file, or None where there is none that can be used."""
    try:
        with io.open(path, "rb") as file:
            key = file.read().strip()
    except EnvironmentError:
        return None
    return key if len(key) >= SHORTEST_KEY else None


_encode = json.JSONEncoder(sort_keys=True).encode


def seal(key, message):
    """A message as a datagram."""
    content = _encode(message).encode("ascii")
    return hmac.new(key, content, hashlib.sha256).digest() + content


def unseal(key, datagram):
    """The message in a datagram; None where its sender does not have the key, or it is no message."""
    content = datagram[DIGEST_SIZE:]
    if not same(hmac.new(key, content, hashlib.sha256).digest(), datagram[:DIGEST_SIZE]):
        return None
    try:
        message = json.loads(content.decode("ascii"))
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return None
    return message if isinstance(message, dict) else None


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
    return binascii.hexlify(os.urandom(8)).decode("ascii")


class Link(object):  # noqa: UP004
    """The messages between this node and another one. `session` is this run's."""

    def __init__(self, cluster, own, peer, session):
        self.cluster = cluster
        self.own = own
        self.peer = peer
        self.session = session
        self.echo = ""
        """The other service's session, once it has proved that it is there now."""
        self.sent = 0
        self.received = 0
        """The highest count of the other service's session."""
        self.ended = collections.deque(maxlen=ENDED)
        """The sessions of the other service's runs before."""

    def compose(self, key, down, echo=None):
        """The datagram that tells the other service which inputs of this node are down."""
        self.sent += 1
        message = {
            "cluster": self.cluster,
            "from": self.own,
            "to": self.peer,
            "session": self.session,
            "echo": self.echo if echo is None else echo,
            "count": self.sent,
            "down": down,
        }
        datagram = seal(key, message)
        if len(datagram) > LARGEST:
            message["down"] = {input_id: [reason, ""] for input_id, (reason, _) in down.items()}
            datagram = seal(key, message)
        return datagram

    def accept(self, message):
        """What an unsealed message says: by input id, the reason and message of what is down there.

        None where it counts for nothing. Then, `answer_to` says whether an answer would help.
        """
        ends = (message.get("cluster"), message.get("from"), message.get("to"))
        session, count = script.member(message, "session", script.TEXT), message.get("count")
        if ends != (self.cluster, self.peer, self.own) or message.get("echo") != self.session:
            return None
        if not session or not isinstance(count, int):
            return None
        if session in self.ended or (session == self.echo and count <= self.received):
            return None
        if session != self.echo:
            self.ended.append(self.echo)
        self.echo, self.received = session, count
        return parse_down(message.get("down"))

    def answer_to(self, key, message, down):
        """The datagram that lets the sender of an unsealed message know this session; None where it does know it."""
        ends = (message.get("cluster"), message.get("from"), message.get("to"))
        if ends != (self.cluster, self.peer, self.own) or message.get("echo") == self.session:
            return None
        return self.compose(key, down, echo=script.member(message, "session", script.TEXT))


def parse_down(down):
    """By input id, the reason and message of each input in a message; what this version does not know is left out."""
    found = {}
    for input_id, why in down.items() if isinstance(down, dict) else ():
        if (
            isinstance(why, list)
            and len(why) == 2
            and why[0] in script.REASONS
            and isinstance(why[1], script.TEXT)
        ):
            found[input_id] = why[0], script.shortened(why[1])
    return found
