"""The snmptrap input: an event for each notification of SNMP 2c (RFC 1901, RFC 3416) that comes in a datagram, or from
Logstash 8.15 on over TCP (RFC 3430)."""

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import ConfigurationError
from ..event import Event
from ..options import Option, extend
from ..plugin import Context
from ..ruby import bind_error, inspect
from ..version import Version
from .base import Input
from .datagrams import bind_datagrams, receive
from .stream import Sender, Stream

INTEGRATION = (8, 15)
"""The first version with the plugin of the SNMP integration: it knows TCP, and binds its UDP port before the pipeline starts."""
MAX_DATAGRAM = 65507
MAX_MESSAGE = 65535
"""Bytes of a message over TCP; a longer one ends its connection."""
IDLE_TIMEOUT = 60.0
"""Seconds after which a TCP connection without a message is closed."""
_SMALLEST_HEAD = 6
"""The bytes of a message that come before its length is looked at: its tag, and all that a length can have."""
_INTEGER, _STRING, _NULL, _OID, _SEQUENCE, _ADDRESS = 0x02, 0x04, 0x05, 0x06, 0x30, 0x40
_UNSIGNED = (0x41, 0x42, 0x43, 0x46)
"""Counter32, Gauge32, TimeTicks and Counter64."""
_VERSION_2C = 1
_TRAP = 0xA7
"""SNMPv2-Trap-PDU."""


class Trap(NamedTuple):
    """A notification."""

    community: str
    request_id: int
    bindings: dict[str, Any]
    """The values by object identifier, which no MIB translates here."""


