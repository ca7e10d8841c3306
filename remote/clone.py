"""A clone that becomes another node: what changes on it, and a session that follows it to its new address."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from paramiko import SSHClient, SSHException
from pyinfra import logger
from pyinfra.api import Host, State, StringCommand
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import clear_askpass_cache

from cluster import Cluster, ClusterError, Node, is_node
from desired.clone import WINDOW, Plan, check_conflicts, other_addresses, plan
from desired.paths import CLONE, CLONE_REBOOT, HARDWARE
from facts.clone import AddressConflicts, AddressMentions, HostKeys, Identity
from remote import known_hosts, lock, session
from remote.commands import CommandFailed, log_error
from remote.snapshot import reading

CHANGE = 60
"""Seconds within which the new address must be in force, or the old one again."""
BOOT = 600
"""Seconds within which a machine must be back from its reboot."""
THREAD_END = 5
"""Seconds within which the thread of a closed session must have ended."""


def inspect(host: Host, cluster: Cluster, node: Node) -> Plan | None:
    """What must change on this machine (`desired.clone.plan`); nothing does yet. Raises `ClusterError`."""
    identity = host.get_fact(Identity, folder=CLONE, reboot=CLONE_REBOOT, hardware=HARDWARE)
    changes = plan(cluster, node, identity, other_addresses(host.data.get("clone_addresses", {})))
    if changes is None or changes.begun:
        return changes
    limited_to = [
        member.name for member in filter(is_node, host.inventory) if host.state.is_host_in_limit(member)
    ]
    if len(limited_to) > 1:
        raise ClusterError(f"nodes.{node.name}: one clone at a time; add --limit {node.name}")
    interfaces = {
        old: identity["addresses"].get(old, cluster.interface_of(node)) for old in changes.addresses
    }
    interfaces |= {new: interfaces[old] for old, new in changes.addresses.items()}
    check_conflicts(node, changes, host.get_fact(AddressConflicts, addresses=interfaces))
    return changes


def learn_host_keys(state: State, host: Host, addresses: list[str]) -> bool:
    """Put the new ssh host keys into known_hosts: they come over a session with a host that is known."""
    keys = host.get_fact(HostKeys, folder=CLONE)
    if not keys:
        logger.error(f"{host.print_prefix}it has no new ssh host keys; see {CLONE}/new/etc/ssh there")
        return False
    file = known_hosts.replace_keys(host, _ssh(host).get_host_keys(), addresses, keys)
    logger.info(f"{host.print_prefix}its new ssh host keys are in {file}")
    return True


def follow(state: State, host: Host) -> bool:
    """Go on at the new address, by the name that ssh has for the node; log an error when that fails.

    The lock ended with the session at the old address, so that another run may have it now: then nothing is confirmed, and
    the machine goes back by itself.
    """
    before = host.connector.data["ssh_hostname"]
    if _connect(host, host.name, CHANGE + WINDOW):
        try:
            lock.take_again(state, host)
        except CommandFailed as failure:
            log_error(host, str(failure))
            return False
        return True
    back = _connect(host, before, CHANGE)
    logger.error(
        f"{host.print_prefix}not reached by `ssh {host.name}` at the new address; "
        + ("it is back at its old one" if back else "nor at its old one: see its console")
        + f"; correct {host.name}'s address in inventory.py or in ssh's configuration, and run this again"
    )
    return False


def read_boot_id(state: State, host: Host, boot_ids: list[str]) -> bool:
    """Add the id of the machine's present boot to `boot_ids`."""
    boot_ids.append(_boot_id(host))
    return boot_ids != [""]


def wait_for_reboot(state: State, host: Host, boot_ids: list[str], old: list[str]) -> bool:
    """Wait until the boot is none of these, and warn of files that still contain an old address."""
    deadline = time.monotonic() + BOOT
    while not (_connect(host, host.name, 1) and _boot_id(host) not in ("", *boot_ids)):
        if time.monotonic() > deadline:
            logger.error(f"{host.print_prefix}is not back from its reboot after {BOOT} s; see its console")
            return False
        time.sleep(1)
    session.adjust_transport(host)
    if old and (files := host.get_fact(AddressMentions, addresses=old)):
        logger.warning(
            f"{host.print_prefix}{', '.join(files)}: still with {' or '.join(old)}; see whether that is right"
        )
    return True


def _connect(host: Host, hostname: str, seconds: float) -> bool:
    """Connect again, by this name or address, within so many seconds; at least one attempt is made."""
    with _without_tracebacks():
        clear_askpass_cache(host)  # it names a file in a session that is over
        _close(host)
        host.connector.data["ssh_hostname"] = hostname
        deadline = time.monotonic() + seconds
        while True:
            host.connect(show_errors=False)
            if host.connected or time.monotonic() > deadline:
                return bool(host.connected)
            time.sleep(1)


def _close(host: Host) -> None:
    """End the session, and wait for the thread that serves it, so that its last log lines come now."""
    client = _ssh(host)
    transport = client.get_transport()
    client.close()
    if transport:
        transport.join(THREAD_END)
    host.disconnect()


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keep paramiko from printing a traceback for each attempt that fails; pyinfra reports the outcome."""
    log = logging.getLogger("paramiko")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _ssh(host: Host) -> SSHClient:
    """The session's ssh client."""
    client = cast(SSHConnector, host.connector).client
    assert client
    return client


def _boot_id(host: Host) -> str:
    """The kernel's id of the machine's present boot; "" where the connection broke."""
    try:
        with reading():
            _, output = host.run_shell_command(
                StringCommand("cat /proc/sys/kernel/random/boot_id"), _timeout=10
            )
    except (OSError, EOFError, SSHException):  # TimeoutError is an OSError
        return ""
    return str(output.stdout).strip()
