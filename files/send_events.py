"""Sends numbered events to a cluster and stops: `verify.py --send` runs it on a sender.

Arguments: TAG COUNT RATE ADDRESS PORT... Each port gets COUNT datagrams, `TAG PORT NUMBER`; RATE is datagrams
a second in all. Prints how many were sent, how many the network refused (ICMP), and where they came from.

One file, standard library only, for Python 2.7 and 3.
"""
# ruff: noqa: UP024, UP032

import socket
import sys
import time

tag, count, rate, address = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
clock = getattr(time, "monotonic", time.time)
sockets = []
for port in sys.argv[5:]:
    # Connected: the kernel then tells of refusals.
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.connect((address, int(port)))
    sockets.append((port, connection))

sent = refused = due = 0
start = clock()
for number in range(1, count + 1):
    for port, connection in sockets:
        time.sleep(max(0, start + due / rate - clock()))
        due += 1
        datagram = "{} {} {}".format(tag, port, number).encode()
        for _ in range(3):
            try:
                connection.send(datagram)
                sent += 1
                break
            except socket.error:  # an earlier one's, as a rule: this one has not left
                refused += 1
print("{} {} {}".format(sent, refused, sockets[0][1].getsockname()[0]))
