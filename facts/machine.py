"""What a machine must be asked before anything is changed on it."""

from __future__ import annotations

import re
from typing import TypedDict

from pyinfra.api import FactBase

from facts.builtins import print_first_line, print_lines


class MachineState(TypedDict):
    """What decides whether the deploy can work.

    `os`: os-release(5)'s variables; `root`: `yes`, or sudo's message; `interfaces`: the addresses of each
    interface; `firewalld`: `absent`, `masked`, or systemd's word for its state, such as `active`; `iptables`:
    whether firewalld finds iptables, which its direct rules need; `fips`: whether the kernel is in FIPS mode;
    `logstash`, `keepalived`: the installed versions.
    """

    os: dict[str, str]
    root: str
    interfaces: dict[str, list[str]]
    firewalld: str
    iptables: bool
    fips: bool
    logstash: str | None
    keepalived: str | None


def parse_machine(output: list[str]) -> MachineState:
    """Lines that begin with `os`, `root`, `link`, `firewalld`, `iptables`, `fips`, `logstash` or `keepalived`, and those
    of `ip -o addr`."""
    machine = MachineState(
        os={},
        root="",
        interfaces={},
        firewalld="unknown",
        iptables=False,
        fips=False,
        logstash=None,
        keepalived=None,
    )
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
        elif kind == "iptables":
            machine["iptables"] = bool(rest)
        elif kind == "fips":
            machine["fips"] = rest == "1"
        elif kind == "logstash" and re.match(r"\d+\.", rest):
            machine["logstash"] = rest
        elif kind == "keepalived" and re.match(r"\d+\.", rest):
            machine["keepalived"] = rest
    return machine


class Machine(FactBase[MachineState]):
    """
    The operating system, whether sudo works, the network interfaces, firewalld, Logstash and keepalived. Needs no root.

    .. code:: python

        {
            "os": {"ID": "rocky", "ID_LIKE": "rhel centos fedora", "VERSION_ID": "9.6"},
            "root": "yes",
            "interfaces": {"eth0": ["192.0.2.11"], "lo": ["127.0.0.1"]},
            "firewalld": "active",
            "iptables": True,
            "fips": False,
            "logstash": "8.19.3",
            "keepalived": "2.2.8",
        }
    """

    @staticmethod
    def default() -> MachineState:
        return parse_machine([])

    def command(self) -> str:
        return (
            "PATH=$PATH:/usr/sbin:/sbin; "
            f"{print_lines('/etc/os-release', 'os ')}; "
            # Process 1 is root's; its owner need not be asked for with a process of one's own.
            'if [ -O /proc/1 ] || why=$(sudo -n true 2>&1); then echo root yes; else echo "root $why"; fi; '
            "for link in /sys/class/net/*; do echo link ${link##*/}; done; "
            "ip -o addr show; "
            "echo firewalld $(systemctl show -p LoadState -p ActiveState firewalld); "
            "! command -v iptables >/dev/null || echo iptables yes; "
            f"{print_first_line('/proc/sys/crypto/fips_enabled', 'fips')}; "
            "rpm -q --queryformat '%{NAME} %{VERSION}\\n' logstash keepalived || true"
        )

    def process(self, output: list[str]) -> MachineState:
        return parse_machine(output)
