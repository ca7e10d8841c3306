"""deploy.py as a whole, on machines in memory: they answer its facts and take in what its commands change."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyinfra.api.inventory
import pytest
from paramiko import SSHException
from pyinfra import logger
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.state import StateStage
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine
from pyinfra.context import ctx_inventory, ctx_state
from pyinfra_cli.util import load_deploy_file

import cluster as model
from cluster import Cluster, ClusterError
from desired import (
    fallback,
    health,
    health_script,
    keepalived,
    logstash,
    modules,
    nftables,
    packages,
    sysctl,
    vip,
)
from desired.clone import Plan
from desired.paths import VERSION_FILE, fingerprint, staged
from desired.requirements import WRONG_PASSWORD
from desired.units import FIREWALLD
from facts.ipvs import socket_name
from operations import activation, metrics
from operations import clone as operations_clone
from remote import clone as remote_clone
from remote import drain, repository, sudo
from remote.snapshot import Change, Snapshot, reading
from tests.packages import Signer
from tests.unit.clusters import write_api
from verification import inspection

ROOT = Path(__file__).parents[2]
PASSWORD = "hunter22"
SECRET = "correct horse"

OS = {
    7: 'os ID="centos"\nos ID_LIKE="rhel fedora"\nos VERSION_ID="7"',
    9: 'os ID="rocky"\nos ID_LIKE="rhel centos fedora"\nos VERSION_ID="9.6"',
}


OWNERS = {
    health.KEY: (health_script.USER, "root"),
    health_script.ACCESS: (health_script.USER, health_script.USER),
    logstash.KEYSTORE: (logstash.USER, logstash.USER),
    staged(logstash.KEYSTORE): (logstash.USER, logstash.USER),
}
"""Of the files that are not root's: user and group."""
UNITS = (health.UNIT, "logstash", health.LEAVE, "keepalived", fallback.UNIT)
"""In the order in which a BACKUP starts them."""


@dataclass
class Unit:
    """A service: its state, and what it had read when it last came up."""

    active: bool = False
    enabled: bool = False
    marker: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)


