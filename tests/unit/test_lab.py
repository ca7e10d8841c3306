"""The parts of the lab that need no guest: names, addresses, the cache, and messages for what is missing."""

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import lab.lab
from lab import libraries
from lab.__main__ import cli
from lab.cache import KEPT, ORIGINS, prune, register
from lab.content import content_key
from lab.debian import FURTHER_PACKAGES, fetch_debian, repackaged
from lab.guest import Guest
from lab.lab import Lab, check_machine
from lab.network import Network
from lab.packages import FROM_DEBIAN
from lab.settings import HERE, MAX_NODES, NETWORK6, RELEASES, SUITES, machines
from lab.shell import LabError, run


def test_two_labs_share_neither_a_network_nor_an_ssh_connection(tmp_path: Path) -> None:
    one, other = Lab(tmp_path / "one"), Lab(tmp_path / "other")
    assert one.network.namespace != other.network.namespace
    assert one.network.sockets != other.network.sockets


def test_each_machine_has_addresses_a_mac_and_a_tap_of_its_own() -> None:
    guests = machines(MAX_NODES)
    addresses = [address for machine in guests for address in machine.addresses]
    assert len(set(addresses)) == len(addresses) == MAX_NODES + 2
    addresses6 = [address for machine in guests for address in machine.addresses6]
    assert len(set(addresses6)) == len(addresses)
    assert all(address in NETWORK6 for address in addresses6)
    assert [str(address) for address in (*guests[0].addresses6, *guests[-1].addresses6)] == [
        "fd77::11",
        "fd77::101",
        "fd77::102",
    ]
    assert len({machine.mac for machine in guests}) == MAX_NODES + 1
    assert all(len(machine.tap) <= 15 for machine in guests), "Linux limits interface names to 15 characters"


def test_a_cache_key_changes_with_contents_names_and_modes_and_with_nothing_else(tmp_path: Path) -> None:
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
    link = file.with_name("link")
    link.symlink_to("nowhere")
    key = content_key("text", file.parent)
    link.unlink()
    link.symlink_to("elsewhere")
    assert content_key("text", file.parent) != key


