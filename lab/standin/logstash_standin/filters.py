"""The filters: mutate and drop are implemented; the others leave events unchanged."""

import random
from collections.abc import Mapping

from . import stubs
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
        """Change events. The filters' common options take effect here."""
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
    """Of its own options rename, update, replace and copy are implemented; the others have no effect."""

    NAME = "mutate"
    OPTIONS = extend(
        Filter.OPTIONS,
        **dict.fromkeys(
            ("coerce", "convert", "copy", "join", "merge", "rename", "replace", "split", "update"),
            Option("hash"),
        ),
        **dict.fromkeys(("capitalize", "gsub", "lowercase", "strip", "uppercase"), Option("array")),
        tag_on_failure=Option("string", "_mutate_error"),
    )

    def receive(self, events: list[Event]) -> None:
        for event in events:
            for old, new in (self.options["rename"] or {}).items():
                if (value := event.get(old)) is not None:
                    event.remove(old)
                    event.set(event.format(new), value)
            for name, text in (self.options["update"] or {}).items():
                if event.get(name) is not None:
                    event.set(name, event.format(text))
            for name, text in (self.options["replace"] or {}).items():
                event.set(name, event.format(text))
            for name, new in (self.options["copy"] or {}).items():
                if (value := event.get(name)) is not None:
                    event.set(event.format(new), value)
        super().receive(events)


class Drop(Filter):
    """Drops events, or `percentage` of them."""

    NAME = "drop"
    OPTIONS = extend(Filter.OPTIONS, percentage=Option("number", 100))

    def receive(self, events: list[Event]) -> None:
        for event in events:
            event.cancelled = random.random() * 100 < self.options["percentage"]


class _Stub(Filter):
    """Leaves events unchanged."""

    def receive(self, events: list[Event]) -> None:
        pass


FILTERS: Mapping[str, type[Filter]] = {
    **{plugin.NAME: plugin for plugin in (Drop, Mutate)},
    **stubs.make_stubs(_Stub, Filter.OPTIONS, stubs.FILTERS),
}
