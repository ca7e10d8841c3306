"""The files by which keepalived follows the health service: flags and percents. And the flag of this node's maintenance.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP020, UP024, UP031

from __future__ import unicode_literals

import io
import os
import threading
import time

import check_logstash_input as script

RESTS_AFTER = 30.0
"""Seconds after which a percent of 0 is no longer written out, while keepalived looks at it every second."""
LOOK = 0.5
"""Seconds between two looks at what others change: a flag, the file of a maintenance, and keepalived's sockets."""


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
    """A file with a percent that keepalived follows. For 0 it is empty, but only some time after another one: by an empty
    file, the check of keepalived 1.3.5 leaves a weight as it is, since that logs each check that says a weight."""

    def __init__(self, path):
        super(PercentFile, self).__init__(path)  # noqa: UP008
        with io.open(path, "rb") as file:
            content = file.read().strip()
        self.percent = int(content) if content.isdigit() else 0
        self.renew()

    def renew(self):
        """keepalived looks at it from now on."""
        self.since = script.clock()

    def write(self, percent):
        if percent != self.percent:
            self.percent = percent
            self._write(("%d\n" % percent).encode("ascii"))
            self.renew()
        elif percent == 0 and self.raised and script.clock() >= self.since + RESTS_AFTER:
            self._write(b"")


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
