#!/usr/bin/env python3
"""Would a node's Logstash take an event at this input now? keepalived's MISC_CHECK asks this way (the recipe's step 8).

Prints one line. Exit status 0: yes. 1: no, no proper answer, or wrong usage. Never above 1: with
`misc_dynamic`, keepalived reads 2 to 255 as a weight (keepalived.conf(5)).

`/_node/stats/pipelines` is there in Logstash 6 to 9 and costs it half of the recipe's `/_node/stats`. It is
read from a bare socket: one time bound for the whole exchange, a fast start, and no proxy.

That an input is listed does not prove it: its pipeline must run (from 7.3 on, a running one has a `hash`), and
somebody must listen at its port, where the health service's settings name that.

A node that a deploy drains is down without being asked.

One file, standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: B904, SIM105, UP003, UP010, UP020, UP024, UP031, UP041

from __future__ import unicode_literals

import errno
import io
import json
import os
import socket
import stat
import sys
import time

USAGE = "usage: check_logstash_input.py IP INPUT-ID..."
PORT = 9600
PATH = "/_node/stats/pipelines"
TIMEOUT = 3.0
"""Seconds for the whole exchange; keepalived's `misc_timeout` must be longer."""
CONNECT = 0.3
"""Seconds of them for the connection: a kernel takes it, however busy its Logstash is."""
DRAINED = "/etc/keepalived/drained"
"""A file here, named as a node's address, says that a deploy drains that node."""
DRAIN_TIME = 300
"""Seconds for which it says so, should the deploy break off."""
CLOCK_SLACK = 5
"""Seconds that the file may seem to come from the future."""
MAX_BYTES = 8 * 1024 * 1024
"""Of an answer; a pipeline of a hundred plugins takes about 50 kB."""
MAX_MESSAGE = 300
SETTINGS = "/etc/keepalived/logstash_ha_health.json"
"""The health service's, which name each input's port."""
HASHED = (7, 3)
"""The first Logstash whose pipelines have a `hash` while they run."""
TEXT = type("")


class Down(Exception):
    """Why the input does not count as up, in words."""


class Certain(Down):
    """A reason that leaves no doubt: no answer was lost on its way, so asking once more is no use."""


class Up(object):  # noqa: UP004
    """The input is listed in a pipeline that runs. `died` is how often its listener has: a udp input that can't bind
    its port counts one up every 5 s (`errors.listener`). `waiting` is None, or, where an input of the pipeline waits for
    room in its queue, how many events have come in and gone out: while an output is blocked, these stay the same."""

    def __init__(self, pipeline, died, waiting=None):
        self.pipeline = pipeline
        self.died = died
        self.waiting = waiting


class Knock(object):  # noqa: UP004
    """Whether somebody listens at a port, without a wait: where nobody does, that node's kernel says so.

    At a UDP port an empty datagram, of which Logstash makes no event; at a TCP port a connection. A firewall that drops
    the question, or the answer, hides it: only a refusal tells something.
    """

    def __init__(self, ip, protocol, port):
        self.family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self.tcp = protocol == "tcp"
        self.where = (ip, port)
        self.connection = None
        self.told = False

    def ask(self):
        self.told = False
        for _ in range(2):
            try:
                self.send()
                return
            except socket.error as error:
                if error.errno != errno.ECONNREFUSED:  # a connection takes its time
                    return
                self.told = True  # the answer to the question before, and this one has not left

    def send(self):
        if self.tcp or self.connection is None:
            self.close()
            kind = socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM
            self.connection = socket.socket(self.family, kind)
            self.connection.setblocking(False)
            self.connection.connect(self.where)
        self.connection.send(b"")

    def refused(self):
        """Whether nobody listens, as far as that is known by now."""
        if self.connection is None:
            return False
        error = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if self.tcp:
            self.close()
        return self.told or error == errno.ECONNREFUSED

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def clock():
    """Seconds on a clock that nobody sets; Python 2.7 has no time.monotonic."""
    return os.times()[4]


def check_address(ip):
    """Raises `Down` where this is no literal address: looking up a name could take longer than TIMEOUT."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
    except (socket.error, ValueError):
        raise Down("%s is not an IP address; %s" % (ip, USAGE))


def check_drained(ip):
    """Raises `Down` while a deploy drains the node with this address."""
    try:
        state = os.lstat(os.path.join(DRAINED, ip))
    except OSError:  # there is none, or none to be seen: the API decides
        return
    if stat.S_ISREG(state.st_mode) and -CLOCK_SLACK <= time.time() - state.st_mtime < DRAIN_TIME:
        raise Certain("drained, to be restarted or stopped")


def ask(ip, timeout):
    """The API's whole HTTP answer at this IPv4 or IPv6 address within so many seconds. Raises `Down`."""
    deadline = clock() + timeout

    def remaining():
        seconds = deadline - clock()
        if seconds <= 0:
            raise socket.timeout
        return seconds

    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    host = "[%s]" % ip if ":" in ip else ip
    # HTTP/1.0: the server closes when it has answered, and sends no chunks.
    request = "GET %s HTTP/1.0\r\nHost: %s:%d\r\nAccept: application/json\r\n\r\n" % (PATH, host, PORT)
    try:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(min(CONNECT, remaining()))
            try:
                connection.connect((ip, PORT))
            except socket.timeout:
                raise Down(
                    "no connection within %g s: it is off or cut off, or a firewall drops the packets"
                    % CONNECT
                )
            connection.sendall(request.encode("ascii"))
            answer = bytearray()
            while len(answer) <= MAX_BYTES:
                connection.settimeout(remaining())
                part = connection.recv(65536)
                if not part:
                    return bytes(answer)
                answer += part
        finally:
            connection.close()
    except socket.timeout:
        raise Down("no whole answer within %g s: Logstash hangs" % timeout)
    except socket.error as error:
        if error.errno == errno.ECONNREFUSED:
            raise Certain("connection refused: Logstash is stopped or starting, or its API is elsewhere")
        raise Down(os.strerror(error.errno).lower() if error.errno else TEXT(error))
    raise Down("the answer is over %d MiB" % (MAX_BYTES >> 20))


