"""The nodes are patched one after the other, each of them in maintenance meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api import Host, State

from cluster import Cluster, Node
from desired.patch import (
    BOOT_BOUND,
    Pending,
    Request,
    back_command,
    needs_reboot,
    parse_pending,
    pending_command,
    upgrade_command,
)
from desired.paths import MAINTENANCE
from desired.units import managed_units
from facts.maintenance import Maintenance, MaintenanceState
from remote import lock, soak
from remote.clone import read_boot_id, wait_for_reboot
from remote.commands import CommandFailed, log_error, read, run
from remote.drain import (
    WARM_BOUND,
    comes_back_slowly,
    connected_directors,
    desired_members,
    holders_of,
    holds_a_vip,
    present_members,
    wait_until,
)
from remote.machine import read_machine
from remote.maintenance import enter, leave

UPGRADE_TIMEOUT = 3600
"""Seconds for the package manager."""


@dataclass
class _Progress:
    """How far a run is."""

    begun: int
    """When it began, or the interrupted run before it that it goes on with; in seconds of the epoch."""
    done: set[str] = field(default_factory=set)
    stopped_at: str = ""
    """The node that did not come back, and that no other node follows."""


_runs: WeakKeyDictionary[State, dict[tuple[str, ...], _Progress]] = WeakKeyDictionary()
"""By run, and by cluster."""


def patch_node(
    state: State, host: Host, cluster: Cluster, el: int, asked: Request, masters: bool, only: str | None
) -> bool:
    """Patch a node unless it is done, or its turn comes later. Whether the next one may follow.

    + masters: whether also those that hold a VIP
    + only: the name of the one node that is to be patched now, the canary
    """
    node = cluster.node(host.name)
    directors = connected_directors(state, cluster)
    of_run = _runs.setdefault(state, {})
    if cluster.node_names not in of_run:
        of_run[cluster.node_names] = _Progress(_begun(directors))
    progress = of_run[cluster.node_names]
    if only not in (None, host.name) or host.name in progress.done:
        return True
    if progress.stopped_at:
        log_error(
            host, f"left as it was, because {progress.stopped_at} is not back; mend that and run this again"
        )
        return False
    if not (masters or only) and holds_a_vip(host, cluster):
        logger.info(f"{host.print_prefix}it holds the VIP, so its turn comes last")
        return True
    progress.stopped_at = host.name  # until it is back: an exception stops the others, too
    try:
        if not _patch(state, host, cluster, node, el, asked, progress.begun):
            return False
    except CommandFailed as failure:
        for line in failure.lines:
            log_error(host, line)
        log_error(host, "it stays out, and the others as they are; mend it and run this again")
        return False
    progress.stopped_at = ""
    progress.done.add(host.name)
    return True


def soak_canary(state: State, host: Host, cluster: Cluster, el: int, asked: Request) -> bool:
    """Watch the canary. Whether the others may follow; where they may not, it goes into maintenance."""
    node = cluster.node(host.name)
    progress = _runs[state][cluster.node_names]
    if host.name != asked.canary or progress.stopped_at:
        return True
    directors = connected_directors(state, cluster)
    if str(node.address) in read(host, Maintenance, folder=MAINTENANCE):
        logger.warning(f"{host.print_prefix}it is in maintenance, so there is nothing to watch")
        return True
    holders = holders_of(directors, cluster)
    wait_until(lambda: not comes_back_slowly(holders, cluster, node), WARM_BOUND)
    logger.info(f"{host.print_prefix}watched for {asked.soak:g} minutes")
    reason = soak.watch(state, cluster, node, 60 * asked.soak)
    if not reason:
        return True
    progress.stopped_at = host.name
    enter(state, host, cluster, el, patch=progress.begun)
    log_error(host, f"{reason}: it is out, and the others stay as they are; mend it and run this again")
    return False


def _begun(directors: list[Host]) -> int:
    """When this run began, or the one that it goes on with: a node is still out for that."""
    found = [
        note["patch"]
        for director in directors
        for note in read(director, Maintenance, folder=MAINTENANCE).values()
        if note["patch"]
    ]
    return min(found, default=int(time.time()))


def _patch(
    state: State, host: Host, cluster: Cluster, node: Node, el: int, asked: Request, begun: int
) -> bool:
    """Raises `CommandFailed`."""
    note: MaintenanceState | None = read(host, Maintenance, folder=MAINTENANCE).get(str(node.address))
    operators = note is not None and not note["patch"]
    pending = _pending(host, el, asked)
    if not pending.updates and not needs_reboot(asked, pending, begun) and (note is None or operators):
        logger.info(f"{host.print_prefix}there is nothing to do")
        return operators or _is_in_the_pools(state, host, cluster, node)
    if not operators and not enter(state, host, cluster, el, patch=begun):
        return False
    if pending.updates:
        logger.info(f"{host.print_prefix}{pending.updates} packages are upgraded")
        run(host, upgrade_command(el, asked), timeout=UPGRADE_TIMEOUT)
        pending = _pending(host, el, asked)
    if needs_reboot(asked, pending, begun):
        _reboot(state, host)
    units = managed_units(cluster, node, el, read_machine(host)["nftables"])
    run(host, back_command(units), timeout=sum(unit.bound + BOOT_BOUND for unit in units))
    if operators:
        logger.info(f"{host.print_prefix}patched; it stays in maintenance, as an operator has it")
        return True
    return leave(state, host, cluster)


def _pending(host: Host, el: int, asked: Request) -> Pending:
    return parse_pending(run(host, pending_command(el, asked)))


def _is_in_the_pools(state: State, host: Host, cluster: Cluster, node: Node) -> bool:
    holders = holders_of(connected_directors(state, cluster), cluster)
    if desired_members(cluster, node) <= present_members(holders, node):
        return True
    log_error(
        host,
        "there is nothing to do, but it gets no events: `verify.py` tells why; mend that and run this again",
    )
    return False


def _reboot(state: State, host: Host) -> None:
    """Raises `CommandFailed`."""
    boot_ids: list[str] = []
    if not read_boot_id(state, host, boot_ids):
        raise CommandFailed(["the id of its boot can't be read"])
    logger.info(f"{host.print_prefix}reboots")
    try:
        run(host, "systemctl --no-block --job-mode=replace-irreversibly start reboot.target")
    except CommandFailed as failure:  # it may end the connection before it answers
        logger.debug(f"{host.print_prefix}{failure}")
    if not wait_for_reboot(state, host, boot_ids, []):
        raise CommandFailed(["it is not back from its reboot"])
    lock.take_again(state, host)
