#!/usr/bin/env python3
"""The health service: polls each node's Logstash, and tells keepalived which inputs of which nodes are up.

Usage: logstash_ha_health.py SETTINGS

SETTINGS is a JSON file, which names all files that the service writes:
    {"interval": 0.5, "timeout": 2.0, "own": "192.0.2.11",
     "links": [{"interface": "eth0", "addresses": ["192.0.2.11"], "fault": "/run/keepalived-health/link_fault"}],
     "key": "/var/lib/logstash-ha/health.key", "vips": ["192.0.2.10"],
     "reasons": "/run/keepalived-health/reasons", "peers": "/run/keepalived-health/peers",
     "reload": "/run/keepalived-health/reload/keepalived", "maintenance": "/run/keepalived-health/maintenance",
     "cold": {"rate": 1000, "seconds": 12},
     "metrics": {"file": "/var/lib/node_exporter/textfile_collector/logstash_ha.prom", "names": {"192.0.2.11": "stash1"},
                 "version": "/var/lib/logstash-ha/version", "certificates": {"syslog-tls": 1830000000}},
     "nodes": {"192.0.2.11": {"udp-5514": {
         "sockets": [{"protocol": "udp", "port": 5514, "probe": true}],
         "verdict": "/run/keepalived-health/192.0.2.11/udp-5514",
         "reduction": "/run/keepalived-health/reductions/192.0.2.11/udp-5514",
         "weight": 1, "holds": 26214}}}}
`sockets` are where an input listens: it is up while something listens at each of them. `probe` says whether a probe may touch
one: an empty datagram here, or a connection by check_logstash_input.py.
`interval` is the seconds between two polls of a node, and `timeout` those that its answer may take. `own` is this node's
address. `links` are the interfaces that the cluster uses here, the one with `own` first, each with the addresses that it
must have. `vips` are the cluster's, which also name it in what its services tell each other, and `key` is the file of their
common key. `cold` is how many events a second a Logstash takes that has just started, and for how many seconds. `weight` is the
node's by the inventory, and `holds` how many events wait in the input's socket until one is lost; null where senders wait.
`fault` and `reduction` may be null: keepalived does not follow them then. `metrics` may be null, or says where metrics are
written to (logstash_ha_metrics.py), the nodes' names by address, and when the certificates of inputs end, in seconds of the epoch.
The files must exist (systemd's tmpfiles.d makes them), but for `reload`, and for the key's, without which the services
tell each other nothing. They outlive the service, and its next run starts from them.

One request to a node answers for all of its inputs, and no process is started. A poll asks and judges by the code of
check_logstash_input.py. One lost poll takes no input out of the pools: that takes `FAILURES` in a row, or one that
leaves no doubt. `SUCCESSES` in a row bring it back. The last node where an input was up stays in the pool until the
input is up on another one: what is sent to an empty pool is lost for certain.

What it writes:
- `verdict`: empty while the input is up, `1` while it is down; written when that changes. keepalived reads it by a
  FILE_CHECK with `weight 0`, or where it has no FILE_CHECK, by a MISC_CHECK with `test ! -s FILE`.
- `reduction`: how many percent of its weight the node does not get now; empty where it gets all. 50 while the queue of the
  input's pipeline is full, though events leave it; others while its Logstash is cold (logstash_ha_slow_start.py).
- `fault` of a link: `1` while it is down, or has not been up for long, or while keepalived must be reloaded, else empty.
  keepalived's instances with a VIP there are in FAULT then. Whoever starts keepalived writes a `1`, too, and the service
  ends that after some seconds.
- `maintenance`: `1` while this node is in maintenance (the script's `MAINTENANCE`), else empty. keepalived's instances are in
  FAULT then, so that another node has the VIP.
- `reload`: made when keepalived must be reloaded, since its interface was made anew or it has no socket for adverts.
  systemd then starts logstash_ha_reload.py, which removes the file once that is done.
- `peers`: a line `ADDRESS heard` or `ADDRESS silent` for each other node: whether its service tells this one anything.
- `reasons`: why inputs are down, drained, slow, starting or in doubt: one JSON object a line, sorted by input and address, with the members
  that check_logstash_input.py documents. `"kept": true` marks one that stays in the pool as the last one.

Its sign of life: while no poll takes longer than it may, about once a second, it notifies systemd's watchdog
(sd_notify(3), WatchdogSec=) and sets the modification time of `reasons` to now. Nothing else changes that time. So where
it is more than a few seconds ago, the service is frozen, stuck or dead, and all of these files may be out of date.
systemd is also notified when each input has its first verdict.

The services also tell each other what they find on their own nodes (logstash_ha_channel.py): ten times a second, and at
once when an input there goes down: the kernel says when the port of an input on this node is closed. So all directors know within a tenth of a second that an input has gone, and poll a node that
tells them so much only every `RELAXED` seconds. A node whose service has been silent for three messages, and whose
kernel answers no connection either, is gone, and its inputs are down.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: RUF005, UP010, UP020, UP024, UP031, UP041

from __future__ import unicode_literals

import collections
import errno
import fcntl
import io
import json
import os
import select
import socket
import struct
import sys
import threading
import time

import check_logstash_input as script
import logstash_ha_channel as channel
import logstash_ha_listeners as listeners
import logstash_ha_metrics as metrics
import logstash_ha_slow_start as slow_start

FAILURES = 3
SUCCESSES = 2
STEADY_TIME = 60.0
"""An input that goes down within so many seconds after it came up has to be good for a while before it is up again."""
FIRST_HOLD = 1.0
"""Seconds of that while, the first time; each time after it takes twice as long."""
LONGEST_HOLD = 60.0
"""The longest it gets, in seconds."""
TICK = 0.1
"""Seconds between two messages to another node's service."""
ASK_AFTER = 0.2
"""Seconds of a service's silence after which its node's kernel is asked for a sign of life."""
SILENT_AFTER = 0.3
"""Seconds of silence after which a node counts as gone: three messages are missing, and no answer has come."""
QUESTIONS = 3
"""Connections that are tried then: packets may be lost."""
RELAXED = 2.0
"""Seconds between two polls of a node whose service tells this one what it finds, as long as all is well there."""
MOST_DATAGRAMS = 500
"""How many are taken in before the next look at the ports."""
KEY_CHECK = 1.0
"""Seconds after which the key's file is looked at again."""
IP_FREEBIND, SO_REUSEPORT = 15, 15
"""ip(7), socket(7); Python, or an old one, has no names for them."""
BLOCKED_AFTER = 10.0
"""Seconds without an event that leaves a full queue, until its pipeline counts as blocked."""
NOT_BLOCKED = 0.5
"""The pressure below which no thread waits any more: where one does, it is never far below 1."""
SLOW_AFTER = 3.0
"""Seconds for which a pipeline's queue has to be full until its inputs count as slow."""
NOT_SLOW_AFTER = 10.0
"""Seconds for which it has to have room until they no longer do."""
SLOW_SHARE = 50
"""The percent of its weight that a slow input gets."""
LISTED_UP = ("probe_refused", "slow_start")
"""The reasons for which an input is listed that is up."""
BIND_RETRY = 7.0
"""Seconds after a listener's last failure until it counts as bound again: Logstash tries every 5."""
START_REASONS = frozenset(script.NOT_RUNNING).union(["nobody_listens"])
"""What Logstash goes through when it starts, stops or reloads a pipeline."""
NAMED = 5
"""How many inputs a line of the journal names; of more it says how many."""
QUIET = 10.0
"""Seconds for which no reason on a node has changed until the journal has those that a start or a stop leaves behind."""
REFUSED_AFTER = 15.0
"""Seconds for which probes have to be refused until a firewall is the likely cause: a Logstash that stops closes its
ports some seconds before its API."""
REFUSED_APART = 10.0
"""Seconds between two refusals that still count as one: a kernel does not answer each probe."""
LINK_HOLD = 3.0
"""Seconds for which the link and the node's address have to be there until the node takes part again: the firewall's
zone comes back with them, and the MASTER's adverts. As long keepalived has its sockets for adverts before it takes part."""
START_TIME = 20.0
"""Seconds that keepalived may take, after its unit has raised the flag, until it opens these sockets."""
LOOK = 0.5
"""Seconds between two looks at keepalived's sockets, and at whether its unit has raised the flag."""
DEAF_AFTER = 6.0
"""Seconds without a socket for adverts after which keepalived has none: it takes some time to start or to reload."""
RELOAD_AGAIN = 60.0
"""Seconds until a reload that has not helped is tried again."""
RELOAD_TIME = 60.0
"""Seconds that a reload may take: it waits for a keepalived that has just started."""
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
POLL_GRACE = 5.0
"""Seconds that a poll may take beyond its interval and timeout; after them there is no sign of life."""


