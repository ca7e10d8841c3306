"""The health services of the other nodes: what this one tells them of its own inputs and hears from them, and what it makes of
their silence. logstash_ha_channel.py has the form of the messages.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP020, UP024, UP031

from __future__ import unicode_literals

import errno
import io
import os
import select
import socket
import threading

import check_logstash_input as script
import logstash_ha_channel as channel
import logstash_ha_listeners as listeners

TICK = 0.1
"""Seconds between two messages to another node's service."""
ASK_AFTER = 0.2
"""Seconds of a service's silence after which its node's kernel is asked for a sign of life."""
SILENT_AFTER = 0.3
"""Seconds of silence after which a node counts as gone: three messages are missing, and no answer has come."""
QUESTIONS = 3
"""Connections that are tried then: packets may be lost."""
MOST_DATAGRAMS = 500
"""How many are taken in before the next look at the ports."""
KEY_CHECK = 1.0
"""Seconds after which the key's file is looked at again."""
IP_FREEBIND, SO_REUSEPORT = 15, 15
"""ip(7), socket(7); Python, or an old one, has no names for them."""


class PeersFile(object):  # noqa: UP004
    """Which of the other nodes' services this one hears."""

    def __init__(self, path):
        self.path = path
        self.lines = None

    def write(self, peers):
        lines = sorted("%s %s\n" % (peer.ip, "heard" if peer.heard else "silent") for peer in peers)
        if lines == self.lines:
            return
        self.lines = lines
        with io.open(self.path, "r+b", buffering=0) as file:
            file.truncate(0)
            file.write("".join(lines).encode("ascii"))


