"""The verdict on how events are spread over the nodes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from tests.unit.clusters import make_cluster
from tests.unit.events import GOOD, Numbers, judged, one_input, report
from verification.delivery import choose_targets
from verification.report import Problem, Status
from verification.spread import bounds, judge_spread


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path, inputs=[{"id": "a", "port": 5514}, {"id": "b", "port": 5515}])


def test_a_node_of_the_pool_that_gets_none_is_reported(cluster: Cluster) -> None:
    delivery = judged(cluster, {0: {"stash1": [1, 2, 3, 4]}, 1: GOOD})
    (problem,) = delivery.problems
    assert not delivery.ok
    assert problem.node == "stash2"
    assert "got none" in problem.what


def test_one_node_in_the_pool_gets_all(cluster: Cluster) -> None:
    delivery = judged(cluster, {0: {"stash1": [1, 2, 3, 4]}, 1: {"stash1": [1, 2, 3, 4]}}, pool=("stash1",))
    assert delivery.ok
    assert delivery.problems == ()


def test_fewer_events_than_nodes_are_spread_well_enough(cluster: Cluster) -> None:
    delivery = judged(cluster, {0: {"stash1": [1]}, 1: {"stash2": [1]}}, count=1)
    assert delivery.ok
    assert delivery.problems == ()


def test_an_odd_number_of_events_is_spread_evenly_enough(cluster: Cluster) -> None:
    arrived: dict[int, Numbers] = {
        0: {"stash1": [1, 3], "stash2": [2]},
        1: {"stash1": [2], "stash2": [1, 3]},
    }
    delivery = judged(cluster, arrived, count=3)
    assert delivery.ok
    assert delivery.problems == ()


@pytest.mark.parametrize(("stash1", "warnings"), [([1, 2, 3], 1), ([1, 3], 0)])
def test_uneven_spread_is_a_warning(cluster: Cluster, stash1: list[int], warnings: int) -> None:
    stash2 = [number for number in (1, 2, 3, 4) if number not in stash1]
    delivery = judged(cluster, {0: {"stash1": stash1, "stash2": stash2}, 1: GOOD})
    assert delivery.ok
    assert [problem.status for problem in delivery.problems] == [Status.WARNING] * warnings


@pytest.mark.parametrize(
    ("weights", "units", "expected"),
    [
        ({"a": 1, "b": 1}, 4, {"a": (2, 2), "b": (2, 2)}),
        ({"a": 1, "b": 1}, 5, {"a": (2, 3), "b": (2, 3)}),
        ({"a": 3, "b": 1}, 8, {"a": (6, 6), "b": (2, 2)}),
        ({"a": 300, "b": 100}, 9, {"a": (6, 7), "b": (2, 3)}),
        ({"a": 5, "b": 3}, 3, {"a": (0, 3), "b": (0, 3)}),
        ({"a": 7}, 3, {"a": (3, 3)}),
        ({}, 3, {}),
    ],
)
def test_each_nodes_bounds_follow_its_weight(
    weights: dict[str, int], units: int, expected: dict[str, tuple[int, int]]
) -> None:
    assert bounds(weights, units) == expected


def turns(weights: dict[str, int]) -> Iterator[str]:
    """IPVS's wrr: whoever has the weight in hand, which sinks by what all have in common (ip_vs_wrr.c)."""
    while True:
        for level in range(max(weights.values()), 0, -1):
            yield from (name for name, weight in weights.items() if weight >= level)


@pytest.mark.parametrize("weights", [{"a": 3, "b": 1}, {"a": 5, "b": 3, "c": 2}, {"a": 1, "b": 1, "c": 9}])
def test_bounds_hold_for_every_row_of_turns(weights: dict[str, int]) -> None:
    cycle = sum(weights.values())
    source = turns(weights)
    row = [next(source) for _ in range(5 * cycle)]
    for start in range(cycle):
        for length in range(1, 3 * cycle):
            part = row[start : start + length]
            for name, (low, high) in bounds(weights, length).items():
                assert low <= part.count(name) <= high


@pytest.mark.parametrize(
    ("reason", "warned"), [("slow_start", False), ("queue_full", False), ("probe_refused", True)]
)
def test_a_node_that_gets_less_than_its_weight_may_get_none(
    cluster: Cluster, reason: str, warned: bool
) -> None:
    one = {"stash1": [1, 2, 3, 4]}
    problem = Problem(Status.WARNING, "health", "stash2", "a is up, but", "nothing", reason)
    targets = choose_targets(cluster, 4)
    seen = replace(report(cluster), problems=(problem,))
    numbers = {"stash1": Counter(one["stash1"]), "stash2": Counter[int]()}
    assert bool(judge_spread(seen, targets[0], numbers)) is warned


WEIGHTS = {"scheduler": "wrr", "weights": {"stash1": 3}}


FLOWS = {"protocol": "tcp"}


@pytest.mark.parametrize(
    ("input", "arrived", "status", "words"),
    [
        (WEIGHTS, {"stash1": [1, 2, 3], "stash2": [4]}, None, ""),
        (WEIGHTS, GOOD, Status.WARNING, "spread unevenly: stash1 2, stash2 2"),
        ({"scheduler": "sh"}, {"stash2": [1, 2, 3, 4]}, None, ""),
        ({"scheduler": "mh"}, GOOD, Status.WRONG, "one sender's events came to several nodes"),
        ({"scheduler": "lc"}, {"stash2": [1, 2, 3, 4]}, None, ""),
        ({"scheduler": "wlc"}, {"stash1": [1], "stash2": [2, 3, 4]}, None, ""),
        (FLOWS, GOOD, None, ""),
        ({"ops": False}, {"stash1": [1, 2, 3], "stash2": [4]}, Status.WARNING, "unevenly"),
        (FLOWS, {"stash1": [1, 2, 3, 4]}, Status.WRONG, "got none"),
    ],
)
def test_spread_is_what_the_scheduler_means(
    tmp_path: Path, input: dict[str, Any], arrived: Numbers, status: Status | None, words: str
) -> None:
    delivery = judged(one_input(tmp_path, **input), {0: arrived})
    assert [problem.status for problem in delivery.problems] == ([status] if status else [])
    assert all(words in problem.what for problem in delivery.problems)


def test_connections_are_what_is_spread(tmp_path: Path) -> None:
    """Six lines over four connections: two connections a node is even, whatever they carry."""
    cluster = one_input(tmp_path, **FLOWS)
    assert choose_targets(cluster, 6)[0].flows == 4
    assert judged(cluster, {0: {"stash1": [1, 5, 2, 6], "stash2": [3, 4]}}, count=6).problems == ()
    uneven = {"stash1": [1, 5, 3, 4], "stash2": [2, 6]}
    assert "unevenly" in judged(cluster, {0: uneven}, count=6).problems[0].what
