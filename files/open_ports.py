"""Tells at which addresses a port is open: `verify.py --send` runs it on a sender, to see what it should not.

Arguments: PORT ADDRESS... Prints those that take a TCP connection within a second, one a line.

One file, standard library only, for Python 2.7 and 3.
"""
# ruff: noqa: SIM105, UP024

import select
import socket
import sys
import time

TIMEOUT = 1.0

asked = {}
for address in sys.argv[2:]:
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect((address, int(sys.argv[1])))
    except socket.error:  # under way, or there is no way: the next question tells
        pass
    asked[connection] = address
end = time.time() + TIMEOUT
while asked and time.time() < end:
    for connection in select.select([], list(asked), [], max(0, end - time.time()))[1]:
        address = asked.pop(connection)
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            try:
                connection.getpeername()
                print(address)
            except socket.error:  # it was never begun
                pass
        connection.close()