class Machine:
    """A machine that is ready for the deploy, and lacks all that the deploy brings."""

    def __init__(self, world: World, number: int, el: int = 9) -> None:
        self.world, self.number = world, number
        self.says = {
            "os": OS[el],
            "root": "root yes",
            "link": "link eth0",
            "address": f"2: eth0    inet 10.77.0.{10 + number}/24 brd 10.77.0.255 scope global eth0",
            "firewalld": "firewalld LoadState=loaded ActiveState=active",
            "programs": "programs /usr/sbin/iptables /usr/sbin/nft",
            "modules": "modules /lib/modules/6/nft_nat.ko.xz /lib/modules/6/nft_ct.ko.xz /lib/modules/6/xt_nat.ko.xz",
            "fips": "fips 0",
        }
        self.others: list[str] = []
        """What others have on it, as the fact's command prints it."""
        self.reachable = True
        self.breaks: dict[str, str | Exception] = {}
        """What a command with this text ends in: what it says when it fails, or how the connection does."""
        self.commands: list[str] = []
        self.stdin: list[str] = []
        self.files: dict[str, tuple[str, str]] = {}
        """Mode and SHA-256."""
        self.key = ""
        """That of the health services."""
        self.units = {name: Unit() for name in (*UNITS, vip.UNIT, nftables.UNIT)}
        self.units[FIREWALLD] = Unit(active=True, enabled=True)
        self.heartbeat = 0
        """How old the health service's last heartbeat is, in seconds."""
        self.packages: set[str] = set()
        self.uploads: dict[str, bytes] = {}
        """Files that were copied to it."""
        self.modules: set[str] = set()
        self.kernel: dict[str, str] = {}
        self.before: dict[str, str] = {}
        """What was noted of the kernel's settings."""
        self.has: set[str] = set()
        """The key, and the script's user."""
        self.rules: dict[str, list[str]] = {"runtime": [], "permanent": []}
        self.firewalld = "RUNNING"
        self.table: list[str] = []
        """The rules of the nftables table of our own, as nft lists them; all are of the chain `postrouting`."""
        self.denied = ""
        """A source that is bound to firewalld's zone `drop`."""
        self.sets: dict[str, dict[str, list[str]]] = {"runtime": {}, "permanent": {}}
        self.flags: set[str] = set()
        self.locked = ""
        """What it says of the lock of another run."""
        self.maintenance: set[str] = set()
        """The addresses of the nodes that it knows to be in maintenance."""
        self.metrics: list[str] = []
        """The entry in its record of the file with the health service's metrics."""

    @property
    def state(self) -> dict[str, Any]:
        """All that a deploy can change of it."""
        return {name: value for name, value in vars(self).items() if name not in ("world", "number")}

    def run(self, command: str, stdin: str) -> list[str]:
        """What it answers; raises what it breaks with."""
        self.commands.append(command)
        if stdin:
            self.stdin.append(stdin)
        for text, end in self.breaks.items():
            if text in command:
                raise end if isinstance(end, Exception) else Refused(end)
        return self.answer(command, stdin)

    def answer(self, command: str, stdin: str = "") -> list[str]:
        """What a command prints, or each fact of a batch."""
        for text, answer in ANSWERS.items():
            if text in command:
                return answer(self, command, stdin) or []
        raise AssertionError(f"nobody knows how to answer {command}")

    # Facts

    def tell_batch(self, command: str, _: str) -> list[str]:
        facts = re.findall(
            r"echo '(=== fact \w+)'; { (.*?); } </dev/null; }$", command, re.DOTALL | re.MULTILINE
        )
        return [line for heading, fact in facts for line in (heading, *self.answer(fact))]

    def tell_files(self, command: str, _: str) -> list[str]:
        paths = words(found(r"^find (.*?) -maxdepth", command))
        there = {path: self.files[path] for path in paths if path in self.files}
        return [
            *(
                f"{mode} {' '.join(OWNERS.get(path, ('root', 'root')))} {path}"
                for path, (mode, _) in there.items()
            ),
            "--",
            *(f"{sha256}  {path}" for path, (_, sha256) in there.items()),
        ]

    def tell_units(self, command: str, _: str) -> list[str]:
        names = re.findall(r"(\S+)\.service", found(r"^(systemctl show .*?); echo --", command))
        paths = words(found(r"sha256sum (.*?) </dev/null", command))
        return [
            *(line for name in names for line in (*self.show(name), "")),
            "--",
            "--",
            *(self.package(name) for name in names),
            "--",
            *(f"{self.files[path][1]}  {path}" for path in paths if path in self.files),
            "--",
            *(f"{name}{path}" for name in names for path in self.units[name].good),
            "--",
            *(f"{fingerprint(name)}:{line}" for name in names for line in self.units[name].marker),
        ]

    def tell_services(self, command: str, _: str) -> list[str]:
        return [line for name in re.findall(r"(\S+)\.service", command) for line in (*self.show(name), "")]

    def show(self, name: str) -> list[str]:
        unit = self.units[name]
        return [
            f"Id={name}.service",
            f"UnitFileState={'enabled' if unit.enabled else 'disabled'}",
            f"ActiveState={'active' if unit.active else 'inactive'}",
            "NeedDaemonReload=no",
        ]

    def tell_packages(self, command: str, _: str) -> list[str]:
        names = shlex.split(found(r"%{VERSION}\\n' (.*) \|\|", command))
        versions = {"logstash": "8.19.3"}
        return [
            f"{name} {versions.get(name, '1')}" if name in self.packages else f"no package provides {name}"
            for name in names
        ]

    def tell_others(self, command: str, _: str) -> list[str]:
        return ([] if self.files else ["first"]) + self.others + ["looked"]

    def tell_kernel(self, command: str, _: str) -> list[str]:
        paths = re.findall(r"/proc/sys/(\S+)", command)
        return [f"/proc/sys/{path}:1:{self.kernel.get(path.replace('/', '.'), '0')}" for path in paths]

    def tell_rules(self, command: str, _: str) -> list[str]:
        def strings(values: list[str]) -> str:
            quoted = ['"' + value.replace('"', '\\"') + '"' for value in values]
            return " ".join([str(len(quoted)), *quoted])

        def settings(target: str, sources: list[str], rules: list[str]) -> str:
            of_zone = f'"{target}" 0 0 0 false 0 0 {strings(sources)} {strings(rules)} 0 0 false'
            return f'(sssbsasa(ss)asba(ssss)asasasasa(ss)b) "" "" "" false {of_zone}'

        sets = []
        for name in found(r"for name in ([^;]*); do echo \"= set", command).split():
            sets.append(f"= set {name}")
            for side in ("runtime", "permanent"):
                sets.append(f"as {strings(self.sets[side][name])}" if name in self.sets[side] else "-")

        return [
            f's "{self.firewalld}"',
            'interfaces "public"',
            "= zone public",
            *(settings("default", [], self.rules[side]) for side in ("runtime", "permanent")),
            *(["= zone drop", *[settings("DROP", [self.denied], [])] * 2] if self.denied else []),
            *sets,
            *("= direct", "a(sssias) 0", "a(sssias) 0"),
        ]

    def tell_pools(self, *_: str) -> list[str]:
        lines = ["IP Virtual Server version 1.2.1 (size=4096)", "", ""]
        if self.units["keepalived"].active:
            for server in self.world.cluster.virtual_servers:
                lines.append(
                    f"{server.protocol}  {socket_name(server.vip, server.port)} {server.input.scheduler}"
                    + " ops" * server.ops
                )
                forward = "Route" if server.forwarding == "dr" else "Masq"
                for real in server.real_servers:
                    peer = self.world.machines[real.node.name]
                    if (
                        peer.units["logstash"].active
                        and str(real.node.address) not in self.flags | self.maintenance
                    ):
                        lines.append(
                            f"  -> {socket_name(real.address, real.port)}  {forward}  {real.weight}  0  0"
                        )
            lines += [f"FWM  {keepalived.SPARE_MARK} wrr", "  -> 127.0.0.1:9  Masq  1  0  0"]
        return lines

    def tell_health(self, command: str, _: str) -> list[str]:
        """The health script's verdict on each input of each node."""
        inputs = found(r"echo inputs (.*?);", command).split()
        addresses = found(r"echo addresses (.*?);", command).split()
        lines = [f"addresses {' '.join(addresses)}", f"inputs {' '.join(inputs)}", "--"]
        names = {str(node.address): node.name for node in self.world.cluster.nodes}
        for address in addresses:
            up = self.world.machines[names[address]].units["logstash"].active
            verdict = {"state": "up"} if up else {"state": "down", "reason": "connection_refused"}
            if address in self.maintenance:
                verdict = {"state": "maintenance", "reason": "maintenance"}
            for input in inputs:
                said = {"input": input, "address": address, "message": "as it is in memory", **verdict}
                lines.append(json.dumps(said))
        return lines

    def tell_maintenance(self, *_: str) -> list[str]:
        note = '{"by": "alice@laptop", "since": 1795788120, "until": null}'
        return [f"1795788180 {address} {note}" for address in sorted(self.maintenance)]

    def tell_peers(self, *_: str) -> list[str]:
        """The health services that this machine's hears."""
        peers = {f"10.77.0.{10 + peer.number}": peer for peer in self.world.machines.values() if peer != self}
        return [
            f"{address} {'heard' if self.hears(peer) else 'silent'}"
            for address, peer in peers.items()
            if self.units[health.UNIT].active
        ]

    def hears(self, peer: Machine) -> bool:
        return peer.reachable and peer.units[health.UNIT].active and peer.key == self.key

    def tell_loopback(self, *_: str) -> list[str]:
        addresses = ["127.0.0.1/8", *(["10.77.0.10/32"] if self.units[vip.UNIT].active else [])]
        return [*(f"1: lo    inet {address} scope host lo" for address in addresses), "end"]

    # Changes

    def put(self, command: str, stdin: str) -> None:
        sent = stdin.encode()
        for part in command.split("new=$(mktemp ")[1:]:
            size = int(found(r"head -c (\d+)", part))
            content, sent = sent[:size], sent[size:]
            sha256 = hashlib.sha256(
                base64.b64decode(content) if " | base64 -d >" in part else content
            ).hexdigest()
            assert f'echo "{sha256}  $new" | sha256sum --check' in part
            path = found(r'mv -fT "\$new" (\S+)', part)
            self.files[path] = (found(r'chmod (\d+) "\$new"', part), sha256)
            owner, group = OWNERS.get(path, ("root", "root"))
            assert f'chown {owner if path == health.KEY else f"{owner}:{group}"} "$new"' in part
            if path == health.KEY:
                self.key = content.decode()
        assert sent == b""

    def remove(self, command: str, _: str) -> None:
        for path in shlex.split(command)[2:]:
            self.files.pop(path, None)

    def package(self, name: str) -> str:
        """As `rpm -q` has it."""
        return f"{name}-1" if name in self.packages else f"package {name} is not installed"

    def install(self, command: str, _: str) -> None:
        for word in shlex.split(found(r"install ([^&;]*)", command)):
            if word.endswith(".rpm"):
                assert word in self.uploads, f"{word} is not there"
                word = word.rpartition("/")[2].rsplit("-", 2)[0]
            self.packages.add(word)

    def take_copy(self, command: str, _: str) -> None:
        sha256, path = re.search(r'echo "(\w+)  (\S+)\.new" \| sha256sum', command).groups()  # type: ignore[union-attr]
        self.uploads[path] = self.uploads.pop(f"{path}.new")
        assert hashlib.sha256(self.uploads[path]).hexdigest() == sha256

    def activate(self, command: str, stdin: str) -> None:
        name = found(r"was=\$\(systemctl is-active (\S+)\)", command)
        for path in (meant := found(r"^desired=(.*)$", command).strip("'").split()):
            folder, _, base = path.rpartition("/")
            if staged := self.files.pop(f"{folder}/.{base}.staged", None):
                self.files[path] = staged
        for path in found(r"^gone=(.*)$", command).strip("'").split():
            self.files.pop(path, None)
        marker = [self.package(name), *stdin.splitlines()]
        self.units[name] = Unit(active=True, enabled=True, marker=marker, good=meant)
        self.world.activated.append(f"{name} on stash{self.number}")
        if name == "keepalived" and not self.world.holder:
            self.world.holder = self.number

    def load(self, command: str, _: str) -> None:
        self.modules |= set(found(r"modprobe --all (.*)", command).split())

    def set(self, command: str, _: str) -> None:
        self.before |= dict(re.findall(r"echo 'sysctl (.*?)=(.*?)' >>", command))
        self.kernel |= dict(pair.split("=") for pair in found(r"sysctl -q -w (.*)", command).split())

    def restore(self, command: str, _: str) -> None:
        key, value = found(r"sysctl -q -e -w (\S+)", command).split("=")
        assert self.before.pop(key) == value
        self.kernel[key] = value

    def drain(self, command: str, _: str) -> None:
        name = command.rpartition("/")[2]
        if "touch" in command:
            self.flags.add(name)
        else:
            self.flags -= self.flags if name == "*" else {name}

    def allow(self, command: str, stdin: str) -> None:
        for side, _, rule in (line.partition(" ") for line in stdin.splitlines()):
            self.rules[side].append(rule)

    def tell_table(self, *_: str) -> list[str]:
        hook = "type nat hook postrouting priority 90; policy accept;"
        lines = [f"table ip {nftables.TABLE} {{", "chain postrouting {", hook, *self.table, "}", "}"]
        return lines if self.table else []

    def fill_table(self, _: str, stdin: str) -> None:
        self.table += [line.split(" ", 5)[5] for line in stdin.splitlines() if line.startswith("add rule ")]

    def replace_table(self, *_: str) -> None:
        node = self.world.cluster.nodes[self.number - 1]
        self.table = [rule.split(" ", 2)[2] for rule in nftables.rules(self.world.cluster, node)]

    def drop_table(self, *_: str) -> None:
        self.table = []

    def make_set(self, command: str, stdin: str) -> None:
        self.sets["permanent"][found(r"getIPSetByName s (\S+)\)", command)] = stdin.split()

    def reload(self, command: str, _: str) -> None:
        assert command.index("systemctl stop keepalived") < command.index("firewall-cmd --reload")
        drained_by = {
            peer.number
            for peer in self.world.machines.values()
            if f"10.77.0.{10 + self.number}" in peer.flags
        }
        self.world.reloads.append((self.number, drained_by))
        self.rules["runtime"], self.sets["runtime"] = [*self.rules["permanent"]], {**self.sets["permanent"]}

    @property
    def units_recorded(self) -> list[str]:
        """The entries in its record of the deploy's own units."""
        return [f"file {path}" for path in self.files if path.startswith("/etc/systemd/system/logstash-ha-")]

    def lose(self, command: str, _: str) -> None:
        self.units[name := found(r"disable --now (\S+);", command)] = Unit()
        self.files.pop(f"/etc/systemd/system/{name}.service", None)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"no {pattern} in {text}"
    return match[1]


@cache
def words(text: str) -> tuple[str, ...]:
    """The words of a command, as the shell has them: the same commands are read again and again, and shlex is slow."""
    return tuple(shlex.split(text))


def refuse(*_: object) -> None:
    raise Refused("refused")


