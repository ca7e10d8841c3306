"""The identity of a machine: what a clone has in common with its source, and what tells them apart."""

from __future__ import annotations

import re
from typing import TypedDict

from pyinfra.api import FactBase

from facts.builtins import print_first_line, print_lines

_IFCFG = "/etc/sysconfig/network-scripts/ifcfg-"
_KEYFILES = "/etc/NetworkManager/system-connections/"
_KEYS = (
    "address(es)?[0-9]*|ipaddr[0-9]*|ipv6addr(_secondaries)?|uuid|mac-address|hwaddr|device|interface-name"
)


class Profile(TypedDict):
    """What one ifcfg file or NetworkManager keyfile says that differs from machine to machine."""

    addresses: list[str]
    uuid: str
    mac: str
    interface: str


class IdentityState(TypedDict):
    """The identity of a machine.

    `links` are MAC addresses by interface, `addresses` interfaces by address, `profiles` what each file that
    configures the network says. `product` is the hardware's UUID, `recorded` the MAC address and the UUID
    that the last deploy found. `stages` says how far a change of identity has come: `unconfirmed`,
    `confirmed`, and the name of the file that exists until the reboot.
    """

    hostname: str
    links: dict[str, str]
    product: str
    recorded: list[str]
    addresses: dict[str, str]
    profiles: dict[str, Profile]
    stages: list[str]


def parse_identity(output: list[str]) -> IdentityState:
    """Lines that begin with `hostname`, `link`, `product`, `noted` or `stage`, those of `ip -o addr`, and `PATH:LINE` from
    files that configure the network."""
    identity = IdentityState(
        hostname="", links={}, product="", recorded=[], addresses={}, profiles={}, stages=[]
    )
    for line in output:
        kind, _, rest = line.partition(" ")
        words = rest.split()
        if kind == "hostname":
            identity["hostname"] = rest.strip()
        elif kind == "product":
            identity["product"] = rest.strip().lower()
        elif kind == "noted":
            identity["recorded"] += words
        elif kind == "stage":
            identity["stages"] += words
        elif kind == "link" and len(words) == 2:
            identity["links"][words[0]] = words[1].lower()
        elif line.startswith("/"):
            path, _, setting = line.partition(":")
            profile = identity["profiles"].setdefault(
                path, Profile(addresses=[], uuid="", mac="", interface="")
            )
            _read(profile, setting)
        elif len(words) > 2:  # 2: eth0 inet 192.0.2.11/24 …
            identity["addresses"][words[2].split("/")[0]] = words[0]
    return identity


def _read(profile: Profile, setting: str) -> None:
    """Take one `KEY=VALUE` of an ifcfg file or a keyfile into the profile."""
    key, _, value = setting.partition("=")
    key, value = key.strip().lower(), value.strip().strip("\"'")
    if key == "uuid":
        profile["uuid"] = value
    elif key in ("hwaddr", "mac-address"):
        profile["mac"] = value.lower()
    elif key in ("device", "interface-name"):
        profile["interface"] = value
    elif key.startswith("ip"):  # ifcfg: IPADDR=192.0.2.11, IPV6ADDR_SECONDARIES="2001:db8::1/64 …"
        profile["addresses"] += [word.split("/")[0].lower() for word in value.split()]
    else:  # keyfile: address1=192.0.2.11/24,192.0.2.1
        profile["addresses"] += [re.split("[/;,]", value)[0].lower()]


