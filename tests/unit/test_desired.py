"""The lists of what a node should be: each file is put in one step, and read by a unit of the one list of units."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from desired.compared import compared_facts
from desired.files import desired_files
from desired.requirements import SUPPORTED
from desired.textfile import of_step
from desired.translation import own_table
from desired.units import EVER_MANAGED, desired_units, managed_units, retired_units, unit_names
from tests.unit.clusters import example
from tests.unit.test_shapes import SHAPES
from verification.observe import lasting_facts

DEPLOY = Path(__file__).parents[2] / "deploy.py"


def steps_of_the_deploy() -> dict[int, str]:
    """By the number in `step=…`: the name of the operation of deploy.py that puts these files."""
    found: list[tuple[int, str]] = []
    for call in ast.walk(ast.parse(DEPLOY.read_text())):
        if isinstance(call, ast.Call):
            arguments = {keyword.arg: keyword.value for keyword in call.keywords}
            match arguments:
                case {
                    "step": ast.Constant(value=int(number)),
                    "name": ast.Constant(value=str(name)),
                }:
                    found.append((number, name))
    steps = dict(found)
    assert len(steps) == len(found), "a step's files are put twice"
    return steps


@pytest.mark.parametrize("shape", SHAPES)
def test_each_desired_file_is_put_in_exactly_one_step(shape: str, tmp_path: Path) -> None:
    cluster, steps = example(shape, tmp_path), steps_of_the_deploy()
    for el in SUPPORTED:
        files = desired_files(cluster, cluster.nodes[0], el).values()
        put = Counter(file.path for number in steps for file in of_step(files, number))
        assert put == Counter(file.path for file in files)


def test_a_step_that_puts_files_is_named_by_its_number() -> None:
    for number, name in steps_of_the_deploy().items():
        assert name.startswith(f"{number}. ")


@pytest.mark.parametrize("shape", SHAPES)
def test_each_file_that_is_read_by_a_unit_is_read_by_one_that_the_deploy_starts(
    shape: str, tmp_path: Path
) -> None:
    cluster = example(shape, tmp_path)
    for el in SUPPORTED:
        node = cluster.nodes[0]
        managed = {unit.name for unit in managed_units(cluster, node, el)}
        assert {file.read_by for file in desired_files(cluster, node, el).values()} - {""} <= managed


@pytest.mark.parametrize("shape", SHAPES)
def test_a_unit_is_either_needed_or_retired(shape: str, tmp_path: Path) -> None:
    cluster = example(shape, tmp_path)
    for el in SUPPORTED:
        names = [unit.name for unit in desired_units(cluster, cluster.nodes[0], el)]
        assert names == unit_names(cluster, own_table(cluster, el, has_nftables=True))
        managed = [unit.name for unit in managed_units(cluster, cluster.nodes[0], el)]
        assert sorted(managed + retired_units(names)) == sorted(EVER_MANAGED)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_fact_is_read_twice_where_a_deploy_changes_nothing(shape: str, tmp_path: Path) -> None:
    """What verify.py's verdict needs at its end, it asks in the same words as the deploy, which then remembers the answer."""
    cluster = example(shape, tmp_path)
    for el in SUPPORTED:
        node, with_table = cluster.nodes[0], own_table(cluster, el, has_nftables=True)
        files = list(desired_files(cluster, node, el).values())
        units = [unit.name for unit in managed_units(cluster, node, el)]
        asked = compared_facts(cluster, node, units, files)
        judged = lasting_facts(cluster, node, with_table, files).values()
        every = {f"{fact.__name__} {arguments}" for fact, arguments in (*asked, *judged)}
        assert len(every) == len({fact for fact, _ in (*asked, *judged)})
