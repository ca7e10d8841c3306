"""Simple outputs: stdout, null, and the lab's own chaos."""

import sys

from ..event import Event
from ..options import Option, extend
from .base import Output


class Stdout(Output):
    NAME = "stdout"
    OPTIONS = extend(Output.OPTIONS, codec=Option("codec", "rubydebug"))

    def receive(self, events: list[Event]) -> None:
        sys.stdout.write("".join(self.codec.encode(events)))
        sys.stdout.flush()


class Null(Output):
    NAME = "null"

    def receive(self, events: list[Event]) -> None:
        """Discard events."""


class Chaos(Output):
    """Crashes the pipeline at an event whose message is `crash`. Only the stand-in has this output."""

    NAME = "chaos"

    def receive(self, events: list[Event]) -> None:
        if any(event.get("message") == "crash" for event in events):
            raise RuntimeError("crash, as requested")
