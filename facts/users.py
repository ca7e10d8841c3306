"""User accounts."""

from __future__ import annotations

from pyinfra.api import FactBase


class User(FactBase[str | None]):
    """
    The home folder of `user`; None where there is no such user.

    .. code:: python

        "/"
    """

    def command(self, user: str) -> str:
        # The shell looks users up as getent does, and leaves the text alone where there is none.
        return f'home=~{user}; [ "$home" = \'~{user}\' ] || echo "$home"'

    def process(self, output: list[str]) -> str | None:
        return output[0] if output else None