def kind_of(reason):
    """What the journal judges by: the reasons that a start or a stop goes through are of one kind."""
    return "not_running" if reason in START_REASONS else reason


class FlagFile(object):  # noqa: UP004
    """A file that keepalived follows: `1`, or empty. It is written in place, since a new file would have another owner
    and SELinux label."""

    def __init__(self, path):
        self.path = path
        self.written = None
        """Its modification time, as this service knows it."""
        self.read()

    def read(self):
        """Whether another program has raised it since this service last read or wrote it."""
        before, found = self.written, os.stat(self.path)
        self.written, self.raised = found.st_mtime, found.st_size > 0
        return self.raised and self.written != before

    def write(self, raised):
        self._write(b"1\n" if raised else b"")

    def _write(self, content):
        self.raised = content != b""
        with io.open(self.path, "r+b", buffering=0) as file:
            file.write(content)  # nobody finds the file empty meanwhile
            file.truncate(len(content))
            self.written = os.fstat(file.fileno()).st_mtime


class PercentFile(FlagFile):
    """A file with a percent that keepalived follows; empty for 0."""

    def __init__(self, path):
        super(PercentFile, self).__init__(path)  # noqa: UP008
        with io.open(path, "rb") as file:
            content = file.read().strip()
        self.percent = int(content) if content.isdigit() else 0

    def write(self, percent):
        if percent != self.percent:
            self.percent = percent
            self._write(b"" if percent == 0 else ("%d\n" % percent).encode("ascii"))


class Slowness(object):  # noqa: UP004
    """Whether an input of a node is slow, and since when its queue says otherwise."""

    def __init__(self, slow):
        """`slow` is what an earlier service has found."""
        self.set(slow)

    def update(self, queue_full):
        """Takes in a poll. Whether it changes `slow`."""
        if queue_full == self.slow:
            self.opposed_since = None
            return False
        now = script.clock()
        if self.opposed_since is None:
            self.opposed_since = now
        if now < self.opposed_since + (SLOW_AFTER if queue_full else NOT_SLOW_AFTER):
            return False
        self.set(queue_full)
        return True

    def set(self, slow):
        self.slow, self.opposed_since = slow, None


