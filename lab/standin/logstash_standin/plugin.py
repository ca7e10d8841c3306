"""The base of inputs, filters and outputs: options, an id, metrics and a logger."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .codecs import Codec, make_codec
from .delays import Delays
from .event import EventFactory
from .log import Log
from .metrics import PluginMetrics
from .options import Option
from .version import Version


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

    @classmethod
    def accepted(cls, version: Version) -> Mapping[str, Option]:
        """Those of its options that this version has."""
        return cls.OPTIONS

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        self.options, self.context = options, context
        self.metrics = PluginMetrics(self.NAME, options["id"] or id)
        self.log = context.log.logger(
            f"logstash.{self.SECTION}s.{self.NAME}", context.pipeline_id, self.metrics.id
        )
        if not self.IMPLEMENTED:
            self.log.warn("The stand-in does not implement this plugin: it has no effect")


class CodecPlugin(Plugin):
    """The base of plugins that have a codec: inputs and outputs."""

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self.codec: Codec = make_codec(
            options["codec"],
            context.event_factory,
            lambda name: context.log.logger(name, context.pipeline_id),
        )

    def close(self) -> None:
        """Write what is buffered, and release files and sockets. The pipeline has ended or never started."""
