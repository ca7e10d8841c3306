"""A clone becomes the node that it should be (the recipe's step 10)."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, StringCommand, operation

from desired.clone import RUN, UNIT, WINDOW, Plan, edits, hardware, script
from desired.paths import CLONE, CLONE_REBOOT, HARDWARE, STATE
from facts.clone import Identity
from remote.clone import follow, learn_host_keys, read_boot_id, wait_for_reboot
from remote.snapshot import Change


@operation()
def become(plan: Plan | None, addresses: list[str]) -> Generator[StringCommand | FunctionCommand]:
    """
    Make this clone the node that it should be (the recipe's step 10).

    A unit on the machine changes its host name, machine-id, ssh host keys and network files in one step. The
    session goes on at the new address and confirms the change; without that, all of it goes back within 60 s.
    Then the machine reboots. An interrupted run is finished by the next one.

    + plan: what changes; None where the machine is this node already
    + addresses: the addresses that the node must have then
    """
    if plan is None:
        host.noop(f"{host.name} is itself")
        return
    if not plan.begun:
        if state.config.DIFF:
            _show(plan)
        stage = shlex.join(["stage", plan.hostname, edits(plan.replaced), "\n".join(plan.hardware)])
        yield StringCommand(
            f"umask 077 && mkdir -p {CLONE} && cat >{RUN} && sh {RUN} {stage}", _stdin=script()
        )
        yield FunctionCommand(learn_host_keys, (addresses,), {})
        switch = shlex.join(["switch", str(WINDOW), " ".join(plan.profiles), " ".join(plan.addresses)])
        yield StringCommand(
            f"systemctl reset-failed {UNIT} 2>/dev/null; systemd-run --unit={UNIT} /bin/sh {RUN} {switch}"
        )
        yield FunctionCommand(follow, (), {})
    boot_ids: list[str] = []
    yield FunctionCommand(read_boot_id, (boot_ids,), {})
    yield StringCommand(f"test ! -e {RUN} || sh {RUN} confirm {shlex.join(addresses)}")
    yield FunctionCommand(wait_for_reboot, (boot_ids, list(plan.addresses)), {})


@operation()
def recorded(interface: str) -> Generator[StringCommand]:
    """
    Record this machine's hardware on its disk, so that the disk of a clone names another machine's.

    + interface: the network interface whose MAC address is recorded
    """
    identity = host.get_fact(Identity, folder=CLONE, reboot=CLONE_REBOOT, hardware=HARDWARE)
    lines = hardware(identity, interface)
    if identity["recorded"] == lines:
        host.noop("the hardware is recorded")
        return
    record = f"mkdir -p {STATE} && printf '%s\\n' {shlex.join(lines)} >{HARDWARE}"
    yield Change(record, touches=[Identity])


def _show(plan: Plan) -> None:
    host.log(f"Will make this clone {plan.hostname}")
    for old, new in plan.addresses.items():
        logger.info(f"  {old} becomes {new}")
    logger.info("  machine-id, ssh host keys and Logstash's node id become new, and the machine reboots")