ANSWERS: dict[str, Callable[[Machine, str, str], list[str] | None]] = {
    "is bound to firewalld": refuse,
    "addIPSet": Machine.make_set,
    "--list-all-zones": lambda *_: None,
    "firewall-cmd --reload": Machine.reload,
    "=== fact ": Machine.tell_batch,
    "first=yes; [ ! -s /var/lib/logstash-ha/record ]": Machine.tell_others,
    "echo inputs ": Machine.tell_health,
    "getenforce": lambda *_: ["Enforcing", "0"],
    "iptables-save": lambda *_: ["end"],
    'for file in /etc/logstash/conf.d/*.conf': lambda *_: [],
    "for file in /run/keepalived-health/": lambda *_: [],
    "stat -c %Y": lambda machine, *_: [str(1794250800 - machine.heartbeat), "1794250800"],
    "/proc/net/$table": lambda *_: ["raw", "end"],
    "ip -o addr show dev lo": Machine.tell_loopback,
    "/etc/os-release": lambda machine, *_: [
        *"\n".join(machine.says.values()).splitlines(),
        *(["logstash 9.1.0"] if "logstash" in machine.packages and "logstash" not in machine.says else []),
    ],
    "-maxdepth 0 -type f": Machine.tell_files,
    "DropInPaths": Machine.tell_units,
    "rpm -q gpg-pubkey ||": lambda machine, *_: [*(known := ["0  key", "gpg-pubkey-1"]), "--", *(machine.has & set(known)), *known[:1]],
    "--whatprovides": Machine.tell_packages,
    "/sys/module": lambda machine, command, _: [
        name for name in found(r"for module in (.*?);", command).split() if name not in machine.modules
    ],
    " /proc/sys/net/": Machine.tell_kernel,
    "home=~keepalived_script; [": lambda machine, *_: ["/"] if "user" in machine.has else [],
    "getActiveZones": lambda machine, *told: machine.tell_rules(*told),
    "nft -nn list table": Machine.tell_table,
    "nft --file -": Machine.fill_table,
    "nft --file /etc/nftables": Machine.replace_table,
    "nft delete table": Machine.drop_table,
    "done </var/lib/logstash-ha/record; fi": lambda machine, *_: [*(f"sysctl {key}={value}" for key, value in machine.before.items()), *machine.metrics, *machine.units_recorded],
    " -- test -w ": lambda machine, command, _: machine.metrics.append(found(r"grep -qsxF '(file .*?)'", command)),
    "grep -vxF 'file ": lambda machine, *_: machine.metrics.clear(),
    "echo end 10.77.0.10": lambda machine, *_: [
        *(["3: eth0 inet 10.77.0.10/32"] if machine.world.holder == machine.number else []),
        "end 10.77.0.10",
    ],
    "ipvsadm -ln": Machine.tell_pools,
    "echo hostname": lambda machine, *_: [f"link eth0 52:54:00:00:00:0{machine.number}", *sorted({"noted 52:54:00:00:00:0" + str(machine.number)} & machine.has)],
    "/var/lib/logstash-ha/hardware": lambda machine, *_: machine.has.add(f"noted 52:54:00:00:00:0{machine.number}"),
    f"done <{health.PEERS}": Machine.tell_peers,
    f"cat {health.KEY}": lambda machine, *_: machine.key.splitlines(),
    "for flag in /etc/keepalived/drained": lambda machine, *_: sorted(machine.flags),
    "! test -f": lambda machine, *_: ["authentication {", "    auth_pass ********", "}"],  # a file's text, for --diff
    "rpm --dbpath": lambda machine, *_: machine.has.add("gpg-pubkey-1"),
    "lock=/run/logstash-ha/lock": lambda machine, *_: [machine.locked] if machine.locked else ["taken"],
    "for file in /var/lib/logstash-ha/maintenance/*": Machine.tell_maintenance,
    "rm -f /var/lib/logstash-ha/maintenance/": lambda machine, command, _: machine.maintenance.discard(command.rpartition("/")[2]),
    "for file in /var/lib/logstash-ha/packages/*": lambda *_: None,
    "the copy is not whole": Machine.take_copy,
    "sha256sum --check": Machine.put,
    "new=$(mktemp /etc/keepalived/adopted.conf": lambda *_: None,
    "trap '' HUP PIPE": Machine.activate,
    "--config.test_and_exit": lambda *_: None,
    "rpm --import": lambda machine, *_: machine.has.add("gpg-pubkey-1"),
    "--assumeyes": Machine.install,
    "modprobe --all": Machine.load,
    "sysctl -q -w": Machine.set,
    "sysctl -q -e -w": Machine.restore,
    "useradd": lambda machine, *_: machine.has.add("user"),
    "apply add": Machine.allow,
    "touch /etc/keepalived/drained/": Machine.drain,
    "rm -f /etc/keepalived/drained/": Machine.drain,
    "/var/lib/logstash-ha/clone/run": lambda *_: None,
    "kernel/random/boot_id": lambda *_: ["one"],
    "systemctl disable --now": Machine.lose,
    "rm -f ": Machine.remove,
    "systemctl show": Machine.tell_services,
}  # fmt: skip
"""By a part of the command, of which the first one decides: what a machine answers and does."""


class Refused(Exception):
    """A command that fails, and what it says."""


class Recorder(FakeConnector):
    """The way to a machine in memory."""

    world: World

    @property
    def machine(self) -> Machine:
        """The machine of this name."""
        return self.world.machines.get(self.host.name, self.world.sender)

    def connect(self) -> None:
        if not self.machine.reachable:
            raise ConnectError("no route")
        self.data["ssh_hostname"] = self.host.name

    def put_file(self, filename_or_io: Any, remote_filename: str, *_: Any, **arguments: Any) -> bool:
        assert arguments["_sudo"]
        self.machine.uploads[remote_filename] = Path(filename_or_io).read_bytes()
        return True

    def run_shell_command(self, command: Any, *_: Any, **arguments: Any) -> tuple[bool, CommandOutput]:
        stdin = arguments.get("_stdin") or ""
        if sudo.VARIABLE in str(command):  # the first line is the password
            assert stdin[0] == self.world.connection["_sudo_password"]
            stdin = "".join(stdin[1:])
            command = shlex.split(str(command))[-1]
        elif " sudo -S " in str(command):  # the password is tried
            wrong = stdin != [self.world.sudo_passwords.get(self.host.name, PASSWORD)]
            return not wrong, CommandOutput([OutputLine("stderr", WRONG_PASSWORD)] if wrong else [])
        else:
            assert arguments.get("_sudo") or re.search("/etc/os-release|boot_id", str(command))
        try:
            lines = self.machine.run(str(command), stdin)
        except Refused as refused:
            return False, CommandOutput([OutputLine("stderr", line) for line in str(refused).splitlines()])
        return True, CommandOutput([OutputLine("stdout", line) for line in lines])


@dataclass
class Run:
    """What a run did."""

    state: State
    log: list[str]

    def changes(self, name: str) -> list[str]:
        """The names of the operations that changed this machine (or would), in their order."""
        host = self.state.inventory.get_host(name)
        return [
            next(iter(self.state.op_meta[op].names))
            for op in self.state.get_op_order()
            if self.state.ops[host][op].operation_meta.changed
        ]

    @property
    def failed(self) -> list[str]:
        """The machines that failed."""
        return sorted(host.name for host in self.state.failed_hosts)

    def says(self, *words: str) -> list[str]:
        """The lines of the log with all of these words."""
        return [line for line in self.log if all(word in line for word in words)]


_deployed: dict[str, Any] = {}
"""What the first deploy has left: the state of each machine, and who holds the VIP."""


