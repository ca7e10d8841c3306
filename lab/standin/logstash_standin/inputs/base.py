"""What every input has: a codec, a way to be stopped, and the pipeline's queue to push to."""

import functools
import ipaddress
import os
import select
import threading
from collections.abc import Mapping
from typing import Any

from ..buffer import Buffer
from ..codecs import Codec, build
from ..event import Event
from ..metrics import PipelineMetrics, Timed
from ..options import Option, extend
from ..plugin import ADDITIONS, Context, Plugin, decorate


@functools.lru_cache(maxsize=1024)
def written(address: str) -> str:
    """A sender's address as Java writes it: IPv6 without `::`, and IPv4 as such, also where it came by a `::`."""
    bare, scope, zone = address.partition("%")
    parsed = ipaddress.ip_address(bare)
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return ":".join(f"{int(group, 16):x}" for group in parsed.exploded.split(":")) + scope + zone


class Input(Plugin):
    """An input runs in a thread of its own from `run` until `stop` was called."""

    SECTION = "input"
    OPTIONS = extend({**Plugin.OPTIONS, **ADDITIONS}, codec=Option("codec", "plain"))

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self.codec: Codec = build(
            options["codec"], context.maker, lambda name: context.log.logger(name, context.pipeline_id)
        )
        self.stopping = threading.Event()
        self._bell = -1
        self._bell_lock = threading.Lock()

    def attach(self, queue: Buffer[Event], *totals: PipelineMetrics) -> None:
        """Before anything else: where events go, and where all of them are counted."""
        self._queue, self._totals = queue, totals
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)

    def register(self) -> None:
        """What comes before any input of the pipeline runs. Raises `ConfigurationError`."""

    def run(self) -> None:
        """Push events until there are no more or `stop` was called. What it raises makes it run again."""
        raise NotImplementedError

    def stop(self) -> None:
        """Make `run` return soon; everything it has taken in still goes to the queue."""
        with self._bell_lock:
            if not self.stopping.is_set():
                self.stopping.set()
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Give back what the input holds; after `run` has returned, or where it never began."""
        with self._bell_lock:
            self.stopping.set()
            if self._bell >= 0:
                os.close(self._bell)

    def ready(self, descriptor: int) -> bool:
        """Wait until a file can be read; false once `stop` was called."""
        poll = select.poll()
        for each in (descriptor, self._bell):
            poll.register(each, select.POLLIN)
        poll.poll()
        return not self.stopping.is_set()

    def push(self, events: list[Event]) -> None:
        """Decorate events and hand them to the pipeline, waiting while its queue is full."""
        if not events:
            return
        for event in events:
            decorate(event, self.options)
        with Timed(self.metrics.queue_push, *(total.queue_push for total in self._totals)):
            self._queue.put(events)
        self.metrics.went_out.add(len(events))
        for total in self._totals:
            total.came_in.add(len(events))
