"""The outputs."""

from collections.abc import Mapping

from .. import unplayed
from ..event import Event
from .base import Output
from .file import File
from .small import Chaos, Null, Stdout

__all__ = ["OUTPUTS", "Output"]


class _Unplayed(Output):
    """Delivers nothing: counts events, and forgets them."""

    def receive(self, events: list[Event]) -> None:
        pass


OUTPUTS: Mapping[str, type[Output]] = {
    **{plugin.NAME: plugin for plugin in (Chaos, File, Null, Stdout)},
    **unplayed.unplayed(_Unplayed, Output.OPTIONS, unplayed.OUTPUTS),
}
