"""Fixtures that several of the unit tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import Cluster
from tests.unit.clusters import make_cluster
from tests.unit.machine import SHELLS, ShellMachine


@pytest.fixture(params=SHELLS)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> ShellMachine:
    """A machine for shell commands, with each of the shells in turn."""
    return ShellMachine(tmp_path, request.param)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Two nodes and one input."""
    return make_cluster(tmp_path)
