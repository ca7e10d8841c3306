"""The lab's settings: addresses, names, sizes and paths."""

import hashlib
import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

HERE = Path(__file__).resolve().parent

NETWORK = IPv4Network("10.77.0.0/24")
GATEWAY = NETWORK[1]
"""The bridge's address: the package server listens on it, and ssh connects from it."""

NETWORK6 = IPv6Network("fd77::/64")
GATEWAY6 = NETWORK6[1]

INTERFACE = "eth0"
USER = "admin"
UNPRIVILEGED_USER = "visitor"
"""A user who may not run sudo."""

FORBIDDEN_SENDER = NETWORK[102]
"""The sender's second address, which is not on the cluster's list of senders."""

MAX_NODES = 9
SOCKETS = Path("/run/logstash-ha-lab")
"""The folder of all labs' sockets."""

GUEST_MEMORY = 768
"""Memory of a guest in MiB. The machine provides it only as far as the guest uses it."""
LOGSTASH_MEMORY = 1536
"""Memory of a node in MiB where it runs Elastic's Logstash, a Java program."""

BOOT_TIMEOUT = 120.0
"""Seconds to wait for guests to boot. Each guest adds half of it, since they share the CPUs."""

LOGSTASH_VERSIONS = ("6.8.23", "7.17.29", "8.19.17", "8.19.18", "9.3.8")
"""The versions that the package server offers: one of each major, and an older one of the default major."""

RELEASES = (7, 8, 9, 10)
"""The versions of Enterprise Linux (EL) that a guest can have."""
DEFAULT_RELEASE = 9

SUITES = {7: "bullseye", 8: "bullseye", 9: "bookworm", 10: "trixie"}
"""The Debian suite that the guests of each EL are made of: its programs have the EL's versions, or the nearest ones."""


@dataclass(frozen=True)
class Machine:
    """A guest's name, addresses and masked units, as planned before it exists."""

    name: str
    addresses: tuple[IPv4Address, ...]
    masked_units: tuple[str, ...] = ()
    """systemd units that this guest does not need; without them it boots sooner."""
    runs_logstash: bool = True

    @property
    def address(self) -> IPv4Address:
        return self.addresses[0]

    @property
    def addresses6(self) -> tuple[IPv6Address, ...]:
        return tuple(matching_ipv6(address) for address in self.addresses)

    @property
    def mac(self) -> str:
        return "52:54:00:4d:{:02x}:{:02x}".format(*self.address.packed[2:])

    @property
    def tap(self) -> str:
        return f"tap-{self.name}"


def matching_ipv6(address: IPv4Address) -> IPv6Address:
    """The IPv6 address with the same last number: fd77::11 for 10.77.0.11."""
    return IPv6Address(f"{NETWORK6.network_address}{address.packed[-1]}")


def machines(nodes: int) -> tuple[Machine, ...]:
    """The guests of a lab with this many nodes: stash1, stash2, … and the sender."""
    return (
        *(Machine(f"stash{n}", (NETWORK[10 + n],)) for n in range(1, nodes + 1)),
        Machine(
            "sender",
            (NETWORK[101], FORBIDDEN_SENDER),
            ("firewalld.service", "auditd.service"),
            runs_logstash=False,
        ),
    )


def lab_dir() -> Path:
    """The folder of this lab's disks and keys, by ``LAB_DIR``. Each folder is a lab of its own."""
    return Path(os.environ.get("LAB_DIR", ".lab")).resolve()


def cache_dir() -> Path:
    """The folder of disk images and packages, shared by all labs of this user. ``LAB_CACHE`` sets another."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "logstash-ha-lab"
    return Path(os.environ.get("LAB_CACHE", default)).resolve()


def namespace(directory: Path) -> str:
    """The name of a lab's network namespace, derived from its folder so that no two labs share one."""
    return "lab-" + hashlib.sha256(str(directory).encode()).hexdigest()[:8]
