"""What a machine is, before anything is changed on it."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api import FactBase


class MachineState(TypedDict):
    """What decides whether the deploy can work.

    `os`: os-release(5)'s variables; `root`: `yes`, or sudo's words on why not; `interfaces`: the IPv4
    addresses of every interface; `firewalld`: systemd's word for its state.
    """

    os: dict[str, str]
    root: str
    interfaces: dict[str, list[str]]
    firewalld: str


def parse_machine(output: list[str]) -> MachineState:
    """Lines that begin with `os`, `root`, `link`, `address` or `firewalld`."""
    machine = MachineState(os={}, root="", interfaces={}, firewalld="unknown")
    for line in output:
        kind, _, rest = line.partition(" ")
        if kind == "os" and "=" in rest:
            name, value = rest.split("=", 1)
            machine["os"][name] = value.strip().strip("\"'")
        elif kind == "root":
            machine["root"] = rest.strip()
        elif kind == "link":
            machine["interfaces"].setdefault(rest.strip(), [])
        elif kind == "address" and len(words := rest.split()) > 3:  # 2: eth0 inet 192.0.2.11/24 …
            machine["interfaces"].setdefault(words[1], []).append(words[3].split("/")[0])
        elif kind == "firewalld":
            machine["firewalld"] = rest.strip()
    return machine


class Machine(FactBase[MachineState]):
    """The operating system, the way to root, the network interfaces and firewalld, read without being root."""

    @staticmethod
    def default() -> MachineState:
        return parse_machine([])

    def command(self) -> str:
        return (
            "PATH=$PATH:/usr/sbin:/sbin; "
            "sed 's/^/os /' /etc/os-release; "
            'if [ $(id -u) = 0 ] || why=$(sudo -n true 2>&1); then echo root yes; else echo "root $why"; fi; '
            "for link in /sys/class/net/*; do echo link ${link##*/}; done; "
            "ip -o -4 addr show | sed 's/^/address /'; "
            "echo firewalld $(systemctl is-active firewalld)"
        )

    def process(self, output: list[str]) -> MachineState:
        return parse_machine(output)