class Blockage(object):  # noqa: UP004
    """Whether an output is blocked: threads of the inputs wait for room in the pipeline's queue, and no event leaves it.

    The pressure that Logstash reports is a sum over threads in the last 10 to 15 s. It climbs for that long when an output
    blocks, dithers just below the number of threads that wait, and falls for that long when they do no longer. The
    number of events that have left says at once that something moves.
    """

    def __init__(self, blocked):
        """`blocked` is what an earlier service has found."""
        self.blocked = blocked
        self.events_out = None
        """`Up.events_out` at the last poll."""
        self.since = 0.0
        """Since when no event has left, and the pressure has not fallen."""
        self.highest = 0.0
        """The highest pressure since then."""

    def update(self, up):
        """Takes in a poll. Whether the output is blocked."""
        now = script.clock()
        goes_on = self.blocked and self.events_out is None
        moved = up.events_out != self.events_out and not goes_on
        self.events_out = up.events_out
        if self.blocked and not moved and up.pressure >= NOT_BLOCKED:
            return True
        if self.blocked or moved or up.pressure < script.WAITING * self.highest:
            self.blocked, self.since, self.highest = False, now, up.pressure
        self.highest = max(self.highest, up.pressure)
        self.blocked = up.queue_full() and now > self.since + BLOCKED_AFTER
        return self.blocked


class InputState(object):  # noqa: UP004
    """The state of one input on one node, and the polls in a row that oppose it.

    `listed` is what the `reasons` file says of it at the service's start, or None; `intake` is what its node's Logstash takes.
    """

    def __init__(self, ip, input_id, settings, listed, intake):
        self.ip = ip
        self.input_id = input_id
        self.weight = settings["weight"]
        self.holds = settings["holds"]
        self.intake = intake
        self.down_flag = FlagFile(settings["verdict"])
        path = settings["reduction"]
        self.reduction = PercentFile(path) if path is not None else None
        was_kept = listed is not None and listed["state"] != "slow" and listed.get("kept") is True
        self.kept = was_kept and not self.down_flag.raised
        """Whether keepalived hears that it is up, though it is down: it is up on no other node."""
        self.up = not self.down_flag.raised and not self.kept
        self.outcome = None
        """The refined outcome of the last poll."""
        self.listed = listed if listed is not None and self._agrees(listed) else None
        """What the `reasons` file says of it; None where that is nothing."""
        before = (self.listed["state"], self.listed["reason"]) if self.listed is not None else ("", "")
        self.slowness = Slowness(before[0] == "slow")
        self.share = 100
        """The percent of its weight that it gets by its slow start."""
        if before[1] == "slow_start" and self.reduction is not None:
            self.share = 100 - self.reduction.percent
        self.changes = 0
        """How often it has gone up or down since this service started."""
        self.changed_at = self.down_flag.written
        """When it last did, in seconds of the epoch: the file of the verdict outlives the service."""
        self.opposing_polls = 0
        """Polls in a row that say otherwise."""
        self.opposed_since = 0.0
        """When the first of them was."""
        self.up_since = None
        """When it came up, if this service has seen that."""
        self.hold = 0.0
        """Seconds that it has to be good before it counts as up: more for one that comes and goes."""
        self.listener_errors = None
        """How often its listener had failed at the last poll."""
        self.unbound_until = 0.0
        """When it counts as bound to its port again, after its listener has failed."""
        self.blockage = Blockage(self.listed is not None and self.listed["reason"] == "blocked")
        self.journaled = self.listed["reason"] if self.listed is not None else None
        """The reason that the journal has of it, where it is down."""
        self.reason_since = 0.0
        """When its reason last changed."""
        self.first_refused = 0.0
        self.last_refused = None
        """When the probe was refused, the first time and the last; None where it is not."""
        if self.listed is not None and self.listed["reason"] == "probe_refused":
            self.last_refused = script.clock()
            self.first_refused = self.last_refused - REFUSED_AFTER

    def _agrees(self, listed):
        """Whether what the file says is what keepalived's files say."""
        if (listed["state"] in ("slow", "up")) != self.up:
            return False
        least = {"queue_full": 100 - SLOW_SHARE, "slow_start": 1}.get(listed["reason"], 0)
        return (self.reduction.percent if self.reduction is not None else 0) >= least

    def weigh(self, outcome, vouched):
        """The outcome of a poll, or one with more or with less doubt, by what the node's own service or kernel says.

        Where it has `vouched` for the listener, an answer without the input is in doubt: a reload takes the pipeline out
        of the answer for a moment. A refused probe says less than the API there, and where the refusals last though the
        pipeline runs: then a firewall rejects the probes.
        """
        now = script.clock()
        if vouched and getattr(outcome, "reason", None) in ("no_pipeline", "no_such_input"):
            outcome = script.Down(outcome.reason, outcome.message)
        if isinstance(outcome, script.PortRefused):
            if self.last_refused is None:
                self.first_refused = now
            self.last_refused = now
        elif isinstance(outcome, script.DefinitelyDown) or (
            self.last_refused is not None and now > self.last_refused + REFUSED_APART
        ):
            self.last_refused = None
        lasts = self.last_refused is not None and now >= self.first_refused + REFUSED_AFTER
        if isinstance(outcome, script.PortRefused) and (vouched or (lasts and outcome.runs)):
            outcome = outcome.up
        if isinstance(outcome, script.Up):
            outcome.probe_refused = lasts
        return outcome

    def refine(self, outcome):
        """The outcome of a poll, or what only several polls show: that the port is not bound, or the output blocked."""
        if not isinstance(outcome, script.Up):
            if outcome.reason in script.NOT_RUNNING:
                self.listener_errors = None
            return outcome
        now = script.clock()
        before, self.listener_errors = self.listener_errors, outcome.listener_errors
        # What had failed before the first poll may have been mended since, or fail again: while the input is up, its next
        # failure tells, and while it is down, the time in which there would be one.
        failed = not self.up if before is None else outcome.listener_errors != before
        if failed and outcome.listener_errors > 0:
            self.unbound_until = now + BIND_RETRY
        blocked = self.blockage.update(outcome)
        if now < self.unbound_until:
            message = "can't bind its port: another program has it"
            return script.DefinitelyDown("bind_failed", message, outcome.pipeline)
        if blocked:
            message = "its queue is full, and no event leaves it: an output is blocked"
            return script.DefinitelyDown("blocked", message, outcome.pipeline)
        return outcome

    def count_poll(self, outcome):
        """Takes in the refined outcome of a poll. Whether it changes `up`."""
        up = isinstance(outcome, script.Up)
        self.opposing_polls = 0 if up == self.up else self.opposing_polls + 1
        if self.opposing_polls == 0:
            return False
        now = script.clock()
        if self.opposing_polls == 1:
            self.opposed_since = now
        if up and (self.opposing_polls < SUCCESSES or now < self.opposed_since + self.hold):
            return False
        if not up and self.opposing_polls < FAILURES and not isinstance(outcome, script.DefinitelyDown):
            return False
        if up:
            self.up_since = now
        elif self.up_since is not None and now < self.up_since + STEADY_TIME:
            self.hold = min(2 * self.hold or FIRST_HOLD, LONGEST_HOLD)
        else:
            self.hold = 0.0
        self.up, self.opposing_polls = up, 0
        self.changes, self.changed_at = self.changes + 1, time.time()
        return True

    def unreported(self):
        """Whether the journal has another reason of the same kind."""
        return not self.up and self.listed is not None and self.listed["reason"] != self.journaled

    def settled(self):
        """Whether it is up, and nothing says otherwise."""
        fine = isinstance(self.outcome, script.Up) and not self.outcome.queue_full()
        return fine and self.up and self.share == 100 and self.opposing_polls == 0

    def why_down(self):
        """Why the other nodes should not send it any event; None where nothing is certain."""
        if not isinstance(self.outcome, script.Down):
            return None
        certain = isinstance(self.outcome, script.DefinitelyDown) or not self.up
        return self.outcome if certain else None

    def in_maintenance(self):
        """Whether its node is in maintenance, by the last poll."""
        return getattr(self.outcome, "reason", None) == "maintenance"

    def rate(self):
        """Events a second that it takes; None where that is not known."""
        return self.intake.rate(self.input_id)

    def write(self):
        """Tells keepalived."""
        if self.up:  # it must not get its full weight first
            self.write_reduction()
        self.down_flag.write(not self.up and not self.kept)
        if not self.up:
            self.write_reduction()

    def write_reduction(self):
        """Tells keepalived how much of its weight it gets."""
        if self.reduction is not None:
            slow = self.slowness.slow
            self.reduction.write(100 - (min(self.share, SLOW_SHARE) if slow else self.share))


