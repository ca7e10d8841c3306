"""SELinux's mode and its booleans."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api import FactBase


class BooleanState(TypedDict):
    """`mode`: `Enforcing`, `Permissive` or `Disabled`; `active`: None where the policy lacks it."""

    mode: str
    active: bool | None
    persistent: bool


def parse_boolean(output: list[str]) -> BooleanState:
    """The mode's line, `getsebool`'s, and the boolean's line of the policy store where it is set there."""
    mode = output[0].strip() if output else "Disabled"
    active = [line.endswith(" on") for line in output if " --> " in line]
    persistent = [line.endswith("=1") for line in output if "=" in line]
    return BooleanState(mode=mode, active=active[0] if active else None, persistent=any(persistent))


class Boolean(FactBase[BooleanState]):
    """A boolean's value now, and whether the policy store turns it on at each boot. Needs root."""

    @staticmethod
    def default() -> BooleanState:
        return BooleanState(mode="Disabled", active=None, persistent=False)

    def command(self, boolean: str) -> str:
        # EL 7 keeps the store below /etc, later ones below /var/lib (selinux_config(5), semanage.conf(5)).
        store = "/etc/selinux/*/active/booleans.local /var/lib/selinux/*/active/booleans.local"
        return (
            "! command -v getenforce >/dev/null || "
            f"{{ getenforce; getsebool {boolean}; grep -hx '{boolean}=[01]' {store}; }} 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> BooleanState:
        return parse_boolean(output)
