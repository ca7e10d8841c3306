"""docs/verify.md says what the lab's test breaks."""

from __future__ import annotations

from docs.broken import BEGIN, END, PAGE, renewed, tables
from tests.lab.broken import BROKEN, DRIFT


def test_the_page_has_todays_tables() -> None:
    text = PAGE.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == renewed(text), "docs/verify.md is behind tests/lab/broken.py; run `python -m docs.broken`"


def test_each_thing_has_a_row() -> None:
    rows = [line for line in tables().splitlines() if line.startswith("| ") and "broken | " not in line]
    assert len(rows) == len(BROKEN) + len(DRIFT)
    assert len(set(rows)) == len(rows)


def test_each_thing_has_a_name_a_message_and_a_way_back() -> None:
    things = (*BROKEN, *DRIFT)
    assert len({each.what for each in things}) == len(things) >= 40
    assert all(each.do and each.says and (each.undo or each.mend) for each in things)
    assert all(each.mend for each in BROKEN)
