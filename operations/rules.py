"""What operations on firewall rules have in common."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra import host, state


def show(action: str, rules: Iterable[str]) -> None:
    """With `--diff`, tell what is done to each of these rules."""
    if state.config.DIFF:
        for rule in rules:
            host.log(f"{action}: {rule}")
