"""The shell commands that put, check and test files: they really run, with stand-ins for the programs they call."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import StringCommand

from desired import health, health_script, keepalived
from desired.logstash import unit as logstash_unit
from desired.sysctl import FILE as SYSCTL_FILE
from desired.textfile import TextFile
from facts.certificates import Certificates
from facts.files import Files, FileText
from facts.record import Record
from facts.sysctl import Sysctl
from operations import files, logstash, sysctl
from operations.services import PackageChange
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine

PATH = "/etc/made/file.conf"
STAGED = "/etc/made/.file.conf.staged"
RECORD = "/var/lib/logstash-ha/record"
ORIGINALS = "/var/lib/logstash-ha/original"


def put(machine: ShellMachine, content: str = "new\n", **arguments: Any) -> StringCommand:
    """The command that puts `content` into the file."""
    (command,) = machine.commands(files.put, files=[TextFile(PATH, content, **arguments)])
    return command


def names(machine: ShellMachine) -> list[str]:
    """The names in the file's folder."""
    return sorted(path.name for path in machine.path(PATH).parent.iterdir())


def test_put_makes_the_file_and_its_folder_and_records_it(machine: ShellMachine) -> None:
    check = 'test "$(cat "$new")" = new; touch "$work/scratch"'
    done = machine.sh(put(machine, mode="640", check=check, then=f"cat {PATH}"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "new\n", "")
    assert machine.path(PATH).stat().st_mode & 0o7777 == 0o640
    assert names(machine) == ["file.conf"]
    assert machine.fact(Record, path=RECORD) == {"file": [PATH]}
    assert not machine.path(ORIGINALS).exists()


@pytest.mark.parametrize("content", ["new\n", "no newline at the end", "", "two\nlines", "ümläut\n\n"])
def test_put_writes_the_desired_content_to_the_byte(machine: ShellMachine, content: str) -> None:
    done = machine.sh(put(machine, content))
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.path(PATH).read_text() == content
    assert machine.commands(files.put, files=[TextFile(PATH, content)]) == []


def test_put_keeps_the_old_file_when_the_check_fails(machine: ShellMachine) -> None:
    machine.write(PATH, "old\n")
    done = machine.sh(put(machine, check="echo line 1 is bad >&2; false", then="echo done"))
    assert done.returncode != 0
    assert (done.stdout, done.stderr) == ("", "line 1 is bad\n")
    assert machine.path(PATH).read_text() == "old\n"
    assert names(machine) == ["file.conf"]
    assert machine.fact(Record, path=RECORD) == {}


def test_put_refuses_an_interrupted_upload(machine: ShellMachine) -> None:
    done = machine.sh(put(machine), stdin="ne")
    assert done.returncode != 0
    assert done.stderr == f"{machine.path(PATH)}: the upload was interrupted\n"
    assert names(machine) == []


def test_put_stages_what_a_service_reads(machine: ShellMachine) -> None:
    machine.write(PATH, "old\n")
    file = TextFile(PATH, "new\n", mode="640", read_by="logstash", then="echo then")
    (done,) = machine.run(files.put, files=[file])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.path(PATH).read_text() == "old\n"
    assert machine.path(STAGED).read_text() == "new\n"
    assert machine.path(STAGED).stat().st_mode & 0o7777 == 0o640
    assert machine.commands(files.put, files=[file]) == []  # it waits for its service


def test_a_file_is_staged_again_when_something_else_is_staged(machine: ShellMachine) -> None:
    machine.write(STAGED, "of an earlier run\n")
    machine.run(files.put, files=[TextFile(PATH, "new\n", read_by="logstash")])
    assert machine.path(STAGED).read_text() == "new\n"


def test_a_staged_file_is_removed_when_the_old_one_is_desired_again(machine: ShellMachine) -> None:
    machine.write(PATH, "old\n")
    machine.run(files.put, files=[TextFile(PATH, "new\n", read_by="logstash")])
    old = TextFile(PATH, "old\n", read_by="logstash")
    machine.run(files.put, files=[old])
    assert names(machine) == ["file.conf"]
    assert machine.commands(files.put, files=[old]) == []


@pytest.mark.parametrize("read_by", ["", "logstash"])
def test_the_original_is_kept_once(machine: ShellMachine, read_by: str) -> None:
    machine.write(PATH, "original\n", mode=0o640)
    for content in ("first\n", "second\n"):
        machine.run(files.put, files=[TextFile(PATH, content, read_by=read_by)])
        if read_by:
            machine.path(STAGED).rename(machine.path(PATH))  # as the service's activation does
    original = machine.root / f"var/lib/logstash-ha/original{machine.path(PATH)}"
    assert original.read_text() == "original\n"
    assert original.stat().st_mode & 0o7777 == 0o640
    assert machine.path(ORIGINALS).stat().st_mode & 0o7777 == 0o700
    assert machine.fact(Record, path=RECORD) == {"file": [PATH]}


def test_a_file_of_the_deploy_is_not_kept_as_an_original(machine: ShellMachine) -> None:
    for content in ("first\n", "second\n"):
        machine.run(files.put, files=[TextFile(PATH, content)])
    assert machine.path(PATH).read_text() == "second\n"
    assert not machine.path(ORIGINALS).exists()


def test_put_in_the_place_of_a_link_leaves_its_target_alone(machine: ShellMachine) -> None:
    target = machine.write("/etc/elsewhere", "new\n")
    machine.write(PATH, "").unlink()
    machine.path(PATH).symlink_to(target)
    machine.run(files.put, files=[TextFile(PATH, "newer\n")])
    assert (machine.path(PATH).is_symlink(), machine.path(PATH).read_text()) == (False, "newer\n")
    assert target.read_text() == "new\n"


def test_several_files_are_put_by_one_command(machine: ShellMachine) -> None:
    """Whatever their ends, and whatever their programs read."""
    machine.write("/etc/b", "b\n")
    several = [
        TextFile("/etc/a", "no end", check="! read -r line", then="cat"),
        TextFile("/etc/b", "b\n"),
        TextFile("/etc/c", base64.b64encode(b"\x00\xff").decode(), in_base64=True),
        TextFile("/etc/d", "ä\n\n"),
        TextFile("/etc/e", ""),
    ]
    (done,) = machine.run(files.put, files=several)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {file.path: machine.path(file.path).read_bytes() for file in several} == {
        file.path: file.data for file in several
    }
    assert machine.commands(files.put, files=several) == []


def test_the_first_file_that_is_wrong_ends_the_step(machine: ShellMachine) -> None:
    several = [TextFile(f"/etc/x/{name}", f"{name}\n", check=f"test {name} != b") for name in "abc"]
    (done,) = machine.run(files.put, files=several)
    assert done.returncode != 0
    assert [machine.path(file.path).exists() for file in several] == [True, False, False]


def test_what_put_wrote_is_what_the_fact_finds(machine: ShellMachine) -> None:
    content = "authentication {\n    auth_pass hunter22\n}\n"
    file = TextFile("/etc/keepalived/keepalived.conf", content, mode="600")
    machine.run(files.put, files=[file])
    assert machine.fact(Files, paths=[file.path]) == {file.path: file.state}
    assert machine.fact(FileText, path=file.path) == ["authentication {", "    auth_pass ********", "}"]


def test_certificates_are_read_with_their_line_ends(machine: ShellMachine) -> None:
    """Those that are there, also without an end of the last line."""
    machine.write("/etc/logstash/tls/a.crt", "one\n  two \\n\n\n")
    machine.write("/etc/logstash/tls/b.crt", "end")
    paths = [f"/etc/logstash/tls/{name}.crt" for name in "abc"]
    assert machine.fact(Certificates, paths=paths) == {paths[0]: "one\n  two \\n\n\n", paths[1]: "end\n"}


def test_a_file_of_another_owner_is_never_anybody_elses(machine: ShellMachine) -> None:
    """It has its owner before it has its name."""
    file = TextFile("/etc/logstash/tls/a.key", "a key\n", mode="400", owner="daemon", secret=True)
    machine.run(files.put, files=[file])
    assert machine.fact(Files, paths=[file.path]) == {file.path: file.state}
    assert (file.state["user"], file.state["group"], file.state["mode"]) == ("daemon", "daemon", "400")
    assert machine.commands(files.put, files=[file]) == []


@pytest.mark.parametrize("change", ["chmod 600", "chown daemon", "chgrp daemon", "truncate --size 1"])
def test_a_file_is_put_again_when_one_thing_differs(machine: ShellMachine, change: str) -> None:
    file = TextFile(PATH, "new\n")
    machine.run(files.put, files=[file])
    assert machine.sh(f"{change} {PATH}").returncode == 0
    (done,) = machine.run(files.put, files=[file])
    assert done.returncode == 0
    assert machine.commands(files.put, files=[file]) == []


def test_facts_of_files_that_do_not_exist_do_not_fail(machine: ShellMachine) -> None:
    assert machine.fact(Files, paths=[PATH, STAGED]) == {}
    assert machine.fact(FileText, path=PATH) == []
    assert machine.fact(Record, path=RECORD) == {}


@pytest.mark.parametrize(
    ("version", "output", "status", "good"),
    [
        ("2.2.8", "", 0, True),
        ("2.2.8", "(Line 3) Unknown keyword 'dely_loop'", 1, False),
        ("2.1.5", "", 0, True),
        ("2.1.5", "(Line 3) Unknown keyword 'dely_loop'", 0, False),
        ("2.2.4", "", 143, False),
        ("1.3.5", "keepalived: unrecognized option '--config-test'", 1, True),
        ("2.3.0", "", 0, False),
        ("2.3.1", "", 0, False),
        ("2.3.2", "", 0, False),
        ("2.3.3", "", 0, True),
    ],
)
def test_keepalived_decides_on_its_configuration(
    machine: ShellMachine, version: str, output: str, status: int, good: bool
) -> None:
    test = f'test -z "$3" || {{ echo "{output}" >&2; exit {status}; }}'
    machine.program(
        "keepalived", f'[ $# -gt 1 ] || {{ echo "Keepalived v{version} (08/20,2018)" >&2; exit 0; }}\n{test}'
    )
    done = machine.sh(put(machine, check=keepalived.CONF_CHECK))
    assert machine.path(PATH).exists() == good == (done.returncode == 0), done.stderr
    assert (output in done.stderr) or good
    assert ("crashes" in done.stderr) == (version in keepalived.CRASHES)


class Checker:
    """A machine whose keepalived follows the spare verdict in this way, and its weight in that: `ipvsadm` tells what it has
    made of them."""

    def __init__(self, machine: ShellMachine, state: str, listed: str, weight: str = "echo 1") -> None:
        self.machine = machine
        self.spare, self.reduction = machine.root / "spare", machine.root / "reduction"
        self.reduction.touch()
        machine.program("systemctl", f"echo {state}; test {state} = active")
        machine.program("sleep", f"echo $1 >>{machine.root}/slept")
        server = 'echo "FWM  $4 rr"; echo "  -> RemoteAddress:Port"'
        machine.program(
            "ipvsadm",
            f'[ "$*" = "--list --numeric --fwmark-service {keepalived.SPARE_MARK}" ] || exit 2\n'
            f"cat {self.spare} >>{machine.root}/seen\n"
            f'{server}; ! {{ {listed}; }} || echo "  -> 127.0.0.1:9                  Masq    $({weight})     0          0"',
        )

    def probe(self, el: int = 9) -> subprocess.CompletedProcess[str]:
        """Run the probe of keepalived's unit."""
        probe = keepalived.unit(make_cluster(self.machine.root), el).probe
        for file, here in ((health.SPARE_VERDICT, self.spare), (health.SPARE_REDUCTION, self.reduction)):
            probe = probe.replace(file, str(here))
        return self.machine.sh(probe)

    @property
    def sleeps(self) -> int:
        path = self.machine.root / "slept"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("before", ["", "1\n"])
@pytest.mark.parametrize(
    "follows", ["[ ! -s {spare} ]", "[ ! -s {spare} ] && [ $(wc -l <{root}/slept) -ge 3 ]"]
)
def test_a_keepalived_that_follows_the_spare_verdict_is_up(
    machine: ShellMachine, follows: str, before: str
) -> None:
    """Whatever an interrupted run has left in it; some time may pass."""
    (machine.root / "slept").touch()
    checker = Checker(machine, "active", follows.format(spare=machine.root / "spare", root=machine.root))
    checker.spare.write_text(before)
    done = checker.probe()
    assert done.returncode == 0, done.stdout + done.stderr
    assert checker.spare.read_text() == ""
    assert (machine.root / "seen").read_text() == "1\n"


@pytest.mark.parametrize(
    ("state", "listed", "said", "sleeps"),
    [
        # EL 7 enforcing: keepalived can't start its checks, which then count as passed. Or it watches no file.
        ("active", "true", "a spare one is down, and its real server stays in the pool", 25),
        ("active", "false", "a spare one is up, and its real server is not in the pool", 25),
        ("active", "[ ! -e {root}/went ] && {{ [ ! -s {root}/spare ] || {{ touch {root}/went; false; }}; }}", "a spare one is up again, and its real server is not in the pool", 25),
        ("failed", "true", "it is failed", 0),
    ],
)  # fmt: skip
def test_a_keepalived_that_does_not_follow_the_spare_verdict_is_not_up(
    machine: ShellMachine, state: str, listed: str, said: str, sleeps: int
) -> None:
    checker = Checker(machine, state, listed.format(root=machine.root))
    checker.spare.write_text("")
    done = checker.probe()
    assert done.returncode != 0
    assert said in done.stdout
    assert done.stdout.count("\n") == 1
    assert ("ausearch -m avc" in done.stdout) == (state == "active")
    assert checker.spare.read_text() == ""
    assert checker.sleeps == sleeps


@pytest.mark.parametrize("el", [7, 8])
@pytest.mark.parametrize("before", ["", "40\n"])
@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ("echo $((100 - $(cat {r} || true)))", ""),
        # As 1.3.5, which leaves a weight as it is by an empty file.
        ("[ ! -s {r} ] || echo $((100 - $(cat {r}))) >{w}; cat {w}", ""),
        ("echo 100", "a spare one is slow, and its real server keeps its weight"),
        ("[ ! -s {r} ] || [ -s {w}-60 ] || echo $((100 - $(cat {r}))) >{w}-60; cat {w}-60 2>/dev/null || cat {w}", "a spare one is no longer slow, and its real server does not get its weight back"),
    ],
    ids=["follows", "as 1.3.5", "never", "once"],
)  # fmt: skip
def test_a_keepalived_that_takes_weights_from_checks_is_up_once_it_follows_one(
    machine: ShellMachine, el: int, before: str, weight: str, said: str
) -> None:
    """SELinux could let a check see that the verdict is empty, and not let it read how much of the weight there is."""
    (machine.root / "weight").write_text("100\n")
    here = weight.format(r=machine.root / "reduction", w=machine.root / "weight")
    checker = Checker(machine, "active", f"[ ! -s {machine.root}/spare ]", here)
    checker.spare.write_text("")
    checker.reduction.write_text(before)
    done = checker.probe(el)
    assert (done.returncode == 0, done.stdout.count("\n")) == (not said, 1 if said else 0), done.stdout
    assert said in done.stdout
    assert checker.reduction.read_text() == ("0\n" if said else "")


