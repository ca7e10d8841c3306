"""The documents name all that their tables are about: reasons, checks, drills."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from desired.units import EVER_MANAGED, FIREWALLD
from drills.catalogue import DRILLS

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"


def section(document: str, heading: str) -> str:
    """The text below a heading, up to the next one of the same level."""
    _, _, text = (DOCS / document).read_text().partition(f"\n## {heading}\n")
    assert text, f"docs/{document} has no section {heading!r}"
    return text.partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """The first cell of each row of the tables, without the tables' headings."""
    return re.findall(r"^\| (.+?) \|", re.sub(r"^.*\n\|---.*\n", "", text, flags=re.M), re.M)


def reasons() -> set[str]:
    """The health script's `REASONS`: not imported, as it is a program for nodes."""
    (found,) = (
        node.value
        for node in ast.parse((PROJECT / "files/check_logstash_input.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REASONS"
    )
    return set(ast.literal_eval(found))


def test_health_explains_each_reason_and_state() -> None:
    names = [cell.strip("`") for cell in first_cells(section("health.md", "States and reasons"))]
    assert set(names) == reasons() | {"up", "slow", "drained", "down"}


def test_verify_explains_each_unit() -> None:
    rows = [cell.strip("`") for cell in first_cells(section("verify.md", "What it looks at"))]
    assert {*EVER_MANAGED, FIREWALLD} <= set(rows)


def test_drills_shows_what_was_seen_of_each_drill() -> None:
    names = [cell.partition(",")[0] for cell in first_cells(section("drills.md", "What was seen"))]
    assert set(names) >= {drill.name for drill in DRILLS}


def cells() -> set[str]:
    """What the code of verify.py writes into the cells of its table, but for those that are figures or names."""
    found = set()
    for path in (PROJECT / "verification").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Finding" and len(call.args) > 1:
                text = call.args[1]
                if isinstance(text, ast.Constant) and text.value:
                    found.add(str(text.value))
    return found


def test_findings_explains_each_cell_of_the_table() -> None:
    page = (DOCS / "findings.md").read_text()
    named = {name for cell in first_cells(page) for name in re.findall(r"`([^`]+)`", cell)}
    assert {"running", "stopped", "stale", "?"} <= cells()
    assert cells() <= named
