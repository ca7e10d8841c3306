"""Services restart with their new files, node after node, while other nodes take the events (step 11)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from weakref import WeakKeyDictionary

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from cluster import Cluster
from desired import keepalived
from desired.compared import unit_states
from desired.maintenance import note_file
from desired.paths import DRAINED, MAINTENANCE
from desired.textfile import TextFile
from desired.unit import Unit, needs_restart, reads
from facts.ipvs import DrainFlags
from facts.maintenance import Maintenance
from facts.services import ServiceStates, UnitState, UnitStates, unit_state
from facts.vrrp import VipInterfaces
from operations.services import PackageChange, activation_bound, activation_script
from remote.commands import RUN_TIMEOUT, log_error, succeeds
from remote.drain import connected_directors, desired_members, drained, pools, wait_until
from remote.snapshot import Change

RETURN_BOUND = 30.0
"""Seconds within which a node that is up must be back in the pools."""

NEVER_UP = unit_state("", {})

_stopped_at: WeakKeyDictionary[State, dict[tuple[str, ...], str]] = WeakKeyDictionary()
"""By run: the node that did not come up. No other node is touched after it."""


@operation()
def drain_flags_cleared() -> Generator[StringCommand]:
    """
    Remove the drain flags that an interrupted deploy has left on this director. A maintenance is none of them.
    """
    if host.get_fact(DrainFlags, folder=DRAINED):
        yield Change(f"rm -f {DRAINED}/*", touches=[DrainFlags])
    else:
        host.noop("no node is drained")


@operation()
def rolling_restart(
    cluster: Cluster,
    units: list[Unit],
    files: list[TextFile],
    masters: bool,
    package_changes: Mapping[str, Callable[[], PackageChange | None]] | None = None,
) -> Generator[FunctionCommand]:
    """
    Start units, or make them read their new files, one node after the other: run it with `_serial`.

    Run it twice: first for the nodes that hold no VIP, then with `masters` for the others. A node is drained
    before a service that takes events stops, and the next node follows when it is in the pools again.

    A node in maintenance stays in it: its services restart, and nothing else is waited for.

    When a unit does not come up, it gets back the files and the package that it last ran with, the operation
    fails with the reason, and no other node is touched.

    + cluster: the cluster whose nodes are drained
    + units: the units, in the order in which they start
    + files: all files that the deploy writes
    + masters: whether to change nodes that hold a VIP, too
    + package_changes: by unit, a function that returns the change of its package on this node, or None
    """
    present = host.get_fact(UnitStates, **unit_states([unit.name for unit in units], files))
    changes = {
        unit: change for unit, find in (package_changes or {}).items() if (change := find()) is not None
    }
    pending = [
        unit
        for unit in units
        if unit.name in changes or needs_restart(unit.name, files, present.get(unit.name, NEVER_UP))
    ]
    if not pending:
        host.noop(f"{', '.join(unit.name for unit in units)}: up, with the files that they should have")
        return
    interfaces = host.get_fact(VipInterfaces, vips=[str(vip) for vip in cluster.vips])
    if any((interfaces or {}).values()):
        if not masters:
            host.noop("it holds the VIP, so its turn comes last")
            return
        # keepalived first: where inputs changed, it sends events to the others then, which have the new ones.
        pending.sort(key=lambda unit: bool(unit.idle))
    address = str(cluster.node(host.name).address)
    in_maintenance = address in host.get_fact(Maintenance, folder=MAINTENANCE)
    yield FunctionCommand(_restart, (cluster, pending, files, present, changes, in_maintenance), {})


@operation()
def retired(cluster: Cluster, units: list[str]) -> Generator[FunctionCommand]:
    """
    Drain this node, then stop and disable units on it: run it with `_serial`.

    + cluster: the cluster that the node leaves
    + units: the units' names, in the order in which they stop
    """
    states = host.get_fact(ServiceStates, units=units)
    if not any(state["active"] or state["enabled"] for state in states.values()):
        host.noop(f"{', '.join(units)}: stopped")
        return
    yield FunctionCommand(_stop, (cluster, units), {})


def _stop(state: State, host: Host, cluster: Cluster, units: list[str]) -> bool:
    stop = " && ".join(
        f"{{ ! systemctl cat {unit} >/dev/null 2>&1 || systemctl disable --now {unit}; }}" for unit in units
    )
    node = cluster.node(host.name)
    directors = connected_directors(state, cluster)
    with drained(cluster, directors, node):
        stopped = succeeds(host, stop)
    if stopped:  # it leaves the cluster, and with it its maintenance
        for director in directors:
            succeeds(director, f"rm -f {note_file(node.address)}")
    return stopped


def _restart(
    state: State,
    host: Host,
    cluster: Cluster,
    units: list[Unit],
    files: list[TextFile],
    present: dict[str, UnitState],
    changes: dict[str, PackageChange],
    in_maintenance: bool,
) -> bool:
    members = [state.inventory.get_host(node.name) for node in cluster.nodes]
    failed = [member.name for member in members if member in state.failed_hosts]
    of_run = _stopped_at.setdefault(state, {})
    stopped_at = of_run.get(cluster.node_names) or (failed[0] if failed else None)
    if stopped_at:
        log_error(host, f"left as it was, because {stopped_at} has failed; fix that and run the deploy again")
        return False
    of_run[cluster.node_names] = host.name  # until it is up: an exception stops the others, too
    directors = connected_directors(state, cluster)
    node = cluster.node(host.name)
    desired = desired_members(cluster, node)
    expected = {director: desired & members for director, members in pools(directors, node).items()}
    expected |= {host: desired}
    if any(unit.name == keepalived.UNIT for unit in units):
        # Until their turn comes, the other directors may still check inputs that no longer exist.
        expected = {host: desired}
    if in_maintenance:
        expected = {}
    for unit in units:
        before = present.get(unit.name, NEVER_UP)
        script = activation_script(unit, files, before, changes.get(unit.name))
        stdin = "\n".join(reads(unit.name, files))
        timeout = RUN_TIMEOUT + activation_bound(unit)
        if unit.idle and before["service"]["active"]:
            with drained(cluster, directors, node):
                up = succeeds(host, script, stdin, timeout)
        else:
            up = succeeds(host, script, stdin, timeout)
        if not up:
            return False

    def still_without() -> list[str]:
        """The directors whose pools the node is not back in."""
        present = pools(list(expected), node)
        return [director.name for director, members in expected.items() if not members <= present[director]]

    if wait_until(lambda: not still_without(), RETURN_BOUND):
        del of_run[cluster.node_names]
        return True
    log_error(
        host,
        f"it is up, but not in the pools of {', '.join(still_without())} after {RETURN_BOUND:.0f} s; look there: "
        "`journalctl -u keepalived`",
    )
    return False
