"""The services take up their new configuration, node after node, while the others take the events (step 11)."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from paramiko import SSHException
from pyinfra import host, logger
from pyinfra.api import FactBase, FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.facts import get_fact

from cluster import Cluster, Node
from facts.ipvs import DRAINED, Drained, VirtualServers, host_of, socket_name
from facts.services import ABSENT, Services, Units, UnitState
from facts.vrrp import Held
from operations import keepalived, services
from operations.files import TextFile
from operations.services import Unit, Update

DRAIN_BOUND = 15.0
"""Seconds until keepalived must have followed a health check: `delay_loop`, `misc_timeout` and some more."""
RETURN_BOUND = 30.0
"""Seconds until a node that is up must be back in the pools."""

Place = tuple[str, str, str]
"""A real server's place in a pool: protocol and address of the virtual server, address of the real server."""

_stopped: WeakKeyDictionary[State, str] = WeakKeyDictionary()
"""By run: the node that did not come up. Nothing is activated after it."""


@operation()
def undrained() -> Generator[StringCommand]:
    """No node kept out of this director's pools by a deploy that was broken off."""
    if host.get_fact(Drained):
        yield StringCommand(f"rm -f {DRAINED}/*")
    else:
        host.noop("no node is drained")


@operation()
def roll(
    cluster: Cluster, units: list[Unit], files: list[TextFile], masters: bool
) -> Generator[FunctionCommand]:
    """These units with their new files on this node, if it is its turn: run it with `_serial`.

    First for the nodes that hold no VIP, then, with `masters`, for the others. A node is drained before
    a service that takes events is stopped, and the next one's turn comes when it is in the pools again.
    `files` are all that the deploy writes. When a unit does not come up it gets back what it last ran
    with, files and package, the operation fails with the reason, and no other node is touched.
    """
    reads = {unit.name: [file.path for file in files if file.read_by == unit.name] for unit in units}
    present = host.get_fact(Units, units=reads)
    updates = {unit.name: update for unit in units if (update := unit.update())}
    todo = [
        unit
        for unit in units
        if unit.name in updates or services.due(unit, files, present.get(unit.name, NOTHING))
    ]
    if not todo:
        host.noop(f"{', '.join(unit.name for unit in units)}: up, with what they are meant to read")
        return
    held = host.get_fact(Held, vips=[str(vip) for vip in cluster.vips])
    if any((held or {}).values()):
        if not masters:
            host.noop("it holds the VIP, so its turn comes last")
            return
        # The director first: where inputs changed, the others, which have the new ones, take its events then.
        todo.sort(key=lambda unit: bool(unit.idle))
    yield FunctionCommand(_roll, (cluster, todo, files, present, updates), {})


@operation()
def left(cluster: Cluster, units: list[str]) -> Generator[FunctionCommand]:
    """These units stopped for good on this node, which is drained first: run it with `_serial`."""
    states = host.get_fact(Services, units=units)
    if not any(state["active"] or state["enabled"] for state in states.values()):
        host.noop(f"{', '.join(units)}: stopped")
        return
    yield FunctionCommand(_leave, (cluster, units), {})


def _leave(state: State, host: Host, cluster: Cluster, units: list[str]) -> bool:
    directors = _directors(state, cluster)
    stop = " && ".join(
        f"{{ ! systemctl cat {unit} >/dev/null 2>&1 || systemctl disable --now {unit}; }}" for unit in units
    )
    with _drained(cluster, directors, cluster.node(host.name)):
        return _run(host, stop)


NOTHING = UnitState(service=ABSENT, marker=[], package="", files={}, good=[])


def _roll(
    state: State,
    host: Host,
    cluster: Cluster,
    units: list[Unit],
    files: list[TextFile],
    present: dict[str, UnitState],
    updates: dict[str, Update],
) -> bool:
    members = [state.inventory.get_host(node.name) for node in cluster.nodes]
    failed = [member.name for member in members if member in state.failed_hosts]
    stopped = _stopped.get(state) or (failed[0] if failed else None)
    if stopped:
        _say(host, f"left as it was, because {stopped} has failed; mend that and run the deploy again")
        return False
    _stopped[state] = host.name  # until it is up, whatever happens
    directors = _directors(state, cluster)
    node = cluster.node(host.name)
    meant = _meant(cluster, node)
    due = {director: meant & _places([director], node) for director in directors} | {host: meant}
    if any(unit.name == keepalived.UNIT for unit in units):
        due = {host: meant}  # the other directors may ask for inputs that are no more, until their turn comes
    for unit in units:
        known = present.get(unit.name, NOTHING)
        script = services.activation(unit, files, known, updates.get(unit.name))
        marker = "\n".join(services.reads(unit, files))
        if unit.idle and known["service"]["active"]:
            with _drained(cluster, directors, node):
                good = _run(host, script, marker)
        else:
            good = _run(host, script, marker)
        if not good:
            return False
    if _wait(
        lambda: all(places <= _places([director], node) for director, places in due.items()), RETURN_BOUND
    ):
        del _stopped[state]
        return True
    without = [director.name for director, places in due.items() if not places <= _places([director], node)]
    _say(
        host,
        f"it is up, but not in the pools of {', '.join(without)} after {RETURN_BOUND:.0f} s; look there: "
        "`journalctl -u keepalived`",
    )
    return False


