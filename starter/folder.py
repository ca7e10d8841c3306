"""The files of an operator's folder: rendered, checked by the model, and written where none is overwritten."""

from __future__ import annotations

import json
import os
import runpy
import secrets
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster, ClusterError
from cluster.errors import shorten
from desired.render import render
from starter.proposal import Proposal

PROJECT = Path(__file__).parents[1]
INVENTORY = "inventory.py"
AUTH_PASS = "auth_pass"
"""Holds the VRRP password, where the cluster has one."""


@dataclass(frozen=True)
class StarterFile:
    """A file of the folder."""

    name: str
    content: str
    mode: int = 0o644


def check_free(folder: Path) -> None:
    """Raises `ClusterError` where the folder has an inventory already, or can't be a folder."""
    if os.path.lexists(inventory := folder / INVENTORY):
        raise ClusterError(f"DIR: {_path(inventory)} exists; edit it, or name another folder")
    if os.path.lexists(folder) and not folder.is_dir():
        raise ClusterError(f"DIR: {_path(folder)} is not a folder; name a new one")


def starter_files(proposal: Proposal, folder: Path) -> list[StarterFile]:
    """What is written into the folder, the inventory last."""
    passwords = [StarterFile(AUTH_PASS, f"{secrets.token_urlsafe(6)}\n", 0o600)] if proposal.vrrp == 2 else []
    inventory = render("inventory.py.j2", proposal=proposal, auth_pass=AUTH_PASS, python=_python)
    return [
        StarterFile(".gitignore", render("inventory.gitignore.j2", auth_pass=AUTH_PASS)),
        StarterFile(
            "README.md",
            render(
                "inventory.readme.j2",
                project=shlex.quote(str(PROJECT)),
                programs=shlex.quote(str(programs())),
                inventory=shlex.quote(str(folder / INVENTORY)),
            ),
        ),
        *passwords,
        StarterFile(INVENTORY, inventory),
    ]


def programs() -> Path:
    """The folder of `python` and `pyinfra`, as seen from the project's."""
    folder = Path(sys.executable).parent
    return folder.relative_to(PROJECT) if folder.is_relative_to(PROJECT) else folder


def checked_cluster(files: list[StarterFile]) -> Cluster:
    """The cluster that an inventory of these files describes. Raises `ClusterError`."""
    with tempfile.TemporaryDirectory() as scratch:
        for file in files:
            (Path(scratch) / file.name).write_text(file.content)
        _, data = runpy.run_path(str(Path(scratch) / INVENTORY))["nodes"]
        return Cluster.model_validate(data["cluster"])


def write(folder: Path, files: list[StarterFile]) -> list[StarterFile]:
    """Write the files that are not there yet; returns them. Raises `ClusterError`."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            try:
                descriptor = os.open(folder / file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
            except FileExistsError:
                continue
            with open(descriptor, "w") as new:
                new.write(file.content)
            written.append(file)
    except OSError as error:
        raise ClusterError(
            f"DIR: {_path(Path(error.filename or folder))} can't be written ({error.strerror}); "
            "name a folder in a folder of yours"
        ) from None
    return written


def _python(value: object) -> str:
    """A value of the inventory in Python, with double quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_python(key)}: {_python(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | list) else repr(value)


def _path(path: Path) -> str:
    return shorten(str(path))