class World:
    """Two machines, a sender, and deploys to them."""

    def __init__(self, folder: Path, log: list[str], clock: Clock) -> None:
        self.folder, self.log, self.clock = folder, log, clock
        self.settings: dict[str, Any] = {}
        self.connection: dict[str, str] = {}
        self.name = "nodes"
        """The cluster's, which is that of its group."""
        self.sudo_passwords: dict[str, str] = {}
        """By machine, where it is not `PASSWORD`."""
        self.machines = {f"stash{number}": Machine(self, number) for number in (1, 2)}
        self.sender = Machine(self, 101)
        self.holder = 0
        """The number of the machine that holds the VIP, or 0."""
        self.activated: list[str] = []
        self.reloads: list[tuple[int, set[int]]] = []
        """firewalld's: the machine's number, and those of the directors that had drained it."""

    def group(self) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
        """The cluster's group of the inventory."""
        return model.define(
            **{
                "nodes": {"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
                "network": "10.77.0.0/24",
                "interface": "eth0",
                "vip": "10.77.0.10",
                "inputs": [{"id": "udp-5514", "port": 5514}, {"id": "cisco", "port": 5515}],
                "senders": ["10.77.0.101"],
                "vrrp": 2,
                "auth_pass_file": str(self.folder / "auth_pass"),
                "repository": {"seen_from": "nodes"},
                **self.settings,
            },
            connection={"_sudo": True, **self.connection},
        )

    def log_says(self, text: str) -> list[str]:
        """The lines of the log with this text."""
        return [line for line in self.log if text in line]

    @property
    def cluster(self) -> Cluster:
        return Cluster.model_validate(self.group()[1]["cluster"])

    def have_deployed(self) -> None:
        """Make the machines what a first deploy of the default settings makes of them. It is run for the first test that
        asks for it, and all others get a copy of its end."""
        if not _deployed:
            assert self.deploy().failed == []
            _deployed.update({name: copy.deepcopy(machine.state) for name, machine in self.machines.items()})
            _deployed["holder"] = self.holder
            return
        self.holder = _deployed["holder"]
        for name, machine in self.machines.items():
            vars(machine).update(copy.deepcopy(_deployed[name]))

    def deploy(
        self,
        *,
        dry: bool = False,
        diff: bool = False,
        limit: str | None = None,
        serial: bool = False,
        file: str = "deploy.py",
    ) -> Run:
        """Run deploy.py, or another one of the project's, on all nodes or on one, or only prepare the run; with `serial`, as pyinfra's option does."""
        sudo._tried.clear()
        for machine in (*self.machines.values(), self.sender):
            machine.commands.clear()
            machine.stdin.clear()
        self.log.clear()
        self.activated.clear()
        hosts, shared = self.group()
        names = [name for name, _ in hosts]
        senders = (["sender"], {"_sudo": True})
        inventory = Inventory(([*names, "sender"], {}), **{self.name: (hosts, shared)}, senders=senders)
        only = [inventory.get_host(limit)] if limit else None
        state = State(inventory, Config(), check_for_changes=dry, initial_limit=only)
        state.config.DIFF = diff
        state.print_noop_info = True
        state.cwd = str(ROOT)
        with ctx_state.use(state), ctx_inventory.use(state.inventory):
            state.set_stage(StateStage.Connect)
            connect_all(state)
            state.set_stage(StateStage.Prepare)
            load_deploy_file(state, file)
            if not dry:
                state.set_stage(StateStage.Execute)
                with suppress(PyinfraError):
                    run_ops(state, serial=serial)
        return Run(state, list(self.log))


@contextmanager
def simulated_world(folder: Path, log: list[str]) -> Iterator[World]:
    """Two fresh machines; time passes only while the deploy waits. `log` is emptied at each deploy."""
    (folder / "auth_pass").write_text(PASSWORD)
    clock = Clock()
    world = World(folder, log, clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyinfra.api.inventory, "get_execution_connectors", lambda: {"ssh": Recorder})
        for module in (drain, inspection):
            patch.setattr(module, "time", clock)
        Recorder.world = world  # not patched: what outlives a run may still ask for it
        patch.chdir(ROOT)
        yield world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A simulated world whose log has what pyinfra says."""
    log: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: log.append(record.getMessage()))
    level = logger.level
    logger.setLevel(logging.INFO)  # not the attribute alone: what is logged is cached by level
    logger.addHandler(handler)
    with simulated_world(tmp_path, log) as world:
        yield world
    logger.removeHandler(handler)
    logger.setLevel(level)


class Clock:
    """What `time` has for the deploy."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


BACKUPS, MASTER = (
    f"11. keepalived and Logstash are up with their files: {who}" for who in ("BACKUPs", "MASTER")
)
STEPS = [
    "2. Elastic's GPG key",
    "2. Elastic's repository",
    "2. Packages",
    "3. logstash.yml: the API at the node's own address",
    "4. Pipelines: an input for each port",
    "4. Logstash accepts its files",
    "6. sysctl: own files",
    "6. Kernel modules",
    "6. sysctl: in force, no STIG",
    "8. User of the health script",
    "8. Key of the health services",
    "8. Health script and service",
    "7. keepalived.conf",
    "9. firewalld: VRRP, API, events",
    "10. Hardware recorded, so that a clone is told by it",
    "11. keepalived starts again when it dies",
    BACKUPS,
    "12. The version of this project",
]


def test_a_fresh_machine_gets_every_step(world: World) -> None:
    run = world.deploy()
    assert run.failed == []
    for name in world.machines:
        assert run.changes(name) == STEPS
    assert world.sender.commands == []
    assert sorted(world.activated) == sorted(f"{unit} on {name}" for unit in UNITS for name in world.machines)


def test_a_fresh_dry_run_names_every_step_and_changes_nothing(world: World) -> None:
    run = world.deploy(dry=True, diff=True)
    machine = world.machines["stash1"]
    # What is staged, and who holds the VIP, nobody knows beforehand.
    unknown = (STEPS[5], STEPS[-1])
    assert run.changes("stash1") == [step for step in STEPS if step not in unknown] + [MASTER, STEPS[-1]]
    assert (machine.files, machine.packages, machine.modules, machine.kernel, machine.stdin) == (
        {},
        set(),
        set(),
        {},
        [],
    )
    assert machine.rules == {"runtime": [], "permanent": []}
    for path in (
        logstash.SETTINGS,
        "/etc/logstash/conf.d/logstash-ha.conf",
        keepalived.CONF,
        health_script.CHECK,
        sysctl.FILE,
    ):
        assert any(f"Will create {path}" in line for line in run.log)
    assert any(re.search(r"\+ +auth_pass \*{8}$", line) for line in run.log)


@pytest.mark.parametrize(
    "settings",
    [
        {"inputs": [{"id": "udp-5514", "port": 5514}, {"id": "tcp", "port": 5516, "protocol": "tcp"}]},
        {"inputs": [{"id": "udp-5514", "port": 5514, "server_port": 5600, "scheduler": "wlc"}]},
        {"senders": ["10.77.0.102", "192.0.2.0/24"]},
    ],
)
def test_what_a_deploy_keeps_of_a_node_is_true_after_each_of_its_changes(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """A first deploy, one with these settings, and one without them."""
    run_shell_command = Snapshot.run_shell_command
    compared: list[str] = []
    wrong: list[str] = []

    def run_and_compare(self: Snapshot, command: Any, *args: Any, **kwargs: Any) -> Any:
        result = run_shell_command(self, command, *args, **kwargs)
        if isinstance(command, Change) and self._host.state.is_executing:
            for name, kept in list(self._values.items()):
                fact, arguments = self._asked[name]
                compared.append(name)
                with reading():
                    now = self._get_fact(fact, **arguments)
                if now != kept:
                    wrong.append(f"{fact.__name__} after {command}: {kept} is {now}")
        return result

    monkeypatch.setattr(Snapshot, "run_shell_command", run_and_compare)
    for changed in ({}, settings, {}):
        world.settings = changed
        assert world.deploy().failed == []
    assert len(compared) > 20
    assert wrong == []


def test_a_second_run_changes_nothing(world: World) -> None:
    world.have_deployed()
    for dry in (True, False):
        run = world.deploy(dry=dry)
        assert run.changes("stash1") == run.changes("stash2") == []
    assert world.machines["stash1"].stdin == []


def test_a_no_op_run_is_short(world: World) -> None:
    """Each command is a round trip or two to each machine. The last one verifies it, by what only a moment ago was
    certain."""
    world.have_deployed()
    world.deploy()
    for machine in world.machines.values():
        system, deployed, verified = machine.commands
        assert "/etc/os-release" in system
        assert "=== fact fact0" in deployed
        assert "enforcing" in deployed  # SELinux, which a deploy does not compare
        assert "=== fact health" in verified
        assert "=== fact units" not in verified


def test_after_a_change_every_node_is_looked_at_anew(world: World) -> None:
    """What was read at the run's beginning says nothing of any node, then."""
    world.have_deployed()
    world.machines["stash1"].kernel.clear()
    assert world.deploy().changes("stash2") == []
    for machine in world.machines.values():
        assert "=== fact units" in machine.commands[-1]


def test_what_is_wrong_by_what_was_read_before_is_looked_at_anew(world: World) -> None:
    world.have_deployed()
    world.machines["stash2"].heartbeat = 100
    run = world.deploy()
    assert run.failed != []
    for machine in world.machines.values():
        assert "=== fact units" in machine.commands[-1]


def test_a_fresh_node_gets_the_major_version_that_the_others_have(world: World) -> None:
    world.machines["stash2"].says["logstash"] = "logstash 8.19.3"
    world.deploy()
    for machine in world.machines.values():
        assert any("[logstash-8.x]" in text for text in machine.stdin)


@pytest.mark.parametrize("first", ["8.19.3", "9.3.8"])
def test_nodes_with_several_major_versions_stop_the_run_for_all(world: World, first: str) -> None:
    for number, version in enumerate((first, "7.17.29"), 1):
        world.machines[f"stash{number}"].says["logstash"] = f"logstash {version}"
    with pytest.raises(ClusterError, match="logstash: the nodes have several major versions"):
        world.deploy()
    assert all(machine.stdin == [] for machine in world.machines.values())


def test_a_health_service_that_can_not_ask_a_secured_api_is_replaced_first(
    world: World, tmp_path: Path
) -> None:
    """That of an earlier version has no file that says how to ask."""
    world.have_deployed()
    for machine in world.machines.values():
        del machine.files[health_script.ACCESS]
    world.settings = {"api": write_api(tmp_path, "10.77.0.11", "10.77.0.12")}
    with pytest.raises(ClusterError, match=r"api: the health service on stash\d is of an earlier version"):
        world.deploy()
    world.settings = {}
    world.deploy()
    world.settings = {"api": write_api(tmp_path, "10.77.0.11", "10.77.0.12")}
    run = world.deploy()
    for name in ("stash1", "stash2"):
        steps = run.changes(name)
        known = steps.index("8. Health script and service")
        assert known < next(steps.index(step) for step in steps if step in (BACKUPS, MASTER))


def test_a_node_in_maintenance_stays_so(world: World) -> None:
    """Its services get their files; it is not waited for in the pools, and the cluster counts as whole. The other node is
    the only one that takes events, so its restart is waited for, and announced."""
    world.have_deployed()
    for machine in world.machines.values():
        machine.maintenance.add("10.77.0.11")
    world.holder, world.settings = 2, {"inputs": [{"id": "other", "port": 5516}]}
    run = world.deploy()
    assert run.failed == []
    assert "logstash on stash1" in world.activated
    assert [machine.maintenance for machine in world.machines.values()] == [{"10.77.0.11"}] * 2
    assert world.clock.now < activation.RETURN_BOUND
    assert run.says("stash2 alone takes")
    assert world.deploy().changes("stash1") == []
    assert len(world.machines["stash1"].commands) == 3


@pytest.mark.parametrize("limit", [None, "stash2"])
def test_a_second_run_at_the_same_time_changes_nothing(world: World, limit: str | None) -> None:
    """Whichever nodes it is for; and the first run's lock is all that it needs to know."""
    note = '{"by": "alice@laptop", "command": "deploy.py", "pid": 4711, "since": 1795788120, "token": "a"}'
    world.machines["stash1"].locked = f"held 812 {note}"
    run = world.deploy(limit=limit)
    assert run.failed == ([limit] if limit else ["stash1", "stash2"])
    assert run.says(
        "another run changes stash1: alice@laptop (deploy.py, process 4711 there) has had it since "
        "2026-11-27 14:02 UTC; wait until it ends",
        "`kill 812` on stash1",
    )
    assert all(machine.files == {} and machine.packages == set() for machine in world.machines.values())
    world.machines["stash1"].locked = f"stale 812 {note}"
    run = world.deploy()
    assert run.failed == []
    assert run.says("the lock of a run that is over is taken", "alice@laptop")


@pytest.mark.parametrize("name", ["nodes", "syslog"])
@pytest.mark.parametrize(
    ("file", "step"),
    [("deploy.py", "3. logstash.yml"), ("maintain.py", "In maintenance"), ("patch.py", "Patched: MASTER"), ("undo.py", "No record is left")],
)  # fmt: skip
def test_each_command_is_for_the_nodes_of_a_cluster_of_any_name(
    world: World, name: str, file: str, step: str
) -> None:
    world.have_deployed()
    world.name = name
    run = world.deploy(file=file, limit="stash1", dry=True)
    said = {name for operation in run.state.op_meta.values() for name in operation.names}
    assert any(each.startswith(step) for each in said)


@pytest.mark.parametrize(("name", "heading"), [("nodes", ""), ("syslog", "syslog")])
def test_the_table_at_the_end_has_its_clusters_name(
    world: World, name: str, heading: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the inventory can have several."""
    world.name = name
    assert world.deploy().failed == []
    before, _ = capsys.readouterr().err.split("ALL GOOD")
    assert before.strip() == heading


def test_all_nodes_of_a_cluster_of_any_name_can_not_be_in_maintenance(world: World) -> None:
    world.name = "syslog"
    with pytest.raises(ClusterError, match=r"^syslog: nodes: all of them can't be in maintenance"):
        world.deploy(file="maintain.py", dry=True)


def test_a_lock_costs_one_command_a_node_and_none_where_nothing_changes(world: World) -> None:
    world.have_deployed()
    takes = [[each for each in machine.commands if "lock=" in each] for machine in world.machines.values()]
    assert [len(each) for each in takes] == [1, 1]
    for dry in (True, False):
        world.deploy(dry=dry)
        assert not any("lock=" in each for machine in world.machines.values() for each in machine.commands)
    world.settings = {"inputs": [{"id": "other", "port": 5516}]}
    world.deploy(dry=True)
    assert not any("lock=" in each for machine in world.machines.values() for each in machine.commands)


CLONE_STEPS = ("lock=", "run stage", "run switch", "run confirm")


def become_stash2(
    world: World, monkeypatch: pytest.MonkeyPatch, *, locked: str = "", begun: bool = False
) -> Run:
    """Run clone.py; `locked` is what the machine says of the lock once it is at its new address."""

    def connect(*_: object) -> bool:
        world.machines["stash2"].locked = locked
        return True

    plan = Plan([], "stash2", {"10.77.0.11": "10.77.0.12"}, begun=begun)
    monkeypatch.setattr(remote_clone, "inspect", lambda *_: plan)
    monkeypatch.setattr(remote_clone, "_connect", connect)
    monkeypatch.setattr(operations_clone, "learn_host_keys", lambda *_: True)
    monkeypatch.setattr(operations_clone, "wait_for_reboot", lambda *_: True)
    return world.deploy(file="clone.py", limit="stash2")


def clone_steps(machine: Machine) -> list[str]:
    return [step for each in machine.commands for step in CLONE_STEPS if step in each]


HELD = (
    'held 812 {"by": "alice@laptop", "command": "deploy.py", "pid": 4711, "since": 1795788120, "token": "a"}'
)


def test_a_clone_is_locked_at_both_addresses_and_no_other_machine_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node's name leads to the clone meanwhile. The session at its source's address ends, and its lock with it."""
    run = become_stash2(world, monkeypatch)
    assert run.failed == []
    assert clone_steps(world.machines["stash2"]) == [
        "lock=",
        "run stage",
        "run switch",
        "lock=",
        "run confirm",
    ]
    assert clone_steps(world.machines["stash1"]) == []
    assert become_stash2(world, monkeypatch, begun=True).failed == []
    assert clone_steps(world.machines["stash2"]) == ["lock=", "run confirm"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_clone_that_another_run_changes_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """A deploy takes it for its source."""
    world.machines["stash2"].locked = HELD
    run = become_stash2(world, monkeypatch, begun=begun)
    assert run.failed == ["stash2"]
    assert run.says("another run changes stash2: alice@laptop (deploy.py")
    assert clone_steps(world.machines["stash2"]) == ["lock="]


def test_a_clone_that_another_run_takes_as_it_moves_goes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since nothing confirms its new address."""
    run = become_stash2(world, monkeypatch, locked=HELD)
    assert run.failed == ["stash2"]
    assert run.says("another run changes stash2: alice@laptop (deploy.py")
    assert clone_steps(world.machines["stash2"]) == ["lock=", "run stage", "run switch", "lock="]


def test_nodes_that_would_not_wait_for_each_other_are_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyinfra's `--no-wait` takes no notice of `_serial`."""
    monkeypatch.setattr(sys, "argv", ["pyinfra", "-y", "--no-wait", "inventory.py", "deploy.py"])
    with pytest.raises(ClusterError, match="--no-wait: all nodes would restart at the same time"):
        world.deploy()
    assert all(machine.files == {} for machine in world.machines.values())


def test_how_the_api_is_asked_changes_on_all_nodes_or_on_none(world: World, tmp_path: Path) -> None:
    """A node that a run leaves out would ask as before. One that knows already, or has nothing yet, is in nobody's way."""
    world.deploy(limit="stash1")
    secured = {"api": write_api(tmp_path, "10.77.0.11", "10.77.0.12")}
    world.settings = secured
    world.deploy(limit="stash1")  # stash2 has nothing yet
    world.settings = {}
    world.deploy()
    world.settings = secured
    before = {name: dict(machine.files) for name, machine in world.machines.items()}
    with pytest.raises(
        ClusterError, match="api: it changes, and stash2, which this run leaves out, would ask as before"
    ):
        world.deploy(limit="stash1")
    assert {name: machine.files for name, machine in world.machines.items()} == before
    world.deploy()
    known = world.machines["stash1"].files[health_script.ACCESS]
    world.machines["stash1"].files[health_script.ACCESS] = (known[0], "0" * 64)
    assert world.deploy(limit="stash1").failed == []
    assert world.machines["stash1"].files[health_script.ACCESS] == known
    world.settings = {}
    with pytest.raises(ClusterError, match="api: it changes, and stash1, "):
        world.deploy(limit="stash2")


@pytest.mark.parametrize("master", [1, 2])
def test_the_master_comes_last(world: World, master: int) -> None:
    world.have_deployed()
    world.holder, world.settings = master, {"inputs": [{"id": "other", "port": 5516}]}
    run = world.deploy()
    last, first = f"stash{master}", f"stash{3 - master}"
    assert run.changes(first)[-1] == BACKUPS
    assert run.changes(last)[-1] == MASTER
    assert world.activated == [
        *(f"{unit} on {first}" for unit in (health.UNIT, "logstash", "keepalived")),
        *(f"{unit} on {last}" for unit in (health.UNIT, "keepalived", "logstash")),
    ]
    for machine in world.machines.values():
        assert machine.flags == set()
        assert [command for command in machine.commands if "touch /etc/keepalived/drained" in command]


BREAKS: list[tuple[str, str | Exception]] = [
    ("rpm --import", "curl: (28) Connection timed out"),
    ("--assumeyes", "Error: Cannot prepare internal mirrorlist"),
    ("chmod 644", SSHException("EOF")),
    ("--config.test_and_exit", "Logstash refuses it"),
    ("sysctl -q -w", "permission denied"),
    ("keepalived --config-test", "keepalived refuses it"),
    ("apply add", "firewalld refuses new rules"),
    ("$(systemctl is-active keepalived)", "keepalived does not come up"),
    ("$(systemctl is-active logstash)", TimeoutError()),
]


@pytest.mark.parametrize(("text", "end"), BREAKS)
@pytest.mark.parametrize("name", ["stash1", "stash2"])
def test_a_run_that_broke_is_finished_by_the_next(
    world: World, name: str, text: str, end: str | Exception
) -> None:
    """And meanwhile the other node was not brought into danger."""
    world.have_deployed()
    world.holder = 3 - int(name[-1])
    for machine in world.machines.values():  # so that each step has something to do
        machine.has.clear()
        machine.packages.discard("tcpdump")
        machine.kernel.clear()
    world.settings = {"inputs": [{"id": "other", "port": 5516}], "virtual_router_id": 7}
    world.machines[name].breaks = {text: end}
    run = world.deploy()
    assert name in run.failed
    assert not [unit for unit in world.activated if name not in unit]
    world.machines[name].breaks = {}
    run = world.deploy()
    assert run.failed == []
    assert any(name in unit for unit in world.activated)
    run = world.deploy()
    assert run.changes("stash1") == run.changes("stash2") == []


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("/etc/logstash/conf.d/logstash-ha.conf", [STEPS[4], STEPS[5], BACKUPS]),
        (keepalived.CONF, [STEPS[12], BACKUPS]),
        (health_script.CHECK, [STEPS[11], BACKUPS]),
        (keepalived.DROP_IN, [STEPS[15]]),
        (keepalived.RELEASE_VIPS, [STEPS[15]]),
        (packages.REPOSITORY, [STEPS[1]]),
        (modules.FILE, [STEPS[6]]),
    ],
)
def test_a_file_changed_by_hand(world: World, path: str, steps: list[str]) -> None:
    world.have_deployed()
    world.holder = 2
    machine = world.machines["stash1"]
    machine.files[path] = ("644", "0" * 64)
    dry = world.deploy(dry=True, diff=True)
    assert dry.changes("stash1")[: len(steps) - (STEPS[5] in steps)] == [
        step for step in steps if step != STEPS[5]
    ]
    assert dry.changes("stash2") == []
    assert any(f"Will modify {path}" in line for line in dry.log)
    run = world.deploy()
    assert run.changes("stash1") == steps
    assert run.changes("stash2") == []
    assert world.deploy().changes("stash1") == []


def test_a_stopped_service_is_started(world: World) -> None:
    world.have_deployed()
    world.holder = 2
    world.machines["stash1"].units["logstash"].active = False
    assert world.deploy().changes("stash1") == [BACKUPS]
    assert world.activated == ["logstash on stash1"]
    assert world.machines["stash2"].flags == set()


def test_a_drain_that_a_broken_run_left_is_ended(world: World) -> None:
    world.have_deployed()
    world.machines["stash1"].flags.add("10.77.0.12")
    run = world.deploy()
    assert run.changes("stash1") == ["11. No node is left out by a run that was interrupted"]
    assert world.machines["stash1"].flags == set()


def test_direct_routing_comes_and_goes(world: World) -> None:
    """Its unit with the VIP is put, and taken away again."""
    tcp = [{"id": "tcp-5514", "port": 5514, "protocol": "tcp"}]
    world.settings = {"inputs": [{**tcp[0], "forwarding": "dr"}]}
    world.deploy()
    machine = world.machines["stash1"]
    assert machine.units[vip.UNIT].active
    assert vip.FILE in machine.files
    assert machine.kernel["net.ipv4.vs.backup_only"] == "1"
    assert world.deploy().changes("stash1") == []
    world.settings = {"inputs": tcp}
    run = world.deploy()
    assert "12. No unit of an earlier deploy" in run.changes("stash1")
    assert not machine.units[vip.UNIT].active
    assert machine.kernel["net.ipv4.vs.backup_only"] == "0"
    assert world.deploy().changes("stash1") == []


def test_the_folder_for_metrics_is_looked_at_once_and_their_file_goes_with_the_setting(world: World) -> None:
    file = "/var/lib/node_exporter/logstash_ha.prom"
    world.settings = {"metrics": "/var/lib/node_exporter"}
    run = world.deploy()
    assert "8. Folder of the health service's metrics" in run.changes("stash1")
    assert world.deploy().changes("stash1") == []
    machine = world.machines["stash1"]
    assert machine.metrics == [f"file {file}"]
    world.settings = {}
    assert "12. No file of an earlier deploy" in world.deploy().changes("stash1")
    assert [command for command in machine.commands if f"for file in {file}; do" in command]
    assert world.deploy().changes("stash1") == []


@pytest.mark.parametrize(
    ("folder", "mode", "said"),
    [
        ("there", "777", ""),
        ("there", "755", "metrics: the health service can not write into {}: setfacl -m u:nobody:rwx {}"),
        (
            "gone",
            "755",
            "metrics: there is no folder {}: install node_exporter with its textfile collector, or make it",
        ),
    ],
)
def test_a_folder_for_metrics_that_is_not_usable_is_said_with_the_command_that_mends_it(
    tmp_path: Path, folder: str, mode: str, said: str
) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:-1]:
        if parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(int(mode, 8))
    path = tmp_path / folder
    script = metrics.LOOK.format(folder=path, user="nobody", add_entry=f"touch {tmp_path}/recorded")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == said.format(path, path)
    assert (tmp_path / "recorded").exists() == (not said) == (done.returncode == 0)


def test_secrets_are_in_standard_input_only(world: World, tmp_path: Path) -> None:
    (tmp_path / "env").write_text(f"TOKEN={SECRET}\n")
    world.settings = {"environment_file": str(tmp_path / "env")}
    world.deploy(dry=True, diff=True)
    run = world.deploy(diff=True)
    assert run.failed == []
    for secret in (PASSWORD, SECRET):
        for machine in world.machines.values():
            assert not [command for command in machine.commands if secret in command]
            assert len([text for text in machine.stdin if secret in text]) == 1
        assert not [line for line in run.log if secret in line]


def test_a_failed_command_does_not_tell_the_password(world: World) -> None:
    said = f"(Line 29) auth_pass {PASSWORD} is refused"
    world.machines["stash1"].breaks = {"keepalived --config-test": said}
    run = world.deploy()
    assert any("auth_pass ******** is refused" in line for line in run.log)
    assert not [line for line in run.log if PASSWORD in line]


def test_undo_plans_what_takes_a_node_out_again(world: World) -> None:
    world.have_deployed()
    run = world.deploy(dry=True, limit="stash2", file="undo.py")
    assert run.failed == []
    planned = {name for operation in run.state.op_meta.values() for name in operation.names}
    assert "8. 7. 6. 4. 3. 2. Files as they were" in planned


def test_el7_uses_yum_and_restarts_keepalived(world: World) -> None:
    world.machines = {f"stash{number}": Machine(world, number, el=7) for number in (1, 2)}
    world.deploy()
    commands = "\n".join(world.machines["stash1"].commands)
    assert "yum --assumeyes install tcpdump ipvsadm keepalived" in commands
    assert "dnf " not in commands
    assert "if up restart 'systemctl is-active keepalived'" in commands
    assert "python3" not in commands


def test_el9_uses_dnf_and_reloads_keepalived(world: World) -> None:
    world.deploy()
    commands = "\n".join(world.machines["stash1"].commands)
    assert "dnf --assumeyes install tcpdump ipvsadm keepalived" in commands
    assert "if up reload-or-restart 'systemctl is-active keepalived'" in commands


def test_what_may_not_be_wanted_is_said_once(world: World) -> None:
    world.settings = {"inputs": [{"id": "netflow", "port": 2055}]}
    lines = [line for line in world.deploy().log if "choose 'sh' or 'mh'" in line]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ({"root": "root sudo: a password is required"}, "stash2: no sudo (sudo: a password is required); "),
        ({"root": "root"}, "stash2: no sudo (no answer); "),
        ({"root": "root sudo: sorry, you must have a tty to run sudo"}, "stash2: no sudo without a terminal (sudo: sorry, you must have a tty to run sudo); "),
        ({"modules": "missing ip_vs_wrr\nkernel 5.14.0 kernel-core"}, "stash2: its kernel 5.14.0 does not have all modules that this cluster needs (missing: ip_vs_wrr); run `dnf install kernel-modules-5.14.0` there"),
        ({"link": "link ens33", "address": ""}, "interface: stash2 has no eth0; choose one of ens33"),
        ({"address": "2: eth0    inet 10.77.0.13/24 brd"}, "nodes.stash2: 10.77.0.12 is not on its eth0, which has 10.77.0.13; "),
        ({"address": ""}, "nodes.stash2: 10.77.0.12 is not on its eth0, which has no address; "),
        ({"firewalld": "firewalld LoadState=loaded ActiveState=inactive"}, "stash2: firewalld is inactive, so "),
        ({"os": "os ID=debian\nos VERSION_ID=9\nos PRETTY_NAME=Debian"}, "stash2: its system is Debian; take a machine with "),
        ({"os": 'os ID="centos"\nos VERSION_ID="6"\nos PRETTY_NAME="CentOS 6"'}, "stash2: its system is CentOS 6; take a machine with "),
        ({"os": 'os ID="rhel"\nos VERSION_ID="11.0"'}, "stash2: its system is unknown; take a machine with Enterprise Linux 7 to 10"),
        ({"os": ""}, "stash2: its system is unknown; take a machine with Enterprise Linux 7 to 10"),
    ],
)  # fmt: skip
def test_an_unfit_machine_stops_the_run_for_all(world: World, lines: dict[str, str], error: str) -> None:
    world.machines["stash2"].says |= lines
    with pytest.raises(ClusterError) as raised:
        world.deploy()
    (line,) = raised.value.args
    assert line.startswith(error)
    assert "\n" not in line
    assert world.machines["stash1"].files == {}


