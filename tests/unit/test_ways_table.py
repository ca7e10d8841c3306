"""docs/why.md says what the lab's test breaks on a sender's way."""

from __future__ import annotations

from docs.ways import BEGIN, END, PAGE, renewed
from tests.lab.ways import FAULTS
from verification.why.way import STEPS


def test_the_page_has_todays_table() -> None:
    text = PAGE.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == renewed(text), "docs/why.md is behind tests/lab/ways.py; run `python -m docs.ways`"


def test_each_step_has_a_fault_and_the_faults_are_in_the_steps_order() -> None:
    steps = list(STEPS)
    assert {fault.step for fault in FAULTS} == set(steps)
    assert [fault.step for fault in FAULTS] == sorted((fault.step for fault in FAULTS), key=steps.index)
    assert len({fault.what for fault in FAULTS}) == len(FAULTS)


def test_each_fault_says_how_it_is_made_and_mended() -> None:
    assert all(bool(fault.do) == bool(fault.undo) == bool(fault.where) for fault in FAULTS)
    assert all(fault.seen and fault.mend for fault in FAULTS)
