#!/usr/bin/env python3
"""Checks whether a node's Logstash would take an event at an input now, as keepalived's MISC_CHECK (the recipe's step 8).

Usage: check_logstash_input.py [--json] [--also-in-maintenance] IP INPUT-ID...
       check_logstash_input.py --stats IP

Prints one line for each input. Exit status 0: all of them are up. 1: one is not, or the usage is wrong. Never above 1:
with `misc_dynamic`, keepalived reads 2 to 255 as a weight (keepalived.conf(5)).

With `--json` each line is a JSON object in ASCII:
    {"input": "udp-5514", "address": "192.0.2.11", "state": "down", "reason": "http_status", "message": "HTTP status 500"}
`state` is `up`, `down`, `drained` or `maintenance` (the health service also knows `slow`); `reason` is a key of `REASONS`, and absent
where the input is up without a doubt; `message` tells a person; `pipeline` is the id of the input's pipeline, where that is known.

With `--stats` it prints the API's answer as it is, or in one line why there is none.

`/_node/stats/pipelines` is there in Logstash 6 to 9 and costs it half of what the recipe's `/_node/stats` does. It is
read from a bare socket: one time limit for the whole exchange, a fast start, and no proxy.

The file ACCESS says how the APIs are asked: over TLS, which is verified against its CA, and with a login. Neither is sent to
an API that is asked without TLS though it should have it.

That the API lists an input does not mean that it is up: its pipeline must run (from 7.3 on, a running pipeline has a
`hash`), and something must listen at its ports, where the health service's settings allow to probe them.

A node that a deploy drains, or that an operator has in maintenance, does not count as up, and is not asked; with
`--also-in-maintenance` one in maintenance is.

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

USAGE = "usage: check_logstash_input.py [--json] [--also-in-maintenance] IP INPUT-ID..., or --stats IP"
API_PORT = 9600
STATS_PATH = "/_node/stats/pipelines"
TIMEOUT = 3.0
"""Seconds for the whole exchange; keepalived's `misc_timeout` must be longer."""
CONNECT_TIMEOUT = 0.3
"""Seconds of them for the connection: a kernel accepts it, however busy its Logstash is."""
DRAINED = "/etc/keepalived/drained"
"""The folder of the drain flags: a file with a node's address as its name says that a deploy drains that node."""
DRAIN_TIME = 300
"""Seconds after which a drain flag expires, in case the deploy was interrupted."""
MAINTENANCE = "/var/lib/logstash-ha/maintenance"
"""The folder of the nodes in maintenance: a file with a node's address as its name, which holds a JSON object with `by`,
and with `since` and `until` in seconds of the epoch; `until` is null where an operator has to end it. It outlives a reboot."""
CLOCK_SLACK = 5
"""Seconds that a drain flag may seem to come from the future."""
MAX_BYTES = 8 * 1024 * 1024
"""The longest answer that is read; a pipeline of a hundred plugins takes about 50 kB."""
MAX_MESSAGE = 300
"""Characters of a message or of a line for a person; the rest is cut off."""
SETTINGS = "/etc/keepalived/logstash_ha_health.json"
"""The health service's settings, which name the port of each input."""
ACCESS = "/etc/keepalived/logstash_ha_api.json"
"""How the APIs are asked. Only root and the user that runs the checks may read it."""
TLS_TIMEOUT = 1.0
"""Seconds for the question whether an API begins TLS, which a cold Java takes long for."""
PARTIAL_CHAIN = 0x80000
"""X509_V_FLAG_PARTIAL_CHAIN: the CA that the inventory names is trusted, also where another one has signed it."""
FIRST_WITH_HASHES = (7, 3)
"""The first Logstash version whose pipelines have a `hash` while they run."""
LISTS_ONE_PIPELINE = (7, 3)
"""The Logstash version whose API lists one of several pipelines (elastic/logstash #11021)."""
WAITING = 0.95
"""The least that `flow.queue_backpressure` reports of a thread that does nothing but wait for room: it dithers below 1."""
NOBODY_LISTENS = "nobody listens at its port, though Logstash lists it"
TEXT = type("")

