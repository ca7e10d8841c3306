"""The tables in verify.md of what verify.py sees, from those that the lab's test breaks: `python -m docs.broken` renews them."""

from __future__ import annotations

from pathlib import Path

from docs.marked import with_part
from tests.lab.broken import BROKEN, DRIFT

PAGE = Path(__file__).with_name("verify.md")
BEGIN = "<!-- broken: written by `python -m docs.broken` -->\n"
END = "<!-- broken: end -->\n"


def row(*cells: str) -> str:
    """A table's line."""
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"


def tables() -> str:
    """Both tables, as Markdown."""
    seen = [row(each.what, each.says, each.mend) for each in BROKEN]
    listed = [row(each.what, each.says) for each in DRIFT]
    return (
        f"{row('broken', '`verify.py` says', 'and what to do')}|---|---|---|\n{''.join(seen)}\n"
        "Where nothing works worse yet, `verify.py --drift` lists the step of the deploy that mends it:\n\n"
        f"{row('broken', '`verify.py --drift` lists')}|---|---|\n{''.join(listed)}"
    )


def renewed(text: str) -> str:
    """This text, with today's tables between the marks."""
    return with_part(text, BEGIN, END, tables())


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
