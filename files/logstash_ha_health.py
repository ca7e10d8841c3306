#!/usr/bin/env python3
"""Keeps keepalived told which inputs of which nodes are up: a service that polls each node's Logstash.

One request to a node answers for all of its inputs, and no process is started. The verdict on an input at
`ADDRESS` is the file `FOLDER/ADDRESS/INPUT-ID`, written when it changes: empty is up, `1` is down. keepalived's
FILE_CHECK reads it so with `weight 0`, and `test ! -s FILE` as a MISC_CHECK does where there is no FILE_CHECK.
The files must be there (systemd's tmpfiles.d makes them); they keep the verdicts while this service restarts.

A poll asks as check_logstash_input.py does, and judges with its words. A lost poll takes no input out: that takes
`FAILURES` in a row, or one that leaves no doubt. `SUCCESSES` in a row bring it back. The last node that an input
was up at stays in until it is up at another one: what is sent to an empty pool is lost for certain.

Usage: logstash_ha_health.py SETTINGS, a JSON file:
    {"folder": "/run/keepalived-health", "interval": 0.5, "timeout": 1.0,
     "nodes": {"192.0.2.11": {"udp-5514": ["udp", 5514]}},
     "own": "192.0.2.11", "interface": "eth0"}
An input whose pipeline's queue is full, though events leave it, is slow: where `FOLDER/slow/ADDRESS/INPUT-ID` is there, it says so
(`1`, else empty), and keepalived takes half of the node's weight away.
Why inputs are down or slow is in `FOLDER/reasons`, a line each. It tells the other nodes' services while the node that has the address
`own` is drained, so that what stops in good order is out of all pools before. Where `FOLDER/away` is there, it says (`1`) that
the node's link is down, or has not been up for long: keepalived's instances are in FAULT then.

Tells systemd when the verdict on each input is settled, and that it is alive (sd_notify(3), WatchdogSec=).
Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP020, UP024, UP031, UP041

from __future__ import unicode_literals

import collections
import fcntl
import io
import json
import os
import socket
import struct
import sys
import threading
import time

import check_logstash_input as script

FAILURES = 3
SUCCESSES = 2
STEADY = 60.0
"""Seconds that an input has to stay up, or the next time it has to be good for longer before it counts as up."""
HOLD = 1.0
"""Seconds for which it has to be that, the first time; twice as long each time after it."""
LONGEST = 60.0
"""And never longer than this."""
LEAVING = b"leaving"
FREEBIND = 15
"""ip(7); Python has no name for it."""
STUCK = 10.0
"""Seconds in which no event comes out of a pipeline whose queue is full, until that counts as blocked."""
SLOW = 3.0
"""Seconds for which a pipeline's queue has to be full until its inputs count as slow."""
EASED = 10.0
"""Seconds for which it has to have room until they count so no longer."""
RETRY = 7.0
"""Seconds after which a listener that has died is taken to be back: Logstash tries again after 5."""
BACK = 3.0
"""Seconds for which the link and the node's address have to be there until the node takes part again: the firewall's zone
comes back with them, and the MASTER's adverts."""
RTM_NEWLINK, RTMGRP_LINK, IFF_RUNNING, SIOCGIFFLAGS, SIOCGIFINDEX = 16, 1, 0x40, 0x8913, 0x8933
"""rtnetlink(7), netdevice(7); Python has no names for them."""
PATIENCE = 5.0
"""Seconds that a poll may take beyond its interval and time-out before the watchdog is left to bite."""


class Flag(object):  # noqa: UP004
    """A file that keepalived follows: `1`, or empty. It is written in place: a new one would have another owner and
    SELinux label."""

    def __init__(self, path):
        self.path = path
        self.raised = os.path.getsize(path) > 0

    def write(self, raised):
        self.raised = raised
        with io.open(self.path, "r+b", buffering=0) as file:
            file.truncate(0)
            if raised:
                file.write(b"1\n")


