"""The syslog input: datagrams, and lines over TCP, in the form of RFC 3164."""

import re
import socket
import threading
from collections.abc import Callable
from functools import partial

from ..event import Event
from ..options import Option, extend
from ..ruby import bind_error
from .base import Input
from .datagrams import bind_datagrams, receive
from .stream import Sender, Stream

FACILITIES = """kernel|user-level|mail|system|security/authorization|syslogd|line printer|network news|UUCP|clock
    |security/authorization|FTP|NTP|log audit|log alert|clock|local0|local1|local2|local3|local4|local5|local6|local7"""
SEVERITIES = "Emergency|Alert|Critical|Error|Warning|Notice|Informational|Debug"
UNKNOWN = 13
"""The priority of a message in another form."""
MAX_DATAGRAM = 65507

_MESSAGE = re.compile(
    r"<(?P<priority>\d+)>(?P<timestamp>[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\S+) (?P<host>\S+) "
    r"(?:(?P<program>[\w./-]+)(?:\[(?P<pid>\d+)\])?: )?(?P<message>.*)",
    re.DOTALL,
)


class Syslog(Stream):
    """Each of its two listeners that can't bind tries again, and `errors.listener` counts the attempts."""

    NAME = "syslog"
    OPTIONS = extend(
        Input.OPTIONS,
        host=Option("string", "0.0.0.0"),
        port=Option("number", 514),
        timezone=Option("string"),
        locale=Option("string"),
        use_labels=Option("boolean", True),
    )

    def run(self) -> None:
        listeners = {"udp": self._listen_udp, "tcp": self._listen_tcp}
        threads = [threading.Thread(target=self._keep, args=item) for item in listeners.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _keep(self, protocol: str, listen: Callable[[str, int], None]) -> None:
        """Listen until `stop` has been called, and again after each failure."""
        host, port = self.options["host"], self.options["port"]
        while not self.stopping.is_set():
            self.log.info(f"Starting syslog {protocol} listener", address=f"{host}:{port}")
            try:
                listen(host, port)
            except OSError as error:
                self.log.warn(
                    "syslog listener died",
                    protocol=protocol,
                    address=f"{host}:{port}",
                    exception=bind_error(error, host, port),
                    backtrace=[],
                )
                self.metrics.errors["listener"] += 1
                self.stopping.wait(self.context.delays.bind_retry)

    def _listen_udp(self, host: str, port: int) -> None:
        with bind_datagrams(host, port) as listener:
            receive(self, listener, MAX_DATAGRAM, self._take)

    def _listen_tcp(self, host: str, port: int) -> None:
        self.accept(self.bind(host, port))

    def converse(self, connection: socket.socket, sender: Sender) -> None:
        self.log.info("new connection", client=f"{sender[0]}:{sender[1]}")
        rest = b""
        while not self.stopping.is_set() and (data := connection.recv(65536)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line + b"\n", sender[0])
        # A last line without its end is lost, as in the real one.
        self.log.info("connection closed", client=f"{sender[0]}:{sender[1]}")

    def _take(self, data: bytes, address: str) -> None:
        codec = self.codec.copy()
        self.push([self._relayed(event, address) for event in (*codec.decode(data), *codec.flush())])

    def _relayed(self, event: Event, address: str) -> Event:
        """Apply what the message says (RFC 3164) to its event; the time stays that of its arrival."""
        ecs = self.context.ecs
        event.set("[host][ip]" if ecs else "host", address)
        found = _MESSAGE.fullmatch(str(event.get("message") or "").rstrip("\n"))
        priority = int(found["priority"]) if found else UNKNOWN
        if found:
            fields = (
                {"[host][hostname]": "host", "[process][name]": "program", "[process][pid]": "pid"}
                if ecs
                else {"logsource": "host", "program": "program", "pid": "pid", "timestamp": "timestamp"}
            )
            for field, name in {**fields, "message": "message"}.items():
                if found[name] is not None:
                    event.set(field, int(found[name]) if ecs and name == "pid" else found[name])
        else:
            event.tag("_grokparsefailure_sysloginput")
        code = partial("[log][syslog][{}][code]".format) if ecs else str
        label = partial("[log][syslog][{}][name]".format) if ecs else "{}_label".format
        event.set("[log][syslog][priority]" if ecs else "priority", priority)
        for name, number, labels in (
            ("facility", priority >> 3, FACILITIES),
            ("severity", priority & 7, SEVERITIES),
        ):
            event.set(code(name), number)
            if self.options["use_labels"] and number < len(known := re.split(r"\s*\|", labels)):
                event.set(label(name), known[number])
        return event
