"""README's tables of settings say what the model says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from cluster import Api, Cluster, Input, Node, Tls
from docs.settings import BEGIN, END, MOST_NEEDED, README, REFERENCE, docstrings, renewed, tables


@pytest.mark.parametrize("path", [README, REFERENCE], ids=["README", "reference"])
def test_the_documents_have_todays_tables(path: Path) -> None:
    text = path.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == renewed(path), f"{path.name} is behind cluster/model.py; run `python -m docs.settings`"


def test_readmes_tables_are_one_screen() -> None:
    assert len(tables(MOST_NEEDED).splitlines()) <= 40
    for model, names in MOST_NEEDED.items():
        assert names <= set(model.model_fields)


@pytest.mark.parametrize("model", [Cluster, Node, Input, Tls, Api])
def test_each_setting_has_a_row(model: type[BaseModel]) -> None:
    fields, text = model.model_fields, tables()
    assert list(docstrings(model)) == list(fields)
    for name, field in fields.items():
        assert name == "name" or f"| `{field.alias or name}` | " in text


def test_rows() -> None:
    rows = tables().splitlines()
    assert "| `vip` | needed | The virtual address" in "\n".join(rows)
    assert any(row.startswith("| `server_port` | `port` | Port at the nodes") for row in rows)
    assert any(row.startswith("| `queue` | `memory` | ") for row in rows)
    assert all(row.count("|") == 4 and row.endswith(". |") for row in rows if row.startswith("| `"))
