"""The base of outputs: they have a codec, and write a batch of events at a time."""

from ..event import Event
from ..options import Option, extend
from ..plugin import CodecPlugin


class Output(CodecPlugin):
    """An output. An error that it raises ends the pipeline, as in the real one."""

    SECTION = "output"
    OPTIONS = extend(CodecPlugin.OPTIONS, workers=Option("number", 1), codec=Option("codec", "plain"))

    def receive(self, events: list[Event]) -> None:
        """Write events."""
        raise NotImplementedError
