"""A clone becomes the node that it should be (the recipe's step 10)."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, StringCommand, operation

from desired.clone import RUN, UNIT, WINDOW, Plan, edits, hardware, script
from desired.paths import CLONE, CLONE_REBOOT, HARDWARE, STATE
from facts.clone import Identity
from remote.clone import come_back, follow, learn_host_keys, note_boot


@operation()
def become(plan: Plan | None, addresses: list[str]) -> Generator[StringCommand | FunctionCommand]:
    """This clone as the node that it is meant to be, with these addresses (the recipe's step 10).

    Hostname, machine-id, ssh host keys and the network's files change in one step, apart from the
    session, which goes on at the new address and confirms it; unconfirmed, all of it goes back within
    60 s. Then the machine reboots. A run that was broken off is finished by the next.
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
    boots: list[str] = []
    yield FunctionCommand(note_boot, (boots,), {})
    yield StringCommand(f"test ! -e {RUN} || sh {RUN} confirm {shlex.join(addresses)}")
    yield FunctionCommand(come_back, (boots, list(plan.addresses)), {})


@operation()
def remember(interface: str) -> Generator[StringCommand]:
    """A note of this machine's hardware on its disk: on a clone's disk it names another's (the recipe's step 10)."""
    identity = host.get_fact(Identity, folder=CLONE, reboot=CLONE_REBOOT, hardware=HARDWARE)
    lines = hardware(identity, interface)
    if identity["noted"] == lines:
        host.noop("the hardware is noted")
        return
    yield StringCommand(f"mkdir -p {STATE} && printf '%s\\n' {shlex.join(lines)} >{HARDWARE}")


def _show(plan: Plan) -> None:
    host.log(f"Will make this clone {plan.hostname}")
    for old, new in plan.addresses.items():
        logger.info(f"  {old} becomes {new}")
    logger.info("  machine-id, ssh host keys and Logstash's node id become new, and the machine reboots")