class Pace(object):  # noqa: UP004
    """Whether an input of a node is slow, and since when it seems to be otherwise."""

    def __init__(self, path):
        self.flag = Flag(path) if os.path.exists(path) else None
        self.slow = self.flag is not None and self.flag.raised
        self.began = None

    def turns(self, waiting):
        """Whether it is another one with this poll."""
        if waiting == self.slow:
            self.began = None
            return False
        now = script.clock()
        self.began = now if self.began is None else self.began
        if now < self.began + (SLOW if waiting else EASED):
            return False
        self.set(waiting)
        return True

    def set(self, slow):
        self.slow, self.began = slow, None
        if self.flag is not None and self.flag.raised != slow:
            self.flag.write(slow)


class State(object):  # noqa: UP004
    """The verdict on one input of one node, and the polls that speak against it."""

    def __init__(self, ip, input_id, folder):
        self.ip = ip
        self.input_id = input_id
        self.down = Flag(os.path.join(folder, ip, input_id))
        self.pace = Pace(os.path.join(folder, "slow", ip, input_id))
        self.up = not self.down.raised
        self.reason = None
        """Why it was down at the last poll."""
        self.kept = False
        """Whether keepalived is told that it is up, though it is down: no other node's is up."""
        self.against = 0
        """Polls in a row that say otherwise."""
        self.began = 0.0
        """When the first one of them did."""
        self.came = None
        """When it came up."""
        self.hold = 0.0
        """Seconds that it has to be good before it counts as up: longer for one that crashes again and again."""
        self.died = None
        """How often its listener had died at the last poll."""
        self.unbound = 0.0
        """Until when it is taken not to have its port, because its listener has died since."""
        self.waiting = None
        """What has come and gone of a pipeline whose queue is full, at the last poll."""
        self.moved = 0.0
        """When that was last another."""

    def judge(self, outcome):
        """This outcome of a poll, or what only several polls can show: no port, or no event that moves."""
        if not isinstance(outcome, script.Up):
            return outcome
        if outcome.waiting is None or outcome.waiting != self.waiting:
            self.waiting, self.moved = outcome.waiting, script.clock()
        if self.died is not None and outcome.died > self.died:
            self.unbound = script.clock() + RETRY
        self.died = outcome.died
        if script.clock() < self.unbound:
            return script.Certain("can't bind its port: another program has it")
        if self.waiting is not None and script.clock() > self.moved + STUCK:
            return script.Certain("its queue is full, and no event leaves it: an output is blocked")
        return outcome

    def settle(self, up, certain):
        """Whether the verdict changes with this poll."""
        self.against = 0 if up == self.up else self.against + 1
        if self.against == 0:
            return False
        now = script.clock()
        if self.against == 1:
            self.began = now
        if up and (self.against < SUCCESSES or now < self.began + self.hold):
            return False
        if not up and self.against < FAILURES and not certain:
            return False
        if up:
            self.came = now
        elif self.came is not None and now < self.came + STEADY:
            self.hold = min(2 * self.hold or HOLD, LONGEST)
        else:
            self.hold = 0.0
        self.up, self.against = up, 0
        return True

    def write(self):
        """What keepalived is told."""
        self.down.write(not self.up and not self.kept)


class Reasons(object):  # noqa: UP004
    """Why inputs are down or slow, in a file for whoever wants to know."""

    def __init__(self, path):
        self.path = path
        with io.open(path, encoding="ascii") as file:
            self.lines = {line.partition(" is ")[0]: line for line in file}

    def tell(self, state, words):
        """An input of a node is down or slow, for the reason in these words, or neither."""
        key = "%s at %s" % (state.input_id, state.ip)
        if state.up and not state.pace.slow:
            self.lines.pop(key, None)
        else:
            self.lines[key] = words + "\n"
        with io.open(self.path, "r+", encoding="ascii", errors="replace") as file:
            file.truncate(0)
            file.write("".join(self.lines[key] for key in sorted(self.lines)))


PACES = {
    True: "%s at %s is slow: its queue is full, though events leave it",
    False: "%s at %s is no longer slow",
}


