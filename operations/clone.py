"""A clone becomes the node that it is meant to be (the recipe's step 10)."""

from __future__ import annotations

import logging
import shlex
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from paramiko import SSHClient, SSHException
from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import clear_askpass_cache

from cluster import Cluster, ClusterError, Node
from facts.clone import FOLDER, HARDWARE, REBOOT, Answering, HostKeys, Identity, IdentityState, Mentions
from facts.record import STATE
from operations import known_hosts, session

UNIT = "logstash-ha-clone"
"""The systemd unit of the change while it is under way, which no lost connection ends."""

WINDOW = 30
"""Seconds in which the deploy must confirm the new address. Going back takes some more, within 60 in all."""

CHANGE = 60
"""Seconds until the new address must be in force, or the old one again."""

BOOT = 600
"""Seconds until a machine must be back from its reboot."""


@dataclass(frozen=True)
class Plan:
    """What makes a clone the node that it is meant to be."""

    hardware: list[str]
    """What is to be noted of the hardware."""
    hostname: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    """New addresses by old ones."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Addresses, UUIDs and MACs to be replaced in the files that configure the network."""
    profiles: list[str] = field(default_factory=list)
    """The files that hold an address to be replaced: their connections must be made anew."""
    begun: bool = False
    """It has its address already; the rest is to be finished."""


def hardware(identity: IdentityState, interface: str) -> list[str]:
    """What a copied disk can't take along: the interface's MAC, and the machine's UUID where it has one."""
    return [each for each in (identity["links"].get(interface, ""), identity["product"]) if each]


def plan(cluster: Cluster, node: Node, identity: IdentityState, others: dict[str, str]) -> Plan | None:
    """How the machine with this identity becomes this node; None when it is already.

    `others` are new addresses by old ones, beside those that the inventory names. Raises
    `ClusterError` when the machine is no clone of one of the cluster's nodes, or can't be told from one.
    """
    found = hardware(identity, cluster.interface)
    if {str(address) for address in node.addresses} <= set(identity["addresses"]):
        return Plan(found, begun=True) if identity["marks"] else None
    source = _source(cluster, node, identity)
    _check_hardware(node, source, identity["noted"], found)

    addresses = {str(address): str(node.at(address.version)) for address in source.addresses}
    addresses |= others
    profiles = identity["profiles"]
    static = {address: path for path, profile in profiles.items() for address in profile["addresses"]}
    for present in map(str, source.addresses):
        if present not in static:
            raise ClusterError(
                f"nodes.{node.name}: its present address {present} is in no ifcfg file and no NetworkManager "
                "keyfile; write it there, so that it can be replaced"
            )
    for address, path in static.items():
        if address not in addresses and not address.startswith("127."):
            raise ClusterError(
                f"clone_addresses: {path} has {address}, too, which {source.name} keeps; say what {node.name} "
                f'is to have instead: --data clone_addresses=\'{{"{address}": "…"}}\''
            )
    return Plan(
        hardware=found,
        hostname=hostname(identity["hostname"], source.name, node.name),
        addresses=addresses,
        replaced=addresses | _replaced(identity, node, cluster.interface, set(addresses)),
        profiles=sorted({static[old] for old, new in addresses.items() if old in static and old != new}),
    )


def _source(cluster: Cluster, node: Node, identity: IdentityState) -> Node:
    """The node whose address the machine has."""
    for peer in cluster.peers(node):
        if any(str(address) in identity["addresses"] for address in peer.addresses):
            return peer
    has = ", ".join(identity["addresses"]) or "none"
    raise ClusterError(
        f"nodes.{node.name}: the machine's addresses ({has}) are no other node's, so it is no clone of one; "
        f"give it {node.address} by hand, or correct inventory.py"
    )


def _check_hardware(node: Node, source: Node, noted: list[str], found: list[str]) -> None:
    """Only hardware tells a clone from its source: their disks are the same."""
    if not noted:
        raise ClusterError(
            f"nodes.{node.name}: can't tell whether this machine is {source.name} or a clone of it: its disk does "
            f"not name its hardware; run deploy.py on {source.name}, and clone it after that"
        )
    if same := [each for each in found if each in noted]:
        raise ClusterError(
            f"nodes.{node.name}: this machine is {source.name} itself and no clone of it, by its hardware "
            f"({', '.join(same)}); power {source.name} off, and boot the clone with a MAC and a UUID of its own"
        )


def hostname(present: str, source: str, name: str) -> str:
    """The clone's host name: as its node's name, in the domain that its source's host name has."""
    domain = present.removeprefix(source) if present.startswith(f"{source}.") else ""
    return name + domain


def _replaced(identity: IdentityState, node: Node, interface: str, addresses: set[str]) -> dict[str, str]:
    """Connection UUIDs and MACs of the source, and what the node has instead."""
    replaced = {}
    for profile in identity["profiles"].values():
        if profile["uuid"]:
            replaced[profile["uuid"]] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{profile['uuid']} {node.name}"))
        link = profile["interface"] or (interface if addresses & set(profile["addresses"]) else "")
        mac = identity["links"].get(link, "")
        if mac and profile["mac"] not in ("", mac):
            replaced[profile["mac"]] = mac
    return replaced


