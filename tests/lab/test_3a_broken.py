"""verify.py sees what is broken: each thing is named with what to do within 10 s, and mended.

Those that show in cells of their own are broken at once: a look at the cluster takes much longer than what breaks it."""

import time
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import pytest

from tests.lab.broken import BACKUP, BROKEN, DRIFT, MASTER, Broken
from tests.lab.conftest import NODES, Cluster
from tests.until import until

BOUND = 10
"""Seconds within which it must be named, where a look at a whole cluster takes `LOOK_SECONDS`."""
LOOK_SECONDS = 3


def quiet(cluster: Cluster) -> bool:
    """Whether verify.py finds nothing to say."""
    return cluster.all_up() and bool(cluster.verify()["problems"] == [])


def time_of_a_look(cluster: Cluster) -> float:
    """Seconds that verify.py takes at this moment."""
    start = time.monotonic()
    cluster.verify()
    return time.monotonic() - start


@pytest.fixture(scope="module", autouse=True)
def quiet_before(cluster: Cluster) -> None:
    """Each thing is broken on a cluster without any other problem."""
    until(lambda: quiet(cluster), 60, "nothing to say before")


Look = dict[tuple[str, str], Broken]
"""What is broken at once, by the node's role and the row of verify.py's table: each in a cell of its own."""


def looks(rows: Iterable[Broken]) -> list[Look]:
    """These in as few looks as will do. What has consequences has a look of its own."""
    found: list[Look] = []
    for row in rows:
        roles = (row.role,) if row.role else (BACKUP, MASTER)
        free = [
            (look, (role, row.check))
            for look in found
            for role in roles
            if row.check and (role, row.check) not in look and all(check for _, check in look)
        ]
        if free:
            look, cell = free[0]
            look[cell] = row
        else:
            found.append({(roles[0], row.check): row})
    return found


LOOKS = [look for long in (False, True) for look in looks(each for each in BROKEN if each.long is long)]


def on_each(cluster: Cluster, nodes: dict[str, str], scripts: Iterable[tuple[str, str]]) -> None:
    """Run these scripts on the nodes with these roles; each must succeed."""
    by_node: dict[str, list[str]] = {}
    for role, script in scripts:
        by_node.setdefault(nodes[role], []).append(f"( {script} )")
    for name, each in by_node.items():
        cluster.get(name, " && ".join(each))


Told = tuple[dict[str, str], list[dict[str, Any]]]
"""The nodes by role, and what verify.py says."""


def look_at(cluster: Cluster, number: int) -> Told:
    """What verify.py says where all of a look is broken; it is quiet again."""
    look = LOOKS[number]
    (master,) = cluster.holders()
    (backup,) = {*NODES} - {master}
    nodes = {MASTER: master, BACKUP: backup}
    on_each(cluster, nodes, [(role, broken.do) for (role, _), broken in look.items()])
    try:
        start = time.monotonic()
        problems = cluster.verify()["problems"]
        took = time.monotonic() - start
    finally:
        on_each(cluster, nodes, [(role, broken.way_back) for (role, _), broken in look.items()])
    until(lambda: quiet(cluster), 60, "nothing to say any more")
    assert took < BOUND or took < BOUND / LOOK_SECONDS * time_of_a_look(cluster)  # the machine may be busy
    return nodes, problems


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> Callable[[int], Told]:
    """What `look_at` returns, each look taken once."""
    return cache(partial(look_at, cluster))


@pytest.mark.parametrize(
    ("number", "role", "broken"),
    [
        pytest.param(number, role, each, id=each.what, marks=pytest.mark.long if each.long else ())
        for number, look in enumerate(LOOKS)
        for (role, _), each in look.items()
    ],
)
def test_verify_names_it_and_is_quiet_once_it_is_mended(
    told: Callable[[int], Told], number: int, role: str, broken: Broken
) -> None:
    nodes, problems = told(number)
    about = (broken.about or nodes[role], None)
    named = [
        problem
        for problem in problems
        if problem["node"] in about and broken.says in problem["what"] and broken.mend in problem["do"]
    ]
    assert named, problems
    if broken.check:
        cell = (nodes[role], broken.check)
        assert named == [problem for problem in problems if (problem["node"], problem["check"]) == cell]


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
    assert took < BOUND or took < BOUND / LOOK_SECONDS * time_of_a_look(cluster)
    steps: list[str] = document["drift"]["stash1"]
    return steps


@pytest.mark.parametrize("broken", [pytest.param(each, id=each.what) for each in DRIFT])
def test_drift_lists_it(drift: list[str], broken: Broken) -> None:
    assert any(step.startswith(broken.says) for step in drift), drift
