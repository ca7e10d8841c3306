"""The base of inputs: they have a codec, push to the pipeline's queue, and can be stopped."""

import functools
import ipaddress
import os
import select
import threading
from collections.abc import Mapping
from typing import Any

from ..buffer import Buffer
from ..event import Event
from ..metrics import PipelineMetrics, Timed
from ..options import Option, extend
from ..persisted import PersistedQueue
from ..plugin import CodecPlugin, Context


@functools.lru_cache(maxsize=1024)
def java_address(address: str) -> str:
    """A sender's address in Java's notation: IPv6 without `::`, and an IPv4-mapped address as IPv4."""
    bare, scope, zone = address.partition("%")
    parsed = ipaddress.ip_address(bare)
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return ":".join(f"{int(group, 16):x}" for group in parsed.exploded.split(":")) + scope + zone


class Input(CodecPlugin):
    """An input. `run` is called in a thread of its own and returns after `stop` has been called."""

    SECTION = "input"
    OPTIONS = extend(
        CodecPlugin.OPTIONS,
        codec=Option("codec", "plain"),
        add_field=Option("hash"),
        tags=Option("array"),
        type=Option("string"),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self.stopping = threading.Event()
        self._stop_event = -1
        self._stop_lock = threading.Lock()

    def attach(self, queue: Buffer[Event] | PersistedQueue, *totals: PipelineMetrics) -> None:
        """Set the queue for events and the metrics that count them, before anything else is called."""
        self._queue, self._totals = queue, totals
        self._stop_event = os.eventfd(0, os.EFD_NONBLOCK)

    def register(self) -> None:
        """Prepare, before any input of the pipeline runs. Raises `ConfigurationError`."""

    def run(self) -> None:
        """Push events until there are no more or `stop` is called. After an error it is called again."""
        raise NotImplementedError

    def stop(self) -> None:
        """Make `run` return soon. Everything it has received still goes to the queue."""
        with self._stop_lock:
            if not self.stopping.is_set():
                self.stopping.set()
                os.eventfd_write(self._stop_event, 1)

    def close(self) -> None:
        with self._stop_lock:
            self.stopping.set()
            if self._stop_event >= 0:
                os.close(self._stop_event)

    def wait_readable(self, descriptor: int) -> bool:
        """Wait until a file can be read. False once `stop` has been called."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._stop_event, select.POLLIN)
        poll.poll()
        return not self.stopping.is_set()

    def push(self, events: list[Event]) -> None:
        """Decorate events and put them into the pipeline's queue. Waits while it is full."""
        if not events:
            return
        for event in events:
            self._decorate(event)
        with Timed(self.metrics.queue_push, *(total.queue_push for total in self._totals)):
            self._queue.put(events)
        self.metrics.events_out.add(len(events))
        for total in self._totals:
            total.events_in.add(len(events))

    def _decorate(self, event: Event) -> None:
        """Apply the options `type`, `tags` and `add_field` to an event."""
        if self.options["type"] and event.get("type") is None:
            event.set("type", self.options["type"])
        for tag in self.options["tags"] or ():
            event.tag(tag)
        for name, value in (self.options["add_field"] or {}).items():
            event.add(name, value)
