"""What inputs that take datagrams one by one have in common; the udp input has a queue and workers of its own."""

import ipaddress
import socket
from collections.abc import Callable

from .base import Input, java_address


def bind_datagrams(host: str, port: int) -> socket.socket:
    """A socket that takes datagrams. Raises `OSError`."""
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_DGRAM)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def receive(plugin: Input, listener: socket.socket, size: int, take: Callable[[bytes, str], None]) -> None:
    """Call `take` with each datagram and its sender's address until the plugin is stopped."""
    while plugin.wait_readable(listener.fileno()):
        payload, sender = listener.recvfrom(size)
        take(payload, java_address(sender[0]))
