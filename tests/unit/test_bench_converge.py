"""bench.converge without a lab: what it reads, counts and prints, and the Ansible project that it writes."""

import dataclasses
import json
import re
import runpy
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import gevent
import pytest
import yaml
from click.testing import CliRunner

from bench import converge, growth, playbook
from bench.converge import AS_BEFORE, CHANGED, Bench
from bench.cost import (
    Cost,
    GuestUse,
    comparison,
    cost_cells,
    cost_of,
    head,
    mean,
    pair_by_pair,
    parse_deploy_changes,
    parse_guest_use,
    ratio_cells,
    row,
    shown,
)
from bench.machines import cluster_settings
from cluster import Cluster, define
from cluster.inventory import with_major
from desired.files import desired_files
from desired.textfile import TextFile
from lab.lab import Lab
from tests.unit.clusters import make_cluster

STAT = """\
cpu  300 20 100 90000 70 5 15 900 0 0
cpu0 300 20 100 90000 70 5 15 900 0 0
intr 12345 0 1
ctxt 99
btime 1795728258
processes 4321
procs_running 1
"""

RECAP = """\
PLAY [The recipe] ***
changed: [stash1] => (item=a changed=7)

PLAY RECAP *********************************************************************
stash1                     : ok=24   changed=3    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
stash2                     : ok=24   changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
"""

TOTAL = """\
    Operation                           Hosts   Success   Error   No Change
    2. Packages                         2       1         -       1
    Grand total                         46      {success:<9} -       38
"""


# What a run costs


@pytest.mark.parametrize("output", [f"commands 12\n{STAT}", f"{STAT}commands 12\n"], ids=["before", "after"])
def test_a_guest_uses_what_its_kernel_and_its_sshd_count(output: str) -> None:
    """Time that was idle, that disks were waited for, or that others took does not count."""
    assert parse_guest_use(output) == GuestUse(cpu=4.4, processes=4321, commands=12)


def test_the_command_that_takes_the_second_sample_does_not_count() -> None:
    before, after = GuestUse(4.5, 4321, 12), GuestUse(17.0, 4531, 37)
    assert converge.use(before, after) == GuestUse(12.5, 210, 24)


def test_a_guest_is_the_mean_of_all() -> None:
    assert mean([GuestUse(10, 200, 24), GuestUse(14, 220, 26)]) == GuestUse(12, 210, 25)


@pytest.mark.parametrize(("success", "changes"), [("-", 0), ("8", 8), ("12", 12)])
def test_what_the_deploy_has_changed_is_in_its_last_line(success: str, changes: int) -> None:
    assert parse_deploy_changes(TOTAL.format(success=success)) == changes


def test_a_deploy_without_a_result_is_not_taken_for_one_that_changed_nothing() -> None:
    with pytest.raises(ValueError, match="no grand total in '--> Connecting'"):
        parse_deploy_changes("--> Connecting")


def test_what_ansible_has_changed_is_in_its_recap_only() -> None:
    assert playbook.changes(RECAP) == 5


def test_an_ansible_without_a_recap_is_not_taken_for_one_that_changed_nothing() -> None:
    with pytest.raises(playbook.AnsibleFailed, match="no recap"):
        playbook.changes("changed=0")


def test_time_and_cpu_of_a_run_are_measured() -> None:
    """A process that waits takes time, and one that is busy takes CPU."""
    waiting, result = cost_of(lambda: subprocess.run(("sleep", "0.2"), check=True).returncode)
    busy, _ = cost_of(
        lambda: subprocess.run(("timeout", "0.5", "sh", "-c", "while :; do :; done"), check=False)
    )
    assert result == 0
    assert waiting.wall >= 0.2
    assert busy.cpu > waiting.cpu


# The table

