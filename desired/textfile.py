"""A file whose whole content the deploy writes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from desired import paths
from facts.files import FileState


@dataclass(frozen=True)
class TextFile:
    """A file as it should be."""

    path: str
    content: str
    step: int = 0
    """The recipe's step that it belongs to, which `deploy.py` names; 0 where none does."""
    mode: str = "644"
    owner: str = "root"
    """Its user and group."""
    check: str = ":"
    """A shell command that must succeed before the file is put in place. `$new` is the new file, `$work` an
    empty folder."""
    read_by: str = ""
    """The unit that reads it: the file is staged until that unit restarts (`activation.rolling_restart`)."""
    then: str = ":"
    """A shell command to run as soon as the file is in place."""
    secret: bool = False
    """Whether its content must not be shown: nor what it replaces on a node. Files with another mode than this one that not
    everybody there may read are not shown either (`operations.files`)."""
    in_base64: bool = False
    """Whether `content` is what the file holds in base64: a file that is not text."""
    previous: str = ""
    """Where the file is kept as it was before, until the deploy ends; "" for nowhere."""

    @property
    def data(self) -> bytes:
        """What the file holds."""
        return base64.b64decode(self.content) if self.in_base64 else self.content.encode()

    @property
    def sha256(self) -> str:
        """The SHA-256 of its content, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def staged(self) -> str:
        """The path at which it waits for its unit."""
        return paths.staged(self.path)

    @property
    def state(self) -> FileState:
        """What `facts.files.Files` reads once it is in place."""
        return FileState(mode=self.mode, user=self.owner, group=self.owner, sha256=self.sha256)


def of_step(files: Iterable[TextFile], step: int) -> list[TextFile]:
    """The files that belong to this step of the recipe."""
    return [file for file in files if file.step == step]


def read_by(files: Iterable[TextFile], unit: str) -> list[TextFile]:
    """The files that this unit reads."""
    return [file for file in files if file.read_by == unit]


def all_paths(files: Iterable[TextFile]) -> list[str]:
    """Where these files are, and where those that a unit reads are staged."""
    return [path for file in files for path in ((file.path, file.staged) if file.read_by else (file.path,))]