REASONS = {
    "usage": "the address is not an IP address",
    "drained": "a deploy drains the node, to restart or stop its Logstash",
    "maintenance": "an operator has the node in maintenance",
    "refused": "the connection to the API is refused",
    "no_connection": "no connection to the API in time",
    "network_error": "the connection to the API failed in another way",
    "hung": "no whole answer in time",
    "closed": "the connection was closed without an answer",
    "too_long": "the answer is longer than Logstash's can be",
    "not_http": "the answer is not HTTP",
    "http_status": "the answer's HTTP status is not 200",
    "wants_tls": "the API wants TLS, and is asked without",
    "without_tls": "the API answers without TLS, and is asked with it",
    "certificate": "the API's certificate is not accepted",
    "tls": "TLS with the API fails in another way",
    "login": "the API wants a login, or refuses the one that is sent",
    "truncated": "a part of the answer is missing",
    "not_json": "the answer is not JSON",
    "not_logstash": "the answer is JSON, but not that of Logstash's API",
    "no_pipeline": "Logstash has no pipeline: it is starting, or its pipeline failed to start",
    "not_running": "the input's pipeline does not run",
    "no_such_input": "no pipeline has the input",
    "nobody_listens": "nothing listens at the input's port, though Logstash lists the input",
    "leaving": "the node's own health service says that its Logstash is about to stop",
    "silent": "the node's health service tells nothing any more, and its kernel answers no connection",
    "bind_failed": "the input can't bind its port",
    "blocked": "the pipeline's queue is full, and no event leaves it",
    "queue_full": "the pipeline's queue is full, but events leave it: the input is slow",
    "slow_start": "the input is up, but its Logstash has just started, and it gets less than its weight",
    "flapping": "the input comes and goes, and has to stay good for some time first",
    "probe_refused": "the input is up, but a probe of its port is refused: a firewall rejects it",
}
"""All values of `reason`, for programs, and what they stand for. The last eight only come from the health service."""
OVER_TLS = ("certificate", "login", "tls")
"""The reasons that show that an API speaks TLS, where it was asked over TLS."""
OTHER_ACCESS = (
    "closed",
    "network_error",
    "not_http",
    "wants_tls",
    "without_tls",
    "certificate",
    "tls",
    "login",
)
"""The reasons of an API that may have to be asked in another way."""
NOT_RUNNING = ("refused", "no_pipeline", "no_such_input", "not_running")
"""The reasons that say that the input's pipeline does not run: when it runs again, it counts from 0."""


class Down(Exception):
    """Why an input does not count as up: `reason` is one of REASONS, `message` tells a person more of it."""

    def __init__(self, reason, message, pipeline=None):
        super(Down, self).__init__(message)  # noqa: UP008
        self.reason = reason
        self.message = message
        self.pipeline = pipeline


class DefinitelyDown(Down):
    """A reason that leaves no doubt: no answer was lost on its way, so one such poll is enough."""


class PortRefused(DefinitelyDown):
    """The probe of the input's port was refused, though the API says `up`: nobody listens, or a firewall rejects it.

    `runs` is whether the API can tell a pipeline that runs from one that has crashed.
    """

    def __init__(self, up, runs):
        super(PortRefused, self).__init__("nobody_listens", NOBODY_LISTENS, up.pipeline)  # noqa: UP008
        self.up = up
        self.runs = runs


class Up(object):  # noqa: UP004
    """The input is listed in a pipeline that runs.

    `listener_errors` counts how often its listener has failed: a udp input that can't bind its port counts one up
    every 5 s. `pressure` is how many threads of the pipeline's inputs have waited for room in its queue in the last 10 to
    15 s, and `events_out` how many events have left the pipeline: while an output is blocked, that number stays the
    same. `taken` is how many events the input has taken, and `run` an id that is another one when Logstash has started
    anew, or empty. `probe_refused` is whether a firewall rejects the probes of its port.
    """

    probe_refused = False

    def __init__(self, pipeline, listener_errors, pressure=0.0, events_out=0, taken=0, run=""):
        self.pipeline = pipeline
        self.listener_errors = listener_errors
        self.pressure = pressure
        self.events_out = events_out
        self.taken = taken
        self.run = run

    def queue_full(self):
        """Whether the pipeline's queue has been full for some seconds."""
        return self.pressure >= WAITING


