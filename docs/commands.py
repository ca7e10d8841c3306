"""What each command says of itself, as a page, commands.md: `python -m docs.commands` renews it."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.marked import with_part

PROJECT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("commands.md")
BEGIN = "<!-- commands: written by `python -m docs.commands` -->\n"
END = "<!-- commands: end -->\n"


def commands() -> list[Path]:
    """The programs in the checkout, but for the lab's inventory."""
    return sorted(path for path in PROJECT.glob("*.py") if path.name != "inventory.py")


def section(path: Path) -> str:
    """A command and its docstring, in which what is indented is code."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return f"## {path.name}\n\n{text}\n"


def renewed(page: str) -> str:
    """This page, with what the commands say today between the marks."""
    return with_part(page, BEGIN, END, "\n".join(map(section, commands())))


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
