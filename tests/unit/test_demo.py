"""The picture of `make demo` shows what a terminal shows, of today's demo, and can be read anywhere."""

from __future__ import annotations

import html
import re

from docs.demo import COMMAND, PICTURE, drawn, lines, shortened
from tests.release import ROOT

SESSION = (
    b"\x1b[32mbooting\x1b[0m stash1\r\n"
    b"\x1b[1m 10 %\x1b[0m\r\x1b[2K\x1b[1m100 %\x1b[0m\r\n"
    b"below\r\n\x1b[1A\x1b[2Kinstead of it\r\n"
)
"""A word in green, a progress that is drawn over, and a line that is replaced."""


def test_what_was_drawn_over_is_gone() -> None:
    shown = lines(SESSION)
    assert [line.plain for line in shown] == ["booting stash1", "100 %", "instead of it"]


def test_colors_are_kept() -> None:
    green, plain = "#56d37c", "#dde2e9"
    svg = drawn(lines(SESSION))
    assert green in svg
    assert plain in svg


def test_the_middle_of_the_deploy_is_left_out() -> None:
    steps = [f"--> Starting operation: {step}\r\n    [stash1] Success\r\n" for step in range(9)]
    results = "--> Results:\r\n    Operation  Hosts\r\n    0   2\r\n    Grand total  18\r\n$ verify\r\n"
    assert [line.plain.strip() for line in shortened(lines("".join((*steps, results)).encode()))] == [
        *("--> Starting operation: 0", "[stash1] Success", "--> Starting operation: 1", "[stash1] Success"),
        *("… 6 more steps …", "", "--> Starting operation: 8", "[stash1] Success"),
        *("--> Results:", "Operation  Hosts", "Grand total  18", "$ verify"),
    ]


def text(svg: str) -> str:
    """The words of a picture."""
    return html.unescape("".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")


def test_the_picture_is_of_todays_demo() -> None:
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe
    shown = text(PICTURE.read_text())
    commands = re.findall(r"\$\(BIN\)/(\S+ [^$\n;#\\]+)", recipe[1].partition("@echo")[0])
    assert len(commands) == 3
    for command in commands:
        assert f".venv/bin/{command.strip()}" in shown, (
            f"run `python -m docs.demo`: {' '.join(COMMAND)} has changed"
        )


def test_the_picture_is_small_and_fetches_nothing() -> None:
    svg = PICTURE.read_text()
    assert len(svg.encode()) < 150_000
    assert re.findall(r"(?:url\(\"|href=\")(?!#)[^\"]*", svg) == []
