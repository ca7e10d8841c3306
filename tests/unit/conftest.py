"""Fixtures that several of the unit tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra.context import ctx_host

from cluster import Cluster
from tests.unit.clusters import make_cluster
from tests.unit.machine import SHELLS, ShellMachine


@pytest.fixture(autouse=True)
def no_host_is_left() -> Iterator[None]:
    """pyinfra keeps the host of a context that an exception ends."""
    yield
    ctx_host.reset()


@pytest.fixture(params=SHELLS)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> ShellMachine:
    """A machine for shell commands, with each of the shells in turn."""
    return ShellMachine(tmp_path, request.param)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Two nodes and one input."""
    return make_cluster(tmp_path)
