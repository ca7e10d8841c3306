"""init.py: what it makes of machines in memory, and what it asks, refuses and writes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyinfra.api.inventory
import pytest
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from cluster import Cluster, ClusterError
from facts.machine import parse_machine
from facts.network import NetworkState
from remote.discovery import Discovered
from remote.inventory import load_cluster
from starter.command import main
from starter.folder import PROJECT, checked_cluster, starter_files
from starter.proposal import Proposal, attention, common_networks, main_interface, own_address, propose

ROCKY = {
    "ID": "rocky",
    "ID_LIKE": "rhel centos fedora",
    "VERSION_ID": "9.6",
    "PRETTY_NAME": "Rocky Linux 9.6",
}
CENTOS = {"ID": "centos", "ID_LIKE": "rhel fedora", "VERSION_ID": "7", "PRETTY_NAME": "CentOS Linux 7 (Core)"}
DEBIAN = {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12"}
VIP, SENDER = "10.77.0.10", "10.77.0.101"


def seen(number: int, **changes: Any) -> Discovered:
    """What is seen on a machine that is fit to be a node; `changes` replace some of it."""
    address = f"10.77.0.{10 + number}"
    machine = {**parse_machine([]), "os": ROCKY, "root": "yes", "firewalld": "active"}
    network: dict[str, Any] = {
        "reached": address,
        "default": "eth0",
        "addresses": {"eth0": [f"{address}/24"]},
    }
    for name, value in changes.items():
        (network if name in network else machine)[name] = value
    return Discovered(
        name=f"stash{number}",
        user=changes.get("user", "admin"),
        machine=machine,  # type: ignore[arg-type]
        network=NetworkState(**network),  # type: ignore[typeddict-item]
        keepalived=None,
    )


def proposal(*machines: Discovered, vips: str = VIP, senders: str = SENDER, **connection: str) -> Proposal:
    """What is proposed for these machines, or for two that are fit."""
    return propose(machines or (seen(1), seen(2)), connection, vips.split(), senders.split())


def cluster(*machines: Discovered, **answers: str) -> Cluster:
    """The cluster that the inventory describes which is written for these machines."""
    return checked_cluster(starter_files(proposal(*machines, **answers), Path("/srv/logs")))


# From what was seen to the proposal


def test_two_fit_machines_are_a_cluster_of_their_addresses() -> None:
    assert proposal() == Proposal(
        nodes={"stash1": ["10.77.0.11"], "stash2": ["10.77.0.12"]},
        networks=["10.77.0.0/24"],
        interface="eth0",
        other_interfaces={},
        vips=[VIP],
        senders=[SENDER],
        logstash=9,
        vrrp=3,
        connection={"_sudo": True},
    )


TWO_LINKS = {"ens33": ["192.0.2.11/26"], "ens34": ["10.77.0.11/24"]}


@pytest.mark.parametrize(
    ("network", "name", "address"),
    [
        ({"addresses": TWO_LINKS, "reached": "192.0.2.11", "default": "ens34"}, "ens33", "192.0.2.11/26"),
        ({"addresses": TWO_LINKS, "reached": "203.0.113.1", "default": "ens34"}, "ens34", "10.77.0.11/24"),
        ({"addresses": TWO_LINKS, "reached": "", "default": ""}, "ens33", "192.0.2.11/26"),
        ({"addresses": {"lo": [f"{VIP}/32"], **TWO_LINKS}, "reached": VIP}, "eth0", None),
        ({"addresses": {}, "reached": "", "default": ""}, "", None),
        (
            {
                "addresses": {"ens33": ["192.0.2.10/32", "192.0.2.12/26", "192.0.2.11/26"]},
                "reached": "192.0.2.11",
            },
            "ens33",
            "192.0.2.11/26",
        ),
        (
            {
                "addresses": {"ens33": ["192.0.2.10/32", "192.0.2.12/26", "192.0.2.11/26"]},
                "reached": "192.0.2.10",
            },
            "ens33",
            "192.0.2.12/26",
        ),
    ],
    ids=["reached", "default route", "neither", "VIP on lo", "nothing", "one of several", "by the VIP"],
)
def test_a_machine_is_in_the_cluster_by_the_interface_that_it_was_reached_by(
    network: dict[str, Any], name: str, address: str | None
) -> None:
    machine = seen(1, **network)
    assert main_interface(machine) == name
    assert (str(own_address(machine, 4)) if address else own_address(machine, 4)) == address


def dual(number: int, prefix: str = "fd00:77::") -> Discovered:
    """A machine with an IPv6 address, too."""
    return seen(number, addresses={"eth0": [f"10.77.0.{10 + number}/24", f"{prefix}{10 + number}/64"]})


@pytest.mark.parametrize(
    ("vips", "nodes", "networks"),
    [
        (VIP, ["10.77.0.11"], ["10.77.0.0/24"]),
        ("fd00:77::10", ["fd00:77::11"], ["fd00:77::/64"]),
        (f"fd00:77::10 {VIP}", ["10.77.0.11", "fd00:77::11"], ["10.77.0.0/24", "fd00:77::/64"]),
    ],
)
def test_nodes_have_the_addresses_of_the_vips_families(
    vips: str, nodes: list[str], networks: list[str]
) -> None:
    found = proposal(dual(1), dual(2), vips=vips, senders=vips)
    assert (found.nodes["stash1"], found.networks) == (nodes, networks)
    assert [str(vip) for vip in cluster(dual(1), dual(2), vips=vips, senders=vips).vips] == vips.split()


def test_a_vip_of_a_family_that_the_nodes_have_no_network_of_is_refused() -> None:
    with pytest.raises(
        ClusterError, match=r"^vip: .* no IPv6 network in common; choose an address in 10\.77\.0\.0/24$"
    ):
        proposal(dual(1), dual(2, "fd00:78::"), vips="fd00:77::10")


def test_machines_without_a_network_in_common_are_refused() -> None:
    other = seen(2, addresses={"eth0": ["10.78.0.12/24"]}, reached="10.78.0.12")
    with pytest.raises(ClusterError) as error:
        common_networks([seen(1), other, seen(3, addresses={})])
    assert str(error.value) == (
        "network: the nodes are in no network in common: stash1 is in 10.77.0.0/24, stash2 is in 10.78.0.0/24, "
        "stash3 has none; name machines of one layer-2 network"
    )


@pytest.mark.parametrize(
    ("installed", "logstash"),
    [((None, None), 9), (("7.17.29", None), 7), (("7.17.29", "9.1.0"), 9), (("5.6.16", None), 9)],
)
def test_the_installed_logstash_is_proposed(installed: tuple[str | None, ...], logstash: int) -> None:
    machines = [seen(number, logstash=version) for number, version in enumerate(installed, 1)]
    assert proposal(*machines).logstash == cluster(*machines).logstash == logstash


def test_sudo_is_used_unless_root_logs_in() -> None:
    assert proposal(seen(1, user="root"), seen(2, user="root")).connection == {}
    assert proposal(seen(1, user="root"), seen(2)).connection == {"_sudo": True}


def test_connection_data_is_in_the_inventory() -> None:
    assert proposal(ssh_user="admin").connection == {"ssh_user": "admin", "_sudo": True}


def test_with_an_enterprise_linux_7_it_is_vrrp_2_with_a_password() -> None:
    machines = seen(1, os=CENTOS), seen(2)
    files = {file.name: file for file in starter_files(proposal(*machines), Path("/srv/logs"))}
    assert (len(files["auth_pass"].content), files["auth_pass"].mode) == (9, 0o600)
    assert files["auth_pass"] != starter_files(proposal(*machines), Path("/srv/logs"))[2]
    assert "/auth_pass" in files[".gitignore"].content.splitlines()
    assert "auth_pass" not in [file.name for file in starter_files(proposal(), Path("/srv/logs"))]
    found = cluster(*machines)
    assert (found.vrrp, attention(found, machines, {VIP: "free"})) == (2, [])


def test_a_node_whose_interface_has_another_name_says_so() -> None:
    machines = seen(1), seen(2, addresses={"ens33": ["10.77.0.12/24"]})
    found = cluster(*machines)
    assert [found.interface_of(node) for node in found.nodes] == ["eth0", "ens33"]
    assert attention(found, machines, {VIP: "free"}) == []


# What needs attention


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"os": DEBIAN},
            "stash2: its system is Debian GNU/Linux 12; take a machine with Enterprise Linux 7 to 10",
        ),
        ({"root": "sudo: a password is required"}, "stash2: no sudo (sudo: a password is required); "),
        ({"root": "sudo: sorry, you must have a tty to run sudo"}, "stash2: no sudo without a terminal "),
        (
            {"missing_modules": ["ip_vs"], "kernel": "6.12.0"},
            "stash2: its kernel 6.12.0 does not have all modules that this cluster needs (missing: ip_vs); ",
        ),
        ({"firewalld": "absent"}, "stash2: firewalld is absent, "),
        ({"logstash": "7.17.29"}, "logstash: stash2 has 7.17.29, not 8, "),
        ({"addresses": {"eth0": ["10.77.0.12/24", f"{VIP}/32"]}}, f"vip: stash2 has {VIP} already; "),
    ],
)
def test_what_a_deploy_would_refuse_needs_attention(changes: dict[str, Any], line: str) -> None:
    machines = seen(1, logstash="8.19.3"), seen(2, **changes)
    (found,) = attention(cluster(*machines), machines, {VIP: "free"})
    assert found.startswith(line)


def test_all_that_is_wrong_with_a_machine_needs_attention() -> None:
    machines = seen(1), seen(2, root="no", firewalld="masked")
    lines = attention(cluster(*machines), machines, {VIP: "free"})
    assert [line.partition(" (")[0].partition(",")[0] for line in lines] == [
        "stash2: no sudo",
        "stash2: firewalld is masked",
    ]


@pytest.mark.parametrize(
    ("conflicts", "lines"),
    [
        ({VIP: "free"}, []),
        ({VIP: "taken"}, [f"vip: another machine answers for {VIP} already; choose a free address"]),
        (
            {VIP: "unknown"},
            [f"vip: stash1 can't see whether {VIP} is free; it needs sudo and arping, of iputils"],
        ),
        ({}, [f"vip: stash1 can't see whether {VIP} is free; it needs sudo and arping, of iputils"]),
    ],
)
def test_a_vip_that_is_not_known_to_be_free_needs_attention(
    conflicts: dict[str, str], lines: list[str]
) -> None:
    assert attention(cluster(), (seen(1), seen(2)), conflicts) == lines


# The files


def test_the_inventory_is_python_as_it_is_written_here(tmp_path: Path) -> None:
    machines = dual(1), dual(2)
    vips = f"{VIP} fd00:77::10"
    for number, found in enumerate(
        (
            proposal(),
            proposal(seen(1, os=CENTOS), seen(2)),
            proposal(*machines, vips=vips, senders=f"{SENDER} fd00::/8", ssh_config_file="/srv/é ü/ssh"),
        )
    ):
        text = starter_files(found, tmp_path)[-1].content
        (tmp_path / f"{number}.py").write_text(text)
        assert ast.get_docstring(ast.parse(text))
    assert '{"ssh_config_file": "/srv/é ü/ssh", "_sudo": True}' in text
    done = subprocess.run(
        (
            Path(sys.executable).with_name("ruff"),
            "format",
            "--check",
            "--config",
            PROJECT / "pyproject.toml",
            tmp_path,
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_readme_has_the_commands_with_the_right_paths() -> None:
    files = {file.name: file.content for file in starter_files(proposal(), Path("/srv/my logs"))}
    lines = files["README.md"].splitlines()
    assert len(lines) <= 10
    assert f"    cd {PROJECT}" in lines
    commands = [line.partition("   # ")[0].strip() for line in lines[-4:]]
    assert [re.sub(r"^\S+/(\w+ )", r"\1", command) for command in commands] == [
        "pyinfra '/srv/my logs/inventory.py' deploy.py --dry --diff",
        "pyinfra '/srv/my logs/inventory.py' deploy.py",
        "python verify.py --inventory '/srv/my logs/inventory.py'",
        "python verify.py --inventory '/srv/my logs/inventory.py' --send 4",
    ]
    for command in commands:
        assert (PROJECT / command.split()[0]).exists()


# The command, on machines in memory


class Machines:
    """What stash1 and stash2 say, and what becomes of it."""

    def __init__(self) -> None:
        self.facts = {f"stash{number}": self.fit(number) for number in (1, 2)}
        self.unreachable: set[str] = set()
        self.vip = "0"
        """arping's status for the VIP."""
        self.commands: list[tuple[str, bool]] = []
        """What was run, and whether by sudo."""

    @staticmethod
    def fit(number: int) -> dict[str, str]:
        """By the fact's name: what a machine prints that is fit to be a node."""
        return {
            "user": "admin",
            "machine": 'os ID="rocky"\nos VERSION_ID="9.6"\nos NAME="Rocky Linux"\nroot yes\n'
            f"link eth0\naddress 2: eth0    inet 10.77.0.{10 + number}/24 brd\n"
            "firewalld LoadState=loaded ActiveState=active\nlogstash 8.19.3",
            "network": f"login 10.77.0.1 50022 10.77.0.{10 + number} 22\n"
            f"address 2: eth0    inet 10.77.0.{10 + number}/24 brd 10.77.0.255 scope global",
            "keepalived": "package keepalived is not installed",
        }


