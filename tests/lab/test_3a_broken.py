"""verify.py sees what is broken: one thing after the other, each named with what to do within 10 s, and mended."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.broken import BROKEN, DRIFT, Broken
from tests.lab.conftest import NODES, Cluster
from tests.until import until

BOUND = 10
"""Seconds within which it must be named, where a look at a whole cluster takes `LOOK` seconds."""
LOOK = 3


def quiet(cluster: Cluster) -> bool:
    """Whether verify.py finds nothing to say."""
    return bool(cluster.verify()["problems"] == [])


def time_of_a_look(cluster: Cluster) -> float:
    """Seconds that verify.py takes at this moment where all is well again."""
    until(lambda: quiet(cluster), 60, "nothing to say any more")
    start = time.monotonic()
    cluster.verify()
    return time.monotonic() - start


@pytest.fixture(scope="module", autouse=True)
def quiet_before_and_after(cluster: Cluster) -> Iterator[None]:
    """Each thing is broken on a cluster without any other problem: what the one before has left is waited for."""
    until(lambda: quiet(cluster), 60, "nothing to say before")
    yield
    until(lambda: quiet(cluster), 60, "nothing to say after the last one")


def node_of(cluster: Cluster, broken: Broken) -> str:
    """Where it is broken."""
    if broken.role == "BACKUP":
        (node,) = {*NODES} - {*cluster.holders()}
        return node
    return "stash1"


def names(problem: dict[str, Any], node: str, broken: Broken) -> bool:
    """Whether a problem names the node, what is broken, and what to do."""
    about = (broken.about or node, None)
    return problem["node"] in about and broken.says in problem["what"] and broken.mend in problem["do"]


@pytest.mark.parametrize(
    "broken",
    [pytest.param(each, id=each.what, marks=pytest.mark.long if each.long else ()) for each in BROKEN],
)
def test_verify_names_it_and_is_quiet_once_it_is_mended(cluster: Cluster, broken: Broken) -> None:
    node = node_of(cluster, broken)
    cluster.get(node, broken.do)
    try:
        start = time.monotonic()
        problems = cluster.verify()["problems"]
        took = time.monotonic() - start
    finally:
        cluster.get(node, broken.way_back)
    named = [problem for problem in problems if names(problem, node, broken)]
    assert named, problems
    if problems != named:  # it had consequences, or something is left of the one before
        until(lambda: quiet(cluster), 60, "nothing to say any more")
    assert took < BOUND or took < BOUND / LOOK * time_of_a_look(cluster)  # the machine may be busy


@pytest.fixture(scope="module")
def drift(cluster: Cluster) -> list[str]:
    """What would be deployed where all of these are broken on one node, which changes nothing in how it works."""
    for broken in DRIFT:
        cluster.get("stash1", broken.do)
    start = time.monotonic()
    try:
        document = cluster.verify("--drift")
        took = time.monotonic() - start
    finally:
        for broken in DRIFT:
            cluster.get("stash1", broken.way_back)
    assert cluster.verify("--drift")["status"] == 0
    assert took < BOUND or took < BOUND / LOOK * time_of_a_look(cluster)
    steps: list[str] = document["drift"]["stash1"]
    return steps


@pytest.mark.parametrize("broken", [pytest.param(each, id=each.what) for each in DRIFT])
def test_drift_lists_it(drift: list[str], broken: Broken) -> None:
    assert any(step.startswith(broken.says) for step in drift), drift
