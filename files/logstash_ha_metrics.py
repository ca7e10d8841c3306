"""What the health service knows, as metrics for the textfile collector of Prometheus's node_exporter.

It writes a file into the collector's folder every `INTERVAL` seconds, by a new file that takes the old one's place, so that
nobody reads a part of one. All of it is known already, or read from the kernel: no process is started, and nobody is asked.
The format is Prometheus's text format 0.0.4. `METRICS` has all metrics; their labels are those of `verify.py --prometheus`, and
`director` is the node whose health service has written the file, where it says something of another one.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: RUF005, UP004, UP010, UP018, UP020, UP024, UP031

from __future__ import unicode_literals

import collections
import io
import os
import socket
import struct
import threading
import time

import check_logstash_input as script
import logstash_ha_listeners as listeners

INTERVAL = 15.0
"""Seconds between two files."""
FIRST_WAIT = 12.0
"""Seconds that the first one waits at most until all inputs are known: those that are not, it leaves out."""
PREFIX = "logstash_ha_node_"
METRICS = collections.OrderedDict(
    [
        ("info", ("gauge", "1; version is that of the project that last deployed the node")),
        ("up", ("gauge", "Whether the input is up on the node, as the director finds it")),
        ("kept", ("gauge", "Whether the input is down but stays in the pool, as the last one")),
        (
            "share",
            ("gauge", "Which part of its weight the input of the node gets: less where it is slow or cold"),
        ),
        ("reason", ("gauge", "1 for the reason why the input is down, drained, slow or in doubt")),
        ("changed_timestamp_seconds", ("gauge", "When the input last went up or down")),
        ("changes_total", ("counter", "How often the input has gone up or down")),
        ("polls_total", ("counter", "Polls of the API of the node")),
        ("poll_seconds_total", ("counter", "Seconds that these polls have taken")),
        ("heard", ("gauge", "Whether the health service of the node is heard")),
        ("holder", ("gauge", "Whether the node holds the VIP")),
        ("link_up", ("gauge", "Whether the link of the interface is up")),
        (
            "link_fault",
            ("gauge", "Whether keepalived takes no part because of the link, or has just started"),
        ),
        ("events_in_total", ("counter", "Events that the input has taken")),
        ("events_out_total", ("counter", "Events that have left the pipeline")),
        ("queue_pressure", ("gauge", "Threads of inputs that wait for room in the queue of the pipeline")),
        ("socket_drops_total", ("counter", "Datagrams that the UDP socket of the input had no room for")),
        ("socket_bytes", ("gauge", "Bytes that wait in the UDP socket of the input")),
        ("certificate_end_timestamp_seconds", ("gauge", "When the certificate of the input ends")),
    ]
)
"""The type and the help of each metric, by its name without the prefix."""
RTM_NEWADDR, RTM_GETADDR, NLM_F_REQUEST, NLM_F_DUMP, NLMSG_ERROR, NLMSG_DONE = 20, 22, 1, 0x300, 2, 3
IFA_ADDRESS, IFA_LOCAL = 1, 2
"""rtnetlink(7); Python has no names for them."""
_HEADER, _ADDRESS, _ATTRIBUTE = (
    struct.Struct(str("=LHHLL")),
    struct.Struct(str("=BBBBi")),
    struct.Struct(str("=HH")),
)
LOOPBACK = 1
"""The index of the interface `lo`, on which direct routing puts the VIP of each node."""


class Exposition(object):
    """Samples of metrics, and their text."""

    def __init__(self):
        self.samples = collections.OrderedDict((name, []) for name in METRICS)

    def add(self, name, labels, value):
        """A sample; `labels` are pairs of a name and a text."""
        text = ",".join('%s="%s"' % (label, escaped(content)) for label, content in labels)
        self.samples[name].append("%s%s{%s} %s" % (PREFIX, name, text, number(value)))

    def text(self):
        """All samples, with what they are."""
        lines = []
        for name, samples in self.samples.items():
            if samples:
                kind, what = METRICS[name]
                lines.append("# HELP %s%s %s" % (PREFIX, name, what))
                lines.append("# TYPE %s%s %s" % (PREFIX, name, kind))
                lines += samples
        return "".join(line + "\n" for line in lines)


def escaped(text):
    """A label's value."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value):
    """A sample's value, a whole number without a point."""
    return "%d" % value if value == int(value) else "%.3f" % value


