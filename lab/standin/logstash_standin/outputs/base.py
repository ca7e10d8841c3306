"""The base of outputs: they have a codec, and write a batch of events at a time."""

from collections.abc import Mapping
from typing import Any

from ..codecs import Codec, make_codec
from ..event import Event
from ..options import Option, extend
from ..plugin import Context, Plugin


class Output(Plugin):
    """An output. An error that it raises ends the pipeline, as in the real one."""

    SECTION = "output"
    OPTIONS = extend(Plugin.OPTIONS, workers=Option("number", 1), codec=Option("codec", "plain"))

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self.codec: Codec = make_codec(
            options["codec"],
            context.event_factory,
            lambda name: context.log.logger(name, context.pipeline_id),
        )

    def receive(self, events: list[Event]) -> None:
        """Write events."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is buffered, and close files."""