class Pool(object):  # noqa: UP004
    """The verdicts on one input of all nodes."""

    lock = threading.Lock()

    def __init__(self, reasons):
        self.reasons = reasons
        self.states = []

    def judge(self, state, outcome):
        """A poll of one node has this outcome."""
        with self.lock:
            changed = state.settle(not isinstance(outcome, script.Down), isinstance(outcome, script.Certain))
            if changed:
                state.kept = not any(other.up for other in self.states)
                state.write()
                state.pace.set(False)
            elif state.up:
                if isinstance(outcome, script.Up) and state.pace.turns(outcome.waiting is not None):
                    words = PACES[state.pace.slow] % (state.input_id, state.ip)
                    self.reasons.tell(state, words)
                    script.say(words, to=2)
                return
            elif not isinstance(outcome, script.Down):
                if not state.hold:
                    return
                outcome = script.Down("it comes and goes, and must be good for %g s first" % state.hold)
            words = script.words(state.ip, state.input_id, outcome)
            before, state.reason = state.reason, words
            if words == before and not changed:
                return
            words += "; it stays in the pool, as the last one" if state.kept else ""
            self.reasons.tell(state, words)
            if changed or before is not None:
                script.say(words, to=2)
            for other in self.states:
                if state.up and other.kept:
                    other.kept = False
                    other.write()
                    script.say("%s at %s is out of the pool" % (other.input_id, other.ip), to=2)


def family_of(ip):
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


class Bell(object):  # noqa: UP004
    """Asks the service on another node whether that is about to leave; it answers only then."""

    def __init__(self, ip):
        self.ip = ip
        self.connection = None

    def ring(self):
        try:
            if self.connection is None:
                connection = socket.socket(family_of(self.ip), socket.SOCK_DGRAM)
                connection.setblocking(False)
                connection.connect((self.ip, script.PORT))
                self.connection = connection
            self.connection.send(b"?")
        except socket.error:  # nobody there: its Logstash decides
            pass

    def answered(self):
        try:
            return self.connection is not None and self.connection.recv(100) == LEAVING
        except socket.error:
            return False


class Porter(threading.Thread):
    """Answers the other nodes' services while this node is drained."""

    def __init__(self, own):
        super(Porter, self).__init__()  # noqa: UP008
        self.daemon = True
        self.own = own
        self.connection = socket.socket(family_of(own), socket.SOCK_DGRAM)
        self.connection.setsockopt(socket.SOL_IP, FREEBIND, 1)  # the address may come later, at boot
        self.connection.bind((own, script.PORT))

    def run(self):
        while True:
            try:
                _, asker = self.connection.recvfrom(100)
                try:
                    script.check_drained(self.own)
                except script.Down:
                    self.connection.sendto(LEAVING, asker)
            except socket.error:  # of an asker that has gone
                time.sleep(0.1)


class Link(threading.Thread):
    """Keeps keepalived in FAULT while this node's link is down and for some time after: the network is not ready at once,
    no advert comes in, and it would become MASTER beside another one, with a pool of itself alone."""

    def __init__(self, path, interface, own):
        super(Link, self).__init__()  # noqa: UP008
        self.daemon = True
        self.flag = Flag(path)
        self.interface = interface
        self.own = own
        self.since = None
        """Since when all is there."""
        self.connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.connection.bind((0, RTMGRP_LINK))
        self.look()

    def ask(self, request, answer):
        """netdevice(7)."""
        asked = struct.pack("16s24x", self.interface.encode("ascii"))
        connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            return struct.unpack_from(answer, fcntl.ioctl(connection.fileno(), request, asked), 16)[0]
        finally:
            connection.close()

    def look(self):
        """The link as it is now."""
        try:
            self.running = bool(self.ask(SIOCGIFFLAGS, "=H") & IFF_RUNNING)
        except EnvironmentError:  # no such link
            self.running = False

    def hear(self, message):
        """The link as the kernel tells it, so that no change is too short to be seen."""
        if len(message) < 32:
            return
        _, kind, _, _, _, _, _, index, flags, _ = struct.unpack("=LHHLLBxHiLL", message[:32])
        if kind == RTM_NEWLINK and index == self.ask(SIOCGIFINDEX, "=i"):
            self.running = bool(flags & IFF_RUNNING)

    def ready(self):
        """Whether the node has its address."""
        connection = socket.socket(family_of(self.own), socket.SOCK_DGRAM)
        try:
            connection.bind((self.own, 0))
        except socket.error:
            return False
        finally:
            connection.close()
        return True

    def settle(self):
        """Tell keepalived; how many seconds to wait for the next message, if not for ever."""
        if not self.running:
            self.since = None
            if not self.flag.raised:
                self.flag.write(True)
                script.say("the link is down: keepalived takes no part", to=2)
        elif self.flag.raised:
            now = script.clock()
            if not self.ready():
                self.since = None
                return 0.1
            self.since = now if self.since is None else self.since
            if now < self.since + BACK:
                return self.since + BACK - now
            self.flag.write(False)
            script.say("the link is up: keepalived takes part again", to=2)
        return None

    def run(self):
        try:
            while True:
                self.connection.settimeout(self.settle())
                try:
                    self.hear(self.connection.recv(65536))
                except socket.timeout:
                    pass
                except EnvironmentError:  # more messages than it can hold, or no such link
                    self.look()
        except EnvironmentError as error:
            script.say("the link's state can't be written: %s" % error, to=2)


