"""The table in health.md of what the health service makes of a real Logstash's answers: `python -m docs.verdicts` renews it.

The answers are those of `tests/samples/series`. When an input came up or went down in truth, and how soon the verdict must
follow, is written here; when it did follow is found by running the service on the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.marked import with_part
from tests.series import Replay, Turn, load

PAGE = Path(__file__).with_name("health.md")
BEGIN = "<!-- verdicts: written by `python -m docs.verdicts` -->\n"
END = "<!-- verdicts: end -->\n"


@dataclass(frozen=True)
class Change:
    """A change in a recording that the verdict has to follow."""

    what: str
    seconds: float
    """When the recording first shows it, in seconds from its begin."""
    state: str
    """`up` or `down`."""
    within: float
    """Seconds within which the verdict must follow on the node itself."""
    polls_within: float
    """Seconds within which it must follow where nothing but polls tells of it."""


@dataclass(frozen=True)
class Story:
    """What happens in a recording to some of its inputs."""

    series: str
    inputs: dict[str, tuple[str, int]]
    """Protocol and port by input id."""
    changes: tuple[Change, ...] = ()
    what: str = ""
    """What happens, where it must change nothing."""

    @property
    def up_first(self) -> bool:
        """The verdict before the first change."""
        return not self.changes or self.changes[0].state == "down"


def comes(what: str, seconds: float) -> Change:
    """An input takes events from now on: two good polls follow."""
    return Change(what, seconds, "up", 1.5, 1.5)


def goes(what: str, seconds: float) -> Change:
    """Its port is closed: the kernel says so, and the next poll."""
    return Change(what, seconds, "down", 0.15, 1.0)


def udp(**ports: int) -> dict[str, tuple[str, int]]:
    """UDP inputs, by id."""
    return {id: ("udp", port) for id, port in ports.items()}


FIFTY = udp(**{f"u{number:02}": 20000 + number for number in range(50)})
BLOCKED = (
    Change("its output is blocked", 5.1, "down", 12.0, 12.0),
    Change("the output takes events again", 108.21, "up", 1.5, 1.5),
)
STORIES = (
    Story(
        "start-3-inputs",
        {"udp-5514": ("udp", 5514), "udp-5515": ("udp", 5515)},
        (comes("Logstash has started", 27.76),),
    ),
    Story("start-3-inputs", {"tcp-5514": ("tcp", 5514)}, (comes("its TCP port is bound last", 28.13),)),
    Story("start-50-inputs", FIFTY, (comes("Logstash has started with 50 inputs", 28.71),)),
    Story(
        "sigterm",
        {"tcp-5514": ("tcp", 5514)},
        # No poll opens a connection: it waits for the API, which lists the input until its pipeline has ended.
        (Change("Logstash stops: its TCP port is closed", 2.25, "down", 0.15, 3.0),),
    ),
    Story(
        "sigterm",
        {"udp-5514": ("udp", 5514), "udp-5515": ("udp", 5515)},
        (goes("its UDP ports are closed 2 s later", 4.5),),
    ),
    Story("sigterm-50-inputs", FIFTY, (goes("Logstash stops with 50 inputs", 1.63),)),
    Story(
        "reload-good",
        udp(p2=5515),
        (goes("its pipeline is reloaded", 4.43), comes("the new pipeline runs", 7.73)),
    ),
    Story("reload-good", udp(main=5514, idle=5519), what="another pipeline is reloaded"),
    Story(
        "reload-good-after-bad",
        udp(p2=5515),
        (
            goes("its pipeline is reloaded after a reload that failed", 5.41),
            comes("the new pipeline runs", 6.31),
        ),
    ),
    Story("reload-good-after-bad", udp(main=5514, idle=5519), what="another pipeline is reloaded"),
    Story(
        "reload-bad-option",
        udp(p2=5515),
        what="a reload fails by an unknown option, and the old pipeline runs on",
    ),
    Story(
        "reload-bad-grammar", udp(p2=5515), what="a reload fails by its grammar, and the old pipeline runs on"
    ),
    Story("reload-restored", udp(p2=5515), what="the file of the pipeline that runs is put back"),
    Story("removed-pipeline", udp(idle=5519), (goes("its pipeline is removed", 2.5),)),
    Story("removed-pipeline", udp(main=5514, p2=5515), what="another pipeline is removed, and stays listed"),
    Story(
        "crash-one-of-two",
        udp(main=5514),
        (goes("its pipeline crashes", 2.25), comes("its new pipeline runs", 18.79)),
    ),
    Story("crash-one-of-two", udp(p2=5515), what="another pipeline crashes"),
    Story(
        "crash-only-pipeline",
        {"main-a": ("udp", 5514), "main-b": ("udp", 5515)},
        (goes("the only pipeline crashes", 2.68), comes("its new pipeline runs", 23.42)),
    ),
    Story("stolen-udp-port", udp(main=5514), (comes("Logstash has started", 24.32),)),
    Story(
        "stolen-udp-port",
        udp(p2=5515),
        (
            Change(
                "Logstash has started, but another program has the port; it is bound at last",
                44.18,
                "up",
                7.0,
                7.0,
            ),
        ),
    ),
    Story("blocked-udp-workers-1", udp(w1=5516), BLOCKED),
    Story("blocked-udp-workers-2", udp(w2=5517), BLOCKED),
    Story("blocked-one-tcp-connection", {"tc": ("tcp", 5520)}, BLOCKED),
)


def turns(story: Story, *, own: bool) -> dict[str, list[Turn]]:
    """When the verdict changed, by input id: on the node itself, or where only polls tell of it. A slow input is up."""
    found = Replay(load(story.series), story.inputs, own=own, up=story.up_first).run().turns
    changes: dict[str, list[Turn]] = {}
    for id, all_turns in found.items():
        changes[id] = []
        state = "up" if story.up_first else "down"
        for turn in all_turns:
            now = "down" if turn.state == "down" else "up"
            if now != state:
                changes[id].append(turn)
                state = now
    return changes


def row(*cells: str) -> str:
    """A table's line."""
    return f"| {' | '.join(cells)} |\n"


def rows(story: Story) -> Iterator[str]:
    """The table's lines of a story. Of several inputs, the verdict that changed last is shown."""
    ids = list(story.inputs)
    names = ", ".join(f"`{id}`" for id in ids) if len(ids) < 4 else f"all {len(ids)}"
    if not story.changes:
        stays = all(turns(story, own=own) == {id: [] for id in ids} for own in (True, False))
        yield row(f"`{story.series}`", names, story.what, "up", *["stays up" if stays else "changes"] * 5)
        return
    seen = [turns(story, own=own) for own in (True, False)]
    for number, change in enumerate(story.changes):
        cells = []
        for verdicts, within in zip(seen, (change.within, change.polls_within), strict=True):
            times = [each[number].seconds for each in verdicts.values() if len(each) > number]
            cells.append(f"{change.seconds + within:.1f} s")
            cells.append(f"{max(times):.1f} s" if len(times) == len(ids) else "never")
        yield row(f"`{story.series}`", names, change.what, change.state, f"{change.seconds:.1f} s", *cells)


def table() -> str:
    """The table, as Markdown."""
    due = ("there: due by", "verdict", "by polls: due by", "verdict")
    head = ("recording", "inputs", "what happens", "they are", "since", *due)
    lines = "".join(line for story in STORIES for line in rows(story))
    return f"{row(*head)}{'|---' * len(head)}|\n{lines}"


def renewed(text: str) -> str:
    """This text, with today's table between the marks."""
    return with_part(text, BEGIN, END, table())


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