class Connector(FakeConnector):
    """The way to a machine in memory."""

    machines: Machines

    def connect(self) -> None:
        if self.host.name in self.machines.unreachable:
            raise ConnectError("no route to host")

    def run_shell_command(self, command: Any, *_: Any, **arguments: Any) -> tuple[bool, CommandOutput]:
        text = str(command)
        self.machines.commands.append((text, bool(arguments["_sudo"])))
        if "arping" in text:
            assert f"-I eth0 {VIP} " in text
            return True, CommandOutput([OutputLine("stdout", f"{VIP} {self.machines.vip}")])
        facts = self.machines.facts[self.host.name]
        if not facts:
            return False, CommandOutput([OutputLine("stderr", "no shell")])
        lines = [line for name in facts for line in (f"=== fact {name}", *facts[name].splitlines())]
        return True, CommandOutput([OutputLine("stdout", line) for line in lines])


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    """Two machines that are fit; nobody is at a terminal."""
    found = Machines()
    monkeypatch.setattr(pyinfra.api.inventory, "get_execution_connectors", lambda: {"ssh": Connector})
    monkeypatch.setattr(Connector, "machines", found, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return found


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a user at a terminal answers, one after the other; all of it is asked for."""
    given: list[str] = []

    def answer(prompt: str = "") -> str:
        print(prompt)
        if not given:
            raise EOFError
        return given.pop(0)

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    yield given
    assert given == []


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The lines of a run that wrote nothing, without the program's name."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("init: ") for line in lines), lines
    return "\n".join(line.removeprefix("init: ") for line in lines)


ANSWERED = ("stash1", "stash2", "--vip", VIP, "--senders", f"{SENDER},192.0.2.0/24")


def test_the_written_inventory_is_read_by_the_tools(machines: Machines, tmp_path: Path) -> None:
    folder = tmp_path / "far" / "logs"
    assert main([str(folder), *ANSWERED, "--user", "admin"]) == 0
    assert sorted(os.listdir(folder)) == [".gitignore", "README.md", "inventory.py"]
    _, inventory, found = load_cluster(str(folder / "inventory.py"))
    assert [(node.name, str(node.address)) for node in found.nodes] == [
        ("stash1", "10.77.0.11"),
        ("stash2", "10.77.0.12"),
    ]
    assert [str(sender) for sender in found.senders] == [f"{SENDER}/32", "192.0.2.0/24"]
    assert (found.interface, found.logstash, str(found.vips[0])) == ("eth0", 8, VIP)
    host = inventory.get_host("stash1")
    assert (host.data.ssh_user, host.data._sudo) == ("admin", True)


def test_the_machines_are_shown_and_nothing_needs_attention(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "logs"), *ANSWERED]) == 0
    out, error = capsys.readouterr()
    assert re.search(r"stash2 +Rocky Linux 9\.6 +10\.77\.0\.12/24 +eth0 +yes +active +none +8\.19\.3", out)
    assert "attention" not in out
    assert f"written .gitignore, README.md, inventory.py in {tmp_path}/logs" in out
    assert f"pyinfra {tmp_path}/logs/inventory.py deploy.py --dry --diff" in out
    assert error == ""


def test_nothing_but_the_question_for_the_vip_is_run_as_root(machines: Machines, tmp_path: Path) -> None:
    assert main([str(tmp_path / "logs"), *ANSWERED]) == 0
    assert [("arping" in command, sudo) for command, sudo in machines.commands] == [
        (False, False),
        (False, False),
        (True, True),
    ]


def test_what_needs_attention_is_shown(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machines.vip = "1"
    machines.facts["stash2"]["machine"] = machines.facts["stash2"]["machine"].replace("loaded", "masked")
    assert main([str(tmp_path / "logs"), *ANSWERED]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("attention ")]
    assert len(lines) == 2
    assert lines[0].startswith("attention stash2: firewalld is masked, ")
    assert lines[1].startswith(f"attention vip: another machine answers for {VIP} already")


def test_without_sudo_nobody_is_asked_for_a_password(machines: Machines, tmp_path: Path) -> None:
    machines.facts["stash1"]["machine"] = machines.facts["stash1"]["machine"].replace(
        "root yes", "root no [sudo]"
    )
    assert main([str(tmp_path / "logs"), *ANSWERED]) == 0
    assert not any(sudo for _, sudo in machines.commands)


def test_machines_that_can_not_be_reached_have_a_line_each(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machines.unreachable = {"stash1", "stash2"}
    assert (
        refusal(capsys, tmp_path / "logs", *ANSWERED) == "stash1: no route to host\nstash2: no route to host"
    )
    machines.unreachable, machines.facts["stash2"] = set(), {}
    assert refusal(capsys, tmp_path / "logs", *ANSWERED).startswith(
        "stash2: it can be logged in to, and then"
    )
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("left_out", "line"),
    [
        (("stash1", "stash2"), "HOST: is missing; add it"),
        (("stash2",), "HOST: 1 given; name two machines or more, as ssh knows them"),
        (("--vip", VIP), "--vip: is missing; add it"),
        (("--senders", ANSWERED[-1]), "--senders: is missing; add it"),
    ],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_without_a_terminal_what_is_missing_is_named(
    machines: Machines,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    left_out: tuple[str, ...],
    line: str,
    terminal: bool,
) -> None:
    """And at one with `--yes`."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    arguments = [
        *(argument for argument in ANSWERED if argument not in left_out),
        *(["--yes"] if terminal else []),
    ]
    assert refusal(capsys, tmp_path / "logs", *arguments).startswith(line)
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("stash1", "stash1"), "HOST: stash1 is given twice; each must be different"),
        (("stash1", "root@stash2"), "HOST: 'root@stash2' is not a machine's name; use letters"),
        (
            ("stash1", "stash2", "--vip", "10.77.0.11"),
            "vip: 10.77.0.11 is stash1's own address; choose a free address",
        ),
        (("stash1", "stash2", "--vip", "10.78.0.10"), "vip: 10.78.0.10 is outside network 10.77.0.0/24"),
        (("stash1", "stash2", "--vip", "here"), "vip: 'here' is not an IP address"),
        (
            ("stash1", "stash2", "--vip", "fd00::1"),
            "vip: it is IPv6, and the nodes have no IPv6 network in common",
        ),
        (("stash1", "stash2", "--vip", " "), "vip: none given; name one or more"),
        (
            ("stash1", "stash2", "--vip", VIP, "--senders", "10.77.0.1/24"),
            "senders.0: '10.77.0.1/24' is neither",
        ),
        (("stash1", "stash2", "--vip", VIP, "--senders", ""), "senders: none given for udp-5514"),
        (("stash1", "stash2", "--ssh-config", "/nowhere"), "--ssh-config: /nowhere is not a file"),
    ],
)
def test_a_wrong_answer_is_refused_by_the_model(
    machines: Machines,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    line: str,
) -> None:
    assert refusal(capsys, tmp_path / "logs", *arguments).startswith(line)
    assert not (tmp_path / "logs").exists()