def test_keepalived_2_2_7_tests_its_configuration_with_root_as_the_script_user(machine: ShellMachine) -> None:
    """With another one it would kill itself."""
    tested = machine.root / "tested"
    machine.program(
        "keepalived",
        f'[ $# -gt 1 ] || {{ echo "Keepalived v2.2.7 (01/16,2022)" >&2; exit 0; }}\ncat "$3" >{tested}',
    )
    content = "script_user keepalived_script\nenable_script_security\n"
    assert machine.sh(put(machine, content, check=keepalived.CONF_CHECK)).returncode == 0
    assert tested.read_text() == "script_user root\nenable_script_security\n"
    assert machine.path(PATH).read_text() == content


HOME = "/etc/logstash"
GOOD = "/var/lib/logstash-ha/good/logstash"


@pytest.fixture
def tested(machine: ShellMachine) -> ShellMachine:
    """A machine with Logstash, whose stand-in copies what it is to test to `root/tested`."""
    machine.write(f"{HOME}/logstash.yml", "settings\n")
    folder = machine.path(f"{HOME}/conf.d")
    machine.write(f"{HOME}/pipelines.yml", f'- pipeline.id: main\n  path.config: "{folder}/*.conf"\n')
    machine.write(f"{HOME}/conf.d/theirs.conf", "theirs\n")
    machine.write(f"{HOME}/conf.d/logstash-ha.conf", "old\n")
    machine.program("chown", f'echo "$@" >>{machine.root}/chown')
    for name, answer in (("rpm", "logstash-1"), ("systemctl", "Id=logstash.service")):
        machine.program(name, f"echo {answer}")
    machine.program(
        "runuser",
        f'echo "$@" >{machine.root}/arguments; env >{machine.root}/environment\n'
        f"while [ $1 != --path.settings ]; do shift; done; cp -R $2 {machine.root}/tested",
    )
    return machine


