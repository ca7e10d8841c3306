"""The outputs."""

from collections.abc import Mapping

from .. import stubs
from ..event import Event
from .base import Output
from .file import File
from .simple import Chaos, Null, Stdout

__all__ = ["OUTPUTS", "Output"]


class _Stub(Output):
    """Discards events. They are counted as for every output."""

    def receive(self, events: list[Event]) -> None:
        pass


OUTPUTS: Mapping[str, type[Output]] = {
    **{plugin.NAME: plugin for plugin in (Chaos, File, Null, Stdout)},
    **stubs.make_stubs(_Stub, Output.OPTIONS, stubs.OUTPUTS),
}
