"""Fixtures that several of the unit tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.machine import SHELLS, ShellMachine


@pytest.fixture(params=SHELLS)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> ShellMachine:
    """A machine for shell commands, with each of the shells in turn."""
    return ShellMachine(tmp_path, request.param)