DEPLOYS = [
    Cost(20, 2, GuestUse(10, 200, 24)),
    Cost(10, 4, GuestUse(10, 200, 24)),
    Cost(16, 3, GuestUse(10, 200, 24)),
]
ANSIBLES = [
    Cost(160, 20, GuestUse(80, 500, 120)),
    Cost(100, 20, GuestUse(90, 450, 120)),
    Cost(112, 21, GuestUse(80, 400, 120)),
]
PAIRS = list(zip(DEPLOYS, ANSIBLES, strict=True))


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (2, "2.00"), (12.34, "12.3"), (128.4, "128"), (1039, "1039")]
)
def test_figures_have_as_many_digits_as_they_deserve(value: float, text: str) -> None:
    assert shown(value) == text


def test_of_the_wall_time_all_is_shown_and_of_the_rest_the_median() -> None:
    assert cost_cells(DEPLOYS) == ["10.0", "16.0", "20.0", "3.00", "10.0", "200", "24.0"]


def test_ratios_are_taken_pair_by_pair() -> None:
    """The ratio of the medians would be 7.00 for the wall time."""
    assert ratio_cells(PAIRS) == ["x 7.00", "x 8.00", "x 10.0", "x 7.00", "x 8.00", "x 2.25", "x 5.00"]
    assert pair_by_pair(PAIRS[:2]) == "20.0 and 160 s: x 8.00; 10.0 and 100 s: x 10.00"


def test_where_the_deploy_used_nothing_there_is_no_ratio() -> None:
    assert ratio_cells([(Cost(1, 0), Cost(2, 1))])[-1] == "x nan"


def test_a_comparison_fits_the_table() -> None:
    rows = comparison("no-op", PAIRS)
    assert [cells[:3] for cells in rows] == [
        ["no-op", name, "3"] for name in ("deploy", "Ansible", "Ansible / deploy")
    ]
    assert {len(cells) for cells in rows} == {len(converge.COLUMNS)}
    assert head("a", "b") == "| a | b |\n|---|---|"
    assert row("a", "b") == "| a | b |"


def test_growth_has_each_node_s_share() -> None:
    assert growth.share([Cost(20, 2), Cost(30, 4), Cost(25, 3)], 50) == ["0.50", "60.0"]
    assert len(growth.COLUMNS) == len(comparison("2", [(Cost(1, 1), Cost(1, 1))])[0]) + 2


# The scenarios