class ReasonsFile(object):  # noqa: UP004
    """Why inputs are down, drained or slow: a JSON object a line, for whoever wants to know.

    Its modification time is the service's last sign of life, and no new reason changes that.
    """

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.last_sign = os.path.getmtime(path)
        self.changed = False
        """Whether anything has been recorded since it was written."""
        with io.open(path, encoding="ascii", errors="replace") as file:
            listed = [verdict for verdict in map(parse_listed, file) if verdict is not None]
        self.verdicts = {(verdict["input"], verdict["address"]): verdict for verdict in listed}
        """By input id and address."""

    def keep(self, states):
        """Forgets what an earlier service has left about other inputs, or has not had the time to correct."""
        current = {(state.input_id, state.ip): state.listed for state in states}
        self.verdicts = {key: verdict for key, verdict in current.items() if verdict is not None}
        self._write()

    def record(self, verdict):
        """Lists the verdict instead of the one before on that input of that node; none where it is up without a doubt."""
        self.verdicts.pop((verdict["input"], verdict["address"]), None)
        if "reason" in verdict:
            self.verdicts[verdict["input"], verdict["address"]] = verdict
        self.changed = True

    def write(self):
        """Writes what has been recorded since."""
        if self.changed:
            self._write()

    def show_life(self):
        """Sets the file's modification time to now."""
        with self.lock:
            self.last_sign = time.time()
            os.utime(self.path, (self.last_sign, self.last_sign))

    def _write(self):
        self.changed = False
        lines = [script.to_json(self.verdicts[key]) + "\n" for key in sorted(self.verdicts)]
        with self.lock, io.open(self.path, "r+b", buffering=0) as file:
            file.truncate(0)
            file.write("".join(lines).encode("ascii"))
            os.utime(self.path, (self.last_sign, self.last_sign))


