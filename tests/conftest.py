"""The order of all tests."""

from pathlib import Path

import pytest

LAB = {Path(__file__).with_name(name) for name in ("lab", "drills")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those in the lab come last, as `make test` builds its image meanwhile, and one after the other, as they share it."""
    items.sort(key=lambda item: item.path.parent in LAB)
    for item in items:
        if item.path.parent in LAB:
            item.add_marker(pytest.mark.xdist_group("lab"))
