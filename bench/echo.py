"""Sends ICMP echo requests to an IPv4 address, and prints when each reply came and from which MAC address.

`python -m bench.echo ADDRESS INTERFACE INTERVAL SECONDS`, as root: a request every INTERVAL seconds, and a line
`MONOTONIC MAC` for each reply. It ends after SECONDS.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from contextlib import suppress

ETH_P_IP, ICMP_ECHO, ICMP_ECHOREPLY = 0x0800, 8, 0
IDENTIFIER = 77


def echo_request(sequence: int) -> bytes:
    """An ICMP echo request without data (RFC 792), with its checksum (RFC 1071)."""
    total = sum(struct.unpack("!4H", struct.pack("!BBHHH", ICMP_ECHO, 0, 0, IDENTIFIER, sequence & 0xFFFF)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", ICMP_ECHO, 0, ~total & 0xFFFF, IDENTIFIER, sequence & 0xFFFF)


def main(address: str, interface: str, interval: float, seconds: float) -> None:
    """Send requests for so many seconds, and print the replies as they come."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    receiver.bind((interface, ETH_P_IP))
    source = socket.inet_aton(address)
    started = next_request = time.monotonic()
    sequence = 0
    while (now := time.monotonic()) < started + seconds:
        if now >= next_request:
            sequence, next_request = sequence + 1, next_request + interval
            with suppress(OSError):  # no node answers ARP requests for the address
                sender.sendto(echo_request(sequence), (address, 0))
        if select.select([receiver], [], [], max(0, next_request - time.monotonic()))[0]:
            frame = receiver.recv(2048)
            if frame[26:30] == source and frame[23] == socket.IPPROTO_ICMP and frame[34] == ICMP_ECHOREPLY:
                print(f"{time.monotonic():.4f} {frame[6:12].hex(':')}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
