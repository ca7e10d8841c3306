"""What a machine must be asked before anything is changed on it."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from typing import TypedDict

from pyinfra.api import FactBase

from facts.builtins import print_first_line, print_lines


class MachineState(TypedDict):
    """What decides whether the deploy can work.

    `os`: os-release(5)'s variables; `root`: `yes`, or sudo's message; `interfaces`: the addresses of each
    interface; `firewalld`: `absent`, `masked`, or systemd's word for its state, such as `active`; `iptables`,
    `nftables`: whether there is the program, and the kernel modules by which it translates addresses; `fips`:
    whether the kernel is in FIPS mode; `logstash`, `keepalived`: the installed versions; `kernel`: the running kernel's release, where modules are missing;
    `missing_modules`: those that this kernel does not have; `modules_package`: the package, with its version, that is not
    installed and has more of its modules; `queues_free`, `queues_size`: bytes that are free where the persisted queues are, and
    those that they have; None where they were not asked for.
    """

    os: dict[str, str]
    root: str
    interfaces: dict[str, list[str]]
    firewalld: str
    iptables: bool
    nftables: bool
    fips: bool
    logstash: str | None
    keepalived: str | None
    kernel: str
    missing_modules: list[str]
    modules_package: str
    queues_free: int | None
    queues_size: int | None


def parse_machine(output: list[str]) -> MachineState:
    """Lines that begin with `os`, `root`, `link`, `firewalld`, `programs`, `modules`, `fips`, `logstash`, `keepalived`,
    `missing`, `kernel` or `queues`, and those of `ip -o addr`."""
    machine = MachineState(
        os={},
        root="",
        interfaces={},
        firewalld="unknown",
        iptables=False,
        nftables=False,
        fips=False,
        logstash=None,
        keepalived=None,
        kernel="",
        missing_modules=[],
        modules_package="",
        queues_free=None,
        queues_size=None,
    )
    found: set[str] = set()
    for line in output:
        kind, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if kind == "os" and "=" in rest:
            name, value = rest.split("=", 1)
            machine["os"][name] = value.strip().strip("\"'")
        elif kind == "root":
            machine["root"] = rest
        elif kind == "link":
            machine["interfaces"].setdefault(rest, [])
        elif kind.endswith(":") and len(words := rest.split()) > 2:  # 2: eth0 inet 192.0.2.11/24 …
            machine["interfaces"].setdefault(words[0], []).append(words[2].split("/")[0])
        elif kind == "firewalld" and rest:
            state = dict(word.split("=", 1) for word in rest.split())
            load, active = state.get("LoadState", ""), state.get("ActiveState", "unknown")
            machine["firewalld"] = {"masked": "masked", "not-found": "absent"}.get(load, active)
        elif kind in ("programs", "modules"):
            found |= {posixpath.basename(path).split(".")[0] for path in rest.split()}
        elif kind == "fips":
            machine["fips"] = rest == "1"
        elif kind == "logstash" and re.match(r"\d+\.", rest):
            machine["logstash"] = rest
        elif kind == "keepalived" and re.match(r"\d+\.", rest):
            machine["keepalived"] = rest
        elif kind == "missing":
            machine["missing_modules"] = rest.split()
        elif kind == "kernel" and rest:
            machine["kernel"], *packages = rest.split()
            machine["modules_package"] = _modules_package(machine["kernel"], packages)
        elif kind == "queues" and (sizes := [int(word) for word in rest.split() if word.isdigit()]):
            machine["queues_free"], machine["queues_size"] = sizes[0], sum(sizes[1:])
    machine["iptables"] = {"iptables", "xt_nat"} <= found
    machine["nftables"] = {"nft", "nft_nat", "nft_ct"} <= found
    return machine


def needs_terminal(machine: MachineState) -> bool:
    """Whether sudo refuses to run without a terminal, whatever the password (sudoers(5), requiretty)."""
    return "must have a tty" in machine["root"]


def _modules_package(release: str, installed: list[str]) -> str:
    """The package with more modules of a kernel, of whose packages `installed` are; "" where there is none.

    From Enterprise Linux 8 on a kernel is in several packages: kernel-core, kernel-modules and kernel-modules-extra, and
    in the same way kernel-rt-core, kernel-uek-core and so on.
    """
    base = next(
        (name.removesuffix("-core") for name in installed if re.fullmatch("kernel(-[a-z0-9]+)?-core", name)),
        "",
    )
    missing = [f"{base}-{part}" for part in ("modules", "modules-extra") if f"{base}-{part}" not in installed]
    return f"{missing[0]}-{_version(release)}" if base and missing else ""


def _version(release: str) -> str:
    """A kernel's version as its packages have it: without the variant's name, as in 5.14.0-503.el9.x86_64+rt."""
    return release.partition("+")[0]


# modprobe knows what is built into the kernel, too, which modinfo of Enterprise Linux 7 and 8 does not; it is asked as
# anybody, and loads nothing. rpm is asked for the kernel's packages only where a module is missing.
_MODULES = (
    "missing=; for module in {modules}; do [ -d /sys/module/$module ] || modprobe -nq $module || "
    'missing="$missing $module"; done; '
    '[ -z "$missing" ] || {{ echo missing$missing; release=$(uname -r); echo kernel $release '
    """$(rpm -qa --queryformat '%{{NAME}} ' "kernel*-${{release%+*}}"); }}; """
)


# Logstash's own arithmetic: the sizes of the queues' files, which need not be on the disk in full. The folder may be missing.
_QUEUES = (
    "queues={folder}; size=$(du -sb $queues 2>/dev/null); "
    'until [ -d "$queues/" ]; do queues=${{queues%/*}}; done; '
    'echo queues $(df --output=avail -B1 "$queues/") $size; '
)


class Machine(FactBase[MachineState]):
    """
    The operating system, whether sudo works, the network interfaces, firewalld, Logstash, keepalived, and which of these
    modules the kernel does not have. Needs no root.

    + modules: the kernel modules that a cluster may need

    .. code:: python

        {
            "os": {"ID": "rocky", "ID_LIKE": "rhel centos fedora", "VERSION_ID": "9.6"},
            "root": "yes",
            "interfaces": {"eth0": ["192.0.2.11"], "lo": ["127.0.0.1"]},
            "firewalld": "active",
            "iptables": True,
            "nftables": True,
            "fips": False,
            "logstash": "8.19.3",
            "keepalived": "2.2.8",
            "kernel": "5.14.0-570.el9.x86_64",
            "missing_modules": ["ip_vs_mh"],
            "modules_package": "kernel-modules-extra-5.14.0-570.el9.x86_64",
            "queues_free": 41943040000,
            "queues_size": 67108864,
        }
    """

    @staticmethod
    def default() -> MachineState:
        return parse_machine([])

    def command(self, modules: Sequence[str] = (), queues: str | None = None) -> str:
        return (
            "PATH=$PATH:/usr/sbin:/sbin; "
            f"{print_lines('/etc/os-release', 'os ')}; "
            # Process 1 is root's; its owner need not be asked for with a process of one's own.
            'if [ -O /proc/1 ] || why=$(LC_ALL=C sudo -n true 2>&1); then echo root yes; else echo "root $why"; fi; '
            # Folders only: a machine with bonds has a file there, too.
            "for link in /sys/class/net/*/; do link=${link%/}; echo link ${link##*/}; done; "
            "ip -o addr show; "
            "echo firewalld $(systemctl show -p LoadState -p ActiveState firewalld); "
            "echo programs $(command -v iptables) $(command -v nft); "
            "echo modules $(modinfo -F filename nft_nat nft_ct xt_nat 2>/dev/null); "
            f"{print_first_line('/proc/sys/crypto/fips_enabled', 'fips')}; "
            f"{_MODULES.format(modules=' '.join(modules)) if modules else ''}"
            f"{_QUEUES.format(folder=shlex.quote(queues)) if queues else ''}"
            "rpm -q --queryformat '%{NAME} %{VERSION}\\n' logstash keepalived || true"
        )

    def process(self, output: list[str]) -> MachineState:
        return parse_machine(output)
