"""Stand-ins for tests: made by `standin(version, **knobs)`, gone after each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.standin.standin_process import Standin


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Callable[..., Standin]]:
    made: list[Standin] = []

    def make(version: str = "8.19.18", **knobs: float) -> Standin:
        made.append(Standin(tmp_path / str(len(made)), version, **knobs))
        return made[-1]

    yield make
    for each in made:
        each.end()
