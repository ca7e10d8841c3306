"""Kernel modules (the recipe's step 6): loaded now; a file has them loaded at each boot."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.modules import MissingModules
from facts.record import Record
from facts.sysctl import Sysctl
from operations.record import add_entry
from remote.snapshot import Change


@operation()
def loaded(modules: list[str]) -> Generator[StringCommand]:
    """
    Load kernel modules (modprobe(8)).

    + modules: names such as `ip_vs_rr`
    """
    missing = host.get_fact(MissingModules, modules=modules)
    if not missing:
        host.noop(f"{', '.join(modules)}: loaded")
        return
    entries = [add_entry("module", module) for module in missing]
    load = f"modprobe --all {' '.join(missing)}"
    yield Change(" && ".join([*entries, load]), touches=[MissingModules, Record, Sysctl])