def test_a_kernel_is_asked_for_each_module_that_its_cluster_needs(world: World) -> None:
    world.settings = {"inputs": [{"id": "flow", "port": 2055, "scheduler": "mh"}]}
    world.deploy()
    (asked,) = (command for command in world.machines["stash1"].commands if "modprobe -nq" in command)
    assert "for module in ip_vs ip_vs_mh nf_conntrack; do " in asked


@pytest.mark.parametrize(
    ("root", "error"),
    [
        ("sudo: a password is required", ""),
        ("sudo: sorry, you must have a tty to run sudo", "stash1: no sudo without a terminal"),
    ],
)
def test_a_password_for_sudo_helps_unless_sudo_wants_a_terminal(world: World, root: str, error: str) -> None:
    world.connection = {"_sudo_password": PASSWORD}
    world.machines["stash1"].says["root"] = f"root {root}"
    with pytest.raises(ClusterError, match=error) if error else nullcontext():
        assert world.deploy().failed == []


def test_a_node_outside_the_limit_whose_password_is_wrong_is_named_before_anything_is_done(
    world: World,
) -> None:
    """What is read there would look as if it were gone, and nothing could be drained from it."""
    assert world.deploy().failed == []
    world.connection = {"_sudo_password": PASSWORD}
    world.sudo_passwords["stash2"] = "other"
    for machine in world.machines.values():
        machine.says["root"] = "root sudo: a password is required"
    with pytest.raises(
        ClusterError, match=r"^stash2: no sudo \(.*\); type the password that it has on stash2"
    ):
        world.deploy(limit="stash1", file="undo.py")
    commands = [command for machine in world.machines.values() for command in machine.commands]
    assert all("/etc/os-release" in command for command in commands), "nothing else is read or changed"


