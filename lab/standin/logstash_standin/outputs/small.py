"""Outputs without a life of their own: stdout and null, and the lab's chaos."""

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
        """Forget them."""


class Chaos(Output):
    """The lab's alone: an event whose message is `crash` makes it raise, and so crashes the pipeline."""

    NAME = "chaos"

    def receive(self, events: list[Event]) -> None:
        if any(event.get("message") == "crash" for event in events):
            raise RuntimeError("crash, as asked for")
