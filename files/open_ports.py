"""Prints the addresses at which a port is open: `verify.py --send` runs it on a sender, to see what that can reach.

Usage: open_ports.py PORT ADDRESS...

Prints each address that accepts a TCP connection within a second, and the sender's own address for it, one a line.

One file, standard library only, for Python 2.7 and 3.
"""
# ruff: noqa: SIM105, UP024, UP031

import select
import socket
import sys
import time

TIMEOUT = 1.0

pending = {}
for address in sys.argv[2:]:
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect((address, int(sys.argv[1])))
    except socket.error:  # under way, or there is no route: getpeername tells
        pass
    pending[connection] = address
end = time.time() + TIMEOUT
while pending and time.time() < end:
    for connection in select.select([], list(pending), [], max(0, end - time.time()))[1]:
        address = pending.pop(connection)
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            try:
                connection.getpeername()
                print("%s %s" % (address, connection.getsockname()[0]))
            except socket.error:  # it was never under way
                pass
        connection.close()
