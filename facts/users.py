"""User accounts."""

from __future__ import annotations

import shlex

from pyinfra.api import FactBase


class User(FactBase[str | None]):
    """The passwd(5) line of `user`, or None."""

    def command(self, user: str) -> str:
        return f"getent passwd {shlex.quote(user)} || true"

    def process(self, output: list[str]) -> str | None:
        return output[0] if output else None
