"""The table in why.md of what `verify.py why` names, from what the lab's test breaks: `python -m docs.ways` renews it."""

from __future__ import annotations

from pathlib import Path

from docs.broken import row
from docs.marked import with_part
from tests.lab.ways import FAULTS
from verification.why.way import STEPS

PAGE = Path(__file__).with_name("why.md")
BEGIN = "<!-- ways: written by `python -m docs.ways` -->\n"
END = "<!-- ways: end -->\n"


def table() -> str:
    """The table, as Markdown."""
    rows = [row(each.what, STEPS[each.step], each.seen, each.mend) for each in FAULTS]
    return f"{row('what is wrong', 'the step that it names', 'it says', 'and what to do')}|---|---|---|---|\n{''.join(rows)}"


def renewed(text: str) -> str:
    """This text, with today's table between the marks."""
    return with_part(text, BEGIN, END, table())


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
