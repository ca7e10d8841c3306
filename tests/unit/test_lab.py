"""The lab's parts that need no guest: names, keys, and what it says when something is missing."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.__main__ import cli
from lab.content import content_key
from lab.lab import Lab, check_machine
from lab.settings import MAX_NODES, machines
from lab.shell import LabError, run


def test_two_labs_share_neither_a_network_nor_an_ssh_connection(tmp_path: Path) -> None:
    one, other = Lab(tmp_path / "one"), Lab(tmp_path / "other")
    assert one.network.namespace != other.network.namespace
    assert one.network.sockets != other.network.sockets


def test_each_machine_has_addresses_a_mac_and_a_tap_of_its_own() -> None:
    all_of_them = machines(MAX_NODES)
    addresses = [address for machine in all_of_them for address in machine.addresses]
    assert len(set(addresses)) == len(addresses) == MAX_NODES + 2
    assert len({machine.mac for machine in all_of_them}) == MAX_NODES + 1
    assert all(len(machine.tap) <= 15 for machine in all_of_them), "Linux takes no longer interface names"


def test_a_key_changes_with_content_names_and_modes_and_with_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_text("one")
    key = content_key("text", file.parent)
    assert content_key("text", file.parent) == key
    assert content_key("other", file.parent) != key
    file.chmod(0o755)
    assert content_key("text", file.parent) != key
    file.chmod(0o644)
    (file.parent / "__pycache__").mkdir()
    (file.parent / "__pycache__" / "x.pyc").write_text("compiled")
    assert content_key("text", file.parent) == key
    file.rename(file.with_name("renamed"))
    assert content_key("text", file.parent) != key


def test_a_failed_program_is_told_with_its_last_words() -> None:
    with pytest.raises(LabError, match=r"^sh -c echo no room; exit 3 failed with status 3: no room$"):
        run("sh", "-c", "echo no room; exit 3")
    with pytest.raises(LabError, match=r"^no-such-tool: not found; run `make packages`$"):
        run("no-such-tool")


def test_what_the_machine_lacks_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    check_machine(1)
    with pytest.raises(LabError, match=r"memory: the guests may take 999999999 MiB and .* are free"):
        check_machine(999_999_999)
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "linux.uml" else tool)
    with pytest.raises(LabError, match=r"linux\.uml: not found; run `make packages`"):
        check_machine(1)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="run it as root"):
        check_machine(1)


@pytest.mark.parametrize(
    "command",
    [["status"], ["ssh", "stash1"], ["run", "true"], ["power-off", "stash1"], ["console", "stash1"]],
)
def test_without_a_lab_the_mend_is_told(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path / "none"))
    result = CliRunner().invoke(cli, command)
    assert isinstance(result.exception, LabError)
    assert "run `python -m lab up`" in str(result.exception)


def test_down_without_a_lab_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path / "none"))
    assert CliRunner().invoke(cli, ["down"]).exit_code == 0
