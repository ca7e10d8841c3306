"""The tables of settings in README.md, from the docstrings of the model: `python -m docs.settings` renews them."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cluster import Cluster, Input, Node
from docs.marked import with_part

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- settings: written by `python -m docs.settings` -->\n"
END = "<!-- settings: end -->\n"

TABLES: list[tuple[type[BaseModel], str]] = [
    (Cluster, "Settings of `define()`:"),
    (Node, "Settings of a node that needs more than an address:"),
    (Input, "Settings of an input:"),
]


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """What is written below each field, by the field's name, in one line."""
    (body,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(field.target, ast.Name)
            assert isinstance(below.value, ast.Constant)
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def row(name: str, field: FieldInfo, text: str) -> str:
    """A table's line: the setting as the inventory names it, its default, its meaning."""
    stated = re.search(r" \(default: (.*)\)\.?$", text)
    if stated:
        default, text = stated[1], text[: stated.start()] + "."
    elif field.is_required():
        default = "needed"
    else:
        default = "none" if field.default in (None, ()) else f"`{field.default}`"
    return f"| `{field.alias or name}` | {default} | {text.replace('|', '&#124;')} |\n"


def tables() -> str:
    """All tables, as Markdown."""
    parts = []
    for model, title in TABLES:
        texts = docstrings(model)
        fields = [
            (name, field) for name, field in model.model_fields.items() if name != "name"
        ]  # nodes' keys
        rows = "".join(row(name, field, texts[name]) for name, field in fields)
        parts.append(f"{title}\n\n| setting | default | meaning |\n|---|---|---|\n{rows}")
    return "\n".join(parts)


def renewed(text: str) -> str:
    """This text, with today's tables between the marks."""
    return with_part(text, BEGIN, END, tables())


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
