"""A Beat on the sender: it publishes numbered events in windows over one connection, until it is told to stop.

Usage: beat.py ADDRESS PORT MARK [CA NAME CERTIFICATE]

As Beats do, it keeps its connection for as long as that works, and then connects anew and sends again what was not acknowledged.
CERTIFICATE is a file with its own certificate and key. Prints a JSON object: how many events were acknowledged, how many
connections it took, and why the others ended.
"""

from __future__ import annotations

import json
import select
import ssl
import sys

from lumberjack import Client, LumberjackError  # type: ignore[import-not-found]  # beside this file on the sender

WINDOW = 5
PAUSE = 0.1
"""Seconds between two windows."""
TIMEOUT = 5.0
"""Seconds that it waits for a connection, and for an acknowledgement; real Beats wait 30."""

address, port, mark, *tls = sys.argv[1:]
options = {}
if tls:
    context = ssl.create_default_context(cafile=tls[0])
    context.load_cert_chain(tls[2])
    options = {"context": context, "name": tls[1]}


def stopped(seconds: float) -> bool:
    """Whether standard input says so, within these seconds."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


done, connections = 0, 0
faults: list[str] = []
while not stopped(0):
    try:
        with Client(address, int(port), timeout=TIMEOUT, **options) as client:
            connections += 1
            before = done
            while not stopped(PAUSE):
                try:
                    client.publish([{"message": f"{mark}-{done + number}"} for number in range(WINDOW)])
                finally:
                    done = before + client.acknowledged
            break
    except (OSError, LumberjackError) as error:
        faults.append(str(error))
        if stopped(PAUSE):
            break
print(json.dumps({"published": done, "connections": connections, "faults": faults}))
