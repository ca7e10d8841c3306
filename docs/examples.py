"""The inventories in examples/ as a page, examples.md: `python -m docs.examples` renews it."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.marked import with_part

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGE = Path(__file__).with_name("examples.md")
BEGIN = "<!-- examples: written by `python -m docs.examples` -->\n"
END = "<!-- examples: end -->\n"


def section(path: Path) -> str:
    """An example: its name, what it is for, and its statements."""
    module = ast.parse(path.read_text())
    text = ast.get_docstring(module) or ""
    statements = path.read_text().splitlines()[module.body[0].end_lineno or 0 :]
    code = "\n".join(statements).strip()
    return f"## {path.stem}\n\n{text}\n\n```python\n{code}\n```\n"


def renewed(page: str) -> str:
    """This page, with today's examples between the marks."""
    return with_part(page, BEGIN, END, "\n".join(map(section, sorted(EXAMPLES.glob("*.py")))))


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
