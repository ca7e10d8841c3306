"""What a deploy would change: pyinfra prepares `deploy.py` as for its own dry run, and nothing is executed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pyinfra
from pyinfra import host as current_host
from pyinfra.api import Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_host, ctx_inventory
from pyinfra_cli.prints import build_plan_json
from pyinfra_cli.util import load_deploy_file

from cluster import ClusterError
from verification.show import DOCUMENT_VERSION

DEPLOY = Path(__file__).parents[1] / "deploy.py"
_PROGRESS = "PYINFRA_PROGRESS"
"""pyinfra's environment variable that turns its progress bar off."""


@dataclass(frozen=True)
class Drift:
    """What would change on each node, by its name."""

    steps: dict[str, list[str]]
    """The deploy's steps that would change something, in their order."""
    details: dict[str, list[str]] = field(default_factory=dict)
    """What pyinfra says of it, with the differences of files; passwords are hidden."""

    @property
    def none(self) -> bool:
        """Whether a deploy would change nothing."""
        return not any(self.steps.values())


def find_drift(state: State, hosts: list[Host]) -> Drift:
    """What a deploy would change on these connected hosts. Raises `ClusterError` where that can't be found out."""
    for host in hosts:
        state.activate_host(host)
    state.set_stage(StateStage.Connect)
    state.set_stage(StateStage.Prepare)
    with _as_pyinfras_program(state), _listening() as heard:
        try:
            load_deploy_file(state, str(DEPLOY))
        except PyinfraError:
            if not state.failed_hosts:
                raise
    if state.failed_hosts:  # a fact has failed, and pyinfra would go on without the host
        name = min(host.name for host in state.failed_hosts)
        reason = heard.errors.get(name, "it says nothing")
        raise ClusterError(f"{name}: can't tell what a deploy would change: {reason}")
    plan = build_plan_json(state)
    steps = {
        host.name: [
            step["name"]
            for step in plan
            if host.name in step["hosts_with_change"] + step["hosts_with_conditional_change"]
        ]
        for host in hosts
    }
    return Drift(steps, {name: lines for name, lines in heard.lines.items() if steps.get(name)})


@contextmanager
def _as_pyinfras_program(state: State) -> Iterator[None]:
    """Meanwhile pyinfra works as under its own program: it orders operations by their lines in deploy.py."""
    is_cli, inventory, progress = pyinfra.is_cli, ctx_inventory.get(), os.environ.get(_PROGRESS)
    pyinfra.is_cli = True
    ctx_inventory.set(state.inventory)
    os.environ[_PROGRESS] = progress or "off"
    try:
        yield
    finally:
        pyinfra.is_cli = is_cli
        ctx_inventory.set(inventory)
        if progress is None:
            del os.environ[_PROGRESS]


class _Listener(logging.Handler):
    """Keeps what pyinfra logs, by the host that it prepares meanwhile, and the first error of each host."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, list[str]] = {}
        self.errors: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if ctx_host.isset():
            name = current_host.name
            line = click.unstyle(record.getMessage()).removeprefix(f"[{name}] ").rstrip()
            if not line.startswith("Ready: "):
                self.lines.setdefault(name, []).append(line)
            if record.levelno >= logging.ERROR:
                self.errors.setdefault(name, line)


@contextmanager
def _listening() -> Iterator[_Listener]:
    listener, level = _Listener(), pyinfra.logger.level
    pyinfra.logger.addHandler(listener)
    pyinfra.logger.setLevel(logging.INFO)
    try:
        yield listener
    finally:
        pyinfra.logger.removeHandler(listener)
        pyinfra.logger.setLevel(level)


def document(drift: Drift, details: bool) -> dict[str, Any]:
    """The JSON document on drift: `version`, `error` (null), `ok` (nothing would change), and by node name
    `drift`, the steps that would change something, and with `--diff` `diff`, lines that describe the changes."""
    found: dict[str, Any] = {
        "version": DOCUMENT_VERSION,
        "error": None,
        "ok": drift.none,
        "drift": drift.steps,
    }
    return found | ({"diff": drift.details} if details else {})


def lines(drift: Drift, details: bool) -> list[str]:
    """The same for a person: one line when nothing would change."""
    if drift.none:
        return [f"no drift: a deploy would change nothing on {', '.join(drift.steps)}"]
    found = []
    for name, steps in drift.steps.items():
        found += [f"{name}: {step}" for step in steps]
        found += [f"    {line}" for line in drift.details.get(name, [])] if details else []
    return found
