"""The picture demo.svg, which shows `make demo` in a terminal: `python -m docs.demo` records it anew, as root.

It runs `make demo` in a pseudo-terminal, and draws what that shows at the end. Of the deploy's many steps the first and the last ones
are drawn. The lab is left as `make demo` leaves it; `make down` removes it.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from itertools import groupby
from pathlib import Path

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PICTURE = Path(__file__).with_name("demo.svg")
COMMAND = ("make", "demo")
COLUMNS = 112
ROWS = 50
"""Of the pseudo-terminal."""
LONGEST = 4000
"""Lines that are kept of the session."""

THEME = TerminalTheme(
    (23, 27, 34),
    (221, 226, 233),
    [
        *((23, 27, 34), (255, 123, 114), (86, 211, 124), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (221, 226, 233)),
    ],
)
"""Light on dark in all surroundings, since a terminal's window has a background of its own."""


def record() -> bytes:
    """What the command writes to a terminal of this size. Raises `RuntimeError` when it fails."""
    written = bytearray()

    def read(terminal: int) -> bytes:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        data = os.read(terminal, 1024)
        written.extend(data)
        return data

    status = pty.spawn(COMMAND, read)
    if status:
        raise RuntimeError(f"{' '.join(COMMAND)} has failed: exit status {os.waitstatus_to_exitcode(status)}")
    return bytes(written)


def style(char: Char) -> Style:
    """A character's look, from the emulator's words to rich's."""
    names = {"default": None, "brown": "yellow"}

    def color(name: str) -> str | None:
        if re.fullmatch("[0-9a-f]{6}", name):
            return f"#{name}"
        return names.get(name, re.sub("^bright", "bright_", name))

    return Style(color=color(char.fg), bgcolor=color(char.bg), bold=char.bold, reverse=char.reverse)


def lines(session: bytes) -> list[Text]:
    """What is on the screen at the end of a session, with all that has scrolled out at its top."""
    screen = pyte.Screen(COLUMNS, LONGEST)
    pyte.ByteStream(screen).feed(session)
    shown = []
    for number, text in enumerate(screen.display):
        row = [screen.buffer[number][column] for column in range(len(text.rstrip()))]
        runs = [(look, "".join(char.data for char in run)) for look, run in groupby(row, style)]
        shown.append(Text.assemble(*((run, look) for look, run in runs), no_wrap=True))
    while shown and not shown[-1].plain:
        shown.pop()
    return shown


def shortened(shown: list[Text]) -> list[Text]:
    """Without the middle of the deploy: two steps of its run and its verification, and of its results only the sum."""
    plain = [line.plain.strip() for line in shown]
    steps = [number for number, text in enumerate(plain) if text.startswith("--> Starting ")]
    begin, end = steps[2], steps[-1]
    results, total = (
        plain.index("--> Results:"),
        next(n for n, text in enumerate(plain) if text.startswith("Grand total")),
    )
    more = Text(f"    … {len(steps) - 3} more steps …", "dim")
    return [*shown[:begin], more, Text(), *shown[end : results + 2], *shown[total:]]


def drawn(shown: list[Text]) -> str:
    """These lines in a terminal's window, as SVG that needs no font from the net."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in shown:
        console.print(line, no_wrap=True, overflow="crop", crop=True)
    svg = console.export_svg(title=" ".join(COMMAND), theme=THEME, unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.S)
    return svg.replace("Fira Code, monospace", "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace")


if __name__ == "__main__":
    PICTURE.write_text(drawn(shortened(lines(record()))))
