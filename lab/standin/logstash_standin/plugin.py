"""The base of inputs, filters and outputs: options, an id, metrics and a logger."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .delays import Delays
from .event import Event, EventFactory
from .log import Log
from .metrics import PluginMetrics
from .options import Option
from .version import Version

DECORATIONS: Mapping[str, Option] = {
    "add_field": Option("hash"),
    "tags": Option("array"),
    "type": Option("string"),
}
"""The options of an input that `decorate` applies."""


@dataclass(frozen=True)
class Context:
    """The data that all plugins of a pipeline share."""

    version: Version
    delays: Delays
    log: Log
    pipeline_id: str
    event_factory: EventFactory
    hostname: str = socket.gethostname()

    @property
    def ecs(self) -> bool:
        return self.event_factory.ecs


class Plugin:
    """The base of all plugins. `OPTIONS` are those of the real plugin's options that the stand-in accepts."""

    SECTION: ClassVar[str]
    NAME: ClassVar[str]
    IMPLEMENTED: ClassVar[bool] = True
    """Whether the plugin does what the real one does. If not, it accepts any option and has no effect."""
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
        if not self.IMPLEMENTED:
            self.log.warn("The stand-in does not implement this plugin: it has no effect")


def decorate(event: Event, options: Mapping[str, Any]) -> None:
    """Apply an input's options `type`, `tags` and `add_field` to an event."""
    if options["type"] and event.get("type") is None:
        event.set("type", options["type"])
    for tag in options["tags"] or ():
        event.tag(tag)
    for name, value in (options["add_field"] or {}).items():
        event.add(name, value)