class PortProbe(object):  # noqa: UP004
    """Finds out whether anything listens at a port, without waiting: if nothing does, that node's kernel says so.

    A UDP port gets an empty datagram, of which Logstash makes no event; a TCP port gets a connection. A firewall that
    drops these or the replies hides the answer, so only a refusal says something; and one that rejects them looks like a
    port at which nobody listens.
    """

    certain = False
    """Whether a refusal can mean nothing else than that nobody listens."""

    def __init__(self, ip, protocol, port):
        self.family = family_of(ip)
        self.tcp = protocol == "tcp"
        self.target = (ip, port)
        self.connection = None
        self.refused_before = False

    def start(self):
        """Sends the probe; `refused` tells the result, some time later."""
        self.refused_before = False
        for _ in range(2):
            try:
                self._send()
                return
            except socket.error as error:
                if error.errno != errno.ECONNREFUSED:  # a TCP connection is under way
                    return
                self.refused_before = True  # the reply to the datagram before; this one was not sent

    def _send(self):
        if self.tcp or self.connection is None:
            self.close()
            kind = socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM
            self.connection = socket.socket(self.family, kind)
            self.connection.setblocking(False)
            self.connection.connect(self.target)
        self.connection.send(b"")

    def refused(self):
        """Whether nothing listens at the port, as far as that is known by now."""
        if self.connection is None:
            return False
        error = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if self.tcp:
            self.close()
        return self.refused_before or error == errno.ECONNREFUSED

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def clock():
    """Seconds on a monotonic clock; that of Python 2.7 goes by hundredths."""
    monotonic = getattr(time, "monotonic", None)
    return os.times()[4] if monotonic is None else monotonic()


def family_of(ip):
    """The address family of a literal IPv4 or IPv6 address."""
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def check_address(ip):
    """Raises `Down` unless this is a literal address: looking up a name could take longer than TIMEOUT."""
    try:
        socket.inet_pton(family_of(ip), ip)
    except (socket.error, ValueError):
        raise Down("usage", "%s is not an IP address; %s" % (ip, USAGE))


def check_drained(ip):
    """Raises `Down` while a deploy drains the node with this address."""
    try:
        flag = os.lstat(os.path.join(DRAINED, ip))
    except OSError:  # no drain flag, or unreadable: the API decides
        return
    if stat.S_ISREG(flag.st_mode) and -CLOCK_SLACK <= time.time() - flag.st_mtime < DRAIN_TIME:
        raise DefinitelyDown("drained", "drained, to be restarted or stopped")


def maintenance_of(ip):
    """Since when and by whom the node with this address is in maintenance, in words; None where it is not."""
    try:
        with io.open(os.path.join(MAINTENANCE, ip), encoding="utf-8") as file:
            note = json.load(file)
    except EnvironmentError:
        return None
    except (ValueError, RuntimeError):  # an operator's word all the same
        note = {}
    until = member(note, "until", int)
    if until and until <= time.time():
        return None
    text = "in maintenance since %s, by %s" % (
        date_of(member(note, "since", int)),
        member(note, "by", TEXT) or "an unknown operator",
    )
    return text + (", until %s" % date_of(until) if until else "")


def date_of(seconds):
    """Seconds of the epoch as a date in UTC."""
    return TEXT(time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)))


def check_maintenance(ip):
    """Raises `Down` while the node with this address is in maintenance."""
    text = maintenance_of(ip)
    if text is not None:
        raise DefinitelyDown("maintenance", text)


