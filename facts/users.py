"""User accounts."""

from __future__ import annotations

import shlex

from pyinfra.api import FactBase


class User(FactBase[str | None]):
    """
    The line of `user` in passwd(5); None where there is no such user.

    .. code:: python

        "keepalived_script:x:989:989::/:/sbin/nologin"
    """

    def command(self, user: str) -> str:
        return f"getent passwd {shlex.quote(user)} || true"

    def process(self, output: list[str]) -> str | None:
        return output[0] if output else None
