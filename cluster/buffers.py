"""How many events a socket's receive buffer holds, and how large it has to be for a rate. Pure."""

from __future__ import annotations

COLD_SECONDS = 12
"""Seconds for which a Logstash that has just started takes fewer events than later: its JVM still runs most of its code
uncompiled. Measured with Logstash 8.19 at 4,000 events a second, of which it took 1,000."""
DEFAULT_BUFFER = 16 << 20
"""Bytes that a UDP input's socket may hold of waiting events. They are taken only while events wait."""
RMEM_DEFAULT = 212992
"""What a socket may hold without a size of its own, `net.core.rmem_default`: bytes as the kernel counts them."""
LARGEST_BUFFER = (2**31 - 1) // 2
"""The largest `receive_buffer_bytes`: the kernel counts twice as many in an int (socket(7))."""

_FRAGMENT = 1472
"""The most bytes of a datagram that a packet carries."""
_PACKET = 2304
"""Bytes that the kernel counts for each waiting packet, however short, where the network card's driver has buffers for whole
packets. With one that copies short packets, it is less: 1,280 for a datagram of 200 bytes."""


def truesize(event_bytes: int) -> int:
    """Bytes that the kernel counts for a waiting datagram of this size, by many drivers of network cards."""
    return -(-event_bytes // _FRAGMENT) * _PACKET


def held_events(receive_buffer_bytes: int | None, event_bytes: int) -> int:
    """How many waiting events of this size the socket holds. The kernel doubles `receive_buffer_bytes` (socket(7))."""
    counted = RMEM_DEFAULT if receive_buffer_bytes is None else 2 * receive_buffer_bytes
    return counted // truesize(event_bytes)


def needed_buffer(events_per_second: int, event_bytes: int) -> int:
    """The `receive_buffer_bytes`, in whole MiB, that hold the events of `COLD_SECONDS`."""
    needed = -(-events_per_second * COLD_SECONDS * truesize(event_bytes) // 2)
    return -(-needed >> 20) << 20