class Identity(FactBase[IdentityState]):
    """
    A machine's name, hardware, addresses and network profiles, and how far a change of them is. Needs root.

    + folder: where a change of identity keeps what it needs
    + reboot: the file that exists from the end of the change until the reboot
    + hardware: the file in which the last deploy recorded the hardware

    .. code:: python

        {
            "hostname": "stash1.example.com",
            "links": {"eth0": "52:54:00:4d:00:0b", "lo": "00:00:00:00:00:00"},
            "product": "4c4c4544-0000",
            "recorded": ["52:54:00:4d:00:0b", "4c4c4544-0000"],
            "addresses": {"192.0.2.11": "eth0"},
            "profiles": {
                "/etc/sysconfig/network-scripts/ifcfg-eth0": {
                    "addresses": ["192.0.2.11"],
                    "uuid": "5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03",
                    "mac": "52:54:00:4d:00:0b",
                    "interface": "eth0",
                },
            },
            "stages": [],
        }
    """

    @staticmethod
    def default() -> IdentityState:
        return parse_identity([])

    def command(self, folder: str, reboot: str, hardware: str) -> str:
        # No backup copies, which nothing reads; and never a whole keyfile, which may hold a password.
        return (
            "read -r name </proc/sys/kernel/hostname; echo hostname $name; "
            f"for link in /sys/class/net/*; do {print_first_line('$link/address', 'link ${link##*/}')}; done; "
            f"{print_first_line('/sys/class/dmi/id/product_uuid', 'product')}; "
            f"{print_lines(hardware, 'noted ')}; "
            "ip -o addr show scope global; "
            f"set --; for file in {_IFCFG}* {_KEYFILES}*; do "
            'case $file in *~ | *.bak | *.orig | *.rpm[a-z]*) ;; *) set -- "$@" "$file" ;; esac; done; '
            f"grep -sHiE '^[[:space:]]*({_KEYS})[[:space:]]*=' \"$@\"; "
            f"for stage in {folder}/unconfirmed {folder}/confirmed {reboot}; do "
            "[ ! -e $stage ] || echo stage ${stage##*/}; done"
        )

    def process(self, output: list[str]) -> IdentityState:
        return parse_identity(output)


def parse_conflicts(output: list[str]) -> dict[str, str]:
    """Lines `ADDRESS STATUS`, with arping's exit status: 0 is `free`, 1 is `taken`, others are `unknown`."""
    meanings = {"0": "free", "1": "taken"}
    return {address: meanings.get(status, "unknown") for address, status in map(str.split, output)}


class AddressConflicts(FactBase[dict[str, str]]):
    """
    Whether another machine has one of these addresses (RFC 5227, RFC 4862): `free`, `taken`, or `unknown`.

    + addresses: by address, the interface on whose network it is looked for

    .. code:: python

        {"192.0.2.11": "taken", "192.0.2.12": "free"}
    """

    default = dict

    def command(self, addresses: dict[str, str]) -> str:
        return " ".join(_probe(address, link) for address, link in sorted(addresses.items())) + " wait"

    def process(self, output: list[str]) -> dict[str, str]:
        return parse_conflicts(output)


def _probe(address: str, link: str) -> str:
    """A shell command, run in the background, that prints the address, and 1 when another machine has it."""
    if ":" not in address:
        return f"{{ arping -q -D -c 2 -w 3 -I {link} {address} >&2; echo {address} $?; }} &"
    # The kernel itself checks the machine's own addresses (dadfailed). For other ones, whoever answers the
    # ping is among the neighbours then.
    return (
        f"{{ ping -6 -q -c 1 -w 2 -I {link} {address} >/dev/null 2>&1; "
        f"{{ ip -6 -o addr show dev {link} dadfailed; ip -6 neigh show to {address} dev {link} | grep lladdr; }} | "
        f"grep -qwF {address}; test $? != 0; echo {address} $?; }} &"
    )


class HostKeys(FactBase[list[str]]):
    """
    The public ssh host keys that a clone is to have. Needs root.

    + folder: where the change of identity keeps what it needs

    .. code:: python

        ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB…"]
    """

    default = list

    def command(self, folder: str) -> str:
        return f"cat {folder}/new/etc/ssh/ssh_host_*_key.pub 2>/dev/null || true"

    def process(self, output: list[str]) -> list[str]:
        return [" ".join(line.split()[:2]) for line in output if line.strip()]


class AddressMentions(FactBase[list[str]]):
    """
    The files in /etc that contain one of these addresses, except those that a deploy writes.

    .. code:: python

        ["/etc/chrony.conf", "/etc/rsyslog.conf"]
    """

    default = list

    def command(self, addresses: list[str]) -> str:
        patterns = " ".join(f"-e {address}" for address in addresses)
        return (
            "grep -rIlwF --exclude=hosts --exclude-dir=keepalived --exclude-dir=logstash --exclude-dir=firewalld "
            f"{patterns} /etc 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> list[str]:
        return sorted(output)
