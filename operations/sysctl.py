"""Kernel settings, in force now and after a reboot."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from facts.record import RECORD, Record
from facts.sysctl import CONF, Line, Sysctl, place
from operations.record import forget, note

FILE = "/etc/sysctl.d/90-logstash-ha.conf"

RMEM_MAX = "net.core.rmem_max"
"""The most that a socket's `receive_buffer_bytes` gets. More than is meant is as good."""
RMEM_MAX_DEFAULT = 212992
"""The kernel's own."""


def settings(cluster: Cluster) -> dict[str, str]:
    """What the kernel must be told (the recipe's step 6; ipvs-sysctl of the kernel's documentation)."""
    meant: dict[str, str] = {}
    if 4 in cluster.families:
        # The director is a router, and may use the VIP before it holds it.
        meant |= {"net.ipv4.ip_forward": "1", "net.ipv4.ip_nonlocal_bind": "1"}
    if 6 in cluster.families:
        # A router takes no default route from the kernel's router advertisements. accept_ra stays as it is all
        # the same: nodes have static addresses, and NetworkManager takes advertisements by itself.
        meant |= {"net.ipv6.conf.all.forwarding": "1", "net.ipv6.ip_nonlocal_bind": "1"}
    if "snat" in cluster.forwardings:
        # The firewall, which translates the source, must know IPVS's connections.
        meant["net.ipv4.vs.conntrack"] = "1"
    if not all(server.ops for server in cluster.virtual_servers):
        # A connection to a node that left the pool ends, instead of falling silent.
        meant["net.ipv4.vs.expire_nodest_conn"] = "1"
    if "dr" in cluster.forwardings:
        # A BACKUP takes what the MASTER sent it, and does not schedule it once more.
        meant["net.ipv4.vs.backup_only"] = "1"
        if 4 in cluster.families:
            # Every node has the VIP on lo, and the holder alone may answer for it. IPv6 needs no such
            # setting: a node answers on an interface for that interface's addresses only.
            meant |= {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
    buffer = max(
        (input.receive_buffer_bytes or 0 for input in cluster.inputs if "udp" in input.protocols), default=0
    )
    if buffer > RMEM_MAX_DEFAULT:
        meant[RMEM_MAX] = str(buffer)
    return meant


def differing(settings: dict[str, str], runtime: dict[str, str]) -> dict[str, str]:
    """Those of the settings that the running kernel has otherwise, or lacks."""
    return {key: value for key, value in settings.items() if not _fits(key, value, runtime.get(key, ""))}


def _fits(key: str, meant: str, value: str) -> bool:
    return value == meant or (key == RMEM_MAX and value.isdigit() and int(value) >= int(meant))


def against(settings: dict[str, str], lines: list[Line], file: str) -> tuple[list[Line], list[Line]]:
    """The lines that say otherwise at the next boot than `file`, ours: those in /etc/sysctl.conf, and those
    in other files that are read after it and win."""

    def contrary(line: Line) -> bool:
        return line["key"] in settings and not _fits(line["key"], settings[line["key"]], line["value"])

    conf = [line for line in lines if line["path"] == CONF and contrary(line)]
    last = {line["key"]: line for line in lines if line not in conf}
    return conf, [line for line in last.values() if place(line["path"]) > place(file) and contrary(line)]


@operation()
def effective(settings: dict[str, str], file: str) -> Generator[StringCommand]:
    """These settings in the running kernel, and no line in /etc/sysctl.conf against `file`, which has them.

    The DISA STIG puts `net.ipv4.ip_forward = 0` there, which would win at the next boot: such a line
    becomes a comment (the recipe's step 6). Other files that win are somebody's own: they are named in
    a warning and left alone.
    """
    present = host.get_fact(Sysctl, keys=list(settings))
    conf, others = against(settings, present["lines"], file)
    for line in others:
        host.log(
            f"{line['path']}, line {line['number']}: `{line['text']}` wins over {file} at the next boot; "
            "take that line out",
            logger.warning,
        )
    for line in conf:
        if state.config.DIFF:
            host.log(f"Will make line {line['number']} of {CONF} a comment: {line['text']}")
        text = re.sub(r"[][\\.*^$/]", r"\\\g<0>", line["text"])
        edit = shlex.quote(rf"s/^[[:space:]]*\({text}\)[[:space:]]*$/# \1/")
        yield StringCommand(f"{note('stig', line['text'])} && sed -i {edit} {CONF}")
    if wrong := differing(settings, present["runtime"]):
        before = [_note(key, value) for key in wrong if (value := present["runtime"].get(key))]
        change = f"sysctl -q -w {' '.join(f'{key}={value}' for key, value in wrong.items())}"
        yield StringCommand(" && ".join([*before, change]))
    elif not conf:
        host.noop(f"{', '.join(settings)}: in force")


def _note(key: str, value: str) -> str:
    """Notes what the kernel had before the deploy's first change."""
    return f"{{ grep -qs '^sysctl {key}=' {RECORD} || {note('sysctl', f'{key}={value}')}; }}"


@operation()
def restored(settings: dict[str, str]) -> Generator[StringCommand]:
    """What an earlier deploy set and is no longer meant has the value again that it had before.

    `net.ipv4.vs.backup_only` above all: with it, a director whose connections are not synchronized any more
    may take itself for a BACKUP, and drops all events.
    """
    before = dict(line.split("=", 1) for line in host.get_fact(Record).get("sysctl", []))
    gone = {key: value for key, value in before.items() if key not in settings}
    for key, value in gone.items():
        # Not an error where its module is not loaded.
        yield StringCommand(f"sysctl -q -e -w {key}={value} && {forget('sysctl', f'{key}={value}')}")
    if not gone:
        host.noop("no setting of an earlier deploy is left")
