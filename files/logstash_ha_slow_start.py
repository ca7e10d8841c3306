"""Slow start: which part of its weight a node gets whose Logstash has just started.

A JVM that has just started runs most of its code uncompiled, and takes fewer events in a second than later; what comes beyond
them waits in the sockets' receive buffers, and is lost when these are full. Events warm it, waiting does not. So a
node that comes back gets its full weight at once where the present rate is one that a cold Logstash and its buffers can
take. Where it is higher, the node gets half of what they can take, and twice as much each time it has taken so many events as a
cold one takes in all.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010

from __future__ import division, unicode_literals

import check_logstash_input as script

MEASURE = 1.0
"""The least seconds over which a rate is measured."""
RECENT = 5.0
"""Seconds for which a rate counts where later ones are lower: one that has stood still for a moment takes what has come meanwhile."""
WARM = 20
"""After so many times the events of a cold Logstash it is warm at any rate."""
RESTARTS = ("refused", "drained", "silent")
"""The reasons after which a Logstash whose runs have no id may be another one."""


class Cold(object):  # noqa: UP004
    """A Logstash that has just started: for `seconds` it takes `rate` events a second."""

    def __init__(self, rate, seconds):
        self.rate = rate
        self.seconds = seconds
        self.events = rate * seconds

    def warm(self, taken):
        """Whether one that has taken so many events takes them at any rate."""
        return taken >= WARM * self.events

    def allowed(self, own, total, holds, taken):
        """The events a second that an input of it should get; None for all.

        `own` is how many it would get by its weight, and `total` how many all inputs of its node would. Its socket holds
        `holds`, and all inputs have taken `taken` since it started.
        """
        if own <= 0:
            return None
        can_take = self.rate * own / total + holds / self.seconds
        if own <= can_take or self.warm(taken):
            return None
        allowed = can_take / 2 * 2 ** (taken / self.events)
        return allowed if allowed < own else None


def percent(allowed, rate, weight, others):
    """The percent of its weight with which a node gets `allowed` of `rate` events a second beside the weights of others."""
    share = allowed / (rate - allowed) * others / weight
    return max(1, min(100, int(100 * share)))


class Meter(object):  # noqa: UP004
    """What one input counts."""

    def __init__(self):
        self.last = 0
        """The count at the last poll."""
        self.count, self.since = None, 0.0
        """The count that the rate is measured from, and when it was."""
        self.rates = []
        """The last rates, each with when it was measured."""

    def rate(self):
        """Events a second, once that is known: the highest of late."""
        return max(rate for _, rate in self.rates) if self.rates else None

    def update(self, count):
        """Takes in a poll. How many events have come since the last one."""
        now = script.clock()
        growth = count - self.last if count >= self.last else count
        if self.count is None or count < self.count:
            self.count, self.since = count, now
        elif now >= self.since + MEASURE:
            self.rates = [(measured, rate) for measured, rate in self.rates if measured > now - RECENT]
            self.rates.append((now, (count - self.count) / (now - self.since)))
            self.count, self.since = count, now
        self.last = count
        return growth

    def interrupt(self):
        """A poll has no count: the next one begins a measurement."""
        self.count = None


class Intake(object):  # noqa: UP004
    """The events that a node's Logstash takes."""

    def __init__(self):
        self.run = ""
        """The id that Logstash gives itself each time it starts; older ones than 7 have none."""
        self.taken = 0
        """How many it has taken since then."""
        self.meters = {}
        """By input id."""

    def update(self, input_id, outcome):
        """Takes in the outcome of a poll of an input."""
        if not isinstance(outcome, script.Up):
            if not self.run and outcome.reason in RESTARTS:
                self.taken, self.meters = 0, {}
            if input_id in self.meters:
                self.meters[input_id].interrupt()
            return
        if outcome.run != self.run:
            self.run, self.taken, self.meters = outcome.run, 0, {}
        meter = self.meters.setdefault(input_id, Meter())
        self.taken += meter.update(outcome.taken)

    def end(self, input_id):
        """The input is down, and takes nothing."""
        if input_id in self.meters:
            self.meters[input_id].rates = []

    def rate(self, input_id):
        """Events a second of an input; None where that is not known."""
        meter = self.meters.get(input_id)
        return meter.rate() if meter is not None else None