def _directors(state: State, cluster: Cluster) -> list[Host]:
    """The nodes that can be reached, also where this run is for some of them only."""
    members = [state.inventory.get_host(node.name) for node in cluster.nodes]
    for member in members:
        if not member.connected and member not in state.failed_hosts:
            member.connect(show_errors=False)
    return [member for member in members if member.connected and member not in state.failed_hosts]


@contextmanager
def _drained(cluster: Cluster, directors: list[Host], node: Node) -> Iterator[None]:
    """Meanwhile, no director sends events to the node. A director forgets it by itself after some minutes."""
    holders = [director for director in directors if _holds(director, cluster)]
    places = _places(holders, node)

    def alone() -> set[tuple[str, str]]:
        """The virtual servers that no other node takes."""
        others = {place[:2] for peer in cluster.peers(node) for place in _places(holders, peer)}
        return {place[:2] for place in places} - others

    if not _wait(lambda: not alone(), DRAIN_BOUND):
        which = ", ".join(sorted(f"{protocol} {vip}" for protocol, vip in alone()))
        logger.warning(f"{node.name} alone takes {which}: what is sent there while it restarts is lost")
        places = set()
    if not places:
        yield
        return
    flag = f"{DRAINED}/{node.address}"
    try:
        for director in directors:
            _run(director, f"install -d -m 755 {DRAINED} && touch {flag}")
        if not _wait(lambda: not _places(holders, node), DRAIN_BOUND):
            logger.warning(f"{node.name} is still in a pool after {DRAIN_BOUND:.0f} s: events may be lost")
        yield
    finally:
        for director in directors:
            _run(director, f"rm -f {flag}")


def _holds(director: Host, cluster: Cluster) -> bool:
    held = _read(director, Held, vips=[str(vip) for vip in cluster.vips])
    return any((held or {}).values())


def _meant(cluster: Cluster, node: Node) -> set[Place]:
    """Where the node belongs."""
    return {
        (server.protocol, socket_name(server.vip, server.port), socket_name(real.address, real.port))
        for server in cluster.virtual_servers
        for real in server.real_servers
        if real.node == node and real.weight
    }


def _places(directors: list[Host], node: Node) -> set[Place]:
    """Where the node is in the pools of these directors, all taken together."""
    return {
        (server["protocol"], server["address"], real["address"])
        for director in directors
        for server in _read(director, VirtualServers) or []
        for real in server["real_servers"]
        if real["weight"] and host_of(real["address"]) in map(str, node.addresses)
    }


def _wait(true: Callable[[], bool], bound: float) -> bool:
    """Whether it became true within the bound, in seconds."""
    end = time.monotonic() + bound
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def _read(host: Host, fact: type[FactBase[Any]], **arguments: Any) -> Any:
    """A fact of any host of the run; its default when that fails, which takes no host out of the run."""
    return get_fact(host.state, host, fact, kwargs={"_timeout": 40, **arguments}, apply_failed_hosts=False)


def _run(host: Host, script: str, stdin: str | None = None) -> bool:
    """Whether the script succeeds on any host of the run; what it says of its failure is logged."""
    arguments, _ = pop_global_arguments(host.state, host, {})
    connector = {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}
    connector |= {"_stdin": stdin, "_timeout": 600}
    try:
        good, output = host.run_shell_command(StringCommand(script), **connector)
    except (OSError, SSHException) as error:
        _say(host, f"the connection broke: {str(error) or 'no end'}")
        return False
    if not good:
        for line in output.stderr_lines:
            _say(host, line)
    return bool(good)


def _say(host: Host, line: str) -> None:
    logger.error(f"{host.print_prefix}{line}")
