"""The generator input: it repeats a message."""

from ..options import Option, extend
from .base import Input


class Generator(Input):
    NAME = "generator"
    OPTIONS = extend(Input.OPTIONS, message=Option("string", "Hello world!"), count=Option("number", 0))

    def run(self) -> None:
        """Push `count` messages, or messages without end if it is 0."""
        host, sequence = ("[host][name]", "[event][sequence]") if self.context.ecs else ("host", "sequence")
        number = 0
        while not self.stopping.is_set() and (number < self.options["count"] or not self.options["count"]):
            events = self.codec.decode(self.options["message"].encode())
            for event in events:
                event.set(host, self.context.hostname)
                event.set(sequence, number)
            self.push(events)
            number += 1
