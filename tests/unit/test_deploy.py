"""deploy.py as a whole, on machines that only record what they are told."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyinfra.api.inventory
import pytest
from pyinfra import logger
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.operations import run_ops
from pyinfra.api.state import StateStage
from pyinfra.connectors.fake import FakeConnector
from pyinfra.context import ctx_inventory, ctx_state
from pyinfra_cli.util import load_deploy_file

import cluster as model
from cluster import ClusterError
from operations import firewalld, keepalived, logstash, packages, sysctl
from templates import meant

ROOT = Path(__file__).parents[2]
PASSWORD = "hunter22"

Responses = dict[str, Any]
"""A part of a command: the lines it answers."""

OS = {
    7: 'ID="centos" ID_LIKE="rhel fedora" VERSION_ID="7"',
    9: 'ID="rocky" ID_LIKE="rhel centos fedora" VERSION_ID="9.6"',
}


class Recorder(FakeConnector):
    """A machine that answers from `fake_responses` and keeps each command, with its standard input."""

    reachable = True

    def __init__(self, state: State, host: Any) -> None:
        super().__init__(state, host)
        self.stdin: dict[str, str] = {}

    def connect(self) -> None:
        if not self.host.data.get("reachable", True):
            raise pyinfra.api.exceptions.ConnectError("no route")

    def run_shell_command(self, command: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("_stdin"):
            self.stdin[str(command)] = kwargs["_stdin"]
        return super().run_shell_command(command, *args, **kwargs)


def machine(number: int, el: int = 9, **lines: str) -> Responses:
    """What a machine answers that is ready for the deploy; `lines` replace answers by their first word."""
    os = lines.pop("os", OS[el])
    answers = {
        "root": "yes",
        "link": "eth0",
        "address": f"2: eth0    inet 10.77.0.{10 + number}/24 brd 10.77.0.255 scope global eth0",
        "firewalld": "active",
        **lines,
    }
    return {
        "os-release": [
            *(f"os {setting}" for setting in os.split()),
            *(f"{word} {rest}" for word, rest in answers.items()),
        ],
        "firewall-cmd --get-zone": ["public", "runtime", "permanent"],
    }


def finished(
    cluster: model.Cluster, node: model.Node, number: int, el: int = 9, changed: str = ""
) -> Responses:
    """What a machine answers on which the deploy was done, and then the file `changed` was changed by hand."""
    own = meant(cluster, node, el)
    sums = {path: file.sha256 for path, file in own.items()}
    on_disk = {**sums, changed: "0" * 64}
    files = {
        f"sha256sum <{path};": [f"{file.mode} root root", f"{on_disk[path]}  -"] for path, file in own.items()
    }
    units = {
        f"systemctl show -p Id,UnitFileState,ActiveState,NeedDaemonReload {unit}.service": [
            *(f"Id={unit}.service", "UnitFileState=enabled", "ActiveState=active", "NeedDaemonReload=no"),
            *("--", f"{unit}-1", *(f"{sums[path]}  {path}" for path in paths)),
            *("--", f"{unit}-1", "--", *(f"{on_disk[path]}  {path}" for path in paths)),
        ]
        for unit, paths in {
            "logstash": [logstash.SETTINGS, logstash.PIPELINE],
            "keepalived": [keepalived.CONF],
        }.items()
    }
    rules = firewalld.rules(cluster, node)
    return {
        **machine(number, el),
        **files,
        **units,
        "rpm --dbpath": ["file", "gpg-pubkey-1-2", "database", "gpg-pubkey-1-2"],
        "--whatprovides": [f"{name}-1" for name in packages.NAMES],
        "getenforce": ["Enforcing", "nis_enabled --> on", "nis_enabled=1"],
        "/proc/sys": [f"runtime {key} = {value}" for key, value in sysctl.SETTINGS.items()],
        "getent passwd": ["keepalived_script:x:990:990::/:/sbin/nologin"],
        "firewall-cmd --get-zone": ["public", "runtime", *rules, "permanent", *rules],
    }


@dataclass
class Run:
    """What a run did."""

    state: State
    log: list[str] = field(default_factory=list)

    def machine(self, name: str) -> Recorder:
        connector = self.state.inventory.get_host(name).connector
        assert isinstance(connector, Recorder)
        return connector

    def commands(self, name: str) -> list[str]:
        return self.machine(name).executed_commands

    def changes(self, name: str) -> list[str]:
        """The names of the operations that changed this machine (or would), in their order."""
        host = self.state.inventory.get_host(name)
        return [
            next(iter(self.state.op_meta[op].names))
            for op in self.state.get_op_order()
            if self.state.ops[host][op].operation_meta.changed
        ]


@pytest.fixture
def group(tmp_path: Path) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """The group `nodes` of an inventory."""
    secret = tmp_path / "auth_pass"
    secret.write_text(PASSWORD)
    return model.define(
        nodes={"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
        network="10.77.0.0/24",
        interface="eth0",
        vip="10.77.0.10",
        inputs=[{"id": "udp-5514", "port": 5514}, {"id": "netflow", "port": 2055}],
        senders=["10.77.0.101"],
        auth_pass_file=str(secret),
        connection={"_sudo": True, "fake_delay": 0, "fake_delay_jitter": 0},
    )


@pytest.fixture
def deploy(group: Any, monkeypatch: pytest.MonkeyPatch) -> Iterable[Callable[..., Run]]:
    """Runs deploy.py on machines that answer so, or only prepares the run."""
    monkeypatch.setattr(pyinfra.api.inventory, "get_execution_connectors", lambda: {"ssh": Recorder})
    monkeypatch.chdir(ROOT)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

    def run(answers: dict[str, Responses], *, dry: bool = False, diff: bool = False, **data: Any) -> Run:
        hosts, shared = group
        hosts = [(name, {"fake_responses": answers.get(name, {}), **data.get(name, {})}) for name, _ in hosts]
        others = (["sender"], {key: value for key, value in shared.items() if key != "cluster"})
        names = [name for name, _ in hosts] + others[0]
        inventory = Inventory((names, {}), nodes=(hosts, shared), senders=others)
        config = Config()
        config.DIFF = diff
        state = State(inventory, config, check_for_changes=dry)
        state.cwd = str(ROOT)
        made = Run(state)
        with ctx_state.use(state), ctx_inventory.use(inventory):
            state.set_stage(StateStage.Connect)
            connect_all(state)
            state.set_stage(StateStage.Prepare)
            load_deploy_file(state, "deploy.py")
            if not dry:
                state.set_stage(StateStage.Execute)
                run_ops(state)
        made.log = [record.getMessage() for record in records]
        return made

    yield run
    logger.removeHandler(handler)


STEPS = [
    "2. Elastic's GPG key",
    "2. Elastic's repository",
    "2. Packages",
    "3. logstash.yml: the API at the node's own address",
    "4. Pipeline: an input for each port",
    "5. SELinux: keepalived's scripts may use the network",
    "6. sysctl: own file",
    "6. sysctl: in force, no STIG",
    "8. User of the health script",
    "8. Health script",
    "7. keepalived.conf",
    "9. firewalld: VRRP, API, events",
    "11. keepalived starts again when it dies",
    "11. Logstash is up, its API lists every input",
    "11. keepalived is up",
]


def fresh(number: int, el: int = 9) -> Responses:
    """A machine that lacks everything but SELinux."""
    return {
        **machine(number, el),
        "--whatprovides": [f"no package provides {name}" for name in packages.NAMES],
        "getenforce": ["Enforcing", "nis_enabled --> off"],
    }


def both(make: Callable[[int], Responses]) -> dict[str, Responses]:
    return {"stash1": make(1), "stash2": make(2)}


def done(group: Any, el: int = 9, changed: str = "") -> dict[str, Responses]:
    """Both machines after a deploy; then `changed` was changed by hand on the first one."""
    cluster = model.Cluster.model_validate(group[1]["cluster"])
    first, second = cluster.nodes
    return {
        first.name: finished(cluster, first, 1, el, changed),
        second.name: finished(cluster, second, 2, el),
    }


def test_a_fresh_machine_gets_every_step(deploy: Callable[..., Run]) -> None:
    run = deploy(both(fresh))
    for name in ("stash1", "stash2"):
        assert run.changes(name) == STEPS
    assert run.commands("sender") == []


def test_a_fresh_dry_run_names_every_step_and_changes_nothing(deploy: Callable[..., Run]) -> None:
    run = deploy(both(fresh), dry=True, diff=True)
    assert run.changes("stash1") == STEPS
    writing = re.compile(
        r"mktemp /|mv |install |useradd|setsebool|--add|rpm --import|systemctl (?!show|is-active)|sed -i"
    )
    assert not [command for command in run.commands("stash1") if writing.search(command)]
    for path in (logstash.SETTINGS, logstash.PIPELINE, keepalived.CONF, keepalived.SCRIPT, sysctl.FILE):
        assert any(f"Will create {path}" in line for line in run.log)
    assert any(re.search(r"\+ +auth_pass \*{8}$", line) for line in run.log)


def test_a_second_run_changes_nothing(deploy: Callable[..., Run], group: Any) -> None:
    run = deploy(done(group))
    assert run.changes("stash1") == run.changes("stash2") == []


def test_a_no_op_run_is_short(deploy: Callable[..., Run], group: Any) -> None:
    """Each command is a round trip or two to each machine."""
    run = deploy(done(group))
    assert len(run.commands("stash1")) == 16, run.commands("stash1")


def unit_answer(answers: dict[str, Responses], unit: str) -> list[str]:
    """What the first machine says of a unit."""
    (answer,) = (lines for lines in answers["stash1"].values() if f"Id={unit}.service" in lines)
    assert isinstance(answer, list)
    return answer


def test_a_run_broken_off_before_the_restart_is_taken_up(deploy: Callable[..., Run], group: Any) -> None:
    """The file is new, but the unit has not read it."""
    answers = done(group)
    marker = {}
    for unit in ("logstash", "keepalived"):
        answer = unit_answer(answers, unit)
        first, second = [place for place, line in enumerate(answer) if line == "--"][:2]
        marker[unit] = answer[first + 1 : second]
        answer[first + 2] = answer[first + 2].replace(answer[first + 2][:64], "0" * 64)
    run = deploy(answers)
    assert run.changes("stash1") == STEPS[-2:]
    assert run.changes("stash2") == []
    for unit in ("logstash", "keepalived"):
        (written,) = (
            text for command, text in run.machine("stash1").stdin.items() if f"/{unit}.sha256" in command
        )
        assert written.splitlines() == marker[unit]


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        (logstash.PIPELINE, [STEPS[4], STEPS[13]]),
        (keepalived.CONF, [STEPS[10], STEPS[14]]),
        (keepalived.SCRIPT, [STEPS[9]]),
        (keepalived.DROP_IN, [STEPS[12]]),
        (packages.REPOSITORY, [STEPS[1]]),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_a_file_changed_by_hand(
    deploy: Callable[..., Run], group: Any, path: str, steps: list[str], dry: bool
) -> None:
    """Also a dry run looks ahead to the restart."""
    run = deploy(done(group, changed=path), dry=dry)
    assert run.changes("stash1") == steps
    assert run.changes("stash2") == []


def test_a_stopped_service_is_started(deploy: Callable[..., Run], group: Any) -> None:
    answers = done(group)
    show = unit_answer(answers, "logstash")
    show[show.index("ActiveState=active")] = "ActiveState=failed"
    assert deploy(answers).changes("stash1") == [STEPS[13]]


def test_the_password_is_in_standard_input_only(deploy: Callable[..., Run]) -> None:
    run = deploy(both(fresh), diff=True)
    for name in ("stash1", "stash2"):
        assert not [command for command in run.commands(name) if PASSWORD in command]
        assert len([text for text in run.machine(name).stdin.values() if PASSWORD in text]) == 1
    assert not [line for line in run.log if PASSWORD in line]


def test_a_failed_command_does_not_tell_the_password(deploy: Callable[..., Run]) -> None:
    answers = both(fresh)
    said = f"(Line 29) auth_pass {PASSWORD} is refused"
    answers["stash1"]["keepalived --config-test"] = {"success": False, "stderr": said}
    run = deploy(answers)
    assert any("auth_pass ******** is refused" in line for line in run.log)
    assert not [line for line in run.log if PASSWORD in line]


def test_el7_uses_yum_and_restarts_keepalived(deploy: Callable[..., Run]) -> None:
    run = deploy(both(lambda number: fresh(number, el=7)))
    commands = "\n".join(run.commands("stash1"))
    assert "yum --assumeyes install java tcpdump ipvsadm keepalived logstash" in commands
    assert "dnf" not in commands
    assert "systemctl restart keepalived" in commands
    assert "python3" not in commands


def test_el9_uses_dnf_and_reloads_keepalived(deploy: Callable[..., Run]) -> None:
    commands = "\n".join(deploy(both(fresh)).commands("stash1"))
    assert "dnf --assumeyes install java tcpdump ipvsadm keepalived logstash" in commands
    assert "systemctl reload-or-restart keepalived" in commands


def test_selinux_disabled_is_left_alone(deploy: Callable[..., Run], group: Any) -> None:
    answers = done(group)
    answers["stash1"]["getenforce"] = ["Disabled"]
    assert deploy(answers).changes("stash1") == []


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ({"root": "sudo: a password is required"}, "stash2: no sudo (sudo: a password is required); "),
        ({"root": ""}, "stash2: no sudo (no answer); "),
        ({"link": "ens33", "address": ""}, "interface: stash2 has no eth0; choose one of ens33"),
        ({"address": "2: eth0    inet 10.77.0.13/24 brd"}, "nodes.stash2: 10.77.0.12 is not on its eth0, which has 10.77.0.13; "),
        ({"address": ""}, "nodes.stash2: 10.77.0.12 is not on its eth0, which has no address; "),
        ({"firewalld": "inactive"}, "stash2: firewalld is inactive, so "),
        ({"os": "ID=debian VERSION_ID=9 PRETTY_NAME=Debian"}, "stash2: its system is Debian; take a machine with "),
        ({"os": 'ID="centos" VERSION_ID="6" PRETTY_NAME=CentOS-6'}, "stash2: its system is CentOS-6; take a machine with "),
        ({"os": 'ID="rhel" VERSION_ID="11.0"'}, "stash2: its system is unknown; take a machine with Enterprise Linux 7 to 10"),
        ({"os": ""}, "stash2: its system is unknown; take a machine with Enterprise Linux 7 to 10"),
    ],
)  # fmt: skip
def test_an_unfit_machine_stops_the_run_for_all(
    deploy: Callable[..., Run], lines: dict[str, str], error: str
) -> None:
    with pytest.raises(ClusterError) as raised:
        deploy({"stash1": fresh(1), "stash2": {**fresh(2), **machine(2, 9, **lines)}})
    (line,) = raised.value.args
    assert line.startswith(error)
    assert "\n" not in line


def test_an_unreachable_node_stops_the_run_for_all(deploy: Callable[..., Run]) -> None:
    with pytest.raises(ClusterError, match="stash2: can't be reached by ssh"):
        deploy(both(fresh), stash2={"reachable": False})