def held_addresses():
    """The addresses that this machine's interfaces have, but for the loopback one's. Raises `EnvironmentError`."""
    connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    try:
        connection.settimeout(1.0)
        request = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        size = _HEADER.size + len(request)
        connection.send(_HEADER.pack(size, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + request)
        held = set()
        while parse_addresses(connection.recv(65536), held):
            pass
        return held
    finally:
        connection.close()


def parse_addresses(answer, held):
    """Adds the addresses in a part of the kernel's answer. Whether another part follows."""
    position = 0
    while position + _HEADER.size <= len(answer):
        size, kind, _, _, _ = _HEADER.unpack_from(answer, position)
        if kind in (NLMSG_DONE, NLMSG_ERROR) or size < _HEADER.size:
            return False
        if kind == RTM_NEWADDR:
            family, _, _, _, index = _ADDRESS.unpack_from(answer, position + _HEADER.size)
            found = {}
            place, end = position + _HEADER.size + _ADDRESS.size, position + size
            while place + _ATTRIBUTE.size <= end:
                length, attribute = _ATTRIBUTE.unpack_from(answer, place)
                if length < _ATTRIBUTE.size:
                    break
                found[attribute] = answer[place + _ATTRIBUTE.size : place + length]
                place += (length + 3) & ~3
            address = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
            if index != LOOPBACK and address is not None:
                held.add((family, address))
        position += (size + 3) & ~3
    return True


def holds(vip, held):
    """Whether a VIP is among these addresses."""
    family = script.family_of(vip)
    return (family, socket.inet_pton(family, vip)) in held


def udp_sockets():
    """What waits in each UDP socket of this machine, in bytes, and how many datagrams it has dropped, by its address as the
    kernel writes it and its port (proc(5)). Of several at one place, the sums."""
    found = {}
    for name in ("udp", "udp6"):
        path = "%s/%s" % (listeners.TABLES, name)
        if not os.path.exists(path):  # a kernel without IPv6
            continue
        with io.open(path, encoding="ascii", errors="replace") as table:
            next(table, None)
            for line in table:
                fields = line.split()
                address, _, port = fields[1].rpartition(":")
                waiting, dropped = found.get((address, int(port, 16)), (0, 0))
                waiting += int(fields[4].partition(":")[2], 16)
                found[address, int(port, 16)] = (waiting, dropped + int(fields[-1]))
    return found


class Writer(threading.Thread):
    """Writes the file. What it can't write or read it says in the journal, once, and the service goes on."""

    def __init__(self, settings, verdicts, pollers, channel, links):
        super(Writer, self).__init__()  # noqa: UP008
        self.daemon = True
        metrics = settings["metrics"]
        self.path = metrics["file"]
        self.names = metrics["names"]
        self.certificates = metrics["certificates"]
        self.version_file = metrics["version"]
        self.own = self.names[settings["own"]]
        self.own_address = settings["own"]
        self.own_inputs = settings["nodes"].get(settings["own"], {})
        self.vips = settings["vips"]
        self.verdicts = verdicts
        self.pollers = pollers
        self.channel = channel
        self.links = links
        self.complaint = None
        """What the journal has of the last file."""

    def run(self):
        end = script.clock() + FIRST_WAIT
        while script.clock() < end and not all(poller.known() for poller in self.pollers):
            time.sleep(0.1)
        while True:
            self.write()
            time.sleep(INTERVAL)

    def write(self):
        """Writes the file as it is now."""
        try:
            text = self.exposition().text()
            folder, base = os.path.split(self.path)
            new = os.path.join(folder, ".%s.new" % base)
            with io.open(new, "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(new, self.path)
        except Exception as error:  # whatever it is: the verdicts matter more
            complaint = "metrics can't be written to %s: %s" % (
                self.path,
                getattr(error, "strerror", None) or error,
            )
            if complaint != self.complaint:
                script.print_line(complaint, to=2)
            self.complaint = complaint
        else:
            self.complaint = None

    def exposition(self):
        """All that is known now. Raises `EnvironmentError`."""
        found = Exposition()
        node = ("node", self.own)
        found.add("info", [node, ("version", self._version())], 1)
        with self.verdicts.lock:
            for poller in self.pollers:
                for input_id, state in sorted(poller.states.items()):
                    if state.known:
                        self._add_verdict(found, input_id, state)
        for poller in self.pollers:
            labels = [("node", self.names[poller.ip]), ("director", self.own)]
            found.add("polls_total", labels, poller.polls)
            found.add("poll_seconds_total", labels, poller.poll_seconds)
        for peer in self.channel.peers:
            found.add("heard", [("node", self.names[peer.ip]), ("director", self.own)], peer.heard)
        held = held_addresses()
        for vip in self.vips:
            found.add("holder", [("vip", vip), node], holds(vip, held))
        for link in self.links:
            labels = [("interface", link.interface), node]
            found.add("link_up", labels, link.running)
            found.add("link_fault", labels, link.held)
        self._add_events(found, node)
        self._add_sockets(found, node)
        for input_id, end in sorted(self.certificates.items()):
            found.add("certificate_end_timestamp_seconds", [("input", input_id), node], end)
        return found

    def _version(self):
        try:
            with io.open(self.version_file, encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except EnvironmentError:  # before the end of the first deploy
            return ""

    def _add_verdict(self, found, input_id, state):
        labels = [("input", input_id), ("node", self.names[state.ip]), ("director", self.own)]
        found.add("up", labels, state.up)
        found.add("kept", labels, state.kept)
        reduced = state.reduction.percent if state.reduction is not None else 0
        found.add("share", labels, (100 - reduced) / 100.0)
        found.add("changed_timestamp_seconds", labels, state.changed_at)
        found.add("changes_total", labels, state.changes)
        if state.listed is not None:
            found.add("reason", labels + [("reason", state.listed["reason"])], 1)

    def _add_events(self, found, node):
        pipelines = {}
        for state in sorted(self.channel.own_states, key=lambda state: state.input_id):
            outcome = state.outcome
            if isinstance(outcome, script.Up):
                found.add("events_in_total", [("input", state.input_id), node], outcome.taken)
                pipelines[outcome.pipeline] = outcome
        for pipeline, outcome in sorted(pipelines.items()):
            labels = [("pipeline", pipeline), node]
            found.add("events_out_total", labels, outcome.events_out)
            found.add("queue_pressure", labels, outcome.pressure)

    def _add_sockets(self, found, node):
        sockets = udp_sockets()
        addresses = listeners.local_addresses(self.own_address)
        for input_id, input_settings in sorted(self.own_inputs.items()):
            ports = [each["port"] for each in input_settings["sockets"] if each["protocol"] == "udp"]
            here = [sockets[key] for key in sockets if key[0] in addresses and key[1] in ports]
            if here:
                labels = [("input", input_id), node]
                found.add("socket_drops_total", labels, sum(dropped for _, dropped in here))
                found.add("socket_bytes", labels, sum(waiting for waiting, _ in here))