def test_an_inventory_is_never_overwritten(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inventory.py").write_text("mine\n")
    line = refusal(capsys, tmp_path, *ANSWERED)
    assert line == f"DIR: {tmp_path}/inventory.py exists; edit it, or name another folder"
    assert (tmp_path / "inventory.py").read_text() == "mine\n"
    assert machines.commands == []


def test_an_operators_other_files_stay_as_they_are(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    assert main([str(tmp_path), *ANSWERED]) == 0
    assert f"written .gitignore, inventory.py in {tmp_path}" in capsys.readouterr().out
    assert (tmp_path / "README.md").read_text() == "mine\n"


def test_a_folder_that_can_not_be_made_is_refused(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine\n")
    assert refusal(capsys, tmp_path / "file", *ANSWERED).startswith(f"DIR: {tmp_path}/file is not a folder")
    assert "can't be written" in refusal(capsys, tmp_path / "file" / "logs", *ANSWERED)


def test_paths_of_the_connection_are_whole(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyinfra has them begin at the current directory."""
    (tmp_path / "ssh_config").write_text("Host stash1\n")
    monkeypatch.chdir(tmp_path)
    assert main(["logs", *ANSWERED, "--ssh-config", "ssh_config"]) == 0
    assert f'"ssh_config_file": "{tmp_path}/ssh_config"' in (tmp_path / "logs" / "inventory.py").read_text()


def test_at_a_terminal_it_asks_and_asks_again_after_a_wrong_answer(
    machines: Machines, answers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["stash1", "stash1 stash2", "10.77.0.12", VIP, "all", f"{SENDER}, 192.0.2.0/24"]
    assert main([str(tmp_path / "logs")]) == 0
    out = capsys.readouterr().out
    wrong = [line for line in out.splitlines() if line.startswith("wrong ")]
    assert [line.split(":")[0] for line in wrong] == ["wrong HOST", "wrong vip", "wrong senders.0"]
    assert "The virtual IP, a free address in 10.77.0.0/24" in out
    assert 'senders=["10.77.0.101", "192.0.2.0/24"],' in (tmp_path / "logs" / "inventory.py").read_text()


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("", 1)])
def test_at_a_terminal_it_asks_whether_to_write_where_something_needs_attention(
    machines: Machines,
    answers: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    status: int,
) -> None:
    machines.vip = "1"
    answers += [answer]
    assert main([str(tmp_path / "logs"), *ANSWERED]) == status
    assert (tmp_path / "logs").exists() is (status == 0)
    assert capsys.readouterr().err == ("init: nothing is written\n" if status else "")


def test_an_interrupted_question_ends_it_in_a_line(
    machines: Machines, answers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, tmp_path / "logs", *ANSWERED[:2]) == "interrupted; nothing is written"


def test_the_program_is_run_as_a_user_runs_it(tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, PROJECT / "init.py", tmp_path / "logs", "nowhere1.invalid", "nowhere2.invalid"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["init", "nowhere1.invalid"],
        ["init", "nowhere2.invalid"],
    ]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would run, also where the tests are run by make."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ("make", "-n", *arguments), cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )


def test_make_init_runs_the_program_and_installs_no_package_of_the_system() -> None:
    done = make("init", "DIR=~/my logs", "NODES=stash1 stash2")
    assert done.stdout.splitlines()[-1] == '.venv/bin/python init.py "~/my logs" stash1 stash2'
    assert "apt-get" not in done.stdout


def test_make_init_without_a_folder_is_refused() -> None:
    done = make("init")
    assert done.returncode != 0
    assert "DIR: is missing; write make init DIR=~/logs" in done.stderr
