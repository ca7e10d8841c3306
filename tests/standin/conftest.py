"""Stand-ins for tests: `make_standin(version, **delays)` creates one, and its process ends with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standin.standin_process import MakeStandin, Standin


@pytest.fixture
def make_standin(tmp_path: Path) -> Iterator[MakeStandin]:
    made: list[Standin] = []

    def make(version: str = "8.19.18", **delays: float) -> Standin:
        made.append(Standin(tmp_path / str(len(made)), version, **delays))
        return made[-1]

    yield make
    for standin in made:
        standin.end()
