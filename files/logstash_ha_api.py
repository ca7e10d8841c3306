"""How the API of a node is asked: as the deploy has it, and until a node has changed, as before.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP024, UP031

from __future__ import unicode_literals

import os
import threading

import check_logstash_input as script


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