def parse_listed(line):
    """The verdict in a line of the `reasons` file, or None where it is not one, as with an older service's sentences."""
    try:
        verdict = json.loads(line)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return None
    texts = {
        key: script.member(verdict, key, script.TEXT)
        for key in ("input", "address", "state", "reason", "message")
    }
    states = ("up", "down", "drained", "maintenance", "slow")
    known = texts["state"] in states and texts["reason"] in script.REASONS
    doubted = (texts["state"] == "up") == (texts["reason"] in LISTED_UP)
    return verdict if known and doubted and all(texts.values()) else None


class Journal(object):  # noqa: UP004
    """What the journal gets: one line for all inputs of a node on which one poll finds the same."""

    def __init__(self):
        self.lines = collections.OrderedDict()

    def add(self, state, line, common):
        """`line` is for this input alone, `common` what it says of several of them."""
        self.lines.setdefault((state.ip, common), []).append((state.input_id, line))

    def write(self):
        lines, self.lines = self.lines, collections.OrderedDict()
        for (ip, common), found in lines.items():
            line = found[0][1]
            if len(found) > 1:
                names = ", ".join(sorted(input_id for input_id, _ in found)[:NAMED])
                more = " and %d more" % (len(found) - NAMED) if len(found) > NAMED else ""
                line = "%s%s at %s %s" % (names, more, ip, common)
            script.print_line(line, to=2)


class Verdicts(object):  # noqa: UP004
    """The pools of all inputs. What is found at once is listed and written to the journal at once."""

    def __init__(self, reasons, cold):
        self.reasons = reasons
        self.cold = cold
        self.journal = Journal()
        self.pools = {}
        self.weighed = False
        """Whether any node can get a part of its weight."""
        self.lock = threading.Lock()

    def add(self, state):
        pool = self.pools.setdefault(state.input_id, InputPool(self.reasons, self.journal, self.cold))
        pool.states.append(state)
        self.weighed = self.weighed or state.reduction is not None

    def judge(self, outcomes):
        """Takes in pairs of an input's state and the outcome of a poll, or of a message, all of one node."""
        with self.lock:
            for state, outcome in outcomes:
                state.intake.update(state.input_id, outcome)
            total = self._expected(outcomes[0][0]) if outcomes else None
            for state, outcome in outcomes:
                self.pools[state.input_id].judge(state, outcome, total)
            self.reasons.write()
            self.journal.write()

    def _expected(self, state):
        """The events a second that all inputs of this one's node would get by their weights; None where that does not
        matter: keepalived follows no weights, or its Logstash is warm."""
        if not self.weighed or self.cold.warm(state.intake.taken):
            return None
        return sum(
            pool.expected(other)
            for pool in self.pools.values()
            for other in pool.states
            if other.intake is state.intake
        )

    def report_rest(self, states):
        """Writes the reasons to the journal that a start or a stop has left behind, once nothing changes any more."""
        with self.lock:
            rest = [state for state in states if state.unreported()]
            if all(script.clock() >= state.reason_since + QUIET for state in rest):
                for state in rest:
                    self.pools[state.input_id].tell_verdict(state, state.listed)
                self.journal.write()