def check_alone(node: Node, plan: Plan, answering: dict[str, str]) -> None:
    """Raise `ClusterError` unless nobody else has an address that the machine has or is to have."""
    for old, new in plan.addresses.items():
        for address in dict.fromkeys((old, new)):
            status = answering.get(address, "unknown")
            if status == "unknown":
                raise ClusterError(
                    f"nodes.{node.name}: can't look whether another machine has {address}; install iputils, "
                    "which brings arping, there"
                )
            if status == "taken":
                mend = "power it off" if address == old else "power it off, or choose a free address"
                raise ClusterError(
                    f"nodes.{node.name}: another machine answers for {address} at the same time; {mend}"
                )


def inspect(host: Host, cluster: Cluster, node: Node) -> Plan | None:
    """What is to be done to this machine, see `plan`; nothing has been touched. Raises `ClusterError`."""
    identity = host.get_fact(Identity)
    meant = plan(cluster, node, identity, other_addresses(host.data.get("clone_addresses", {})))
    if meant is None or meant.begun:
        return meant
    others = [each.name for each in host.inventory.get_group("nodes") if host.state.is_host_in_limit(each)]
    if len(others) > 1:
        raise ClusterError(f"nodes.{node.name}: one clone at a time; add --limit {node.name}")
    links = {old: identity["addresses"].get(old, cluster.interface) for old in meant.addresses}
    links |= {new: links[old] for old, new in meant.addresses.items()}
    check_alone(node, meant, host.get_fact(Answering, addresses=links))
    return meant


def other_addresses(given: object) -> dict[str, str]:
    """New addresses by old ones, as `--data clone_addresses=…` gives them. Raises `ClusterError`."""
    mend = 'write it as \'{"2001:db8::11": "2001:db8::12"}\', new addresses by old ones'
    if not isinstance(given, dict):
        raise ClusterError(f"clone_addresses: {given!r} is no dictionary; {mend}")
    try:
        return {str(ip_address(old)): str(ip_address(new)) for old, new in given.items()}
    except ValueError as error:
        raise ClusterError(f"clone_addresses: {error}; {mend}") from None


def edits(replaced: dict[str, str]) -> str:
    """A sed script that replaces addresses, UUIDs and MACs in any file, and no part of a longer one."""
    end = "[^0-9A-Fa-f:.-]"
    whole = {old.replace(".", r"\."): new for old, new in sorted(replaced.items()) if old != new}
    return "\n".join(rf"s/\(^\|{end}\){old}\($\|{end}\)/\1{new}\2/gI" for old, new in whole.items())


def script() -> str:
    """What is run on the clone: `files/clone.sh`, with the names of the places it uses."""
    places = {"folder": FOLDER, "unit": UNIT, "reboot": REBOOT, "hardware": HARDWARE}
    names = "".join(f"{name}={shlex.quote(value)}\n" for name, value in places.items())
    return names + (Path(__file__).parent.parent / "files/clone.sh").read_text()


RUN = f"{FOLDER}/run"


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
            f"umask 077 && mkdir -p {FOLDER} && cat >{RUN} && sh {RUN} {stage}", _stdin=script()
        )
        yield FunctionCommand(learn, (addresses,), {})
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
    identity = host.get_fact(Identity)
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


def learn(state: State, host: Host, addresses: list[str]) -> bool:
    """Add the new ssh host keys to known_hosts: they come over a session with a machine that is known."""
    keys = host.get_fact(HostKeys)
    if not keys:
        logger.error(f"{host.print_prefix}no new ssh host keys there; see {FOLDER}/new/etc/ssh")
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
    session.fast(host)
    if old and (files := host.get_fact(Mentions, addresses=old)):
        logger.warning(
            f"{host.print_prefix}{', '.join(files)}: still with {' or '.join(old)}; see whether that is meant"
        )
    return True


def _reach(host: Host, hostname: str, seconds: float) -> bool:
    """Connect anew, by this name or address, within so many seconds; at least one attempt is made."""
    _quiet()
    clear_askpass_cache(host)  # what it names is on a machine that can't be asked any more
    with suppress(OSError):  # a ProxyCommand may have ended already
        _ssh(host).close()
    host.disconnect()
    host.connector.data["ssh_hostname"] = hostname
    deadline = time.monotonic() + seconds
    while True:
        host.connect(show_errors=False)
        if host.connected or time.monotonic() > deadline:
            return bool(host.connected)
        time.sleep(1)


def _quiet() -> None:
    """Let paramiko not tell each attempt that fails with a traceback; pyinfra tells what comes of it."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    threading.excepthook = _of_thread


def _of_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is not ProcessLookupError:  # a ProxyCommand that ended before it was to be ended
        threading.__excepthook__(failure)


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