class KernelProbe(object):  # noqa: UP004
    """Whether a node's kernel answers connections to its API's port, which it does however busy the node is."""

    def __init__(self, ip):
        self.target = (ip, script.API_PORT)
        self.connections = []

    def start(self):
        """Tries some connections at once."""
        for _ in range(QUESTIONS):
            connection = socket.socket(script.family_of(self.target[0]), socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.connect_ex(self.target)
            self.connections.append(connection)

    def answered(self):
        """Whether any of them has been accepted or refused by now."""
        if not self.connections:
            return False
        _, done, _ = select.select([], self.connections, [], 0)
        errors = [connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for connection in done]
        return any(error in (0, errno.ECONNREFUSED) for error in errors)

    def close(self):
        while self.connections:
            self.connections.pop().close()


class Peer(object):  # noqa: UP004
    """The health service on another node."""

    def __init__(self, link, poller):
        self.ip = poller.ip
        self.link = link
        self.poller = poller
        self.connection = None
        """For what it sends and gets regularly."""
        self.kernel_probe = KernelProbe(self.ip)
        self.heard = False
        """Whether it tells this service what it finds."""
        self.silence = 0.0
        """Seconds for which it has told nothing, and this service would have heard it."""
        self.spoke = False
        """Whether it has told anything since the last tick."""
        self.answered = False
        """Whether it has had an answer since the last tick, to a message without the right `echo`."""

    def hear(self, down):
        """Takes in a message of it."""
        self.silence, self.spoke = 0.0, True
        self.kernel_probe.close()
        self.poller.hear({input_id: self._outcome(*why) for input_id, why in down.items()})
        if not self.heard:
            self.heard = self.poller.relaxed = True

    def _outcome(self, reason, message):
        if reason == "drained":
            return script.DefinitelyDown("leaving", "its Logstash is about to stop")
        return script.DefinitelyDown(reason, message)

    def wait(self, seconds):
        """So much time has passed."""
        self.answered = False
        if not self.heard:
            return
        if self.spoke:
            self.spoke = False
            return
        self.silence += seconds
        if self.silence >= SILENT_AFTER:
            gone = not self.kernel_probe.answered()
            self.kernel_probe.close()
            self.heard = self.poller.relaxed = False
            self.poller.lose(gone)
        elif self.silence >= ASK_AFTER and not self.kernel_probe.connections:
            self.kernel_probe.start()


class OwnPorts(object):  # noqa: UP004
    """What listens at the ports of this node's own inputs, as its kernel says."""

    def __init__(self, own, inputs, poller):
        """`poller` is this node's, or None where it is not among the nodes."""
        self.poller = poller
        self.kernel = listeners.Kernel()
        self.listeners = {
            input_id: [
                listeners.Listener(own, each["protocol"], each["port"])
                for each in inputs[input_id]["sockets"]
            ]
            for input_id in inputs
        }
        self.unbound = set()
        """The inputs whose ports nothing listens at any more."""

    def look(self):
        """Looks whether the ports are bound, and tells the poller what has changed."""
        changed = False
        bound = set()
        for input_id, own in self.listeners.items():
            vanished = [listener for listener in own if listener.vanished(self.kernel)]
            if all(listener.seen for listener in own):
                bound.add(input_id)
            if vanished:
                self.unbound.add(input_id)
                changed = True
            elif input_id in bound and input_id in self.unbound:
                self.unbound.remove(input_id)
                changed = True
        if self.poller is not None:
            self.poller.bound = frozenset(bound)
        if changed:
            closed = script.DefinitelyDown("nobody_listens", "nobody listens at its port any more")
            self.poller.hear(dict.fromkeys(self.unbound, closed))


class Channel(threading.Thread):
    """Looks at this node's own inputs, and exchanges what is found with the other nodes' services."""

    def __init__(self, settings, pollers):
        super(Channel, self).__init__()  # noqa: UP008
        self.daemon = True
        self.own = settings["own"]
        self.key_path = settings["key"]
        self.peers_file = PeersFile(settings["peers"])
        session = channel.new_session()
        self.poller = None
        """Of this node; None where it is not among the nodes."""
        self.peers = []
        for poller in pollers:
            if poller.ip == self.own:
                self.poller = poller
            else:
                link = channel.Link(" ".join(settings["vips"]), self.own, poller.ip, session)
                self.peers.append(Peer(link, poller))
        self.by_address = {socket.inet_pton(script.family_of(peer.ip), peer.ip): peer for peer in self.peers}
        own_inputs = settings["nodes"].get(self.own, {})
        self.ports = OwnPorts(self.own, own_inputs, self.poller)
        self.own_states = list(self.poller.states.values()) if self.poller is not None else []
        targets = [
            (each["protocol"], each["port"])
            for input_id in own_inputs
            for each in own_inputs[input_id]["sockets"]
        ]
        self.closed_sockets = listeners.ClosedSockets(targets)
        self.told = {}
        """What the other services were last told."""
        self.key = None
        self.key_time = None
        """The modification time of its file."""
        self.key_due = 0.0
        # Regular messages wait for the next tick, in a socket of their own for each node. What comes from another port is
        # news, and wakes the service.
        self.incoming = self._socket(script.API_PORT)
        self.outgoing = self._socket(0)

    def _socket(self, port):
        connection = socket.socket(script.family_of(self.own), socket.SOCK_DGRAM)
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)  # at boot, the address may come later
        connection.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
        connection.bind((self.own, port))
        return connection

    def run(self):
        last_tick = script.clock() - TICK
        try:
            while True:
                # By Python 2.7's clock, the time may come a hundredth of a second later than by select's.
                if self._wait(max(0.005, last_tick + TICK - script.clock())):
                    self.ports.look()
                self._receive(self.incoming)
                now = script.clock()
                if now >= last_tick + TICK:
                    # Where this service itself had to stand still, others have not been silent in that time.
                    self._tick(min(now - last_tick, 2 * TICK))
                    last_tick = now
                else:
                    self._tell_news()
        except EnvironmentError as error:
            script.print_line("the verdict can't be written: %s" % error, to=2)

    def _wait(self, seconds):
        """Waits for news, and at most so long. Whether a socket of an input's port has been closed."""
        closed = self.closed_sockets.connection
        sockets = [self.incoming] if closed is None else [self.incoming, closed]
        try:
            ready = select.select(sockets, [], [], seconds)[0]
        except select.error:  # interrupted by a signal, before Python 3.5
            return False
        if closed not in ready:
            return False
        self.closed_sockets.drain()
        return True

    def _tick(self, seconds):
        self._read_key()
        self.ports.look()
        for peer in self.peers:
            if self._connected(peer):
                self._receive(peer.connection)
            peer.wait(seconds)
        self._tell_news()
        for peer in self.peers:
            if self.key is not None and peer.connection is not None:
                self._send(peer.connection, peer, self.told)
        self.peers_file.write(self.peers)

    def _connected(self, peer):
        if peer.connection is None:
            connection = self._socket(script.API_PORT)
            if connection.connect_ex((peer.ip, script.API_PORT)):  # there is no route to it yet
                connection.close()
            else:
                peer.connection = connection
        return peer.connection is not None

    def _read_key(self):
        now = script.clock()
        if now < self.key_due:
            return
        self.key_due = now + KEY_CHECK
        try:
            changed = os.stat(self.key_path).st_mtime
        except EnvironmentError:
            changed = None
        if changed != self.key_time or self.key is None:
            self.key, self.key_time = channel.read_key(self.key_path), changed

    def _down(self):
        """What the other services have to know: by input id, a reason and a message."""
        found = {}
        for state in self.own_states:
            why = state.why_down()
            if why is not None:
                found[state.input_id] = [why.reason, why.message]
        return found

    def _tell_news(self):
        """Tells the other services at once what has changed on this node."""
        down = self._down()
        if down == self.told or self.key is None:
            return
        self.told = down
        for peer in self.peers:
            self._send(self.outgoing, peer, down)

    def _send(self, connection, peer, down, echo=None):
        datagram = peer.link.compose(self.key, down, echo)
        try:
            if connection is peer.connection:
                connection.send(datagram)
            else:
                connection.sendto(datagram, (peer.ip, script.API_PORT))
        except socket.error:  # no route to it now, or no service there: the next one follows soon
            pass

    def _receive(self, connection):
        for _ in range(MOST_DATAGRAMS):
            try:
                datagram, sender = connection.recvfrom(65536)
            except socket.error as error:
                if error.errno == errno.ECONNREFUSED:  # the answer to what was sent: no service is there
                    continue
                return  # none is left
            ip = sender[0].partition("%")[0]
            peer = self.by_address.get(socket.inet_pton(script.family_of(ip), ip))
            if peer is not None and self.key is not None:
                self._take(peer, peer.link.read(self.key, datagram))

    def _take(self, peer, message):
        down = peer.link.accept(message) if message is not None else None
        if down is not None:
            peer.hear(down)
        elif message is not None and peer.link.is_strange(message) and not peer.answered:
            peer.answered = True
            self._send(self.outgoing, peer, self.told, echo=message.session)
