"""Sends numbered events to a cluster: `verify.py --send` runs it on a sender.

Usage: send_events.py TAG COUNT RATE TARGETS

TARGETS is a JSON list of [TARGET-NUMBER, "udp" or "tcp", ADDRESS, PORT, FLOWS, CERTIFICATE, CLIENT]. Each target gets COUNT events,
`TAG TARGET-NUMBER EVENT-NUMBER`, as datagrams or as lines, in turns over FLOWS sockets. RATE is events a second in all.
CERTIFICATE is null, or for TLS the SHA-256 of the certificate that the target must show: no CA need be known here.
CLIENT is whether the target is shown a certificate of the sender's own. Where any is, standard input has a JSON object with the
certificate and its key, in PEM, by TARGET-NUMBER: so they are in no list of processes.

Prints a JSON object for each target, in their order, one a line: `sent`; `refused` (datagrams, by ICMP); `source` (the
address that they came from); `error` (why it stopped early) with its `errno`, both null where nothing failed; and `seconds` that the
sending to all took. SIGTERM ends the sending early, and is no error.

One file, standard library only, for Python 2.7 and 3.
"""
# ruff: noqa: UP004, UP024, UP032

import hashlib
import json
import os
import signal
import socket
import ssl
import sys
import tempfile
import time

TIMEOUT = 5
"""Seconds to wait for a TCP connection, and for room in its buffer."""

tag, count, rate, targets = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4])
clock = getattr(time, "monotonic", time.time)  # Python 2.7 has no time.monotonic


class Target(object):
    def __init__(self, target_number, protocol, address, port, flows, certificate, client):
        self.target_number, self.tcp, self.sockets = target_number, protocol == "tcp", []
        self.sent = self.refused = 0
        self.source = self.error = self.errno = None
        try:
            for _ in range(flows):
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                connection = socket.socket(family, socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM)
                self.sockets.append(connection)
                connection.settimeout(TIMEOUT)
                connection.connect((address, port))  # UDP, too: the kernel then reports refusals
                self.source = connection.getsockname()[0]
                if certificate is not None:
                    self.sockets[-1] = self.secured(
                        connection, certificate, clients[str(target_number)] if client else None
                    )
        except socket.error as error:
            self.fail(error)

    def secured(self, connection, certificate, client):
        context = ssl.SSLContext(getattr(ssl, "PROTOCOL_TLS_CLIENT", ssl.PROTOCOL_SSLv23))
        context.check_hostname = False  # novm: 2.7.9 has it, too
        context.verify_mode = ssl.CERT_NONE  # it must be this one certificate, whoever has signed it
        if client is not None:
            with tempfile.NamedTemporaryFile() as own:  # nobody else may read it, and it is gone at once
                own.write(client.encode())
                own.flush()
                context.load_cert_chain(own.name)
        connection = context.wrap_socket(connection)
        shown = hashlib.sha256(connection.getpeercert(True)).hexdigest()
        if shown != certificate:
            raise ssl.SSLError("another certificate, with the SHA-256 {}".format(shown))
        return connection

    def alert(self, connection):
        """Why the other side has ended a connection with TLS, if it has said so."""
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.recv(1)
        except ssl.SSLError as error:
            return error
        except (socket.error, ValueError):
            pass
        return None

    def fail(self, error):
        if isinstance(error, ssl.SSLError):
            self.error = "TLS: {}".format(getattr(error, "reason", None) or error.args[-1])
            return
        self.errno = error.errno
        self.error = os.strerror(error.errno) if error.errno else "no answer within {} s".format(TIMEOUT)

    def close(self):
        for connection in self.sockets:
            if isinstance(connection, ssl.SSLSocket):
                try:  # what is sent is not read by Logstash where its own last words are not read here
                    connection.unwrap()
                except ssl.SSLError as error:
                    if self.error is None and "ALERT" in str(getattr(error, "reason", None)):
                        self.fail(
                            error
                        )  # of TLS 1.3: it does not like the sender's certificate, and says so late
                except (socket.error, ValueError):
                    pass
            connection.close()

    def send(self, event_number):
        event = "{} {} {}".format(tag, self.target_number, event_number).encode()
        connection = self.sockets[event_number % len(self.sockets)]
        if self.tcp:
            try:
                connection.sendall(event + b"\n")
                self.sent += 1
            except socket.error as error:
                self.fail(self.alert(connection) or error)
            return
        for _ in range(3):
            try:
                connection.send(event)
                self.sent += 1
                return
            except socket.error:  # usually an earlier datagram's refusal: this one was not sent
                self.refused += 1


stopped = []
signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
clients = json.loads(sys.stdin.read()) if any(target[-1] for target in targets) else {}
targets = [Target(*target) for target in targets]
scheduled, start = 0, clock()
for event_number in range(1, count + 1):
    if stopped:
        break
    for target in targets:
        if target.error is None:
            early = start + scheduled / rate - clock()
            if early > 0:  # a call of the system for nothing would make a late sender later
                time.sleep(early)
            scheduled += 1
            target.send(event_number)
seconds = clock() - start
for target in targets:
    target.close()
    result = {key: getattr(target, key) for key in ("sent", "refused", "source", "error", "errno")}
    print(json.dumps(dict(result, seconds=seconds)))
