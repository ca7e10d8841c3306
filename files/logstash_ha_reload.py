#!/usr/bin/env python3
"""Has keepalived reloaded, and removes the file by which the health service has asked for that.

Usage: logstash_ha_reload.py VERB REQUEST

VERB is systemctl's, and REQUEST the file. systemd starts this program as root when the file is there.

A reload within keepalived's `vrrp_startup_delay` must not be: 2.2.8 then hears no advert until it is restarted. The deploy
sets none today, but a keepalived that runs may have started with 3 s of it. So this program waits until keepalived's
processes are old enough. Where keepalived does not run, there is nothing to do.

Standard library only, for Python 2.7 and 3.6 to 3.13.
"""
# ruff: noqa: UP010, UP031

from __future__ import unicode_literals

import os
import subprocess
import sys
import time

OLD_ENOUGH = 5
"""Seconds: longer than any `vrrp_startup_delay` that a deploy has set."""
LONGEST = 45
"""Seconds of waiting, within which the health service expects an answer."""
clock = getattr(time, "monotonic", time.time)  # Python 2.7 has no time.monotonic


def show(name):
    """What systemd says of keepalived's unit."""
    command = ["systemctl", "show", "--property", name, "keepalived"]
    return subprocess.check_output(command).decode("ascii").strip().partition("=")[2]


def youngest():
    """The age, in seconds, of the youngest of keepalived's first process and its children, such as the one for VRRP."""
    pid = show("MainPID")
    listed = subprocess.Popen(["ps", "-o", "etimes=", "-p", pid, "--ppid", pid], stdout=subprocess.PIPE)
    ages = listed.communicate()[0].split()
    return min(int(age) for age in ages) if ages else 0


def main(arguments):
    """The exit status."""
    if len(arguments) != 2 or arguments[0].startswith("-"):
        print("usage: logstash_ha_reload.py VERB REQUEST")
        return 0 if arguments in (["-h"], ["--help"]) else 1
    verb, request = arguments
    try:
        end = clock() + LONGEST
        while clock() < end:
            state = show("ActiveState")
            if state not in ("active", "activating", "reloading"):
                return 0
            if state == "active" and youngest() >= OLD_ENOUGH:
                return subprocess.call(["systemctl", verb, "keepalived"])
            time.sleep(0.5)
        print("keepalived does not come up within %d s" % LONGEST)
        return 1
    finally:
        # Always: systemd would start this again and again while the file is there.
        if os.path.lexists(request):
            os.unlink(request)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
