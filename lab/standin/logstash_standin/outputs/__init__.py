"""The outputs."""

from collections.abc import Mapping

from .base import Output
from .file import File
from .small import Chaos, Null, Stdout

__all__ = ["OUTPUTS", "Output"]

OUTPUTS: Mapping[str, type[Output]] = {plugin.NAME: plugin for plugin in (Chaos, File, Null, Stdout)}
