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
  FILE_CHECK with `weight 0`, or by a MISC_CHECK with `test ! -s FILE`.
- `reduction`: how many percent of its weight the node does not get now; `0` or empty where it gets all. 50 while the queue of
  the input's pipeline is full, though events leave it; others while its Logstash is cold (logstash_ha_slow_start.py).
  keepalived reads it by another FILE_CHECK, or by the exit status of that MISC_CHECK.
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

The services also tell each other what they find on their own nodes (logstash_ha_peers.py): ten times a second, and at
once when an input there goes down: the kernel says when the port of an input on this node is closed. So all directors know
within a tenth of a second that an input has gone, and poll a node that tells them so much only every `RELAXED` seconds. A
node whose service has been silent for three messages, and whose kernel answers no connection either, is gone, and its
inputs are down.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: RUF005, UP010, UP020, UP024, UP031

from __future__ import unicode_literals

import collections
import io
import json
import os
import socket
import sys
import threading
import time

import check_logstash_input as script
import logstash_ha_api as api
import logstash_ha_flags as flags
import logstash_ha_links as links
import logstash_ha_listeners as listeners
import logstash_ha_metrics as metrics
import logstash_ha_peers as peers
import logstash_ha_slow_start as slow_start

FAILURES = 3
SUCCESSES = 2
STEADY_TIME = 60.0
"""An input that goes down within so many seconds after it came up has to be good for a while before it is up again."""
FIRST_HOLD = 1.0
"""Seconds of that while, the first time; each time after it takes twice as long."""
LONGEST_HOLD = 60.0
"""The longest it gets, in seconds."""
RELAXED = 2.0
"""Seconds between two polls of a node whose service tells this one what it finds, as long as all is well there."""
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
LOOK_TIME = 10.0
"""Seconds for which the link has to be there until it says something of a node that none of its answers has come: a network
that has just come up may need some, at boot for instance."""
UNANSWERED = ("network_error", "no_connection")
"""The reasons of a poll that may be this node's own network's."""
BIND_RETRY = 7.0
"""Seconds after a listener's last failure until it counts as bound again: Logstash tries every 5."""
START_REASONS = frozenset(script.NOT_RUNNING).union(["nobody_listens"])
"""What Logstash goes through when it starts, stops or reloads a pipeline."""
OFF_REASONS = frozenset(UNANSWERED).union(["silent"])
"""What is found of a node that is off, in turns, as often as the kernel asks for its address anew."""
NAMED = 5
"""How many inputs a line of the journal names; of more it says how many."""
QUIET = 10.0
"""Seconds for which no reason on a node has changed until the journal has those that a start or a stop leaves behind."""
REFUSED_AFTER = 15.0
"""Seconds for which probes have to be refused until a firewall is the likely cause: a Logstash that stops closes its
ports some seconds before its API."""
REFUSED_APART = 10.0
"""Seconds between two refusals that still count as one: a kernel does not answer each probe."""
POLL_GRACE = 5.0
"""Seconds that a poll may take beyond its interval and timeout; after them there is no sign of life."""


def kind_of(reason):
    """What the journal judges by: the reasons that a start or a stop goes through are of one kind, and those of a node that is
    off are of another one."""
    if reason in OFF_REASONS:
        return "no_connection"
    return "not_running" if reason in START_REASONS else reason


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
        self.down_flag = flags.FlagFile(settings["verdict"])
        path = settings["reduction"]
        self.reduction = flags.PercentFile(path) if path is not None else None
        was_kept = listed is not None and listed["state"] != "slow" and listed.get("kept") is True
        self.kept = was_kept and not self.down_flag.raised
        """Whether keepalived hears that it is up, though it is down: it is up on no other node."""
        self.up = not self.down_flag.raised and not self.kept
        self.known = False
        """Whether this service has had a fair look at the node, and may tell people of it. keepalived hears of it before: a
        node is better left out until it has answered."""
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
        """How often it has gone up or down since it was known."""
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
        self.changes, self.changed_at = self.changes + self.known, time.time()
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
            if self.reduction is not None:
                self.reduction.renew()
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
        """`line` is for this input alone, `common` what it says of several of them. What the journal has already, of this
        service or of the last one, goes on."""
        if state.known or state.journaled is not None:
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
        if not state.known:  # a later poll will
            return
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


class NodePoller(threading.Thread):
    """The polls of one node: one that hangs delays no other's."""

    def __init__(self, settings, ip, verdicts, access, link):
        super(NodePoller, self).__init__()  # noqa: UP008
        self.daemon = True
        self.ip = ip
        self.link = link
        self.interval = settings["interval"]
        self.timeout = settings["timeout"]
        self.verdicts = verdicts
        self.states = {}
        self.probes = {}
        self.api = api.NodeApi(access)
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
        self.looked = False
        """Whether there has been a fair look at the node."""
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
        self.looked = self.looked or self._has_looked(outcomes)
        # What has gone down without a fair look is known only when a poll has agreed since.
        self._know([state for state in self.states.values() if state.up or state.outcome is None])
        self._judge(outcomes)
        self._know([state for state in self.states.values() if state.opposing_polls == 0])
        self.verdicts.report_rest(self.states.values())
        self.decided = self.decided or all(state.opposing_polls == 0 for state in self.states.values())
        self.last_poll = script.clock()

    def _has_looked(self, outcomes):
        """Whether the node has answered, or would have."""
        reasons = {getattr(outcome, "reason", None) for outcome in outcomes.values()}
        return self.relaxed or not reasons.issubset(UNANSWERED) or self.link.there_for(LOOK_TIME)

    def _know(self, states):
        for state in states if self.looked else ():
            state.known = True

    def known(self):
        """Whether people may be told of all of its inputs."""
        return all(state.known for state in self.states.values())

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
        access = api.AccessFiles(settings["access"], settings["previous_access"])
        own, further = settings["links"][0], settings["links"][1:]
        titled = [(own, "the link")] + [(link, "the link of %s" % link["interface"]) for link in further]
        monitors = [
            links.LinkMonitor(link, title, settings["reload"], settings["vips"]) for link, title in titled
        ]
        pollers = [NodePoller(settings, ip, verdicts, access, monitors[0]) for ip in settings["nodes"]]
        reasons.keep(state for poller in pollers for state in poller.states.values())
        own_channel = peers.Channel(settings, pollers)
        others = [own_channel, flags.Maintenance(settings["own"], settings["maintenance"])] + monitors
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