def own(name: str, content: str, **arguments: Any) -> TextFile:
    """A file that Logstash reads."""
    return TextFile(f"{HOME}/{name}", content, read_by="logstash", **arguments)


def accepted(machine: ShellMachine, texts: list[TextFile]) -> list[subprocess.CompletedProcess[str]]:
    """Put the files and have them tested, as the deploy does."""
    for done in machine.run(files.put, files=texts):
        assert done.returncode == 0, done.stderr
    return machine.run(logstash.accepted, files=texts, units=["logstash"])


def seen(machine: ShellMachine) -> dict[str, str]:
    """What Logstash tested: text by name. It ignores hidden files."""
    top = machine.root / "tested"
    return {
        str(path.relative_to(top)): path.read_text()
        for path in top.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def in_place(machine: ShellMachine) -> dict[str, str]:
    """What Logstash would read if it started now."""
    top = machine.path(HOME)
    return {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}


def test_logstash_tests_all_that_it_will_read(tested: ShellMachine) -> None:
    new = own("conf.d/logstash-ha.conf", "new\n")
    before = in_place(tested)
    (done,) = accepted(tested, [own("logstash.yml", "settings\n"), new])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shadow = seen(tested)
    assert shadow.pop("pipelines.yml").splitlines()[1].endswith('/settings/conf.d/*.conf"')
    assert shadow == {
        "logstash.yml": "settings\n",
        "conf.d/logstash-ha.conf": "new\n",
        "conf.d/theirs.conf": "theirs\n",
    }
    assert in_place(tested) == {**before, "conf.d/.logstash-ha.conf.staged": "new\n"}
    arguments = (tested.root / "arguments").read_text()
    assert arguments.startswith("-u logstash -- /usr/share/logstash/bin/logstash --config.test_and_exit ")
    assert (tested.root / "chown").read_text().splitlines()[-1].startswith("-R logstash: /tmp/")


def test_the_paths_in_pipelines_yml_become_those_of_the_copy(tested: ShellMachine) -> None:
    folder = tested.path(f"{HOME}/pipelines.d/syslog")
    (done,) = accepted(
        tested,
        [
            own("pipelines.yml", f'- pipeline.id: syslog\n  path.config: "{folder}/*.conf"\n'),
            own("pipelines.d/syslog/logstash-ha.conf", "new\n"),
        ],
    )
    assert done.returncode == 0, done.stderr
    shadow = seen(tested)
    assert str(tested.root) not in shadow["pipelines.yml"]
    assert shadow["pipelines.d/syslog/logstash-ha.conf"] == "new\n"


def test_the_certificates_in_a_test_are_those_of_the_copy(tested: ShellMachine) -> None:
    """The new ones are not in place yet, and Logstash looks whether the files are there."""
    tls = tested.path(f"{HOME}/tls")
    (done,) = accepted(
        tested,
        [
            own("conf.d/logstash-ha.conf", f'ssl_key => "{tls}/beats.key"\n'),
            own("tls/beats.key", "a key\n", mode="400", secret=True),
        ],
    )
    assert done.returncode == 0, done.stderr
    shadow = seen(tested)
    found = re.fullmatch(
        r'ssl_key => "(/tmp/\S+)/settings/tls/beats.key"\n', shadow["conf.d/logstash-ha.conf"]
    )
    assert found
    assert shadow["tls/beats.key"] == "a key\n"
    assert not tested.path(f"{HOME}/tls/beats.key").exists()


def test_logstash_tests_nothing_when_nothing_new_is_staged(tested: ShellMachine) -> None:
    assert accepted(tested, [own("logstash.yml", "settings\n")]) == []


def test_another_version_of_logstash_tests_the_files_when_it_is_installed(tested: ShellMachine) -> None:
    def change() -> PackageChange:
        return PackageChange(install="echo installed", revert="echo back")

    texts = [own("logstash.yml", "settings\n"), own("conf.d/logstash-ha.conf", "new\n")]
    for done in tested.run(files.put, files=texts):
        assert done.returncode == 0, done.stderr
    assert tested.commands(logstash.accepted, files=texts, units=["logstash"], find_change=change) == []
    found = tested.inside(lambda: logstash.tested_change(texts, ["logstash"], change))
    assert found.revert == "echo back"
    done = tested.sh(found.install)
    assert (done.returncode, done.stdout) == (0, "installed\n")
    assert seen(tested)["conf.d/logstash-ha.conf"] == "new\n"
    tested.program("runuser", "echo '[FATAL] no'; exit 1")
    refused = tested.sh(f"{found.install} || echo refused")
    assert refused.stdout == "installed\nrefused\n"
    assert "Logstash refuses it" in refused.stderr


def test_a_file_that_only_an_earlier_run_staged_is_not_tested(tested: ShellMachine) -> None:
    """It was refused then, and is no longer desired."""
    tested.run(files.put, files=[own("conf.d/bad.conf", "bad\n")])
    (done,) = accepted(tested, [own("conf.d/good.conf", "good\n")])
    assert done.returncode == 0, done.stderr
    assert "bad\n" not in seen(tested).values()


def test_files_that_are_no_longer_desired_are_not_tested(tested: ShellMachine) -> None:
    """A file of the deploy is left out, an original is back in its place, and what was not the deploy's stays."""
    for name in ("ours", "theirs", "same"):
        folder = tested.path(f"{HOME}/conf.d")
        (good := Path(f"{tested.path(GOOD)}{folder}/{name}.conf")).parent.mkdir(parents=True, exist_ok=True)
        good.write_text("good\n")
    tested.write(f"{HOME}/conf.d/same.conf", "good\n")
    for name in ("ours", "theirs"):
        assert (
            tested.run(files.put, files=[TextFile(f"{HOME}/conf.d/{name}.conf", "good\n")])[0].returncode == 0
        )
    before = in_place(tested)
    (done,) = accepted(tested, [own("logstash.yml", "settings\n")])
    assert done.returncode == 0, done.stderr
    shadow = seen(tested)
    assert "conf.d/ours.conf" not in shadow
    assert shadow["conf.d/theirs.conf"] == "theirs\n"
    assert shadow["conf.d/same.conf"] == "good\n"
    assert in_place(tested) == before


def test_logstash_tests_with_its_secrets_and_nobody_sees_them(tested: ShellMachine) -> None:
    text = 'PASSWORD="a\\"b\\\\c\\$d\\`e f#g"\n'
    (command,) = tested.run(files.put, files=[own("logstash-ha.env", text, mode="600", secret=True)])
    assert command.returncode == 0
    (test,) = tested.commands(
        logstash.accepted, files=[own("logstash-ha.env", text, mode="600")], units=["logstash"]
    )
    assert tested.sh(test).returncode == 0
    assert 'PASSWORD=a"b\\c$d`e f#g\n' in (tested.root / "environment").read_text()
    assert "PASSWORD" not in test.get_raw_value()
    assert "PASSWORD" not in (tested.root / "arguments").read_text()


SERVICE = """\
case "$1 $2 $3" in
"cat logstash ") printf '%s\\n' [Service] Environment=PLAIN=unit 'Environment="SPACED=two words" LAST=unit' \
    'Environment=PATH=/usr/bin:/bin' Nice=0 ;;
"show -p EnvironmentFiles")
    for file in /etc/default/logstash /etc/sysconfig/logstash /etc/logstash/logstash-ha.env; do
        echo "{property}={root}$file (ignore_errors=yes)"
    done ;;
*) echo Id=logstash.service ;;
esac
"""


@pytest.mark.parametrize(
    "property", ["EnvironmentFiles", "EnvironmentFile"]
)  # the second one: systemd of EL 7
def test_logstash_tests_with_the_environment_of_its_service(tested: ShellMachine, property: str) -> None:
    """As systemd reads it: unit, then files, the last one ours. No shell reads these files, nor runs what is in them."""
    tested.program("systemctl", SERVICE.format(root=tested.root, property=property))
    tested.write(
        "/etc/sysconfig/logstash",
        "# Elastic's place for it\n"
        "LOGSTASH_KEYSTORE_PASS=p a$(touch x)'s\n"
        "  PADDED = yes \n"
        "  ONE='it is \\ \"one\"' \n"
        'TWO="two \\"words\\" \\n" three\n'
        "LONG=first \\\nsecond \n"
        "LS_JAVA_OPTS=-Xms1g -Xmx1g\n"
        "PLAIN=file\n"
        "work=/etc\n"
        "; NOT=this\n"
        "NEITHER\n"
        "LAST=file",
    )
    tested.write(f"{HOME}/logstash-ha.env", 'OLD="old"\n')
    texts = [own("logstash-ha.env", 'LS_JAVA_OPTS="-Xms4g -Xmx4g"\n'), own("logstash.yml", "settings\n")]
    (done,) = accepted(tested, texts)
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(
        line.split("=", 1) for line in (tested.root / "environment").read_text().splitlines() if "=" in line
    )
    expected = {
        "LOGSTASH_KEYSTORE_PASS": "p a$(touch x)'s",
        "ONE": 'it is \\ "one"',
        "TWO": 'two "words" \\nthree',
        "LONG": "first second",
        "LS_JAVA_OPTS": "-Xms4g -Xmx4g",
        "PLAIN": "file",
        "SPACED": "two words",
        "LAST": "file",
        "PADDED": "yes",
        "PATH": "/usr/bin:/bin",
        "work": "/etc",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not {"NOT", "NEITHER", "OLD"} & set(found)
    assert tested.path(HOME).exists()
    assert "p a$" not in (tested.root / "arguments").read_text()


FATAL = r'[FATAL][a] The configuration is invalid. Reason: Expected one of [ \t\r\n], "#"'

INVALID = """Your settings are invalid. Reason: Setting "bogus" doesn't exist. Please check if you haven't made a typo."""
EXIT = "[FATAL][org.logstash.Logstash    ] Logstash stopped processing because of an error: (SystemExit) exit"


@pytest.mark.parametrize(
    ("console", "log", "reason"),
    [
        ("Sending Logstash logs to /x", f"[INFO ][a] Starting\n{FATAL}", FATAL),
        (FATAL, FATAL, FATAL),
        ("ERROR: Setting bogus doesn't exist", "", "ERROR: Setting bogus doesn't exist"),
        (f"Using bundled JDK: /x\n{INVALID}\n{EXIT}", EXIT, INVALID),
        (EXIT, EXIT, EXIT),
    ],
)
def test_logstash_says_why_it_refuses(tested: ShellMachine, console: str, log: str, reason: str) -> None:
    (tested.root / "console").write_text(console)
    (tested.root / "log").write_text(log)
    tested.program(
        "runuser",
        "while [ $1 != --path.logs ]; do shift; done\n"
        f'mkdir -p "$2"; cp {tested.root}/log "$2/x.log"; cat {tested.root}/console; exit 1',
    )
    before = in_place(tested)
    (done,) = accepted(tested, [own("conf.d/x.conf", "bad\n")])
    assert done.returncode == 1
    assert done.stderr == f"Logstash refuses it: {reason}\n"
    assert in_place(tested) == {**before, "conf.d/.x.conf.staged": "bad\n"}


@pytest.mark.parametrize("status", [0, 1])
def test_the_test_leaves_nothing_behind(tested: ShellMachine, status: int) -> None:
    tested.run(files.put, files=[own("conf.d/x.conf", "new\n")])
    work = tested.root / "work"
    tested.program("mktemp", f"mkdir {work} && echo {work}")
    tested.program("runuser", f"ls {work}/settings/conf.d/x.conf && exit {status}")
    (done,) = tested.run(logstash.accepted, files=[own("conf.d/x.conf", "new\n")], units=["logstash"])
    assert done.returncode == status
    assert not work.exists()


@pytest.fixture
def api() -> Iterator[int]:
    """The port of an API that lists the input `udp-5514`."""
    stats = {"pipelines": {"main": {"plugins": {"inputs": [{"id": "udp-5514"}]}}}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(stats).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("ids", "good"), [(["udp-5514"], True), (["udp-5514", "other"], False)])
def test_the_probe_of_a_drained_node_checks_its_inputs_all_the_same(
    machine: ShellMachine, tmp_path: Path, api: int, ids: list[str], good: bool
) -> None:
    """The deploy has drained it on every director, itself included, and waits until it is up."""
    script = Path("files/check_logstash_input.py").read_text().replace("PORT = 9600", f"PORT = {api}")
    machine.write(health_script.CHECK, script.replace("/etc/", f"{machine.root}/etc/"))
    machine.write("/etc/keepalived/drained/127.0.0.1", "")
    inputs = [{"id": id, "port": 5514 + number} for number, id in enumerate(ids)]
    cluster = make_cluster(tmp_path, inputs=inputs)
    done = machine.sh(keepalived.probe(cluster, cluster.nodes[0], el=9).replace("10.77.0.11", "127.0.0.1"))
    assert (done.returncode == 0) == good, done.stdout
    assert f"{ids[-1]} at 127.0.0.1 is {'up' if good else 'down: no such input'}" in done.stdout


SOCKETS = """\
State Recv-Q Send-Q Local Address:Port Peer Address:Port Process
UNCONN 0 0 10.77.0.11:5514 0.0.0.0:* users:(("java",pid=812,fd=90))
UNCONN {waiting} 0 [::ffff:10.77.0.11]:5515 *:* users:(("java",pid=812,fd=91))
UNCONN 9 0 10.77.0.11:15514 0.0.0.0:* users:(("other",pid=8,fd=3))
UNCONN 0 0 10.77.0.11:5516 0.0.0.0:* users:(("other",pid=8,fd=4))
"""


@pytest.mark.parametrize(
    ("ports", "output"),
    [([5514, 5515], ""), ([5514, 5516], "port 5516 is not bound"), ([5517], "port 5517 is not bound")],
)  # fmt: skip
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_logstash_is_up_when_its_ports_are_bound(
    machine: ShellMachine, tmp_path: Path, ports: list[int], output: str, protocol: str
) -> None:
    """They must be bound by Logstash, not by another program."""
    inputs = [{"id": f"{port}", "port": port, "protocol": protocol} for port in ports]
    machine.program("ss", f"[ $1 = -nl{protocol[0]}p ] && cat <<'END'\n{SOCKETS.format(waiting=0)}END")
    machine.program("systemctl", "echo MainPID=812")
    done = machine.sh(logstash_unit(make_cluster(tmp_path, inputs=inputs), listed="true").probe)
    assert (done.returncode, done.stdout.strip()) == (1 if output else 0, output)


def test_logstash_may_take_as_long_to_start_as_its_cluster_says(tmp_path: Path) -> None:
    assert logstash_unit(make_cluster(tmp_path), listed="true").bound == 180
    assert logstash_unit(make_cluster(tmp_path, start_timeout=3600), listed="true").bound == 3600


@pytest.mark.parametrize(("ports", "waiting", "idle"), [([5514], 7, True), ([5514, 5515], 7, False), ([5514, 5515], 0, True)])  # fmt: skip
def test_logstash_is_idle_when_nothing_waits_at_its_udp_ports(
    machine: ShellMachine, tmp_path: Path, ports: list[int], waiting: int, idle: bool
) -> None:
    machine.program("ss", f"[ $1 = -nlu ] && cat <<'END'\n{SOCKETS.format(waiting=waiting)}END")
    inputs = [
        *({"id": f"{port}", "port": port} for port in ports),
        {"id": "tcp", "port": 15514, "protocol": "tcp"},
    ]
    unit = logstash_unit(make_cluster(tmp_path, inputs=inputs), listed="true")
    assert (machine.sh(unit.idle).returncode == 0) == idle


def test_a_line_of_the_stig_becomes_a_comment_and_no_other_line_does(machine: ShellMachine) -> None:
    machine.program("sysctl", ":")
    conf = machine.write(
        "/etc/sysctl.conf",
        "# net.ipv4.ip_forward = 0\nnet.ipv4.ip_forward=0\nnet.ipv4.ip_forward_use_pmtu = 0\n",
    )
    for done in machine.run(sysctl.effective, settings={"net.ipv4.ip_forward": "1"}, file=SYSCTL_FILE):
        assert done.returncode == 0, done.stderr
    assert conf.read_text().splitlines() == [
        "# net.ipv4.ip_forward = 0",
        "# net.ipv4.ip_forward=0",
        "net.ipv4.ip_forward_use_pmtu = 0",
    ]
    assert machine.fact(Record, path=RECORD)["stig"] == ["net.ipv4.ip_forward=0"]


def test_the_fact_reads_the_running_kernel_s_settings(machine: ShellMachine) -> None:
    keys = ["net.ipv4.ip_forward", "net.ipv4.ip_nonlocal_bind"]
    sysctls = {key: machine.sh(f"cat /proc/sys/{key.replace('.', '/')}").stdout.strip() for key in keys}
    assert machine.fact(Sysctl, keys=keys)["runtime"] == sysctls