class Access(object):  # noqa: UP004
    """How an API is asked: over TLS where there is a `ca`, in PEM, and with a `login`, the value of HTTP's Authorization."""

    def __init__(self, ca=None, login=None):
        self.ca = ca
        self.login = login
        self.context = None

    def same(self, other):
        """Whether the other asks in the same way."""
        return (self.ca, self.login) == (other.ca, other.login)

    def secured(self, connection, ip):
        """The connection over TLS, with a server whose certificate is for this address. Raises `Down`, or `socket.error`."""
        import ssl  # here, since it takes long to load, and most clusters have no use for it

        try:
            if self.context is None:
                self.context = tls_context(ssl, self.ca)
            secured = self.context.wrap_socket(connection)
        except ssl.SSLError as error:
            raise tls_failure(error)
        if not is_for(secured.getpeercert(), ip):
            secured.close()
            raise Down("certificate", "its certificate is not for this address: the API is not the node's")
        return secured


def tls_context(ssl, ca=None):
    """For a client that accepts what this CA has signed; without one, any certificate.

    Python 2.7 has all of this since 2.7.9, and that of Enterprise Linux 7 since 7.2 (PEP 466).
    """
    if hasattr(ssl, "PROTOCOL_TLS_CLIENT"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # novm
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_SSLv23)
        context.options |= ssl.OP_NO_SSLv2 | ssl.OP_NO_SSLv3
    # Python 2.7 can't for an address: `is_for` does.
    context.check_hostname = False  # novm
    context.verify_mode = ssl.CERT_NONE if ca is None else ssl.CERT_REQUIRED
    if ca is not None:
        context.verify_flags |= PARTIAL_CHAIN  # novm
        context.load_verify_locations(cadata=ca)  # novm
    return context


def tls_failure(error):
    """What an error of `ssl` means, as a `Down`; a time that has run out as what `socket` raises."""
    text = TEXT(error)
    if "timed out" in text:
        return socket.timeout()
    code = "%s %s" % (getattr(error, "reason", None) or "", text.upper())
    if any(word in code for word in ("WRONG_VERSION", "WRONG VERSION", "UNKNOWN_PROTOCOL", "HTTP_REQUEST")):
        return Down("without_tls", "it answers without TLS, and is to be asked with it alone")
    if "CERTIFICATE_VERIFY_FAILED" in code or "CERTIFICATE VERIFY FAILED" in code:
        why = getattr(error, "verify_message", None) or "another CA has signed it, or it is not valid now"
        return Down("certificate", "its certificate is not accepted: %s" % why)
    if "EOF" in code:
        return Down("closed", "the connection was closed before TLS began")
    return Down("tls", "TLS fails: %s" % text)


def is_for(certificate, ip):
    """Whether a certificate, as `ssl` gives it, is for this address."""
    packed = socket.inet_pton(family_of(ip), ip)
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        try:
            if kind == "IP Address" and socket.inet_pton(family_of(value), value.strip()) == packed:
                return True
        except (socket.error, ValueError):
            continue
    return False


def read_access(path):
    """How the APIs are asked by this file; without TLS and a login where it is missing. Raises `ValueError` for a broken one."""
    try:
        with io.open(path, encoding="utf-8") as file:
            settings = json.load(file)
    except EnvironmentError:
        return Access()
    login = None
    if member(settings, "username", TEXT):
        import base64  # here, since most clusters have no login

        pair = "%s:%s" % (member(settings, "username", TEXT), member(settings, "password", TEXT))
        login = "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
    return Access(member(settings, "ca", TEXT) or None, login)


def receive(connection):
    """The next part of an answer. With TLS, older Pythons take an end that was not announced for an error; whether the answer
    is whole is seen from its length, and from its JSON."""
    try:
        return connection.recv(65536)
    except socket.error as error:
        if "eof" in TEXT(error).lower():
            return b""
        raise


