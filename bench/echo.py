"""Asks an address for an echo (ICMP) again and again, and tells of each answer when it came and from which MAC.

`python -m bench.echo ADDRESS INTERFACE INTERVAL SECONDS`, as root: a line `MONOTONIC MAC` for each answer. Ends by itself.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from contextlib import suppress

IP, ICMP_REPLY = 0x0800, 0


def main(address: str, interface: str, interval: float, seconds: float) -> None:
    """Prints the answers as they come."""
    asks = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    hears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(IP))
    hears.bind((interface, IP))
    source = socket.inet_aton(address)
    start = due = time.monotonic()
    number = 0
    while (now := time.monotonic()) < start + seconds:
        if now >= due:
            number, due = number + 1, due + interval
            header = struct.pack("!BBHHH", 8, 0, 0, 77, number & 0xFFFF)
            total = sum(struct.unpack("!4H", header))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            with suppress(OSError):  # nobody answers to ARP
                asks.sendto(struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, 77, number & 0xFFFF), (address, 0))
        if select.select([hears], [], [], max(0, due - time.monotonic()))[0]:
            frame = hears.recv(2048)
            if frame[26:30] == source and frame[23] == socket.IPPROTO_ICMP and frame[34] == ICMP_REPLY:
                print(f"{time.monotonic():.4f} {frame[6:12].hex(':')}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
