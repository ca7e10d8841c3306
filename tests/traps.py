"""A notification of SNMP 2c as a device sends it (RFC 3416), in a datagram or over TCP (RFC 3430), for tests."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def element(tag: int, content: bytes) -> bytes:
    """In the basic encoding rules (ITU-T X.690)."""
    length = bytes([len(content)]) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")
    return bytes([tag]) + length + content


def number(value: int, tag: int = 0x02) -> bytes:
    """An INTEGER, or another type of a number."""
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def identifier(text: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *others = map(int, text.split("."))
    content = bytes([40 * first + second])
    for other in others:
        part = bytes([other & 0x7F])
        while other := other >> 7:
            part = bytes([other & 0x7F | 0x80]) + part
        content += part
    return element(0x06, content)


def trap(community: str, values: Mapping[str, str], request_id: int = 1) -> bytes:
    """A message with these values by object identifier, after the two that each notification has."""
    bindings = [
        identifier("1.3.6.1.2.1.1.3.0") + number(4711, 0x43),  # sysUpTime
        identifier("1.3.6.1.6.3.1.1.4.1.0") + identifier("1.3.6.1.6.3.1.1.5.3"),  # snmpTrapOID: linkDown
        *(identifier(name) + element(0x04, value.encode()) for name, value in values.items()),
    ]
    listed = element(0x30, b"".join(element(0x30, binding) for binding in bindings))
    pdu = element(0xA7, number(request_id) + number(0) + number(0) + listed)
    return element(0x30, number(1) + element(0x04, community.encode()) + pdu)


def send_over_tcp(connection: socket.socket, *messages: bytes, piece: int = 65536) -> None:
    """Send messages one right after the other, as a stream has them, so many bytes at a time."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = b"".join(messages)
    for start in range(0, len(stream), piece):
        connection.sendall(stream[start : start + piece])
