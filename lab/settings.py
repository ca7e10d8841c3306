"""What the lab is made of: addresses, names, sizes and places."""

import hashlib
import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

HERE = Path(__file__).resolve().parent

NETWORK = IPv4Network("10.77.0.0/24")
GATEWAY = NETWORK[1]
"""The bridge: the package server listens here, and ssh comes from here."""

NETWORK6 = IPv6Network("fd77::/64")
GATEWAY6 = NETWORK6[1]

INTERFACE = "eth0"
USER = "admin"
VISITOR = "visitor"
"""A user who may not run sudo."""

FORBIDDEN_SENDER = NETWORK[102]
"""The sender's second address: a device that is on nobody's list."""

MAX_NODES = 9
SOCKETS = Path("/run/logstash-ha-lab")
"""Where labs keep their sockets."""

GUEST_MEMORY = 768
"""Memory of a guest in MiB. It is taken from the machine only as the guest uses it."""

BOOT_TIMEOUT = 120.0
"""Seconds until a guest that does not answer is given up, and half of it more for each: they share the CPUs."""

LOGSTASH_VERSIONS = ("6.8.23", "7.17.29", "8.19.17", "8.19.18", "9.3.8")
"""The versions the stand-in plays: each major, and of the default one a version before the latest."""

RELEASES = (7, 8, 9, 10)
"""The versions of Enterprise Linux that a guest can be."""
DEFAULT_RELEASE = 9


@dataclass(frozen=True)
class Machine:
    """A guest as it is planned: its name and its place in the network."""

    name: str
    addresses: tuple[IPv4Address, ...]
    masked: tuple[str, ...] = ()
    """Units that this one does without, to boot sooner."""

    @property
    def address(self) -> IPv4Address:
        return self.addresses[0]

    @property
    def addresses6(self) -> tuple[IPv6Address, ...]:
        return tuple(twin(address) for address in self.addresses)

    @property
    def mac(self) -> str:
        return "52:54:00:4d:{:02x}:{:02x}".format(*self.address.packed[2:])

    @property
    def tap(self) -> str:
        return f"tap-{self.name}"


def twin(address: IPv4Address) -> IPv6Address:
    """The IPv6 address that ends in the same figures: fd77::11 for 10.77.0.11."""
    return IPv6Address(f"{NETWORK6.network_address}{address.packed[-1]}")


def machines(nodes: int) -> tuple[Machine, ...]:
    """The guests of a lab with this many nodes: stash1, stash2, … and the sender."""
    stashes = tuple(Machine(f"stash{n}", (NETWORK[10 + n],)) for n in range(1, nodes + 1))
    return (
        *stashes,
        Machine("sender", (NETWORK[101], FORBIDDEN_SENDER), ("firewalld.service", "auditd.service")),
    )


def lab_dir() -> Path:
    """Where this lab keeps its disks and keys. Another ``LAB_DIR`` is another lab."""
    return Path(os.environ.get("LAB_DIR", ".lab")).resolve()


def cache_dir() -> Path:
    """Where images and packages are kept, for all labs of this user."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "logstash-ha-lab"
    return Path(os.environ.get("LAB_CACHE", default)).resolve()


def namespace(directory: Path) -> str:
    """The name of a lab's network namespace, made from the lab's directory so that two labs never meet."""
    return "lab-" + hashlib.sha256(str(directory).encode()).hexdigest()[:8]
