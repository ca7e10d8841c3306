"""The order of all tests, and which of them run side by side."""

from pathlib import Path

import gevent
import pytest

LAB = {Path(__file__).with_name(name) for name in ("lab", "drills")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those in the lab run in their order, in one process; of several processes, in the first.

    Where there is only one process, they come last: meanwhile `make test` builds the lab's image.
    """
    items.sort(key=lambda item: item.path.parent in LAB)
    for item in items:
        if item.path.parent in LAB:
            item.add_marker(pytest.mark.xdist_group("lab"))


def pytest_configure(config: pytest.Config) -> None:
    """pyinfra makes threading's locks gevent's, and a process of xdist waits for its next tests with one.

    gevent takes a wait in which nothing can happen for a mistake, and does not know of xdist's own thread. A timer is
    something that can happen.
    """
    if hasattr(config, "workerinput"):
        timer = gevent.get_hub().loop.timer(60, 60)
        timer.start(lambda: None)
        config.add_cleanup(timer.close)