def request_stats(ip, timeout, access=None):
    """The API's whole HTTP answer at this IPv4 or IPv6 address, within so many seconds. Raises `Down`."""
    access = access or Access()
    deadline = clock() + timeout

    def remaining():
        seconds = deadline - clock()
        if seconds <= 0:
            raise socket.timeout
        return seconds

    host = "[%s]" % ip if ":" in ip else ip
    # HTTP/1.0: the server closes the connection after its answer, and sends no chunks.
    request = "GET %s HTTP/1.0\r\nHost: %s:%d\r\nAccept: application/json\r\n%s\r\n" % (
        STATS_PATH,
        host,
        API_PORT,
        "Authorization: %s\r\n" % access.login if access.login else "",
    )
    try:
        connection = socket.socket(family_of(ip), socket.SOCK_STREAM)
        try:
            connection.settimeout(min(CONNECT_TIMEOUT, remaining()))
            try:
                connection.connect((ip, API_PORT))
            except socket.timeout:
                raise Down(
                    "no_connection",
                    "no connection within %g s: it is off or cut off, or a firewall drops the packets"
                    % CONNECT_TIMEOUT,
                )
            if access.ca is not None:
                connection.settimeout(remaining())
                connection = access.secured(connection, ip)
            connection.sendall(request.encode("ascii"))
            answer = bytearray()
            while len(answer) <= MAX_BYTES:
                connection.settimeout(remaining())
                part = receive(connection)
                if not part:
                    return bytes(answer)
                answer += part
        finally:
            connection.close()
    except socket.timeout:
        raise Down("hung", "no whole answer within %g s: Logstash hangs" % timeout)
    except socket.error as error:
        if error.errno == errno.ECONNREFUSED:
            raise DefinitelyDown(
                "refused", "connection refused: Logstash is stopped or starting, or its API is elsewhere"
            )
        if "timed out" in TEXT(error):  # as Python 2.7's TLS says it
            raise Down("hung", "no whole answer within %g s: Logstash hangs" % timeout)
        if hasattr(error, "library"):  # of ssl, whose numbers are not those of errno
            raise tls_failure(error)
        raise Down("network_error", os.strerror(error.errno).lower() if error.errno else TEXT(error))
    raise Down("too_long", "the answer is over %d MiB" % (MAX_BYTES >> 20))


def speaks_tls(ip):
    """Whether the API begins TLS. Nothing else is sent, and any certificate is accepted."""
    import ssl

    connection = socket.socket(family_of(ip), socket.SOCK_STREAM)
    try:
        connection.settimeout(TLS_TIMEOUT)
        connection.connect((ip, API_PORT))
        connection = tls_context(ssl).wrap_socket(connection)
        return True
    except (socket.error, ValueError):  # ssl.SSLError is a socket.error
        return False
    finally:
        connection.close()


def ask(ip, timeout, access):
    """What the API answers at this address, as JSON. Raises `Down`.

    One that wants TLS closes the connection without an answer: then it is asked whether it begins TLS.
    """
    try:
        return parse_answer(request_stats(ip, timeout, access), access)
    except Down as down:
        if access.ca is None and down.reason in ("closed", "network_error", "not_http") and speaks_tls(ip):
            raise Down("wants_tls", "it wants TLS, and is asked without")
        raise


def parse_answer(answer, access=None):
    """The JSON value in an HTTP answer of status 200. Raises `Down`."""
    if not answer:
        raise Down("closed", "the connection was closed without an answer")
    head, separator, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    status_line = lines[0].split()
    if not separator or len(status_line) < 2 or not status_line[0].startswith(b"HTTP/"):
        raise Down("not_http", "the answer is not HTTP: not Logstash's API")
    if status_line[1] == b"401":
        sent = access is not None and access.login is not None
        raise Down(
            "login",
            "it refuses the login that is sent (HTTP status 401)"
            if sent
            else "it wants a login, and is asked without (HTTP status 401)",
        )
    if status_line[1] != b"200":
        raise Down("http_status", "HTTP status %s" % status_line[1].decode("utf-8", "replace"))
    try:
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length" and len(body) < int(value):
                raise Down(
                    "truncated", "the answer is truncated: %d of %d bytes came" % (len(body), int(value))
                )
        return json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        raise Down("not_json", "the answer is not JSON")


def member(value, key, kind):
    """`value[key]` if that is of this type, else an empty value of it: answers vary with Logstash's version."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else kind()


def version_of(stats):
    """The major and minor version of the Logstash that answers, or an empty tuple."""
    numbers = member(stats, "version", TEXT).split(".")[:2]
    return tuple(map(int, numbers)) if all(number.isdigit() for number in numbers) else ()


def has_hashes(stats):
    """Whether this Logstash's pipelines have a `hash` while they run."""
    return version_of(stats) >= FIRST_WITH_HASHES