class InputPool(object):  # noqa: UP004
    """One input on all nodes."""

    def __init__(self, reasons, journal, cold):
        self.reasons = reasons
        self.journal = journal
        self.cold = cold
        self.states = []

    def judge(self, state, outcome, total):
        """Takes in the outcome of a poll of one node, whose inputs would get `total` events a second."""
        outcome = state.outcome = state.refine(outcome)
        changed = state.count_poll(outcome)
        if changed:
            self._keep_one(state)
            state.slowness.set(False)
            if state.up:
                state.share = self._share(state, total)
            else:
                state.share = 100
                state.intake.end(state.input_id)
            state.write()
            self._report(state, self._verdict(state, outcome), changed)
        elif state.up:
            self._judge_slowness(state, outcome)
            self._judge_share(state, outcome, total)
            self._judge_refusal(state, outcome)
        elif isinstance(outcome, script.Down):
            self._report(state, script.verdict_on(state.ip, state.input_id, outcome), changed)
        elif state.hold:
            message = "it comes and goes, and must be good for %g s first" % state.hold
            down = script.Down("flapping", message, outcome.pipeline)
            self._report(state, script.verdict_on(state.ip, state.input_id, down), changed)
        if state.up:
            self._release_kept()

    def _keep_one(self, state):
        """Where the input is up on no node any more, one stays in the pool: this one, where it was up last, or rather one
        that only a refused probe speaks against, or that is not in maintenance where this one is."""
        state.kept = False
        if any(other.up for other in self.states):
            return
        likely = [other for other in self.states if isinstance(other.outcome, script.PortRefused)]
        why = "only a refused probe speaks against it"
        if not likely and state.in_maintenance():
            likely = [
                other for other in self.states if other.listed is not None and not other.in_maintenance()
            ]
            why = "the other nodes are in maintenance"
        if not likely or state in likely:
            state.kept = True
            return
        likely[0].kept = True
        likely[0].write()
        self._list(likely[0], dict(likely[0].listed, kept=True))
        self._tell(likely[0], "in the pool, as the last one: " + why)

    def _report(self, state, verdict, changed):
        """Lists the verdict where it is new, and tells the journal where `up` has changed, or the kind of reason."""
        if state.kept:
            verdict["kept"] = True
        before = state.listed
        if verdict != before:
            self._list(state, verdict)
        if before is None or before["reason"] != verdict.get("reason"):
            state.reason_since = script.clock()
        # A service that has just started finds what is down already, and that is no news.
        if changed or (before is not None and kind_of(verdict["reason"]) != kind_of(state.journaled)):
            self.tell_verdict(state, verdict)
        elif before is None:
            state.journaled = verdict["reason"]

    def tell_verdict(self, state, verdict):
        """Writes it to the journal."""
        state.journaled = verdict.get("reason")
        suffix = "; it stays in the pool, as the last one" if state.kept else ""
        if verdict["state"] == "up":
            common = "are up"
        else:
            common = "are down: %s%s" % (script.REASONS[verdict["reason"]], suffix)
        self.journal.add(state, script.describe(verdict) + suffix, common)

    def _tell(self, state, what):
        self.journal.add(state, "%s at %s is %s" % (state.input_id, state.ip, what), "are " + what)

    def _list(self, state, verdict):
        state.listed = verdict if "reason" in verdict else None
        self.reasons.record(verdict)

    def _verdict(self, state, outcome):
        """As data, with what only several polls show of an input that is up."""
        verdict = script.verdict_on(state.ip, state.input_id, outcome)
        if state.slowness.slow:
            message = "its queue is full, though events leave it"
            verdict.update(state="slow", reason="queue_full", message=message)
        elif state.share < 100:
            message = "coming back at %d %% of its weight, until its Logstash is warm" % state.share
            verdict.update(reason="slow_start", message=message)
        return verdict

    def _others(self, state):
        """The other nodes where the input is up."""
        return [other for other in self.states if other is not state and other.up]

    def expected(self, state):
        """The events a second that it would get by its weight."""
        others = self._others(state)
        weights = state.weight + sum(other.weight for other in others)
        return self._rate(state, others) * state.weight / weights if weights else 0.0

    def _rate(self, state, others):
        """The events a second that the input gets at these nodes."""
        return (state.rate() or 0.0) + sum(other.rate() or 0.0 for other in others)

    def _share(self, state, total):
        """The percent of its weight that a node gets, which would get `total` events a second by all of its weights. One
        node always has its full weight."""
        others = self._others(state)
        if state.reduction is None or state.holds is None or total is None:
            return 100
        if not any(other.share == 100 and other.weight for other in others):
            return 100
        if any(other.rate() is None for other in others):  # this service has just started
            return state.share
        own = self.expected(state)
        allowed = self.cold.allowed(own, total, state.holds, state.intake.taken)
        if allowed is None:
            return 100
        weights = sum(other.weight * other.share / 100.0 for other in others)
        return slow_start.percent(allowed, self._rate(state, others), state.weight, weights)

    def _judge_share(self, state, outcome, total):
        if not isinstance(outcome, script.Up):
            return
        before, state.share = state.share, self._share(state, total)
        state.write_reduction()
        if state.share == before or state.slowness.slow:
            return
        verdict = self._verdict(state, outcome)
        self._list(state, verdict)
        if before == 100:
            self.journal.add(state, script.describe(verdict), "are up: " + script.REASONS["slow_start"])
        elif state.share == 100:
            self._tell(state, "warm, and has its full weight")

    def _judge_slowness(self, state, outcome):
        if not isinstance(outcome, script.Up) or not state.slowness.update(outcome.queue_full()):
            return
        verdict = self._verdict(state, outcome)
        if state.slowness.slow:
            common = "are slow: %s" % script.REASONS["queue_full"]
            self.journal.add(state, script.describe(verdict), common)
        else:
            self._tell(state, "no longer slow")
        self._list(state, verdict)

    def _judge_refusal(self, state, outcome):
        """Lists an input that is up, but whose probes a firewall rejects; being slow is listed rather than that."""
        listed = state.listed is not None and state.listed["reason"] == "probe_refused"
        held_back = state.slowness.slow or state.share < 100
        if held_back or not isinstance(outcome, script.Up) or outcome.probe_refused == listed:
            return
        verdict = script.verdict_on(state.ip, state.input_id, outcome)
        self._list(state, verdict)
        common = (
            script.REASONS["probe_refused"] if outcome.probe_refused else "no probe of their ports is refused"
        )
        self.journal.add(state, script.describe(verdict), "are up: " + common)

    def _release_kept(self):
        """The input is up on a node, so the last one of before need not stay in the pool."""
        for other in self.states:
            if other.kept:
                other.kept = False
                other.write()
                self._list(other, {key: other.listed[key] for key in other.listed if key != "kept"})
                self._tell(other, "out of the pool")


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
        self.flag = FlagFile(link["fault"]) if link["fault"] is not None else None
        self.reload = request
        self.interface = link["interface"]
        self.addresses = link["addresses"]
        self.title = title
        self.sockets = AdvertSockets(vips)
        self.held = self.flag is not None and self.flag.raised
        """Whether this node should take no part."""
        self.ready_since = None
        """Since when the link is up and the node has its addresses there."""
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
            self.ready_since = None
            self._hold("%s is down" % self.title)
            return LOOK
        missing = self.missing_address()
        if self.renewed:
            self._hold("%s was made anew" % self.interface)
        elif missing is not None:
            # keepalived keeps the VIP, or takes it again, and nothing that comes there can be sent on.
            self._hold("the node does not have its address %s" % missing)
        elif self.sockets.missing_for_long() and self._may_ask():
            self._hold("keepalived has no socket for VRRP")
        if not self.held:
            return LOOK
        if missing is not None:
            self.ready_since = None
            return TICK
        now = script.clock()
        if self.ready_since is None:
            self.ready_since = now
        # No advert has come in before keepalived had its sockets, however long its start takes.
        end = max(self.ready_since, self.sockets.there_since or 0) + LINK_HOLD
        if now < end:
            return min(end - now, LOOK)
        if self._starting() or self._reloading():
            return TICK
        self._release()
        return LOOK

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