def read(answer):
    """The JSON value in an HTTP answer of status 200. Raises `Down`."""
    if not answer:
        raise Down("the connection was closed without an answer")
    head, blank, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    words = lines[0].split()
    if not blank or len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise Down("the answer is not HTTP: not Logstash's API, or TLS is on")
    if words[1] != b"200":
        raise Down("HTTP status %s" % words[1].decode("utf-8", "replace"))
    try:
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length" and len(body) < int(value):
                raise Down("the answer is truncated: %d of %d bytes came" % (len(body), int(value)))
        return json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        raise Down("the answer is not JSON")


def member(value, key, kind):
    """`value[key]` where that is of this kind, else an empty one: shapes vary with Logstash's version."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else kind()


def hashed(stats):
    """Whether this Logstash's pipelines have a `hash` while they run."""
    numbers = member(stats, "version", TEXT).split(".")[:2]
    return all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) >= HASHED


def waiting(pipeline):
    """`Up.waiting` of a pipeline in the answer. Logstash has told how much its inputs wait since 8.5: 1.0 is one
    thread that did nothing else in the last seconds."""
    pressure = member(member(pipeline, "flow", dict), "queue_backpressure", dict).get("current")
    if not isinstance(pressure, (int, float)) or pressure < 1:
        return None
    events = member(pipeline, "events", dict)
    return member(events, "in", int), member(events, "out", int)


def find(stats, input_id):
    """The `Up` of this input. Raises `Down`."""
    if not isinstance(stats, dict) or "pipelines" not in stats:
        raise Down("the answer names no pipelines: not Logstash's API?")
    pipelines = member(stats, "pipelines", dict)
    if not pipelines:
        raise Certain("no pipeline is there: Logstash is starting, or its pipeline failed to start")
    ids = []
    for name in sorted(pipelines):
        for plugin in member(member(pipelines[name], "plugins", dict), "inputs", list):
            ids.append(member(plugin, "id", TEXT))
            if ids[-1] == input_id:
                if hashed(stats) and "hash" not in pipelines[name]:
                    raise Certain("pipeline %s does not run: it has crashed, or it is starting" % name)
                died = member(member(plugin, "errors", dict), "listener", int)
                return Up(name, died, waiting(pipelines[name]))
    raise Certain("no such input; there are: %s" % (", ".join(ids) or "none"))


def check(ip, input_ids, knocks, timeout=TIMEOUT):
    """By input id: the `Up`, or the `Down` that tells why it is not. `knocks` are the inputs' ports that are known."""
    try:
        check_drained(ip)
        for knock in knocks.values():
            knock.ask()
        stats = read(ask(ip, timeout))  # which takes longer than a refusal
    except Down as reason:
        return dict.fromkeys(input_ids, reason)
    outcomes = {}
    for input_id in input_ids:
        try:
            outcomes[input_id] = find(stats, input_id)
            if input_id in knocks and knocks[input_id].refused():
                raise Certain("nobody listens at its port, though Logstash lists it")
        except Down as reason:
            outcomes[input_id] = reason
    return outcomes


def ports(ip):
    """By input id: the protocol and the port that it has at this node, where the settings are there and name them."""
    try:
        with io.open(SETTINGS, encoding="utf-8") as file:
            settings = json.load(file)
    except (EnvironmentError, ValueError):
        return {}
    return member(member(settings, "nodes", dict), ip, dict)


def words(ip, input_id, outcome):
    """What `check` has found, as one line."""
    if isinstance(outcome, Down):
        return "%s at %s is down: %s" % (input_id, ip, outcome.args[0])
    return "%s at %s is up, in pipeline %s" % (input_id, ip, outcome.pipeline)


def say(message, to=1):
    """One line of printable ASCII on stdout or `to`, whatever the locale; nobody need listen."""
    line = message.encode("unicode_escape")
    if len(line) > MAX_MESSAGE:
        line = line[: MAX_MESSAGE - 3] + b"..."
    try:
        os.write(to, line + b"\n")
    except OSError:
        pass


def main(arguments):
    """The exit status."""
    arguments = [each if isinstance(each, TEXT) else each.decode("utf-8", "replace") for each in arguments]
    if arguments in (["-h"], ["--help"]):
        say(USAGE)
        return 0
    if len(arguments) < 2:
        say(USAGE)
        return 1
    ip, input_ids = arguments[0], arguments[1:]
    try:
        check_address(ip)
        known = ports(ip)
        outcomes = check(
            ip, input_ids, {each: Knock(ip, *known[each]) for each in input_ids if each in known}
        )
    except Down as reason:
        outcomes = dict.fromkeys(input_ids, reason)
    for input_id in input_ids:
        say(words(ip, input_id, outcomes[input_id]))
    return 1 if any(isinstance(outcome, Down) for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