def test_the_cache_keeps_the_newest_artifacts_and_those_that_a_lab_was_created_from(tmp_path: Path) -> None:
    """What is of one EL, or of one Debian suite, is a kind of its own."""
    lab, gone = tmp_path / "lab", tmp_path / "gone"
    lab.mkdir()
    kinds = (
        *("kernel-{}", "python-{}", "elastic-{}", "logstash-{}", "debian-bullseye-{}", "debian-trixie-{}"),
        *("image-el8-{}.ext4", "image-el10-{}.ext4", "repository-el8-{}", "repository-el10-{}"),
    )

    def name(kind: str, age: int) -> str:
        return kind.format(content_key(str(age)))

    for age in range(5):
        for kind in kinds:
            path = tmp_path / name(kind, age)
            if kind.startswith("image"):
                path.touch()
            else:
                (path / "os").mkdir(parents=True)
            os.utime(path, (1000 - age, 1000 - age))
    needed = {name("kernel-{}", 3), name("image-el8-{}.ext4", 3), name("repository-el10-{}", 4)}
    (lab / ORIGINS).write_text("\n".join(str(tmp_path / path) for path in needed))
    (tmp_path / "keys").mkdir()
    register(tmp_path, lab)
    register(tmp_path, gone)
    prune(tmp_path)
    newest = {name(kind, age) for kind in kinds for age in range(KEPT)}
    kept = {path.name for path in tmp_path.iterdir()} - {"lab", "labs", "keys"}
    assert kept == newest | needed
    shutil.rmtree(lab)
    prune(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {"labs"} == newest | {"keys"}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a lab builds instead of building it."""
    built: list[str] = []

    def build(kind: str) -> Callable[..., Path]:
        def built_path(cache: Path, *arguments: object) -> Path:
            (path,) = {f"{kind}-el{el}" for el in arguments if isinstance(el, int)} or {kind}
            built.append(path)
            return tmp_path / "cache" / path

        return built_path

    for name in ("image", "repository", "elastic", "logstash"):
        monkeypatch.setattr(lab.lab, f"build_{name}", build(name))
    monkeypatch.setattr(lab.lab, "fetch_kernel", build("kernel"))
    monkeypatch.setattr(lab.lab, "fetch_debian", lambda cache, suite, progress: cache / suite)
    monkeypatch.setattr(lab.lab, "fetch_python", lambda cache, progress: cache / "python")
    monkeypatch.setattr(lab.lab, "create_keys", lambda cache: cache / "keys")
    monkeypatch.setattr(lab.lab, "modules_of", lambda kernel: kernel / "modules")
    monkeypatch.setattr(lab.lab, "check_machine", lambda memory: None)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    for name in ("elastic", "logstash"):
        (tmp_path / "cache" / name / "packages").mkdir(parents=True)
    return built


@pytest.mark.parametrize(
    ("options", "releases"), [((), {9}), (("--el", "8,10"), {8, 10}), (("--el", "7,7"), {7})]
)
def test_only_what_the_guests_asked_for_need_is_built(
    built: list[str], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], releases: set[int]
) -> None:
    monkeypatch.setattr("lab.__main__.check_machine", lambda memory: None)
    result = CliRunner().invoke(cli, ["build", *options])
    assert result.exit_code == 0, result.exception
    expected = {f"{kind}-el{el}" for el in releases for kind in ("image", "repository")}
    assert sorted(built) == sorted(expected | {"kernel", "elastic"})


def test_each_guest_gets_the_image_of_its_el_and_the_server_the_repositories_of_all(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, str] = {}
    monkeypatch.setattr(Guest, "write_seed", lambda guest, *_: guest.folder.mkdir(parents=True) or "key")
    monkeypatch.setattr(
        Guest, "start", lambda guest, kernel, image, memory: started.update({guest.name: image.name})
    )
    monkeypatch.setattr(Guest, "running", lambda guest: False)
    monkeypatch.setattr(Network, "exists", lambda network: True)
    monkeypatch.setattr(Lab, "wait_until_up", lambda *_: None)
    mixed = Lab(tmp_path / "lab")
    for path in ("kernel", "image-el9", "image-el8"):
        (tmp_path / "cache" / path).touch()
    mixed.up(2, 0.0, lambda text: None, el=(9, 8, 9, 10))
    assert started == {"stash1": "image-el9", "stash2": "image-el8", "sender": "image-el9"}
    served = {path.name: path.readlink().name for path in (mixed.folder / "served").iterdir()}
    assert served == {"el8": "repository-el8", "el9": "repository-el9", "packages": "packages"}
    origins = {Path(line).name for line in (mixed.folder / ORIGINS).read_text().splitlines()}
    assert origins == set(built)

    built.clear()
    mixed.up(2, 0.0, lambda text: None, el=(10,))
    assert built == [], "the guests are there already"

    (tmp_path / "cache/image-el8").unlink()
    with pytest.raises(LabError, match=r"image-el8: this lab was created from it; run `python -m lab down`"):
        mixed.up(2, 0.0, lambda text: None)


def test_a_lab_with_elastics_logstash_has_it_in_the_stand_ins_place_and_nodes_with_the_memory_for_it(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed: list[int] = []
    memory: dict[str, int] = {}
    monkeypatch.setattr(lab.lab, "check_machine", needed.append)
    monkeypatch.setattr(Guest, "write_seed", lambda guest, *_: guest.folder.mkdir(parents=True) or "key")
    monkeypatch.setattr(
        Guest, "start", lambda guest, kernel, image, megabytes: memory.update({guest.name: megabytes})
    )
    monkeypatch.setattr(Guest, "running", lambda guest: False)
    monkeypatch.setattr(Network, "exists", lambda network: True)
    monkeypatch.setattr(Lab, "wait_until_up", lambda *_: None)
    for path in ("kernel", "image-el9"):
        (tmp_path / "cache" / path).touch()
    mine, other = Lab(tmp_path / "mine"), Lab(tmp_path / "other")
    mine.up(2, 0.0, lambda text: None, logstash="9.3.8")
    assert "elastic" not in built
    served = {path.name: path.readlink().parent.name for path in (mine.folder / "served").iterdir()}
    assert served["packages"] == "logstash"
    assert str(tmp_path / "cache/logstash") in (mine.folder / ORIGINS).read_text()
    assert mine.logstash == "9.3.8"
    assert memory == {"stash1": 1536, "stash2": 1536, "sender": 768}
    mine.up(2, 0.0, lambda text: None)
    assert memory == {"stash1": 1536, "stash2": 1536, "sender": 768}, "as it was created"
    mine.up(2, 0.0, lambda text: None, logstash="9.3.8")
    assert needed == [3840] * 3
    with pytest.raises(LabError, match=r"^--logstash: the lab that is here offers Logstash 9\.3\.8; run"):
        mine.up(2, 0.0, lambda text: None, logstash="8.19.18")

    other.up(2, 0.0, lambda text: None)
    assert other.logstash is None
    assert memory == {"stash1": 768, "stash2": 768, "sender": 768}
    with pytest.raises(LabError, match=r"^--logstash: the lab that is here offers the stand-in; run"):
        other.up(2, 0.0, lambda text: None, logstash="9.3.8")


def test_a_suite_that_is_no_longer_served_is_named_with_its_els(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'E: apt-get update failed'\nexit 25\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for suite, releases in {"bullseye": "EL 7 and EL 8", "trixie": "EL 10"}.items():
        with pytest.raises(
            LabError,
            match=rf"^Debian {suite}, which the guests of {releases} are made of, cannot be installed: .*; "
            r"choose another EL with --el \(mmdebstrap .*status 25: E: apt-get update failed\)$",
        ):
            fetch_debian(tmp_path, suite, lambda text: None)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"], "nothing is left in the cache"


def test_each_el_has_a_suite_whose_packages_are_known() -> None:
    assert set(SUITES) == set(RELEASES)
    for suite in SUITES.values():
        assert suite in FURTHER_PACKAGES
        assert set(repackaged(suite)) <= set(FROM_DEBIAN)


def test_keepalived_is_confined_no_wider_than_by_the_policy_of_its_el() -> None:
    """CentOS Stream 9's keepalived.te and RHEL 7.5's: the capabilities and the process permissions of each."""
    text = (HERE / "selinux/keepalived.te").read_text()
    for macro in ("files_read_usr_files", "dev_read_sysfs"):
        assert macro not in text
    conditional = re.search(r"^ifdef\(`el7',`\n(.*?)^',`\n(.*?)^'\)\n", text, re.DOTALL | re.MULTILINE)
    assert conditional, "the rules that only EL 7 has, and those that only later ELs have"
    common = text.replace(conditional[0], "")

    def allowed(kind: str, rules: str) -> set[str]:
        found = re.findall(rf"^\s*allow keepalived_t self:{kind} \{{ (.*) \}};$", rules, re.MULTILINE)
        return set(" ".join(found).split())

    el7, later = (common + rules for rules in conditional.groups())
    assert allowed("capability", el7) == {"net_admin", "net_raw", "kill", "dac_read_search", "sys_ptrace"}
    assert allowed("capability", later) == allowed("capability", el7) | {
        *("setuid", "setgid", "sys_admin", "sys_nice")
    }
    assert allowed("process", el7) == {"signal_perms", "setpgid"}
    assert allowed("process", later) == {"signal_perms", "setpgid", "getpgid", "setsched", "setrlimit"}


def test_the_release_files_of_each_el_name_its_version_and_its_tools() -> None:
    for el in RELEASES:
        tree = HERE / "releases" / f"el{el}"
        assert f'VERSION_ID="{el}"' in (tree / "etc/os-release").resolve().read_text().splitlines()
        assert f"release {el}" in (tree / "etc/redhat-release").read_text()
        assert {path.name for path in (tree / "usr/bin").iterdir()} == (
            {"yum", "python"} if el == 7 else {"yum", "dnf"}
        )
    assert (HERE / "releases/el8/usr/libexec/platform-python").is_symlink()


def test_an_unknown_el_is_refused_with_the_supported_versions() -> None:
    result = CliRunner().invoke(cli, ["up", "--el", "9,6,x"])
    assert isinstance(result.exception, LabError)
    assert str(result.exception) == "--el: 6, x: not supported; choose from 7, 8, 9, 10"


def test_a_guest_network_is_configured_as_its_el_does_it(tmp_path: Path) -> None:
    """EL 7 has an ifcfg file of shell variables, later ELs have a keyfile; each is parsed as its reader does."""
    sender = Guest(machines(2)[-1], Network("none"), tmp_path)
    path, text = sender.network_file(7)
    assert path == "etc/sysconfig/network-scripts/ifcfg-eth0"
    script = (
        f'{text}\necho "$DEVICE|$IPADDR/$PREFIX $IPADDR1/$PREFIX1|$IPV6ADDR $IPV6ADDR_SECONDARIES|$GATEWAY"'
    )
    assert run("bash", "-c", script).strip() == (
        "eth0|10.77.0.101/24 10.77.0.102/24|fd77::101/64 fd77::102/64|10.77.0.1"
    )
    path, text = sender.network_file(9)
    assert path == "etc/NetworkManager/system-connections/eth0.nmconnection"
    keyfile = configparser.ConfigParser()
    keyfile.read_string(text)
    assert dict(keyfile["ipv6"]) == {
        "method": "manual",
        "address1": "fd77::101/64",
        "address2": "fd77::102/64",
        "gateway": "fd77::1",
    }
    assert (keyfile["ipv4"]["address2"], keyfile["ipv4"]["gateway"]) == ("10.77.0.102/24", "10.77.0.1")


@pytest.mark.parametrize("tap_exists", [False, True])
def test_a_guest_reuses_the_tap_of_its_last_boot(monkeypatch: pytest.MonkeyPatch, tap_exists: bool) -> None:
    commands: list[tuple[str, ...]] = []

    def ip(network: Network, *command: str) -> str:
        commands.append(command)
        return "2: br0: <UP>\n" + ("3: tap-stash1: <DOWN>\n" if tap_exists else "")

    monkeypatch.setattr(Network, "_ip", ip)
    Network("none").connect(machines(2)[0])
    assert (("tuntap", "add", "tap-stash1", "mode", "tap") in commands) is not tap_exists
    assert ("link", "set", "tap-stash1", "master", "br0") in commands
    assert ("link", "set", "tap-stash1", "up") in commands


def test_a_boot_that_takes_long_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Lab.wait_until_up` asks again until its own limit is over, and reports the console's last lines then."""

    def never_ends(command: tuple[str, ...], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    lab = Lab(tmp_path)
    (tmp_path / "guests/stash1").mkdir(parents=True)
    monkeypatch.setattr(subprocess, "run", never_ends)
    assert not lab.has_booted(lab.guest("stash1"))


def test_a_failed_program_is_reported_with_the_last_lines_of_its_output() -> None:
    with pytest.raises(LabError, match=r"^sh -c echo no room; exit 3 failed with status 3: no room$"):
        run("sh", "-c", "echo no room; exit 3")
    with pytest.raises(LabError, match=r"^no-such-tool: not found; run `make packages`$"):
        run("no-such-tool")


def test_a_program_runs_with_the_c_library_that_it_brings_along(tmp_path: Path) -> None:
    """And with no other: without it, it does not start."""
    folder, root, program = tmp_path / "own", tmp_path / "root/usr/lib/x86_64-linux-gnu", tmp_path / "program"
    folder.mkdir()
    root.mkdir(parents=True)
    shutil.copy("/bin/cat", program)
    for name in libraries.C_LIBRARY:
        shutil.copy(Path("/lib/x86_64-linux-gnu") / name, root / name)
    libraries.add(program, tmp_path / "root", libraries.C_LIBRARY, folder, folder)
    mapped = {Path(line.split()[-1]) for line in run(program, "/proc/self/maps").splitlines() if "/" in line}
    assert {path for path in mapped if path.name in libraries.C_LIBRARY} == {
        folder / name for name in libraries.C_LIBRARY
    }
    (folder / "libc.so.6").unlink()
    (folder / libraries.LOADER).unlink()
    with pytest.raises(LabError, match="not found"):
        run(program, "/dev/null")


def test_a_machine_that_cannot_run_a_lab_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    check_machine(1)
    with pytest.raises(LabError, match=r"memory: the guests may use 999999999 MiB, but only .* are free"):
        check_machine(999_999_999)
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "patchelf" else tool)
    with pytest.raises(LabError, match=r"patchelf: not found; run `make packages`"):
        check_machine(1)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="run it as root"):
        check_machine(1)


@pytest.mark.parametrize(
    "command",
    [["status"], ["ssh", "stash1"], ["run", "true"], ["power-off", "stash1"], ["console", "stash1"]],
)
def test_a_command_that_needs_a_lab_says_how_to_start_one(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path / "none"))
    result = CliRunner().invoke(cli, command)
    assert isinstance(result.exception, LabError)
    assert "run `python -m lab up`" in str(result.exception)


def test_down_without_a_lab_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path / "none"))
    assert CliRunner().invoke(cli, ["down"]).exit_code == 0
