"""User accounts."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.files import Files
from facts.record import Record
from facts.users import User
from operations.record import add_entry
from remote.snapshot import Change


@operation()
def system(user: str) -> Generator[StringCommand]:
    """
    Add a system user without a home, as which nobody can log in.

    + user: the user's name
    """
    if host.get_fact(User, user=user):
        host.noop(f"user {user} exists")
        return
    yield Change(
        f"{add_entry('user', user)} && useradd --system --no-create-home --home-dir / --shell /sbin/nologin {user}",
        touches=[Files, Record, User],  # a file's owner without a name gets one
    )