class Maintenance(threading.Thread):
    """Keeps keepalived in FAULT while this node is in maintenance: another one has the VIP, and keeps it over a reboot."""

    def __init__(self, own, flag):
        super(Maintenance, self).__init__()  # noqa: UP008
        self.daemon = True
        self.own = own
        self.flag = FlagFile(flag)
        self.update()  # keepalived starts after this service

    def update(self):
        text = script.maintenance_of(self.own)
        if (text is not None) != self.flag.raised:
            self.flag.write(text is not None)
            script.print_line(
                "the maintenance of this node is over: keepalived takes part again"
                if text is None
                else "this node is %s: keepalived takes no part" % text,
                to=2,
            )

    def run(self):
        try:
            while True:
                time.sleep(LOOK)
                self.update()
        except EnvironmentError as error:
            script.print_line("the flag of the maintenance can't be written: %s" % error, to=2)


class AccessFiles(object):  # noqa: UP004
    """How the nodes' APIs are asked, by the files that the deploy writes: read again when they change."""

    def __init__(self, path, previous):
        self.path = path
        self.previous = previous
        self.lock = threading.Lock()
        self.read_as = None
        self.ways = []

    def read(self):
        """The ways to ask an API: as it should be; as it was before the deploy; and without TLS and a login."""
        with self.lock:
            try:
                status = os.stat(self.path)
                now = (status.st_ino, status.st_mtime)
            except EnvironmentError:  # as before a deploy
                now = ()
            if now != self.read_as:
                ways = []
                for path in (self.path, self.previous, ""):
                    access = self._read(path)
                    if not any(access.same(other) for other in ways):
                        ways.append(access)
                self.read_as, self.ways = now, ways
            return self.ways

    def _read(self, path):
        try:
            return script.read_access(path)
        except ValueError as error:
            script.print_line("%s: %s" % (path, error), to=2)
            return script.Access()


class NodeApi(object):  # noqa: UP004
    """The API of one node. While a deploy changes how APIs are asked, some nodes are still asked as before: until a node has
    answered as it should, the other ways count, too. A login only goes the way that it belongs to."""

    def __init__(self, files):
        self.files = files
        self.ways = None
        self.changed = False
        """Whether the node has answered in the way that it should."""

    def ask(self, ip, timeout):
        """The API's answer; raises `script.Down`."""
        ways = self.files.read()
        if ways is not self.ways:
            self.ways, self.changed = ways, False
        candidates = ways[:1] if self.changed else ways
        deadline = script.clock() + timeout
        first = None
        for number, access in enumerate(candidates):
            if first is not None and access.login and not access.ca and first.reason in script.OVER_TLS:
                continue  # it has changed to TLS: the login of before would go there where everybody can read it
            share = (deadline - script.clock()) / (len(candidates) - number)
            try:
                stats = script.ask(ip, max(share, script.CONNECT_TIMEOUT), access)
            except script.Down as down:
                first = first or down
                if down.reason not in script.OTHER_ACCESS:
                    raise
                continue
            self.changed = number == 0
            return stats
        raise first