THEIRS = ["keepalived vrrp_instance WEB {", "keepalived virtual_ipaddress { 10.77.0.80 }", "keepalived }"]


def test_all_objections_to_all_nodes_are_told_in_one_run_and_nothing_is_touched(world: World) -> None:
    """Four kinds at once: what the machine lacks, what the deploy would overwrite, what fights with the cluster, and
    an address that firewalld denies everything."""
    world.machines["stash1"].others = ["enabled nftables"]
    machine = world.machines["stash2"]
    machine.says |= {
        "address": "2: eth0    inet 10.77.0.13/24 brd",
        "modules": "missing ip_vs_wrr\nkernel 5.14.0 kernel-core",
    }
    version = ["keepalived global_defs {", "keepalived vrrp_version 3 }"]
    machine.others = [
        *version,
        *THEIRS,
        "output /etc/logstash/conf.d/10-app.conf",
        "settings xpack.monitoring.enabled:",
        "enabled ipvsadm",
        "noexec /tmp",
    ]
    machine.denied = "10.77.0.12"
    with pytest.raises(ClusterError) as raised:
        world.deploy()
    logged = [line for line in world.log if line.startswith(("stash", "nodes."))]
    told = [
        "stash2: /tmp is mounted noexec",  # a warning
        "stash1: nftables.service starts at boot beside firewalld",
        "nodes.stash2: 10.77.0.12 is not on its eth0, which has 10.77.0.13; ",
        "stash2: its kernel 5.14.0 does not have all modules that this cluster needs (missing: ip_vs_wrr); run ",
        "stash2: /etc/logstash/logstash.yml sets xpack.monitoring.enabled, which would be lost; write ",
        "stash2: /etc/keepalived/keepalived.conf has vrrp_instance WEB, which would be gone; set existing='adopt' ",
        "stash2: Logstash would read /etc/logstash/conf.d/10-app.conf in one pipeline with the cluster's inputs",
        "stash2: existing='adopt' would be refused: /etc/keepalived/keepalived.conf can't be adopted: its instance WEB says no ",
        "stash2: ipvsadm.service is enabled: ",
        "stash2: 10.77.0.12 is bound to firewalld's zone drop, which denies all that comes from 10.77.0.12; run ",
    ]
    assert len([*logged, *raised.value.args]) == len(told)
    for line, beginning in zip([*logged, *raised.value.args], told, strict=True):
        assert line.startswith(beginning)
        assert "; " in line
        assert "\n" not in line
    assert world.machines["stash1"].files == {}
    assert not any(
        "sha256sum --check" in text for machine in world.machines.values() for text in machine.commands
    )


