"""The filters: mutate, as far as every filter's common options go."""

from collections.abc import Mapping

from .event import Event
from .options import Option, extend
from .plugin import Plugin


class Filter(Plugin):
    """A filter changes events in place."""

    SECTION = "filter"
    OPTIONS = extend(
        Plugin.OPTIONS,
        add_field=Option("hash"),
        add_tag=Option("array"),
        remove_field=Option("array"),
        remove_tag=Option("array"),
    )

    def receive(self, events: list[Event]) -> None:
        for event in events:
            for name, value in (self.options["add_field"] or {}).items():
                event.add(event.format(name), value)
            for tag in self.options["add_tag"] or ():
                event.tag(event.format(tag))
            for name in self.options["remove_field"] or ():
                event.remove(event.format(name))
            if unwanted := self.options["remove_tag"]:
                event.set("tags", [tag for tag in event.get("tags") or [] if tag not in unwanted])


class Mutate(Filter):
    NAME = "mutate"


FILTERS: Mapping[str, type[Filter]] = {plugin.NAME: plugin for plugin in (Mutate,)}