class NodePoller(threading.Thread):
    """The polls of one node: one that hangs delays no other's."""

    def __init__(self, settings, ip, verdicts, access):
        super(NodePoller, self).__init__()  # noqa: UP008
        self.daemon = True
        self.ip = ip
        self.interval = settings["interval"]
        self.timeout = settings["timeout"]
        self.verdicts = verdicts
        self.states = {}
        self.probes = {}
        self.api = NodeApi(access)
        self.kernel = listeners.Kernel() if ip == settings["own"] else None
        intake = slow_start.Intake()
        for input_id, input_settings in settings["nodes"][ip].items():
            listed = verdicts.reasons.verdicts.get((input_id, ip))
            state = InputState(ip, input_id, input_settings, listed, intake)
            self.states[input_id] = state
            self.probes[input_id] = [
                self._probe(settings["own"], each["protocol"], each["port"])
                for each in input_settings["sockets"]
                if ip == settings["own"] or (each["probe"] and each["protocol"] == "udp")
            ]
            verdicts.add(state)
        self.heard = {}
        """By input id: what counts as long as it holds, whatever a poll says."""
        self.relaxed = False
        """Whether the node's own service tells what it finds."""
        self.bound = frozenset()
        """Of this service's own node: the inputs at whose ports something listens, by the kernel's list of sockets."""
        self.decided = False
        """Whether each input has had a verdict that no poll opposed."""
        self.polls, self.poll_seconds = 0, 0.0
        """How many polls there have been, and how long they have taken."""
        self.due = threading.Event()
        """Set when the next poll should not wait."""
        self.last_poll = script.clock()
        """When the last poll was over."""

    def _probe(self, own, protocol, port):
        """A probe of a port. This node's own kernel knows what listens there, and no other node opens a connection only
        to drop it: many inputs take that for a fault of a sender's, and say so in their logs. A node's own service tells
        the others what it finds."""
        if self.ip == own:
            return listeners.OwnPort(self.kernel, own, protocol, port)
        return script.PortProbe(self.ip, protocol, port)

    def run(self):
        next_poll = script.clock()
        try:
            while True:
                self.due.clear()
                self.poll()
                next_poll = max(next_poll + self._interval(), script.clock())
                if self.due.wait(max(0, next_poll - script.clock())):
                    next_poll = script.clock()
        except EnvironmentError as error:
            script.print_line("the verdict can't be written: %s" % error, to=2)

    def _interval(self):
        settled = self.relaxed and all(state.settled() for state in self.states.values())
        return max(RELAXED, self.interval) if settled else self.interval

    def poll(self):
        # What a node's own service says of its maintenance counts more than the file here, which may have been left behind.
        start = script.clock()
        outcomes = script.check_inputs(
            self.ip, list(self.states), self.probes, self.timeout, self.api.ask, in_maintenance=self.relaxed
        )
        self.polls, self.poll_seconds = self.polls + 1, self.poll_seconds + script.clock() - start
        for input_id, state in self.states.items():
            vouched = self.relaxed or input_id in self.bound
            outcomes[input_id] = state.weigh(outcomes[input_id], vouched)
        outcomes.update(self.heard)
        self._judge(outcomes)
        self.verdicts.report_rest(self.states.values())
        self.decided = self.decided or all(state.opposing_polls == 0 for state in self.states.values())
        self.last_poll = script.clock()

    def _judge(self, outcomes):
        known = [input_id for input_id in outcomes if input_id in self.states]
        self.verdicts.judge([(self.states[input_id], outcomes[input_id]) for input_id in known])

    def hear(self, heard):
        """Takes in which inputs are down for certain, by what this node's kernel or the node's own service says."""
        reasons = {input_id: down.reason for input_id, down in self.heard.items()}
        news = {input_id: down for input_id, down in heard.items() if reasons.get(input_id) != down.reason}
        if not news and len(heard) == len(self.heard):
            return
        self.heard = heard
        self._judge(news)
        self.due.set()

    def lose(self, gone):
        """The node's own service is no longer heard; `gone`: its kernel is silent, too."""
        self.heard = {}
        if gone:
            silent = script.DefinitelyDown("silent", "the node is silent: it is off or cut off")
            self._judge(dict.fromkeys(self.states, silent))
        self.due.set()

    def healthy(self):
        longest = max(RELAXED, self.interval) + self.timeout + POLL_GRACE
        return self.is_alive() and script.clock() < self.last_poll + longest


def notify(message):
    """Tells systemd, if that has started this program (sd_notify(3))."""
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


def supervise(pollers, others, reasons):
    """Starts the threads, and gives the signs of life. Returns when one of the threads has ended."""
    threads = pollers + others
    for thread in threads:
        thread.start()
    ready = False
    while all(thread.is_alive() for thread in threads):
        if not ready and all(poller.decided for poller in pollers):
            ready = True
            notify("READY=1")
        if all(poller.healthy() for poller in pollers):
            notify("WATCHDOG=1")
            try:
                reasons.show_life()
            except EnvironmentError as error:
                message = "the sign of life can't be written to %s: %s"
                script.print_line(message % (reasons.path, error.strerror), to=2)
                return
        time.sleep(1 if ready else 0.1)


def main(arguments):
    """The exit status: 1 when it can't go on, so that systemd starts it again. Otherwise it does not end."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        script.print_line("usage: logstash_ha_health.py SETTINGS")
        return 0 if arguments in (["-h"], ["--help"]) else 1
    try:
        with io.open(arguments[0], encoding="utf-8") as file:
            settings = json.load(file)
        reasons = ReasonsFile(settings["reasons"])
        cold = slow_start.Cold(settings["cold"]["rate"], settings["cold"]["seconds"])
        verdicts = Verdicts(reasons, cold)
        access = AccessFiles(settings["access"], settings["previous_access"])
        pollers = [NodePoller(settings, ip, verdicts, access) for ip in settings["nodes"]]
        reasons.keep(state for poller in pollers for state in poller.states.values())
        own, links = settings["links"][0], settings["links"][1:]
        titled = [(own, "the link")] + [(link, "the link of %s" % link["interface"]) for link in links]
        own_channel = Channel(settings, pollers)
        monitors = [LinkMonitor(link, title, settings["reload"], settings["vips"]) for link, title in titled]
        others = [own_channel, Maintenance(settings["own"], settings["maintenance"])] + monitors
        if settings["metrics"] is not None:
            others.append(metrics.Writer(settings, verdicts, pollers, own_channel, monitors))
    except KeyError as error:
        script.print_line("%s: the setting %s is missing" % (arguments[0], error.args[0]), to=2)
        return 1
    except (EnvironmentError, ValueError, TypeError, AttributeError) as error:
        script.print_line("%s: %s" % (arguments[0], error), to=2)
        return 1
    supervise(pollers, others, reasons)
    os._exit(1)  # at once: other threads go on, and must not see the interpreter taken down around them


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