class Node(threading.Thread):
    """The polls of one node; another one that hangs does not delay them."""

    def __init__(self, settings, ip, pools):
        super(Node, self).__init__()  # noqa: UP008
        self.daemon = True
        self.ip = ip
        self.interval = settings["interval"]
        self.timeout = settings["timeout"]
        self.pools = pools
        self.bell = Bell(ip)
        self.states = {}
        self.knocks = {}
        for input_id, (protocol, port) in settings["nodes"][ip].items():
            self.knocks[input_id] = script.Knock(ip, protocol, port)
            state = State(ip, input_id, settings["folder"])
            self.states[input_id] = state
            pools[input_id].states.append(state)
        self.settled = False
        """Whether each input has a verdict that no poll speaks against."""
        self.polled = script.clock()
        """When the last poll was over."""

    def run(self):
        due = script.clock()
        try:
            while True:
                self.poll()
                due = max(due + self.interval, script.clock())
                time.sleep(max(0, due - script.clock()))
        except EnvironmentError as error:
            script.say("the verdict can't be written: %s" % error, to=2)

    def poll(self):
        self.bell.ring()
        outcomes = script.check(self.ip, list(self.states), self.knocks, self.timeout)
        if self.bell.answered():
            outcomes = dict.fromkeys(outcomes, script.Certain("its Logstash is about to stop"))
        for input_id, outcome in outcomes.items():
            state = self.states[input_id]
            self.pools[input_id].judge(state, state.judge(outcome))
        self.settled = self.settled or all(state.against == 0 for state in self.states.values())
        self.polled = script.clock()

    def healthy(self):
        return self.is_alive() and script.clock() < self.polled + self.interval + self.timeout + PATIENCE


def notify(message):
    """Tells systemd, when it has started this (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        connection.sendto(message.encode("ascii"), address)
    finally:
        connection.close()


def main(arguments):
    """The exit status: 1 when it cannot go on, so that systemd starts it again. Else it does not end."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        script.say("usage: logstash_ha_health.py SETTINGS")
        return 0 if arguments in (["-h"], ["--help"]) else 1
    try:
        with io.open(arguments[0], encoding="utf-8") as file:
            settings = json.load(file)
        reasons = Reasons(os.path.join(settings["folder"], "reasons"))
        pools = collections.defaultdict(lambda: Pool(reasons))
        nodes = [Node(settings, ip, pools) for ip in settings["nodes"]]
        away = os.path.join(settings["folder"], "away")
        others = [Porter(settings["own"])]
        if os.path.exists(away):
            others.append(Link(away, settings["interface"], settings["own"]))
    except (EnvironmentError, ValueError, KeyError) as error:
        script.say("%s: %s" % (arguments[0], error), to=2)
        return 1
    for thread in nodes + others:
        thread.start()
    ready = False
    while all(thread.is_alive() for thread in nodes + others):
        if not ready and all(node.settled for node in nodes):
            ready = True
            notify("READY=1")
        if all(node.healthy() for node in nodes):
            notify("WATCHDOG=1")
        time.sleep(1 if ready else 0.1)
    os._exit(1)  # at once: other threads go on, and must not see the interpreter taken down around them


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