class Recording:
    """A tool that changes nodes in memory, and whose runs are recorded."""

    def __init__(self, name: str, nodes: dict[str, Any], runs: list[str]) -> None:
        self.name, self.nodes, self.runs = name, nodes, runs

    def prepare(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def run(self) -> int:
        self.runs.append(f"{self.name}: {'changed' if self.settings == CHANGED else 'as before'}")
        changes = int(self.nodes["settings"] != self.settings)
        self.nodes["settings"] = self.settings
        return changes


@pytest.fixture
def runs() -> list[str]:
    return []


@pytest.fixture
def bench(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose two tools have one cluster in memory, where all is as `AS_BEFORE` say."""
    bench, nodes = Bench(Lab(Path("/nonexistent"))), {"settings": AS_BEFORE}
    for name in ("deploy", "ansible"):
        monkeypatch.setattr(bench, name, Recording(name, nodes, runs))
    monkeypatch.setattr(bench, "measure", cost_of)
    return bench


def test_no_op_runs_take_turns(bench: Bench, runs: list[str]) -> None:
    assert len(bench.no_op(2)) == 2
    assert runs == ["deploy: as before", "ansible: as before"] * 2


def test_one_line_is_changed_and_changed_back_by_each(bench: Bench, runs: list[str]) -> None:
    assert len(bench.one_line(2)) == 2
    assert runs == ["deploy: changed", "ansible: as before", "ansible: changed", "deploy: as before"]
    assert len(bench.one_line(3)) == 4


def test_each_run_on_fresh_nodes_has_its_own_and_so_has_what_comes_after(
    bench: Bench, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deploy refuses nodes that Ansible has deployed to."""

    def renew_lab() -> None:
        runs.append("new nodes")
        bench.deploy.nodes["settings"] = None  # type: ignore[attr-defined]

    monkeypatch.setattr(bench, "renew_lab", renew_lab)
    assert len(bench.fresh(1)) == 1
    assert runs == ["new nodes", "deploy: as before", "new nodes", "ansible: as before", "new nodes"]


@pytest.mark.parametrize(
    ("scenario", "settings", "changes"), [("no-op", CHANGED, 1), ("one-line", AS_BEFORE, 0)]
)
def test_a_run_that_is_not_what_it_should_be_ends_the_benchmark(
    bench: Bench, scenario: str, settings: dict[str, Any], changes: int
) -> None:
    with pytest.raises(SystemExit, match=f"{scenario}: ansible has changed {changes} things"):
        bench.run(bench.ansible, scenario, settings)


@pytest.mark.parametrize("settings", [AS_BEFORE, CHANGED], ids=["as before", "changed"])
@pytest.mark.parametrize(
    ("found", "major"), [("no package provides logstash", 9), ("logstash 8.19.3", 8)], ids=["none", "8"]
)
def test_both_tools_get_the_same_cluster(
    settings: dict[str, Any], found: str, major: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inventory names no version of Logstash: it is that of the nodes, if they have one."""
    monkeypatch.setattr(converge, "run_on", lambda lab, name, script: f"{found}\n")
    lab = Lab(tmp_path)
    deploy, ansible = converge.Deploy(lab), converge.Ansible(lab)
    deploy.prepare(settings)
    ansible.prepare(settings)
    _, data = runpy.run_path(str(deploy.inventory))["nodes"]
    cluster = with_major(Cluster.model_validate(data["cluster"]), major)
    assert data["ssh_config_file"] == f"{tmp_path}/ssh_config"
    hosts = json.loads((ansible.folder / "inventory.json").read_text())["nodes"]["hosts"]
    for node in cluster.nodes:
        for path, file in desired_files(cluster, node, 9).items():
            if written := [
                item["src"]
                for items in hosts[node.name]["files"].values()
                for item in items
                if item["path"] == path
            ]:
                assert Path(written[0]).read_text() == file.content
    text = (ansible.folder / "files/stash1/etc/logstash/conf.d/logstash-ha.conf").read_text()
    assert text.count("queue_size => 4000") == (settings == CHANGED)


def test_the_benchmarks_cluster_is_that_of_the_project_s_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the version of Logstash, which they leave to the nodes."""
    monkeypatch.delenv("LAB_DIR", raising=False)
    expected = runpy.run_path("inventory.py")["nodes"]
    expected[1]["cluster"] |= {"logstash": None, "version": None, "heap": None}
    assert define(**cluster_settings(Lab(Path(".lab")))) == expected


def test_rows_are_printed_as_soon_as_a_scenario_has_ended(
    bench: Bench, runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tools settle first, and the last scenario fails."""
    monkeypatch.setattr(converge, "Bench", lambda lab: bench)
    monkeypatch.setattr(bench, "logged_commands", nullcontext)
    monkeypatch.setattr(bench, "idle", lambda: Cost(20, 0, GuestUse(1, 2, 0)))

    def fail(pairs: int) -> NoReturn:
        raise SystemExit("it fails")

    monkeypatch.setattr(bench, "one_line", fail)
    with pytest.raises(SystemExit, match="it fails"):
        converge.compare(Lab(Path("/nonexistent")), ("no-op", "one-line"), 1)
    assert runs == ["deploy: as before", "ansible: as before"] * 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == row(*converge.COLUMNS)
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| nothing, 20 s", "", "1"],
        ["| no-op", "deploy", "1"],
        ["| no-op", "Ansible", "1"],
        ["| no-op", "Ansible / deploy", "1"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--growth", "2,ten"), "ten: not a number of nodes; choose from 2 to 200, such as 2,10,50"),
        (("--growth", "1,2,300"), "1, 300: not a number of nodes"),
        (("--pairs", "0"), "0 is not in the range x>=1"),
        (("--scenario", "all"), "'all' is not one of 'no-op', 'one-line', 'fresh'"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(converge.main, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_growth_needs_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(converge, "compare_growth", lambda *arguments: asked.append(arguments))
    result = CliRunner().invoke(converge.main, ["--growth", "2,10", "--pairs", "1"])
    assert (result.exit_code, asked) == (0, [((2, 10), 0.1, 1)])


# The Ansible project


@pytest.fixture
def play() -> dict[str, Any]:
    (play,) = yaml.safe_load((playbook.PROJECT / "site.yml").read_text())
    assert isinstance(play, dict)
    return play


def test_the_playbook_copies_each_file_of_the_deploy(play: dict[str, Any], tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    variables = playbook.host_variables(cluster, cluster.nodes[0], 9, tmp_path)
    files = variables["files"]
    assert isinstance(files, dict)
    copying = [task for task in play["tasks"] if task.get("loop", "").startswith("{{ files[")]
    assert {task["loop"] for task in copying} == {f"{{{{ files['{step}'] }}}}" for step in files}
    for task in copying:
        arguments = task["ansible.builtin.copy"]
        assert {arguments[name] for name in ("mode", "owner", "group")} == {
            "{{ item.mode }}",
            "{{ item.owner }}",
        }
        notified = any(item["handlers"] for item in files[task["loop"][10:-5]])
        assert task.get("notify") == ("{{ item.handlers }}" if notified else None), task["name"]
    copied = {item["path"] for items in files.values() for item in items}
    others = {
        path for path, file in desired_files(cluster, cluster.nodes[0], 9).items() if path not in copied
    }
    assert others == {"/etc/sysctl.d/90-logstash-ha.conf", "/var/lib/logstash-ha/version"}


def test_the_playbook_has_each_operation_of_the_deploy_or_says_why_not(play: dict[str, Any]) -> None:
    """What an operation is named begins with its task's name."""
    operations = set(re.findall(r'\bname=f?"([^"]+)"', Path("deploy.py").read_text()))
    tasks = tuple(task["name"] for task in play["tasks"])
    assert {name for name in operations if not name.startswith(tasks)} == set(playbook.LEFT_OUT)


def test_the_playbook_knows_all_that_a_file_has() -> None:
    """A new field of the deploy's files is one for Ansible's, too, or for the last line."""
    ours = {"path", "content", "in_base64", "step", "mode", "owner", "check", "read_by", "then"}
    assert {field.name for field in dataclasses.fields(TextFile)} == ours | {
        *("secret", "previous")  # for the deploy's own output, and for health services that ask as before
    }


def test_each_handler_that_a_file_needs_is_in_the_playbook(play: dict[str, Any], tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    needed = {
        name
        for file in desired_files(cluster, cluster.nodes[0], 9).values()
        for name in playbook.handlers(file)
    }
    assert needed == {handler["name"] for handler in play["handlers"]}


def test_what_is_written_is_what_the_deploy_would_put_there(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, count=3)
    playbook.write(cluster, 9, tmp_path, ansible_connection="memory")
    inventory = json.loads((tmp_path / "inventory.json").read_text())["nodes"]
    assert inventory["vars"]["ansible_connection"] == "memory"
    assert [*inventory["hosts"]] == ["stash1", "stash2", "stash3"]
    for node in cluster.nodes:
        variables = inventory["hosts"][node.name]
        desired = desired_files(cluster, node, 9)
        for item in (item for items in variables["files"].values() for item in items):
            file = desired[item["path"]]
            assert Path(item["src"]).read_bytes() == file.data
            assert (item["mode"], item["owner"]) == (file.mode, file.owner)
        assert any(str(node.address) in rule for rule in variables["rules"])
    keys = {Path(variables["health_key"]["src"]).read_text() for variables in inventory["hosts"].values()}
    assert [len(key) for key in keys] == [65]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/etc/logstash/logstash.yml", ["Restart logstash"]),
        ("/etc/keepalived/keepalived.conf", ["Reload keepalived"]),
        ("/etc/systemd/system/keepalived.service.d/restart.conf", ["Reload systemd"]),
        ("/etc/systemd/system/logstash.service.d/logstash-ha.conf", ["Reload systemd", "Restart logstash"]),
        ("/etc/logrotate.d/logstash-ha", ["Start logrotate's timer"]),
        ("/etc/tmpfiles.d/logstash-ha-health.conf", ["Create temporary files"]),
        ("/etc/yum.repos.d/logstash.repo", []),
    ],
)
def test_a_changed_file_is_read_by_its_service(path: str, names: list[str], tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    assert playbook.handlers(desired_files(cluster, cluster.nodes[0], 9)[path]) == names


def test_logstash_tests_a_file_as_its_own_user(tmp_path: Path) -> None:
    """9.x refuses to be run by root."""
    cluster = make_cluster(tmp_path)
    file = desired_files(cluster, cluster.nodes[0], 9)["/etc/logstash/conf.d/logstash-ha.conf"]
    command = playbook.validation(file)
    assert command
    assert "runuser -u logstash -- /usr/share/logstash/bin/logstash" in command


@pytest.mark.parametrize(("content", "status"), [("good\n", 0), ("100 % bad\n", 1)])
def test_ansible_checks_a_file_as_the_deploy_does(tmp_path: Path, content: str, status: int) -> None:
    """Ansible puts the new file's path in the place of `%s`, and splits the command into words."""
    new = tmp_path / "new file"
    new.write_text(content)
    file = TextFile(
        f"{tmp_path}/final.conf",
        content,
        mode="640",
        check='test -d "$work" && printf %s "$(stat -c %a "$new")" && grep -q good "$new"',
    )
    command = playbook.validation(file)
    assert command
    done = subprocess.run(command % f"'{new}'", shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "640")
    assert [path.name for path in tmp_path.iterdir()] == ["new file"]


def test_a_file_that_nothing_checks_is_not_validated() -> None:
    assert playbook.validation(TextFile("/etc/modules-load.d/logstash-ha.conf", "ip_vs\n")) is None


# Machines in memory


def test_each_command_to_a_machine_in_memory_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    with growth.deployed(11, 0.25) as world:
        monkeypatch.setattr(gevent, "sleep", lambda seconds=0: waits.append(seconds))
        run = world.deploy()
    commands = [command for machine in world.machines.values() for command in machine.commands]
    assert (run.failed, [run.changes(name) for name in world.machines]) == ([], [[]] * 11)
    assert waits.count(0.25) == len(commands) >= 11


MODULE = """\
def _ansiballz_main(params: str) -> None: ...
    invoke(json_params=json_params)
if __name__ == "__main__":
    _ansiballz_main(
        ansible_module='stat',
        params={params!r},
        profile='legacy',
)
"""


@pytest.fixture
def memory() -> Any:
    from bench.ansible.connection_plugins import memory

    return memory


def test_a_machine_in_memory_has_the_files_already(memory: Any, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/it's").write_text("content")
    arguments = {"path": "/etc/it's", "get_checksum": True}
    program = MODULE.format(params=json.dumps({"ANSIBLE_MODULE_ARGS": arguments})).encode()
    assert memory.result(program, tmp_path)["stat"]["checksum"] == "040f06fd774092478d450774f5ba30c5da78acc8"


def test_a_machine_in_memory_has_nothing_to_change(memory: Any, tmp_path: Path) -> None:
    program = MODULE.format(params=json.dumps({"ANSIBLE_MODULE_ARGS": {"name": "logstash"}})).encode()
    assert memory.result(program, tmp_path)["changed"] is False


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("/bin/sh -c 'echo ~root && sleep 0'", "/root\n"),
        (
            '/bin/sh -c \'( umask 77 && mkdir -p "` echo /root/.ansible/tmp `"&& mkdir "` echo /root/.ansible/tmp/ansible-tmp-1-2-3 `"'
            ' && echo ansible-tmp-1-2-3="` echo /root/.ansible/tmp/ansible-tmp-1-2-3 `" ) && sleep 0\'',
            "ansible-tmp-1-2-3=/root/.ansible/tmp/ansible-tmp-1-2-3\n",
        ),
        ("/bin/sh -c 'rm -f -r /root/.ansible/tmp/ansible-tmp-1-2-3/ >/dev/null 2>&1 && sleep 0'", ""),
    ],
    ids=["home", "temporary folder", "its removal"],
)
def test_ansible_s_own_commands_are_answered(memory: Any, command: str, text: str) -> None:
    assert memory.printed(command) == text