def test_a_file_that_can_not_be_rendered_is_told_like_any_objection(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.settings = {"logstash_settings": {"node.name": "<%= nodename %>"}}
    with pytest.raises(ClusterError, match=r"^logstash_settings\.node\.name: 'nodename' is undefined"):
        world.deploy()
    assert "Traceback" not in capsys.readouterr().err


def test_what_may_do_no_harm_is_a_warning(world: World) -> None:
    world.machines["stash2"].others = ["noexec /tmp"]
    assert world.deploy().failed == []
    world.machines["stash2"].others = [
        *THEIRS,
        "enabled ipvsadm",
    ]  # for `verify.py` to tell: it is no first deploy
    world.deploy(dry=True)


def test_others_blocks_are_adopted_before_keepalived_is_configured(world: World) -> None:
    world.settings = {"existing": "adopt"}
    for machine in world.machines.values():
        machine.others = [
            *(line.replace("WEB {", "WEB {\nkeepalived version 2") for line in THEIRS),
            "pipeline /etc/logstash/conf.d/10-app.conf",
            "output /etc/logstash/conf.d/10-app.conf",
        ]
        machine.others = "\n".join(machine.others).splitlines()
    run = world.deploy()
    assert run.failed == []
    changes = run.changes("stash1")
    assert changes.index(ADOPTION) == changes.index("7. keepalived.conf") - 1
    for machine in world.machines.values():
        machine.others = ["adopted # theirs"]
        assert not any("logrotate" in command for command in machine.commands if "--assumeyes" in command)
    assert world.deploy().changes("stash1") == []


ADOPTION = "7. Others' blocks in keepalived.conf are adopted"


def test_an_unreachable_node_stops_the_run_for_all(world: World) -> None:
    world.machines["stash2"].reachable = False
    with pytest.raises(ClusterError, match="stash2: can't be reached by ssh"):
        world.deploy()
    assert world.machines["stash1"].files == {}


def test_no_node_is_changed_any_more_where_a_zone_denies_everything(world: World) -> None:
    """Somebody has bound nodes to it since the last deploy."""
    world.have_deployed()
    machine = world.machines["stash2"]
    machine.denied = "10.77.0.0/26"
    machine.files.pop(VERSION_FILE)
    run = world.deploy()
    assert "stash2" in run.failed
    assert world.activated == []
    assert VERSION_FILE not in machine.files
    lines = [line for line in run.log if "10.77.0.11 is bound to" in line]
    assert lines[0].endswith(
        "stash2: 10.77.0.11 is bound to firewalld's zone drop, which denies all that comes from 10.77.0.0/26; "
        "run `firewall-cmd --zone=drop --remove-source=10.77.0.0/26` and "
        "`firewall-cmd --permanent --zone=drop --remove-source=10.77.0.0/26`, or take 10.77.0.11 out of inventory.py"
    )
    assert run.says("stash2: 10.77.0.12 is bound to firewalld's zone drop")


LOADED = "9. firewalld has the ipsets of senders"


def test_a_new_ipset_is_loaded_by_one_node_after_the_other_drained(world: World) -> None:
    """And only then: when senders change, or nothing does, firewalld is not reloaded."""
    world.have_deployed()
    world.holder = 2
    world.settings = {"senders": [f"198.51.100.{number}" for number in range(17)]}
    run = world.deploy()
    assert run.failed == []
    assert LOADED in run.changes("stash1")
    assert LOADED in run.changes("stash2")
    assert sorted(world.reloads) == [(1, {1, 2}), (2, {1, 2})]
    for machine in world.machines.values():
        assert machine.flags == set()
        assert machine.sets["runtime"] == {"logstash-ha-ipv4": world.settings["senders"]}
        assert any("ipset" in rule for rule in machine.rules["runtime"])
    run = world.deploy()
    assert LOADED not in run.changes("stash1") + run.changes("stash2")
    assert len(world.reloads) == 2


def test_no_other_firewalld_is_reloaded_after_one_that_failed(world: World) -> None:
    world.have_deployed()
    world.settings = {"senders": [f"198.51.100.{number}" for number in range(17)]}
    for machine in world.machines.values():
        machine.breaks = {"--list-all-zones": "would lose what is not permanent"}
    run = world.deploy()
    assert run.failed == ["stash1", "stash2"]
    assert world.reloads == []
    assert len(run.says("would lose what is not permanent")) == 1
    assert len(run.says("firewalld is not reloaded, because stash", "has failed")) == 1


WHOLE = "12. The cluster is whole"


def verifications(world: World) -> list[str]:
    """The machines that were looked at by the last step."""
    return [
        name
        for name, machine in world.machines.items()
        if any("echo inputs " in command for command in machine.commands)
    ]


def test_a_deploy_ends_with_the_table_of_a_whole_cluster(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, and where pyinfra's log goes: its standard output may be a JSON document."""
    world.have_deployed()
    capsys.readouterr()
    run = world.deploy()
    assert run.failed == []
    assert run.changes("stash1") == run.changes("stash2") == []
    assert verifications(world) == ["stash1", "stash2"]
    out, table = capsys.readouterr()
    assert out == ""
    assert table.count("ALL GOOD") == 1
    assert "VIP 10.77.0.10 on stash" in table
    assert len(run.says("noop: another node of this run verifies the cluster")) == 1


def test_a_cluster_that_is_not_whole_fails_the_run(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Here the deploy has nothing to do, and a health service is frozen. It is given its time to settle."""
    world.have_deployed()
    capsys.readouterr()
    world.machines["stash2"].heartbeat = 60
    start = world.clock.now
    run = world.deploy()
    (name,) = run.failed
    table = capsys.readouterr().err
    assert table.count("WRONG, 1 thing to fix") == 1
    assert "! stash2: logstash-ha-health runs, but it last renewed its verdicts 60 s ago" in table
    (line,) = run.says("the cluster is not whole: stash2: logstash-ha-health runs, but ")
    assert line.startswith(f"[{name}] ")
    assert world.clock.now - start > inspection.SETTLING


def test_a_cluster_that_settles_is_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that comes a moment later."""
    world.have_deployed()
    machine = world.machines["stash2"]
    machine.heartbeat = 60

    def sleep(seconds: float) -> None:
        machine.heartbeat = 0

    monkeypatch.setattr(world.clock, "sleep", sleep)
    assert world.deploy().failed == []


@pytest.mark.parametrize("fresh", [True, False])
def test_a_dry_run_only_says_what_it_would_verify(
    world: World, fresh: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `verify.py --drift`, which prepares the deploy in the same way."""
    if not fresh:
        world.have_deployed()
        capsys.readouterr()
    run = world.deploy(dry=True)
    assert WHOLE not in run.changes("stash1") + run.changes("stash2")
    assert run.says("noop: stash1, stash2: to be verified at the end of the run")
    assert verifications(world) == []
    assert capsys.readouterr().err == ""


def test_preparing_a_run_verifies_nothing(world: World) -> None:
    """Without a dry run the last step looks once, though pyinfra prepares it before."""
    world.deploy()
    assert len([text for text in world.machines["stash1"].commands if "echo inputs " in text]) == 1


def test_a_limited_run_verifies_its_own_nodes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The other one is named and not judged, whatever is wrong with it: it holds the VIP, and its Logstash is dead."""
    world.have_deployed()
    capsys.readouterr()
    world.holder = 2
    other = world.machines["stash2"]
    other.units["logstash"].active = False
    other.heartbeat = 60
    run = world.deploy(limit="stash1")
    assert run.failed == []
    assert verifications(world) == ["stash1"]
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == "ALL GOOD VIP 10.77.0.10 on no node that was looked at pool: not seen"
    assert lines[1] == "not looked at, as this run is for other nodes: stash2"
    assert "ssh reached left out" in lines
    assert "health udp-5514 ! 1 of 2 left out" in lines


def test_a_limited_run_fails_for_its_own_nodes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.have_deployed()
    capsys.readouterr()
    world.machines["stash2"].heartbeat = 60
    run = world.deploy(limit="stash2")
    assert run.failed == ["stash2"]
    assert run.says("[stash2] ", "the cluster is not whole: stash2: logstash-ha-health runs, but ")
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    assert "logstash-ha-health left out ! stale" in lines
    assert "logstash left out running" in lines


def test_a_run_that_does_one_node_after_the_other_is_verified_when_all_are_done(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before, the first node would find the others without all that the deploy brings."""
    run = world.deploy(serial=True)
    assert run.failed == []
    table = capsys.readouterr().err
    assert table.startswith("ALL GOOD")
    assert table.count("ALL GOOD") == 1


def test_a_run_in_which_a_node_has_failed_verifies_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fails anyway, and says why nothing was verified."""
    world.machines["stash1"].breaks = {"apply add": "firewalld refuses new rules"}
    run = world.deploy()
    assert "stash1" in run.failed
    assert verifications(world) == []
    assert capsys.readouterr().err == ""


def test_a_node_that_fails_at_the_end_is_the_reason_that_nothing_is_verified(world: World) -> None:
    world.have_deployed()
    world.machines["stash1"].files[VERSION_FILE] = ("644", "0" * 64)
    world.machines["stash1"].breaks = {f'"$new" {VERSION_FILE}': "read-only file system"}
    run = world.deploy()
    assert run.failed == ["stash1"]
    (line,) = run.says("the cluster is not verified, because stash1 has failed")
    assert line.startswith("[stash2] ")
    assert verifications(world) == []


def test_what_goes_wrong_while_verifying_fails_one_node_and_not_pyinfra(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.have_deployed()

    def fail(*_: object) -> None:
        raise ValueError("nobody has thought of this")

    monkeypatch.setattr(inspection, "judge", fail)
    run = world.deploy()
    (name,) = run.failed
    assert run.says(f"[{name}] the cluster can't be verified: ValueError: nobody has thought of this")


def keys(world: World) -> set[str]:
    return {machine.key for machine in world.machines.values()}


def test_all_nodes_get_one_key_that_no_output_shows(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger.name):
        world.deploy(diff=True)
    (key,) = keys(world)
    assert len(bytes.fromhex(key)) == 32
    assert key.strip() not in caplog.text
    for machine in world.machines.values():
        assert machine.files[health.KEY][0] == "400"
        assert not any(key.strip() in command for command in machine.commands)


def test_a_node_that_hears_the_others_is_asked_for_no_key(world: World) -> None:
    world.have_deployed()
    run = world.deploy()
    for name, machine in world.machines.items():
        assert run.changes(name) == []
        assert not any(f"cat {health.KEY}" in command for command in machine.commands)
        assert sum(health.KEY in command for command in machine.commands) == 1


def test_a_node_without_the_key_gets_that_of_the_others(world: World) -> None:
    """Also where the run is limited to it."""
    world.have_deployed()
    (key,) = keys(world)
    machine = world.machines["stash1"]
    machine.key = ""
    del machine.files[health.KEY]
    run = world.deploy(limit="stash1")
    assert run.failed == []
    assert run.changes("stash1") == ["8. Key of the health services"]
    assert keys(world) == {key}


def test_a_node_with_another_key_gets_that_of_most(world: World) -> None:
    world.settings = {"nodes": {f"stash{number}": f"10.77.0.{10 + number}" for number in (1, 2, 3)}}
    world.machines["stash3"] = Machine(world, 3)
    world.deploy()
    (key,) = keys(world)
    machine = world.machines["stash1"]
    machine.key = "another one\n"
    machine.files[health.KEY] = ("400", hashlib.sha256(machine.key.encode()).hexdigest())
    run = world.deploy()
    assert {name: run.changes(name) for name in world.machines} == {
        "stash1": ["8. Key of the health services"],
        "stash2": [],
        "stash3": [],
    }
    assert keys(world) == {key}


def test_a_key_that_others_could_read_is_put_again(world: World) -> None:
    world.have_deployed()
    (key,) = keys(world)
    machine = world.machines["stash2"]
    machine.files[health.KEY] = ("644", machine.files[health.KEY][1])
    assert world.deploy().changes("stash2") == ["8. Key of the health services"]
    assert (keys(world), machine.files[health.KEY][0]) == ({key}, "400")


def test_a_key_that_can_not_be_read_from_its_holder_fails_the_node_and_nothing_else(world: World) -> None:
    world.have_deployed()
    machine = world.machines["stash1"]
    machine.key = ""
    del machine.files[health.KEY]
    world.machines["stash2"].breaks = {f"cat {health.KEY}": "no such file"}
    run = world.deploy()
    assert run.failed == ["stash1"]
    world.machines["stash2"].breaks = {}
    assert world.deploy().failed == []
    assert len(keys(world)) == 1


def test_rpm_files_are_copied_and_installed_where_no_repository_is(world: World, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    (tmp_path / "rpms").mkdir()
    rpm = signer.rpm(tmp_path / "rpms")
    world.settings = {
        "rpms": str(tmp_path / "rpms"),
        "version": "8.19.3",
        "signing_keys": str(signer.file),
        "key_fingerprints": signer.fingerprint,
        "repository": None,
    }
    dry = world.deploy(dry=True, diff=True)
    machine = world.machines["stash1"]
    assert dry.says("Will copy logstash-8.19.3-1.x86_64.rpm (0.0 MB), and install it")
    assert machine.uploads == {}
    run = world.deploy()
    assert run.failed == []
    assert "2. Elastic's repository" not in run.changes("stash1")
    assert packages.REPOSITORY not in machine.files
    assert machine.uploads == {f"{packages.RPMS}/{rpm.name}": rpm.read_bytes()}
    assert "logstash" in machine.packages
    again = world.deploy()
    # That one machine in memory answers for all keys that it has the first one it knows of, so only that step is left.
    assert again.changes("stash1") in ([], ["2. Elastic's GPG key"])
    assert not [command for command in machine.commands if "--assumeyes" in command]


def test_managed_packages_must_be_there_before_any_node_is_touched(world: World) -> None:
    world.settings = {"packages": "managed", "repository": None}
    with pytest.raises(
        ClusterError, match=r"packages: stash\d lacks tcpdump, ipvsadm, keepalived, logrotate, logstash"
    ):
        world.deploy()
    for machine in world.machines.values():
        assert machine.files == {}
        machine.packages |= {*packages.package_names(world.cluster), "logstash"}
    run = world.deploy()
    assert run.failed == []
    assert not {"2. Elastic's GPG key", "2. Elastic's repository", "2. Packages"} & {*run.changes("stash1")}
    assert packages.REPOSITORY not in world.machines["stash1"].files
    assert world.deploy().changes("stash1") == []


def test_a_repository_that_is_not_there_is_named_before_any_node_is_touched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once for all nodes, and not at all where none needs a package."""
    asked = []

    def look(cluster: Cluster) -> None:
        asked.append(cluster)
        raise ClusterError("artifacts_url: is not there; correct it")

    monkeypatch.setattr(repository, "look", look)
    world.settings = {"repository": None}
    with pytest.raises(ClusterError, match="artifacts_url: is not there"):
        world.deploy()
    assert len(asked) == 1
    assert all(machine.files == {} for machine in world.machines.values())
    for machine in world.machines.values():
        machine.says["logstash"] = "logstash 8.19.3"
    assert world.deploy().failed == []
    assert len(asked) == 1