def pressure_of(pipeline):
    """`Up.pressure` of a pipeline in the answer; 0 before Logstash 8.5, which does not report it."""
    pressure = member(member(pipeline, "flow", dict), "queue_backpressure", dict).get("current")
    return pressure if isinstance(pressure, (int, float)) else 0.0


def find_inputs(stats, input_ids):
    """By input id: its `Up`, or a `Down`. Raises `Down` where all of them are.

    Any member of the answer may be null while Logstash starts, and a pipeline that has ended may be listed beside the one
    that has its inputs now.
    """
    if not isinstance(stats, dict) or "pipelines" not in stats:
        raise Down("not_logstash", "the answer names no pipelines: not Logstash's API?")
    pipelines = member(stats, "pipelines", dict)
    if not pipelines:
        raise DefinitelyDown(
            "no_pipeline", "no pipeline is there: Logstash is starting, or its pipeline failed to start"
        )
    listed, found, hashes = [], {}, has_hashes(stats)
    run = member(stats, "ephemeral_id", TEXT)
    for name in sorted(pipelines):
        pipeline = pipelines[name]
        runs = not hashes or member(pipeline, "hash", TEXT) != ""
        for plugin in member(member(pipeline, "plugins", dict), "inputs", list):
            input_id = member(plugin, "id", TEXT)
            listed.append(input_id)
            if isinstance(found.get(input_id), Up):
                continue
            if runs:
                listener_errors = member(member(plugin, "errors", dict), "listener", int)
                events_out = member(member(pipeline, "events", dict), "out", int)
                taken = member(member(plugin, "events", dict), "out", int)
                found[input_id] = Up(name, listener_errors, pressure_of(pipeline), events_out, taken, run)
            else:
                message = "pipeline %s does not run: it has crashed, or it is starting" % name
                found[input_id] = DefinitelyDown("not_running", message, name)
    message = "no such input; there are: %s" % (", ".join(listed) or "none")
    if version_of(stats) == LISTS_ONE_PIPELINE:
        message = "no such input in the one pipeline that Logstash 7.3 lists"
    missing = DefinitelyDown("no_such_input", message)
    return {input_id: found.get(input_id, missing) for input_id in input_ids}


def check_inputs(ip, input_ids, probes, timeout=TIMEOUT, ask_api=None, in_maintenance=False):
    """By input id: `Up`, or a `Down` that tells why not. `probes` are those of the inputs' ports that may be probed;
    `ask_api` returns the API's answer at an address, within so many seconds, or raises `Down`. With `in_maintenance` a node
    in maintenance is asked, too.
    """
    try:
        if not in_maintenance:
            check_maintenance(ip)
        check_drained(ip)
        for input_probes in probes.values():
            for probe in input_probes:
                probe.start()
        # This takes longer than a refusal of a probe.
        stats = ask_api(ip, timeout) if ask_api else ask(ip, timeout, Access())
        found = find_inputs(stats, input_ids)
    except Down as down:
        return dict.fromkeys(input_ids, down)
    for input_id in input_ids:
        up, refused = found[input_id], [probe for probe in probes.get(input_id, []) if probe.refused()]
        if refused and isinstance(up, Up):
            certain = any(probe.certain for probe in refused)
            found[input_id] = (
                DefinitelyDown("nobody_listens", NOBODY_LISTENS, up.pipeline)
                if certain
                else PortRefused(up, has_hashes(stats))
            )
    return found


def known_probes(ip, input_ids):
    """By input id: probes of its ports at this node, where the health service's settings are there and allow them."""
    try:
        with io.open(SETTINGS, encoding="utf-8") as file:
            settings = json.load(file)
    except (EnvironmentError, ValueError):
        return {}
    inputs = member(member(settings, "nodes", dict), ip, dict)
    probes = {}
    for input_id in input_ids:
        listed = member(member(inputs, input_id, dict), "sockets", list)
        probes[input_id] = [
            PortProbe(ip, member(each, "protocol", TEXT), member(each, "port", int))
            for each in listed
            if member(each, "protocol", TEXT) and member(each, "port", int) and member(each, "probe", bool)
        ]
    return probes


