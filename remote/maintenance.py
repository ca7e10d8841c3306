"""A node leaves the cluster for maintenance, and comes back: no event is lost."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass

from pyinfra import logger
from pyinfra.api import Host, State

from cluster import Cluster, Node
from desired.health import UNIT as HEALTH
from desired.keepalived import UNIT as KEEPALIVED
from desired.keepalived import hand_over
from desired.maintenance import Note, note_file, render
from desired.paths import MAINTENANCE
from desired.render import program
from facts.maintenance import Maintenance
from facts.services import ServiceStates
from remote.commands import CommandFailed, log_error, read, run
from remote.drain import (
    DRAIN_BOUND,
    WARM_BOUND,
    comes_back_slowly,
    connected_directors,
    depending,
    desired_members,
    holders_of,
    holds_a_vip,
    pools,
    present_members,
    wait_until,
)
from remote.operator import operator

RETURN_BOUND = 60.0
"""Seconds within which a node that comes back must be in the pools: its inputs may have to be good for some time first."""
HANDOVER_BOUND = 20
"""Seconds within which keepalived must have given the VIP up."""


@dataclass(frozen=True)
class _Others:
    """What the other nodes do while this one is away."""

    unreached: list[str]
    dependent: list[str]
    """The virtual servers whose events only this node takes."""
    heirs: list[str]
    """The nodes that can hold the VIPs."""

    @property
    def refusal(self) -> str:
        """Why this node must not go."""
        if self.dependent:
            return f"no other node takes {', '.join(self.dependent)}"
        return "" if self.heirs else "no other node can hold the VIP"


def enter(
    state: State,
    host: Host,
    cluster: Cluster,
    el: int,
    until: int | None = None,
    last: bool = False,
    patch: int | None = None,
) -> bool:
    """Take a node out of all pools, and have another one hold its VIPs, until `leave` or a time. Whether it worked.

    The last node that takes an input's events stays, unless `last` is given. One that does not get out gets its place back.
    `patch`: when the run of `patch.py` began that does this.
    """
    node = cluster.node(host.name)
    directors = connected_directors(state, cluster)
    present = read(host, Maintenance, folder=MAINTENANCE).get(str(node.address))
    if present and until in (None, present["until"]):
        note = Note(**present)
    else:
        by = operator() if patch is None else f"{operator()} (patch.py)"
        note = Note(by, present["since"] if present else int(time.time()), until, patch)
    others = _look(cluster, directors, node)
    if others.refusal and not present:
        wait_until(lambda: not _look(cluster, directors, node).refusal, DRAIN_BOUND)
        others = _look(cluster, directors, node)
        if others.refusal and not last:
            insist = "" if patch else ", or add --data last=yes"
            log_error(host, f"it stays: {others.refusal}; mend the others first{insist}")
            return False
    if others.unreached:
        names = ", ".join(others.unreached)
        logger.warning(f"{names} can't be reached, and will learn from {node.name} itself that it is away")
    holders = holders_of(directors, cluster)
    wait_until(lambda: not comes_back_slowly(holders, cluster, node), WARM_BOUND)
    try:
        for director in directors:
            if director is not host:
                _write(director, node, note)
        wait_until(
            lambda: not present_members([each for each in holders if each is not host], node), DRAIN_BOUND
        )
        if others.heirs:
            _hand_over(host, cluster, node, el, note)
        else:
            _write(host, node, note)
    except CommandFailed as failure:
        log_error(host, f"{failure}; it stays")
        _remove(directors, node)
        return False
    alone = bool(others.refusal)
    if not wait_until(lambda: not _in_the_way(host, cluster, directors, alone), DRAIN_BOUND):
        log_error(
            host,
            f"it stays, because {_in_the_way(host, cluster, directors, alone)}; is {HEALTH} up there, and of this version? "
            "`verify.py` tells, and a deploy mends it",
        )
        _remove(directors, node)
        return False
    logger.info(f"{host.print_prefix}{note}")
    return True


def leave(state: State, host: Host, cluster: Cluster) -> bool:
    """End a node's maintenance. Whether it is in the pools again, with all inputs that the cluster has."""
    node = cluster.node(host.name)
    directors = connected_directors(state, cluster)
    missing = [each.name for each in cluster.nodes if each.name not in {one.name for one in directors}]
    if missing:
        logger.warning(f"{', '.join(missing)} can't be reached; run this again when that has changed")
    if not _remove([host, *(director for director in directors if director is not host)], node):
        return False
    desired = desired_members(cluster, node)
    balancing = [each for each in directors if _balances(each)]

    def without() -> list[str]:
        return [each.name for each, members in pools(balancing, node).items() if not desired <= members]

    if wait_until(lambda: not without(), RETURN_BOUND):
        return True
    log_error(
        host,
        f"its maintenance is over, but it is not in the pools of {', '.join(without())} after {RETURN_BOUND:.0f} s; "
        "`verify.py` tells why",
    )
    return False


def _look(cluster: Cluster, directors: list[Host], node: Node) -> _Others:
    peers = [each for each in directors if each.name != node.name]
    holders = holders_of(directors, cluster)
    members = present_members(holders, node)
    heirs = []
    for peer in peers:
        own = str(cluster.node(peer.name).address)
        if _balances(peer) and own not in read(peer, Maintenance, folder=MAINTENANCE):
            heirs.append(peer.name)
    reached = {each.name for each in directors}
    return _Others(
        [each.name for each in cluster.nodes if each.name not in reached],
        depending(cluster, holders, node, members),
        heirs,
    )


def _balances(director: Host) -> bool:
    """Whether its keepalived runs."""
    state = (read(director, ServiceStates, units=[KEEPALIVED]) or {}).get(KEEPALIVED)
    return bool(state and state["active"])


def _hand_over(host: Host, cluster: Cluster, node: Node, el: int, note: Note) -> None:
    """Write on the node that it is away. Senders go on sending to it until the new MASTER has told them, so it goes on
    distributing what comes. That runs to its end, also when the ssh connection breaks."""
    command = hand_over(cluster, node, el, _write_command(node, note), HANDOVER_BOUND)
    run(host, f"trap '' HUP PIPE; {command}", program("release_vips.py"))


def _write(director: Host, node: Node, note: Note) -> None:
    run(director, _write_command(node, note))


def _write_command(node: Node, note: Note) -> str:
    """Writes the file that has the node in maintenance, all at once."""
    return (
        f"umask 022; mkdir -p {MAINTENANCE} && printf '%s\\n' {shlex.quote(render(note))} >{MAINTENANCE}/.new && "
        f"mv -f {MAINTENANCE}/.new {note_file(node.address)}"
    )


def _remove(directors: list[Host], node: Node) -> bool:
    """Whether the maintenance has ended on all of these directors."""
    ended = True
    for director in directors:
        try:
            run(director, f"rm -f {note_file(node.address)}")
        except CommandFailed as failure:
            log_error(director, str(failure))
            ended = False
    return ended


def _in_the_way(host: Host, cluster: Cluster, directors: list[Host], alone: bool) -> str:
    """Why this node is not away yet; nothing where it is. One that goes `alone` has nobody who takes its place."""
    node = cluster.node(host.name)
    if holds_a_vip(host, cluster):
        return "it holds the VIP"
    if alone:
        return ""
    holders = holders_of(directors, cluster)
    if not holders:
        return "no other node takes the VIP"
    if present_members(holders, node):
        return "it is still in a pool"
    return ""
