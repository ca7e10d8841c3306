"""The order of all tests, and which of them run side by side."""

import gc
import os

import gevent
import pyinfra_cli  # noqa: F401  # first of all: what takes Thread before this patches it makes threads that are never joined
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LAB = ("tests/lab/", "tests/drills/")
CACHED = "tests/namespace/"
NICE = 10
"""How much the tests that need no lab give way (nice(2)): those in the lab take longer, one after the other, and the others fit
in between."""


class LabInOneProcess(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Those in the lab run in one process. As the largest scope they are the first that xdist hands out."""

    def _split_scope(self, nodeid: str) -> str:
        return "lab" if nodeid.startswith(LAB) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LabInOneProcess:
    return LabInOneProcess(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that need the lab's cache come last: meanwhile `make test` builds what is in it, and has it locked."""
    items.sort(key=lambda item: (item.nodeid.startswith(LAB), item.nodeid.startswith(CACHED)))


def pytest_collection_finish() -> None:
    """What is there by now stays, so the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if hasattr(item.config, "workerinput") and item.nodeid.startswith(LAB):
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def pytest_configure(config: pytest.Config) -> None:
    """What a process of xdist needs to be like a process of its own.

    pyinfra makes threading's locks gevent's, and the process waits for its next tests with one. gevent takes a wait in
    which nothing can happen for a mistake, and does not know of xdist's own thread. A timer is something that can happen.
    """
    if hasattr(config, "workerinput"):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)  # also while it collects: the lab is being built
        timer = gevent.get_hub().loop.timer(60, 60)
        timer.start(lambda: None)
        os.environ.pop("COLUMNS", None)  # the width of xdist's own output
