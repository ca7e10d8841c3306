"""The udp input: a listener that receives datagrams, and workers that decode them."""

import ipaddress
import socket
import threading
from collections.abc import Mapping
from typing import Any

from ..buffer import Buffer
from ..options import Option, extend
from ..plugin import Context
from ..ruby import Raw, bind_error
from .base import Input, java_address

Datagram = tuple[bytes, str]

CHUNK = 64
"""How many datagrams are received or decoded at once."""


class Udp(Input):
    """An input that cannot bind stays listed and tries again. `errors.listener` counts the attempts."""

    NAME = "udp"
    OPTIONS = extend(
        Input.OPTIONS,
        host=Option("string", "0.0.0.0"),
        port=Option("number", required=True),
        buffer_size=Option("number", 65536),
        receive_buffer_bytes=Option("number"),
        workers=Option("number", 2),
        queue_size=Option("number", 2000),
        source_ip_fieldname=Option("string"),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self._sender_field = options["source_ip_fieldname"] or ("[host][ip]" if context.ecs else "host")
        self._received: Buffer[Datagram] = Buffer(options["queue_size"])

    def run(self) -> None:
        self.metrics.gauges |= {name: self.options[name] for name in ("queue_size", "workers")}
        workers = [threading.Thread(target=self._decode) for _ in range(self.options["workers"])]
        for worker in workers:
            worker.start()
        while not self.stopping.is_set():
            try:
                self._listen()
            except OSError as error:
                self._record_failure(bind_error(error, self.options["host"], self.options["port"]))
            except ValueError as error:  # the host is not an address
                self._record_failure(Raw(f"#<IPAddr::InvalidAddressError: invalid address: {error}>"))
        self._received.close()
        for worker in workers:
            worker.join()

    def _record_failure(self, error: Raw) -> None:
        """Log and count a failed bind, and wait before the next attempt."""
        self.log.error("UDP listener died", exception=error, backtrace=[])
        self.metrics.errors["listener"] += 1
        self.stopping.wait(self.context.delays.bind_retry)

    def _listen(self) -> None:
        host, port = self.options["host"], self.options["port"]
        address = f"{host}:{port}"
        self.log.info("Starting UDP listener", address=address)
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as listener:
            if requested := self.options["receive_buffer_bytes"]:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, requested)
            # The kernel doubles the value (socket(7)).
            size = listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
            if requested and size != requested:
                self.log.warn(
                    "Unable to set receive_buffer_bytes to desired size."
                    f" Requested {requested} but obtained {size} bytes."
                )
            if family == socket.AF_INET6:  # Java's sockets accept IPv4, too
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind((host, port))
            listener.setblocking(False)
            self.log.info(
                "UDP listener started",
                address=address,
                receive_buffer_bytes=str(size),
                queue_size=str(self.options["queue_size"]),
            )
            while self.wait_readable(listener.fileno()):
                datagrams = self._receive(listener)
                self._received.put(datagrams)
                self.context.delays.warm_up.take(len(datagrams))

    def _receive(self, listener: socket.socket) -> list[Datagram]:
        datagrams: list[Datagram] = []
        limit = self.context.delays.warm_up.most(CHUNK)
        while len(datagrams) < limit:
            try:
                payload, sender = listener.recvfrom(self.options["buffer_size"])
            except BlockingIOError:
                break
            if payload:  # the real one makes no event of an empty datagram
                datagrams.append((payload, java_address(sender[0])))
        return datagrams

    def _decode(self) -> None:
        codec = self.codec.copy()
        while datagrams := self._received.take(CHUNK):
            events = []
            for payload, sender in datagrams:
                try:
                    decoded = [*codec.decode(payload), *codec.flush()]
                except Exception as error:  # a datagram that cannot be decoded does not stop the worker
                    self.log.error("Exception in inputworker", exception=error, backtrace=[])
                    self.metrics.errors["worker"] += 1
                    continue
                for event in decoded:
                    if event.get(self._sender_field) is None:
                        event.set(self._sender_field, sender)
                events += decoded
            self.push(events)
