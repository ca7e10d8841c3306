"""What a deploy would change, told without changing it: pyinfra's dry run of a small deploy on recording machines."""

from __future__ import annotations

import json
import os
import textwrap
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyinfra
import pyinfra.api.inventory
import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.connectors.fake import FakeConnector
from pyinfra.context import ctx_inventory, ctx_state

from cluster import ClusterError
from verification import drift
from verification.drift import Drift, document, find_drift, lines

DEPLOY = """
from pyinfra import host, logger, state
from pyinfra.api import operation
from pyinfra.facts.server import Command


@operation()
def secret(word):
    if host.get_fact(Command, command="cat /secret") != word:
        if state.config.DIFF:
            host.log("Will modify /secret")
            logger.info("  - before")
        yield f"echo {word} >/secret"


if "nodes" in host.groups:
    secret(name="1. One", word="a")
    secret(name="2. Two", word="b")
"""


class Prepared:
    """A run that `find_drift` can prepare, on two nodes and a host that is not one."""

    def __init__(self, said: dict[str, Any], diff: bool) -> None:
        nodes = [
            (name, {"fake_responses": {"cat /secret": said[name]}, "fake_delay": 0, "fake_delay_jitter": 0})
            for name in ("stash1", "stash2")
        ]
        self.inventory = Inventory((["stash1", "stash2", "sender"], {}), nodes=(nodes, {}))
        self.hosts = [self.inventory.get_host(name) for name in ("stash1", "stash2")]
        self.state = State()
        self.state.init(self.inventory, Config(DIFF=diff), initial_limit=self.hosts)
        for host in self.hosts:
            host.connect()

    def drift(self) -> Drift:
        with ctx_state.use(self.state), ctx_inventory.use(self.inventory):
            return find_drift(self.state, self.hosts)

    @property
    def executed(self) -> list[str]:
        connectors = [host.connector for host in self.inventory]
        assert all(isinstance(connector, FakeConnector) for connector in connectors)
        return [command for connector in connectors for command in connector.executed_commands]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def small_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deploy.py"
    file.write_text(textwrap.dedent(DEPLOY))
    monkeypatch.setattr(drift, "DEPLOY", file)
    monkeypatch.setattr(pyinfra.api.inventory, "get_execution_connectors", lambda: {"ssh": FakeConnector})
    monkeypatch.setattr(pyinfra, "is_cli", False)


def test_a_step_that_would_change_nothing_is_not_listed() -> None:
    """Two steps can't both be as they are meant here, so each node says what the step asks for."""
    run = Prepared({"stash1": "a", "stash2": "a"}, diff=False)
    found = run.drift()
    assert found.steps == {"stash1": ["2. Two"], "stash2": ["2. Two"]}
    assert not found.none
    assert Drift({"stash1": [], "stash2": []}).none


def test_what_would_change_is_listed_by_host_and_step() -> None:
    run = Prepared({"stash1": "b", "stash2": "other"}, diff=False)
    found = run.drift()
    assert found.steps == {"stash1": ["1. One"], "stash2": ["1. One", "2. Two"]}
    assert lines(found, False) == ["stash1: 1. One", "stash2: 1. One", "stash2: 2. Two"]
    assert run.executed
    assert not [command for command in run.executed if "cat /secret" not in command]


def test_differences_are_listed_by_host_without_colours() -> None:
    """By host, though both are prepared at the same time, and without colours."""
    found = Prepared({"stash1": "b", "stash2": "other"}, diff=True).drift()
    assert found.details["stash1"] == ["Will modify /secret", "  - before"]
    assert lines(found, True)[:3] == ["stash1: 1. One", "    Will modify /secret", "      - before"]
    assert not any("\x1b" in line for said in found.details.values() for line in said)


@pytest.mark.parametrize("other", ["a", {"stderr": ["no disk"], "success": False}])
def test_a_fact_that_fails_is_no_success(other: Any) -> None:
    """pyinfra takes such a host out of the run, and its own dry run would end with status 0."""
    run = Prepared({"stash1": {"stderr": ["no disk"], "success": False}, "stash2": other}, False)
    with pytest.raises(ClusterError) as error:
        run.drift()
    assert str(error.value) == "stash1: can't tell what a deploy would change: no disk"


def test_an_error_of_the_deploy_is_raised(tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text(
        'from cluster import ClusterError\nraise ClusterError("stash1: its system is Debian; take another")\n'
    )
    with pytest.raises(ClusterError, match="its system is Debian"):
        Prepared({"stash1": "", "stash2": ""}, diff=False).drift()


def test_no_drift_is_one_line() -> None:
    found = Drift({"stash1": [], "stash2": []})
    assert lines(found, True) == ["no drift: a deploy would change nothing on stash1, stash2"]
    assert json.loads(json.dumps(document(found, False))) == {
        "version": 2,
        "error": None,
        "ok": True,
        "drift": {"stash1": [], "stash2": []},
    }


def test_the_document_has_the_differences_that_were_asked_for() -> None:
    found = Drift({"stash1": ["1. One"], "stash2": []}, {"stash1": ["Will modify /secret"]})
    assert document(found, True) == {
        "version": 2,
        "error": None,
        "ok": False,
        "drift": {"stash1": ["1. One"], "stash2": []},
        "diff": {"stash1": ["Will modify /secret"]},
    }


@pytest.mark.parametrize("reason", ["", "its system is Debian"])
def test_pyinfras_own_state_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """Also where the deploy fails."""
    monkeypatch.delenv("PYINFRA_PROGRESS", raising=False)
    if reason:
        text = f'from cluster import ClusterError\nraise ClusterError("{reason}")\n'
        (tmp_path / "deploy.py").write_text(text)
    run = Prepared({"stash1": "a", "stash2": "a"}, diff=False)
    inventory, state = ctx_inventory.get(), ctx_state.get()
    ctx_state.set(run.state)
    with pytest.raises(ClusterError) if reason else nullcontext():
        find_drift(run.state, run.hosts)
    ctx_state.set(state)
    assert pyinfra.is_cli is False
    assert "PYINFRA_PROGRESS" not in os.environ
    assert ctx_inventory.get() is inventory