def verdict_on(ip, input_id, outcome):
    """An `Up` or a `Down` as data: what `--json` prints, and what the health service's `reasons` file holds."""
    verdict = {"input": input_id, "address": ip}
    if isinstance(outcome, Down):
        verdict["state"] = outcome.reason if outcome.reason in ("drained", "maintenance") else "down"
        verdict["reason"] = outcome.reason
        verdict["message"] = shortened(outcome.message)
    else:
        verdict["state"] = "up"
        verdict["message"] = shortened("in pipeline %s" % outcome.pipeline)
        if outcome.probe_refused:
            verdict.update(
                reason="probe_refused", message="though a probe of its port is refused: a firewall rejects it"
            )
    if outcome.pipeline is not None:
        verdict["pipeline"] = shortened(outcome.pipeline)
    return verdict


def describe(verdict):
    """A verdict as a line for a person."""
    if verdict["state"] == "up":
        return "%(input)s at %(address)s is up, %(message)s" % verdict
    state = "slow" if verdict["state"] == "slow" else "down"
    return "%s at %s is %s: %s" % (verdict["input"], verdict["address"], state, verdict["message"])


def shortened(text):
    """The text itself, or its beginning with `...` where it is longer than MAX_MESSAGE."""
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."


def to_json(verdict):
    """A verdict as one line of ASCII, without its end."""
    return json.dumps(verdict, sort_keys=True)


def print_line(text, to=1):
    """One line of printable ASCII, cut off where it is too long, whatever the locale."""
    write_line(shortened(text.encode("unicode_escape").decode("ascii")), to)


def write_line(line, to=1):
    """A line of ASCII to stdout, or to the file descriptor `to`. Nobody has to read it."""
    try:
        os.write(to, line.encode("ascii") + b"\n")
    except OSError:
        pass


def as_text(argument):
    """An argument as its caller wrote it: Python 2.7 has it in bytes, and Python 3.6 may not take it for UTF-8."""
    if isinstance(argument, TEXT):
        argument = argument.encode("utf-8", "surrogateescape")
    return argument.decode("utf-8", "replace")


def print_stats(ip, ask_api):
    """Prints what the API answers; the exit status."""
    try:
        check_address(ip)
        write_all(to_json(ask_api(ip, TIMEOUT)))
    except Down as down:
        print_line(down.message)
        return 1
    return 0


def write_all(line):
    """A line of ASCII to stdout, however long it is."""
    rest = line.encode("ascii") + b"\n"
    while rest:
        rest = rest[os.write(1, rest) :]


def main(arguments):
    """The exit status."""
    arguments = [as_text(argument) for argument in arguments]
    if arguments in (["-h"], ["--help"]):
        print_line(USAGE)
        return 0
    as_json = arguments[:1] == ["--json"]
    if as_json:
        del arguments[0]
    in_maintenance = arguments[:1] == ["--also-in-maintenance"]
    if in_maintenance:
        del arguments[0]
    if len(arguments) < 2:
        print_line(USAGE)
        return 1
    try:
        access = read_access(ACCESS)
    except ValueError as error:
        print_line("%s: %s" % (ACCESS, error))
        return 1

    def ask_api(ip, timeout):
        return ask(ip, timeout, access)

    if arguments[0] == "--stats":
        return print_stats(arguments[1], ask_api)
    ip, input_ids = arguments[0], arguments[1:]
    try:
        check_address(ip)
        outcomes = check_inputs(
            ip, input_ids, known_probes(ip, input_ids), ask_api=ask_api, in_maintenance=in_maintenance
        )
    except Down as down:
        outcomes = dict.fromkeys(input_ids, down)
    for input_id in input_ids:
        verdict = verdict_on(ip, input_id, outcomes[input_id])
        if as_json:
            write_line(to_json(verdict))
        else:
            print_line(describe(verdict))
    return 1 if any(isinstance(outcome, Down) for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
