"""The tables of settings in README.md and docs/settings.md, from the docstrings of the model: `python -m docs.settings`
renews them. README has those that most inventories need; docs/settings.md has all."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cluster import Api, Cluster, Input, Node, Repository, Tls, Vip
from docs.marked import with_part

README = Path(__file__).parents[1] / "README.md"
REFERENCE = Path(__file__).parent / "settings.md"
BEGIN = "<!-- settings: written by `python -m docs.settings` -->\n"
END = "<!-- settings: end -->\n"

TABLES: list[tuple[type[BaseModel], str]] = [
    (Cluster, "Settings of `define()`:"),
    (Node, "Settings of a node that needs more than an address:"),
    (Vip, "Settings of a VIP that needs more than an address:"),
    (Input, "Settings of an input:"),
    (Tls, "Settings of an input's `tls`:"),
    (Repository, "Settings of `repository`:"),
    (Api, "Settings of `api`:"),
]


MOST_NEEDED: dict[type[BaseModel], set[str]] = {
    Cluster: {
        *(
            "nodes",
            "networks",
            "interface",
            "virtual_addresses",
            "inputs",
            "senders",
            "vrrp",
            "logstash",
            "version",
            "firewall",
        ),
        *("pipelines", "environment_file", "heap", "queue"),
    },
    Input: {
        "id",
        "port",
        "server_port",
        "protocol",
        "plugin",
        "options",
        "codec",
        "scheduler",
        "senders",
        "pipeline",
    },
}
"""The fields in README's tables, which are one screen together."""


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


def tables(chosen: dict[type[BaseModel], set[str]] | None = None) -> str:
    """All tables as Markdown, or those of the chosen fields."""
    parts = []
    for model, title in TABLES:
        texts = docstrings(model)
        fields = [
            (name, field)
            for name, field in model.model_fields.items()
            if (name in chosen.get(model, ()) if chosen is not None else name != "name")  # nodes' keys
        ]
        if not fields:
            continue
        rows = "".join(row(name, field, texts[name]) for name, field in fields)
        parts.append(f"{title}\n\n| setting | default | meaning |\n|---|---|---|\n{rows}")
    return "\n".join(parts)


def renewed(path: Path) -> str:
    """This document, with today's tables between the marks."""
    return with_part(path.read_text(), BEGIN, END, tables(MOST_NEEDED if path == README else None))


if __name__ == "__main__":
    for document in (README, REFERENCE):
        document.write_text(renewed(document))
