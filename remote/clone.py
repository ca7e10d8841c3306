"""A machine that is about to become another node: its facts, and sessions that follow it to its new address."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

from paramiko import SSHClient, SSHException
from pyinfra import logger
from pyinfra.api import Host, State, StringCommand
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import clear_askpass_cache

from cluster import Cluster, ClusterError, Node
from desired.clone import WINDOW, Plan, check_alone, other_addresses, plan
from desired.paths import CLONE, CLONE_REBOOT, HARDWARE
from facts.clone import AddressConflicts, HostKeys, Identity, Mentions
from remote import known_hosts, session

CHANGE = 60
"""Seconds until the new address must be in force, or the old one again."""
BOOT = 600
"""Seconds until a machine must be back from its reboot."""
THREAD_END = 5
"""Seconds until the thread of a session that was closed must have ended."""


def inspect(host: Host, cluster: Cluster, node: Node) -> Plan | None:
    """What is to be done to this machine, see `plan`; nothing is touched yet. Raises `ClusterError`."""
    identity = host.get_fact(Identity, folder=CLONE, reboot=CLONE_REBOOT, hardware=HARDWARE)
    found = plan(cluster, node, identity, other_addresses(host.data.get("clone_addresses", {})))
    if found is None or found.begun:
        return found
    others = [
        member.name for member in host.inventory.get_group("nodes") if host.state.is_host_in_limit(member)
    ]
    if len(others) > 1:
        raise ClusterError(f"nodes.{node.name}: one clone at a time; add --limit {node.name}")
    links = {old: identity["addresses"].get(old, cluster.interface) for old in found.addresses}
    links |= {new: links[old] for old, new in found.addresses.items()}
    check_alone(node, found, host.get_fact(AddressConflicts, addresses=links))
    return found


def learn_host_keys(state: State, host: Host, addresses: list[str]) -> bool:
    """Add the new ssh host keys to known_hosts: they come over a session with a machine that is known."""
    keys = host.get_fact(HostKeys, folder=CLONE)
    if not keys:
        logger.error(f"{host.print_prefix}no new ssh host keys there; see {CLONE}/new/etc/ssh")
        return False
    file = known_hosts.learn(host, _ssh(host).get_host_keys(), addresses, keys)
    logger.info(f"{host.print_prefix}its new ssh host keys are in {file}")
    return True


def follow(state: State, host: Host) -> bool:
    """Go on at the new address, by the name that ssh has for the node; tell when it went back instead."""
    before = host.connector.data["ssh_hostname"]
    if _reach(host, host.name, CHANGE + WINDOW):
        return True
    back = _reach(host, before, CHANGE)
    logger.error(
        f"{host.print_prefix}not reached by `ssh {host.name}` at the new address; "
        + ("it is back at its old one" if back else "nor at its old one: see its console")
        + f"; correct {host.name}'s address in inventory.py or in ssh's configuration, and run this again"
    )
    return False


def note_boot(state: State, host: Host, boots: list[str]) -> bool:
    """Remember which boot this is."""
    boots.append(_boot(host))
    return boots != [""]


def come_back(state: State, host: Host, boots: list[str], old: list[str]) -> bool:
    """Wait for the reboot, and name the files that still name an old address."""
    deadline = time.monotonic() + BOOT
    while not (_reach(host, host.name, 1) and _boot(host) not in ("", *boots)):
        if time.monotonic() > deadline:
            logger.error(f"{host.print_prefix}is not back from its reboot after {BOOT} s; see its console")
            return False
        time.sleep(1)
    session.send_at_once(host)
    if old and (files := host.get_fact(Mentions, addresses=old)):
        logger.warning(
            f"{host.print_prefix}{', '.join(files)}: still with {' or '.join(old)}; see whether that is meant"
        )
    return True


def _reach(host: Host, hostname: str, seconds: float) -> bool:
    """Connect again, by this name or address, within so many seconds; at least one attempt is made."""
    with _without_tracebacks():
        clear_askpass_cache(host)  # what it names is on a machine that can't be asked any more
        _close(host)
        host.connector.data["ssh_hostname"] = hostname
        deadline = time.monotonic() + seconds
        while True:
            host.connect(show_errors=False)
            if host.connected or time.monotonic() > deadline:
                return bool(host.connected)
            time.sleep(1)


def _close(host: Host) -> None:
    """End the session, and wait for the thread that serves it: what it has to say of its end, it says now."""
    client = _ssh(host)
    transport = client.get_transport()
    with suppress(OSError):  # a ProxyCommand may have ended already
        client.close()
    if transport:
        transport.join(THREAD_END)
    host.disconnect()


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Meanwhile paramiko prints no traceback for each attempt that fails; pyinfra reports what comes of it."""
    log, level, hook = (
        logging.getLogger("paramiko"),
        logging.getLogger("paramiko").level,
        threading.excepthook,
    )

    def quiet(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_type is not ProcessLookupError:  # a ProxyCommand that ended before it was to be ended
            hook(failure)

    log.setLevel(logging.CRITICAL)
    threading.excepthook = quiet
    try:
        yield
    finally:
        threading.excepthook = hook
        log.setLevel(level)


def _ssh(host: Host) -> SSHClient:
    """The session's ssh client."""
    client = cast(SSHConnector, host.connector).client
    assert client
    return client


def _boot(host: Host) -> str:
    """The kernel's name for this boot, or nothing where the connection broke."""
    try:
        _, output = host.run_shell_command(StringCommand("cat /proc/sys/kernel/random/boot_id"), _timeout=10)
    except (OSError, EOFError, SSHException):  # TimeoutError is an OSError
        return ""
    return str(output.stdout).strip()
