"""The order of all tests."""

from pathlib import Path

import pytest

LAB = {Path(__file__).with_name(name) for name in ("lab", "drills")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those in the lab come last: meanwhile `make test` builds its image."""
    items.sort(key=lambda item: item.path.parent in LAB)
