"""The stdin input: each line is an event, until standard input ends."""

import os

from ..event import Event
from ..options import Option, extend
from .base import Input


class Stdin(Input):
    NAME = "stdin"
    OPTIONS = extend(Input.OPTIONS, codec=Option("codec", "line"))

    def run(self) -> None:
        while self.wait_readable(0):
            data = os.read(0, 65536)
            if not data:
                break
            self.push([self._with_host(event) for event in self.codec.decode(data)])
        self.push([self._with_host(event) for event in self.codec.flush()])

    def _with_host(self, event: Event) -> Event:
        event.set("[host][hostname]" if self.context.ecs else "host", self.context.hostname)
        return event