class Snmptrap(Stream):
    """One whose port is taken tries again, and the API counts no error. But from 8.15 on, a UDP port that is taken keeps the whole
    pipeline from starting."""

    NAME = "snmptrap"
    OPTIONS = extend(
        Input.OPTIONS,
        host=Option("string", "0.0.0.0"),
        port=Option("number", 1062),
        community=Option("array", ["public"]),
        yamlmibdir=Option("string"),
    )
    OPTIONS_SINCE_INTEGRATION = extend(
        OPTIONS,
        supported_transports=Option("array", ["udp"]),
        supported_versions=Option("array", ["1", "2c"]),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self._udp: socket.socket | None = None

    @classmethod
    def accepted(cls, version: Version) -> Mapping[str, Option]:
        return cls.OPTIONS_SINCE_INTEGRATION if version >= INTEGRATION else cls.OPTIONS

    def register(self) -> None:
        super().register()
        if self.context.version >= INTEGRATION and "udp" in self.options["supported_transports"]:
            try:
                self._udp = bind_datagrams(self.options["host"], self.options["port"])
            except OSError as error:
                raise ConfigurationError(os.strerror(error.errno or 0)) from None

    def run(self) -> None:
        listeners = {"udp": self._listen_udp, "tcp": self._listen_tcp}
        transports = self.options.get("supported_transports", ["udp"])
        threads = [
            threading.Thread(target=self._keep, args=(listeners[name],)) for name in dict.fromkeys(transports)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self) -> None:
        super().close()
        if self._udp is not None:
            self._udp.close()

    def _keep(self, listen: Callable[[str, int], None]) -> None:
        """Listen until `stop` has been called, and again after each failure."""
        host, port = self.options["host"], self.options["port"]
        while not self.stopping.is_set():
            self.log.info("It's a Trap!", host=host, port=port, community=self.options["community"])
            try:
                listen(host, port)
            except OSError as error:
                self.log.warn(
                    "SNMP Trap listener died", exception=bind_error(error, host, port), backtrace=[]
                )
                self.stopping.wait(self.context.delays.bind_retry)

    def _listen_udp(self, host: str, port: int) -> None:
        with self._udp or bind_datagrams(host, port) as listener:
            receive(self, listener, MAX_DATAGRAM, self._take)

    def _listen_tcp(self, host: str, port: int) -> None:
        self.accept(self.bind(host, port))

    def converse(self, connection: socket.socket, sender: Sender) -> None:
        connection.settimeout(IDLE_TIMEOUT)
        rest = b""
        while not self.stopping.is_set() and (data := connection.recv(65536)):
            rest += data
            while (size := message_size(rest)) and len(rest) >= size:
                self._take(rest[:size], sender[0])
                rest = rest[size:]

    def _take(self, datagram: bytes, address: str) -> None:
        try:
            trap = parse(datagram)
        except ValueError as error:
            self.log.error("Failed to create event", exception=error, trap_object=datagram.hex())
            return
        if trap.community in self.options["community"]:
            self.push([self._event(trap, address)])

    def _event(self, trap: Trap, address: str) -> Event:
        text = inspect(
            {
                "error_index": 0,
                "variable_bindings": trap.bindings,
                "error_status": 0,
                "type": "TRAP",
                "error_status_text": "Success",
                "community": trap.community,
                "version": "2c",
                "request_id": trap.request_id,
            }
        )
        event = self.context.event_factory.new_event({**trap.bindings, "message": text})
        event.set("[host][ip]" if self.context.ecs else "host", address)
        return event


def parse(datagram: bytes) -> Trap:
    """A datagram as a notification of SNMP 2c. Raises `ValueError`."""
    (message,) = _items(datagram, (_SEQUENCE,))
    version, community, pdu = _items(message, (_INTEGER, _STRING, _TRAP))
    if _integer(version) != _VERSION_2C:
        raise ValueError(f"version {_integer(version)} of SNMP is not implemented here")
    request_id, _, _, bindings = _items(pdu, (_INTEGER, _INTEGER, _INTEGER, _SEQUENCE))
    values = {}
    for tag, binding in _elements(bindings):
        if tag != _SEQUENCE:
            raise ValueError(f"a binding has the tag {tag:#x}")
        (name_tag, name), (value_tag, value) = _elements(binding)
        if name_tag != _OID:
            raise ValueError(f"a binding's name has the tag {name_tag:#x}")
        values[_identifier(name)] = _value(value_tag, value)
    return Trap(community.decode("utf-8", errors="replace"), _integer(request_id), values)


def message_size(data: bytes) -> int | None:
    """How many bytes the first message in a stream has; None before its length has come. Raises `ValueError`."""
    if len(data) < _SMALLEST_HEAD:
        return None
    start, length = _head(data)
    if start + length > MAX_MESSAGE:
        raise ValueError(f"Received message length {start + length} is greater than {MAX_MESSAGE}")
    return start + length


def _items(data: bytes, tags: tuple[int, ...]) -> list[bytes]:
    """The contents of elements that must have these tags."""
    elements = _elements(data)
    if tuple(tag for tag, _ in elements) != tags:
        raise ValueError(f"tags {[hex(tag) for tag, _ in elements]} instead of {[hex(tag) for tag in tags]}")
    return [content for _, content in elements]


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents, in the basic encoding rules (ITU-T X.690)."""
    elements = []
    while data:
        if len(data) < 2:
            raise ValueError("an element without its length")
        start, length = _head(data)
        if len(data) < start + length:
            raise ValueError("an element is cut off")
        elements.append((data[0], data[start : start + length]))
        data = data[start + length :]
    return elements


def _head(data: bytes) -> tuple[int, int]:
    """Where an element's content begins, and how many bytes it has. Raises `ValueError`."""
    length, start = data[1], 2
    if length & 0x80:
        start += (count := length & 0x7F)
        if not 1 <= count <= 4:
            raise ValueError(f"a length of {count} bytes")
        length = int.from_bytes(data[2:start], "big")
    return start, length


def _value(tag: int, content: bytes) -> Any:
    if tag == _INTEGER:
        return _integer(content)
    if tag in _UNSIGNED:
        return int.from_bytes(content, "big")
    if tag == _OID:
        return _identifier(content)
    if tag == _ADDRESS:
        return ".".join(map(str, content))
    return None if tag == _NULL else content.decode("utf-8", errors="backslashreplace")


def _integer(content: bytes) -> int:
    return int.from_bytes(content, "big", signed=True)


def _identifier(content: bytes) -> str:
    """An object identifier in dotted form: the first byte has its first two numbers."""
    numbers, number = [], 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first, *others = numbers or [0]
    top = min(first // 40, 2)
    return ".".join(map(str, (top, first - 40 * top, *others)))
