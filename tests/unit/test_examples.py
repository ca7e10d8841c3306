"""`examples/`: each says what it is for, loads, and is rendered as its readers accept it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cluster import Api, Cluster, Input, Node, Repository, Tls
from tests.unit.clusters import EXAMPLES, example_clusters
from tests.unit.judges import objections

NAMES = sorted(file.stem for file in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_works(name: str, tmp_path: Path) -> None:
    for cluster in example_clusters(name, tmp_path).values():
        assert cluster.warnings == ()
        for number, node in enumerate(cluster.nodes):
            assert objections(cluster, node, 7 + number % 4, tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_what_it_is_for(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    first = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
    assert re.fullmatch(r"[A-Z].*\.", first)


def test_examples_use_documentation_addresses_only() -> None:
    """RFC 5737 and RFC 3849."""
    texts = [file.read_text() for file in EXAMPLES.rglob("*") if file.suffix in (".py", ".conf")]
    found = {
        address
        for text in texts
        for address in re.findall(r"\d+\.\d+\.\d+\.\d+|[0-9a-f]+:[0-9a-f:]*:[0-9a-f:]*", text)
    }
    assert all(
        address.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")) or address == "127.0.0.1"
        for address in found
    )


def test_every_setting_has_an_example() -> None:
    """But those that speak for themselves."""
    plain = {"notification_email", "smtp_server", "name"}
    texts = "".join((EXAMPLES / f"{name}.py").read_text() for name in NAMES)
    for model in (Cluster, Node, Input, Tls, Repository, Api):
        for name, info in model.model_fields.items():
            field = info.alias or name
            assert field in plain or re.search(rf"""\b{field}(=|": )""", texts), f"{field}: in no example"
