"""verify.py as it is run: its exit status, and errors in one line."""

import json
import runpy
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api import Host, State
from pyinfra.context import ctx_host

from cluster import ClusterError
from desired.version import VERSION
from remote import session
from verification import command, drift
from verification.activity import Activity
from verification.command import main, verify_host
from verification.drift import Drift
from verification.report import Problem, Report, Status, VipReport

ROOT = Path(__file__).parents[2]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nobody listens on, and nobody else takes."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def inventory(tmp_path: Path, closed_port: int) -> Path:
    """Two nodes and a sender that nobody can reach."""
    file = tmp_path / "inventory.py"
    file.write_text(
        textwrap.dedent(
            f"""
            from cluster import define

            connection = {{"ssh_hostname": "127.0.0.1", "ssh_port": {closed_port}}}
            nodes = define(
                nodes={{"stash1": "10.77.0.11", "stash2": "10.77.0.12"}},
                network="10.77.0.0/24",
                interface="eth0",
                vip="10.77.0.10",
                inputs=[{{"id": "udp-5514", "port": 5514}}],
                senders=["10.77.0.101"],
                connection=connection,
            )
            senders = (["sender"], connection)
            """
        )
    )
    return file


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_unreachable_nodes_end_it_with_status_2_and_one_line(inventory: Path, closed_port: int) -> None:
    done = run(sys.executable, "verify.py", "--inventory", str(inventory))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("verify: no node can be reached by ssh: stash1: ")
    assert "stash2: " in line
    assert str(closed_port) in line


@pytest.mark.parametrize("proxy", ["exit 1", "sleep 0.2"])
def test_a_proxy_that_ends_by_itself_leaves_no_traceback(inventory: Path, proxy: str) -> None:
    """As it does where it can't reach the node."""
    config = inventory.with_name("ssh_config")
    config.write_text(f"Host *\n  ProxyCommand sh -c '{proxy}'\n")
    text = inventory.read_text()
    inventory.write_text(text.replace('"ssh_hostname":', f'"ssh_config_file": "{config}", "ssh_hostname":'))
    done = run(sys.executable, "verify.py", "--inventory", str(inventory))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("verify: no node can be reached by ssh: stash1: ")


def test_unreachable_nodes_are_an_error_in_json(inventory: Path) -> None:
    done = run(sys.executable, "verify.py", "--inventory", str(inventory), "--json")
    assert done.returncode == 2
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document.pop("error").startswith("no node can be reached by ssh: stash1: ")
    assert document == {"version": 2, "ok": False}


def test_the_drift_of_an_unreachable_node_is_unknown(inventory: Path) -> None:
    """Half an answer is none: the other node may differ."""
    done = run(sys.executable, "verify.py", "--inventory", str(inventory), "--drift")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("verify: can't be reached by ssh: stash1: ")


def test_unreachable_nodes_end_pyinfra_without_a_traceback(inventory: Path) -> None:
    """pyinfra itself ends such a run."""
    done = run(str(Path(sys.executable).with_name("pyinfra")), "-y", str(inventory), "verify.py")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a run that could not look."""
    assert main([*arguments]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    (line,) = error.splitlines()
    assert line.startswith("verify: ")
    return line.removeprefix("verify: ")


def test_a_missing_inventory_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(capsys, "--inventory", "nowhere.py").startswith("--inventory: nowhere.py is not a file;")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            'vip="10.77.0.10"',
            'vip="10.77.0.11"',
            "vip: 10.77.0.11 is stash1's own address; choose a free address",
        ),
        ("from cluster", "from clusters", "ModuleNotFoundError: No module named 'clusters'"),
        ("nodes = define(", "_nodes = define(", "nodes: no such group in the inventory;"),
    ],
)
def test_a_bad_inventory_is_reported_in_one_line(
    inventory: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, line: str
) -> None:
    inventory.write_text(inventory.read_text().replace(old, new))
    assert line in fail(capsys, "--inventory", str(inventory))


def test_a_pipeline_file_that_can_not_be_rendered_is_reported_in_one_line(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told in one line, before a node is asked."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "output.conf").write_text("output { stdout { id => <%= nobody %> } }")
    text = inventory.read_text().replace(
        "connection=connection", f"connection=connection, pipelines={str(tmp_path / 'pipelines')!r}"
    )
    inventory.write_text(text)
    assert fail(capsys, "--inventory", str(inventory)).startswith("pipelines: output.conf: 'nobody'")


def test_an_inventory_with_a_syntax_error_is_reported_in_one_line(
    inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory.write_text("nodes = (")
    assert "SyntaxError" in fail(capsys, "--inventory", str(inventory))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--send", "0"], "--send: 0 is out of range"),
        (["--send", "4", "--rate", "0"], "--rate: 0 is out of range"),
        (["--send", "4", "--from", "stash1"], "--from: stash1 is a node"),
        (["--send", "4", "--from", "nobody"], "--from: nobody is not in the inventory"),
    ],
)
def test_bad_options_of_send_are_reported_in_one_line(
    inventory: Path, capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    assert fail(capsys, "--inventory", str(inventory), *options).startswith(line)


def test_send_needs_a_group_of_senders(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inventory.write_text(inventory.read_text().replace("\nsenders = ", "\nothers = "))
    assert fail(capsys, "--inventory", str(inventory), "--send", "4").startswith("senders: no such group")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["--send", "four"], 2),
        (["more"], 2),
        (["--diff"], 2),
        (["--drift", "--send", "4"], 2),
    ],
)
def test_help_and_bad_options_show_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == status
    out, error = capsys.readouterr()
    assert "usage: verify.py" in out + error


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_the_verdict_is_the_exit_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ok: bool,
    status: int,
) -> None:
    """Of the program, with the table, with JSON and as a page alike."""
    problems = () if ok else (Problem(Status.WRONG, "vip", None, "what", "do"),)
    vips = {"10.77.0.10": VipReport(("stash1",), {"udp-5514": ("stash1",)})}
    report = Report(("stash1",), vips, (), problems)
    monkeypatch.setattr(command, "_verify", lambda options: ({"nodes": (report, None)}, {}, Activity({}, ())))
    assert main([]) == status
    assert ("ALL GOOD" if ok else "WRONG, 1 thing to fix") in capsys.readouterr().out
    assert main(["--json"]) == status
    assert json.loads(capsys.readouterr().out)["ok"] is ok
    assert main(["--report", str(tmp_path / "report.html")]) == status
    assert ("All good" if ok else "Wrong") in (tmp_path / "report.html").read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert main(["--report", str(tmp_path / "none" / "report.html")]) == 2
    assert "--report: " in (said := capsys.readouterr()).err
    assert said.out == ""


@pytest.mark.parametrize(("steps", "status"), [([], 0), (["4. Pipelines"], 1)])
def test_the_drift_is_the_exit_status(
    inventory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    steps: list[str],
    status: int,
) -> None:
    """pyinfra's own dry run ends with 0 either way."""
    monkeypatch.setattr(command, "connect_hosts", lambda hosts: {})
    monkeypatch.setattr(drift, "find_drift", lambda state, hosts: Drift({hosts[0].name: steps}))
    arguments = ["--inventory", str(inventory), "--drift"]
    assert main(arguments) == status
    expected = "stash1: 4. Pipelines" if steps else "no drift: a deploy would change nothing on stash1"
    assert capsys.readouterr().out == f"{expected}\n"
    assert main([*arguments, "--json"]) == status
    assert json.loads(capsys.readouterr().out)["drift"] == {"stash1": steps}


