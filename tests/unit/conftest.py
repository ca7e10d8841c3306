"""What several of the unit tests stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.machine import SHELLS, Machine


@pytest.fixture(params=SHELLS)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    """A machine for shell commands, with each of the shells in turn."""
    return Machine(tmp_path, request.param)
