"""SELinux's mode and its booleans."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api import FactBase


class BooleanState(TypedDict):
    """`mode`: `Enforcing`, `Permissive` or `Disabled`; `name`, `active`: None where the policy has none of them."""

    mode: str
    name: str | None
    active: bool | None
    persistent: bool


def parse_boolean(output: list[str]) -> BooleanState:
    """The mode's line, `getsebool`'s, and the boolean's line of the policy store where it is set there."""
    state = Boolean.default()
    if output:
        state["mode"] = output[0].strip()
    for line in output[1:]:
        name, arrow, value = line.partition(" --> ")
        if arrow:
            state["name"], state["active"] = name.strip(), value.strip() == "on"
        elif line.strip().endswith("=1"):
            state["persistent"] = True
    return state


class Boolean(FactBase[BooleanState]):
    """The first of these booleans that the policy has: its value now, and whether the policy store turns it on
    at each boot. Needs root."""

    @staticmethod
    def default() -> BooleanState:
        return BooleanState(mode="Disabled", name=None, active=None, persistent=False)

    def command(self, booleans: list[str]) -> str:
        # EL 7 keeps the store below /etc, later ones below /var/lib (selinux_config(5), semanage.conf(5)).
        store = "/etc/selinux/*/active/booleans.local /var/lib/selinux/*/active/booleans.local"
        return (
            "! command -v getenforce >/dev/null || { getenforce; "
            f"for boolean in {' '.join(booleans)}; do"
            f' getsebool $boolean && {{ grep -hx "$boolean=[01]" {store}; break; }}; done; }} 2>/dev/null || true'
        )

    def process(self, output: list[str]) -> BooleanState:
        return parse_boolean(output)