class Hosts(list[Any]):
    """pyinfra's inventory."""

    def get_host(self, name: str) -> Any:
        return next(host for host in self if host.name == name)


def pyinfra_run(
    monkeypatch: pytest.MonkeyPatch, *, ok: bool = True, **changes: Any
) -> tuple[State, list[Host]]:
    """pyinfra's state with three hosts, of which the first was not reached, and what they are found to be."""
    hosts = [SimpleNamespace(name=name) for name in ("sender", "stash1", "stash2")]
    monkeypatch.setattr(session, "prepare", lambda host: None)
    state = SimpleNamespace(
        **{"op_meta": {}, "inventory": Hosts(hosts), "activated_hosts": hosts[1:], **changes},
        is_host_in_limit=lambda host: True,
    )
    monkeypatch.setattr(
        command, "chosen_clusters", lambda inventory: {"nodes": SimpleNamespace(node_names=["stash1"])}
    )
    monkeypatch.setattr(command, "inspect", lambda *_, settling: SimpleNamespace(ok=ok))
    monkeypatch.setattr(command, "show_all", lambda *_: print("the table"))
    return cast(State, state), cast(list[Host], hosts)


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_the_first_host_that_was_reached_shows_the_table_and_ends_pyinfra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ok: bool, status: int
) -> None:
    """The first host that was reached shows the table and ends pyinfra; the others do nothing."""
    state, hosts = pyinfra_run(monkeypatch, ok=ok)
    with pytest.raises(SystemExit) as end:
        verify_host(state, hosts[1])
    assert end.value.code == status
    verify_host(state, hosts[2])
    assert capsys.readouterr().out == "the table\n"


def test_verifying_after_a_deploy_in_the_same_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What deploy.py has prepared would never be done."""
    state, hosts = pyinfra_run(monkeypatch, op_meta={"an operation": None})
    with pytest.raises(ClusterError, match=r"run verify\.py by itself"):
        verify_host(state, hosts[1])


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"{VERSION}\n"


def test_verify_py_runs_for_the_host_that_pyinfra_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does nothing where it is only imported."""
    verified: list[str] = []
    monkeypatch.setattr(command, "verify_host", lambda state, host: verified.append(host.name))
    with ctx_host.use(cast(Host, SimpleNamespace(name="stash1"))):
        runpy.run_path(str(ROOT / "verify.py"))
    assert verified == ["stash1"]
    runpy.run_path(str(ROOT / "verify.py"))
    assert verified == ["stash1"]


def test_the_usage_fits_a_terminal() -> None:
    assert max(map(len, (ROOT / "verify.py").read_text().splitlines())) <= 110


@pytest.mark.parametrize("arguments", [["why", "10.77.0.101"], ["why", "--send"], ["capacity", "--yes"]])
def test_a_subcommand_says_in_one_line_that_no_node_can_be_reached(
    inventory: Path, arguments: list[str]
) -> None:
    done = run(sys.executable, "verify.py", *arguments, "--inventory", str(inventory))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("verify: no node can be reached by ssh: stash1: ")
