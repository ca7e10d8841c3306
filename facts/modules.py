"""Kernel modules."""

from __future__ import annotations

import shlex

from pyinfra.api import FactBase


class MissingModules(FactBase[list[str]]):
    """
    The kernel modules among these that are not loaded.

    .. code:: python

        ["ip_vs_wlc"]
    """

    default = list

    def command(self, modules: list[str]) -> str:
        return f"for module in {shlex.join(modules)}; do test -d /sys/module/$module || echo $module; done"

    def process(self, output: list[str]) -> list[str]:
        return [line.strip() for line in output]
