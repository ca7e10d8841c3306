"""What every input, filter and output has: options, an id, counters, a logger."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .event import Event, Maker
from .knobs import Knobs
from .log import Log
from .metrics import PluginMetrics
from .options import Option
from .version import Version

ADDITIONS: Mapping[str, Option] = {
    "add_field": Option("hash"),
    "tags": Option("array"),
    "type": Option("string"),
}


@dataclass(frozen=True)
class Context:
    """What a pipeline's plugins share."""

    version: Version
    knobs: Knobs
    log: Log
    pipeline_id: str
    maker: Maker
    hostname: str = socket.gethostname()

    @property
    def ecs(self) -> bool:
        return self.maker.ecs


class Plugin:
    """The base of all plugins. `OPTIONS` name what the stand-in plays of the real one's."""

    SECTION: ClassVar[str]
    NAME: ClassVar[str]
    PLAYED: ClassVar[bool] = True
    """Whether it does here what the real one does; else its options are taken as they come."""
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "id": Option("string"),
        "enable_metric": Option("boolean", True),
    }

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        self.options, self.context = options, context
        self.metrics = PluginMetrics(self.NAME, options["id"] or id)
        self.log = context.log.logger(
            f"logstash.{self.SECTION}s.{self.NAME}", context.pipeline_id, self.metrics.id
        )
        if not self.PLAYED:
            self.log.warn("The stand-in does not play this plugin: it does nothing")


def decorate(event: Event, options: Mapping[str, Any]) -> None:
    """Give an event an input's `type`, `tags` and `add_field`."""
    if options["type"] and event.get("type") is None:
        event.set("type", options["type"])
    for tag in options["tags"] or ():
        event.tag(tag)
    for name, value in (options["add_field"] or {}).items():
        event.add(name, value)
