"""A service that gets its new files or, when it does not come up, its old ones: the script really runs.

`systemctl` is a stand-in that keeps the unit's state in files, and a clock that only `sleep` moves takes the
place of the real one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from desired import keepalived
from desired.paths import LAST_GOOD, STATE
from desired.textfile import TextFile
from desired.unit import Unit, needs_restart, reads
from facts.services import UnitState, UnitStates, unit_state
from operations import files, services
from operations.services import PackageChange
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine

# What the service has read when it starts is in `running`; with the word `unstartable` in it, it does not start.
SYSTEMCTL = """\
cd {root}
echo "$@" >>calls
[ $1 != -q ] || shift
case $1 in
is-active) cat active ;;
show) echo Id=logstash.service; cat shown ;;
is-enabled) exec grep -q =enabled shown ;;
enable) sed -i s/=disabled/=enabled/ shown ;;
daemon-reload) sed -i s/=yes/=no/ shown ;;
stop) echo inactive >active; cat etc/x/*.conf >at_stop ;;
disable) [ $2 = --no-reload ] || echo inactive >active; sed -i s/=enabled/=disabled/ shown ;;
restart | reload-or-restart)
    cat etc/x/*.conf >running
    if grep -q unstartable running; then echo failed >active; echo Job failed. >&2; exit 1; fi
    echo active >active
    ;;
esac
read -r state <active
now=$(while read -r line; do
    case $line in ActiveState=*) echo ActiveState=$state ;; *) echo "$line" ;; esac
done <shown)
echo "$now" >shown
"""

# A step of the script: whatever it moves, removes or has systemd do. Before the one whose number is in `fatal`, the
# machine loses its power.
STEP = """\
echo >>{root}/steps
steps=0
while read -r _; do steps=$((steps + 1)); done <{root}/steps
read -r fatal <{root}/fatal
if [ $steps = $fatal ]; then read -r pid <{root}/pid; kill -KILL $pid; exit 1; fi
"""

A, B, C = "/etc/x/a.conf", "/etc/x/b.conf", "/etc/x/c.conf"


class ServiceHost:
    """A machine with a service, and the part of a deploy that concerns the service."""

    def __init__(self, machine: ShellMachine) -> None:
        self.machine, self.root = machine, machine.root
        machine.path("/etc/x").mkdir(parents=True)
        machine.program("systemctl", SYSTEMCTL.format(root=self.root))
        self.install("1")
        machine.program("journalctl", 'echo "journal: $*"')
        clock = f"{self.root}/clock"
        machine.program(
            "cut", f'[ $1 = -d. ] || exec /usr/bin/cut "$@"; read -r now <{clock}; echo ${{now%.*}}'
        )
        machine.program("sleep", f'now=$(awk "{{ print \\$1 + $1 }}" {clock}); echo $now >{clock}')
        self.write("clock", "100")
        self.write("active", "inactive")
        self.write("shown", "UnitFileState=disabled\nActiveState=inactive\nNeedDaemonReload=no")

    def write(self, name: str, text: str) -> None:
        """Write a file that the stand-ins read."""
        (self.root / name).write_text(f"{text}\n")

    def install(self, version: str) -> None:
        """Install a version of the service's package."""
        self.machine.program("rpm", f"echo logstash-{version}")

    def written(self, name: str) -> list[str]:
        """The lines of a file that the stand-ins write."""
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []

    def deploy(self, texts: dict[str, str], **unit: Any) -> subprocess.CompletedProcess[str] | None:
        """Put the files, and run the activation; None where no restart is needed."""
        activation = self.activation(texts, **unit)
        return activation and self.machine.sh(activation[0], stdin=activation[1])

    def activation(self, texts: dict[str, str], **arguments: Any) -> tuple[str, str] | None:
        """Put the files, and return the activation's script and its standard input; None where no restart is needed."""
        probe = f"! grep -q bad {self.root}/running || {{ echo no such input; false; }}"
        change = arguments.pop("change", None)
        unit = Unit("logstash", **{"probe": probe, "bound": 2, **arguments})
        desired = [
            *(TextFile(path, f"{text}\n", read_by="logstash") for path, text in texts.items()),
            TextFile("/etc/other", "other\n"),
        ]
        for done in self.machine.run(files.put, files=desired):
            assert done.returncode == 0, done.stderr
        present = self.present(list(texts))
        if not (change or needs_restart("logstash", desired, present)):
            return None
        script = services.activation_script(unit, desired, present, change)
        return script, "\n".join(reads("logstash", desired))

    def present(self, paths: list[str]) -> UnitState:
        """The unit's state as the fact reads it."""
        states: dict[str, UnitState] = self.machine.fact(
            UnitStates, units={"logstash": paths}, fingerprints=STATE, good=LAST_GOOD
        )
        return states["logstash"]

    @property
    def files(self) -> dict[str, str]:
        """All files in the service's folder, hidden or not: text by path."""
        top = self.machine.path("/etc/x")
        return {f"/etc/x/{path.name}": path.read_text().strip() for path in top.iterdir()}

    def last_good(self, path: str) -> Path:
        """The copy of a file as it was when the service last came up."""
        return Path(f"{self.machine.path('/var/lib/logstash-ha/good/logstash')}{self.machine.path(path)}")

    def crash(self, at: int) -> None:
        """Cut the machine's power at that step of the next script."""
        self.write("fatal", str(at))
        (self.root / "steps").write_text("")
        step = STEP.format(root=self.root)
        for name in ("mv", "rm"):
            self.machine.program(name, f'{step}exec /bin/{name} "$@"')
        self.machine.program("systemctl", step + SYSTEMCTL.format(root=self.root))

    def crash_no_more(self) -> None:
        """From the next script on, the machine has its power."""
        for name in ("mv", "rm"):
            (self.root / "bin" / name).unlink()
        self.machine.program("systemctl", SYSTEMCTL.format(root=self.root))


@pytest.fixture
def host(machine: ShellMachine) -> ServiceHost:
    """A machine with a service that does not run yet."""
    return ServiceHost(machine)


OLD = {A: "good 1", B: "good 1"}
NEW = {A: "good 2", C: "good 2"}


def succeeded(done: subprocess.CompletedProcess[str] | None) -> bool:
    """Whether the activation was needed and went well."""
    assert done
    assert (done.stdout, done.stderr) == ("", "") or done.returncode
    return done.returncode == 0


def failure(done: subprocess.CompletedProcess[str] | None) -> list[str]:
    """The lines that the activation printed when it failed."""
    assert done
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()


def test_a_service_comes_up_with_its_files(host: ServiceHost) -> None:
    assert succeeded(host.deploy(OLD))
    assert host.files == OLD
    assert host.written("running") == ["good 1", "good 1"]
    assert [call for call in host.written("calls") if not call.startswith("show")] == [
        "is-active logstash",
        "restart logstash",
        "-q is-enabled logstash",
        "-q enable logstash",
    ]
    present = host.present([A, B])
    assert present["service"] == {"enabled": True, "active": True, "stale": False}
    assert present["fingerprint"] == ["logstash-1", *(f"{present['files'][path]}  {path}" for path in (A, B))]
    assert sorted(present["good"]) == [A, B]
    assert host.last_good(A).read_text() == "good 1\n"


@pytest.mark.parametrize(("text", "ran"), [("good", True), ("bad", False)])
def test_the_command_for_afterwards_runs_with_the_new_files_only(
    host: ServiceHost, text: str, ran: bool
) -> None:
    file = TextFile(A, text, read_by="logstash")
    host.machine.run(files.put, files=[file])
    unit = Unit("logstash", probe=f"grep -q good {A}", bound=1, then=f"touch {host.root}/then")
    host.machine.sh(services.activation_script(unit, [file], host.present([A])))
    assert (host.root / "then").exists() is ran


def test_systemd_reloads_for_its_own_files_only(host: ServiceHost) -> None:
    """It takes seconds."""
    drop_in = "/etc/systemd/system/logstash.service.d/x.conf"
    for change, times in (
        ({A: "good 1", drop_in: "a"}, 1),
        ({A: "good 2", drop_in: "a"}, 1),
        ({A: "good 2", drop_in: "b"}, 2),
        ({A: "good 2"}, 3),
    ):
        assert succeeded(host.deploy(change))
        assert host.written("calls").count("daemon-reload") == times


def test_systemd_reloads_once_for_a_new_unit_and_its_enabling(host: ServiceHost) -> None:
    drop_in = "/etc/systemd/system/logstash.service.d/x.conf"
    assert succeeded(host.deploy({A: "good 1", drop_in: "a"}))
    assert [call for call in host.written("calls") if not call.startswith("show")] == [
        "is-active logstash",
        "-q is-enabled logstash",
        "-q enable --no-reload logstash",
        "daemon-reload",
        "restart logstash",
    ]
    assert host.present([A])["service"] == {"enabled": True, "active": True, "stale": False}


def test_a_new_unit_that_does_not_come_up_is_not_enabled(host: ServiceHost) -> None:
    drop_in = "/etc/systemd/system/logstash.service.d/x.conf"
    failure(host.deploy({A: "unstartable", drop_in: "a"}))
    assert not host.present([A])["service"]["enabled"]
    assert succeeded(host.deploy({A: "good 1", drop_in: "a"}))
    assert host.present([A])["service"]["enabled"]
    failure(host.deploy({A: "unstartable", drop_in: "b"}))
    assert host.present([A])["service"]["enabled"]  # as before


def test_a_second_deploy_needs_no_restart(host: ServiceHost) -> None:
    host.deploy(OLD)
    assert host.deploy(OLD) is None


@pytest.mark.parametrize(
    "change",
    [
        "sed -i s/ActiveState=active/ActiveState=failed/ {root}/shown",
        "sed -i s/=enabled/=disabled/ {root}/shown",
        "sed -i s/NeedDaemonReload=no/NeedDaemonReload=yes/ {root}/shown",
        "echo 'echo logstash-2' >{root}/bin/rpm",
        "echo changed >" + A,
        "rm " + A,
        "rm /var/lib/logstash-ha/logstash.sha256",
    ],
)
def test_a_restart_is_needed_again_when_one_thing_differs(host: ServiceHost, change: str) -> None:
    host.deploy(OLD)
    assert host.machine.sh(change.format(root=host.root)).returncode == 0
    assert succeeded(host.deploy(OLD))
    assert host.deploy(OLD) is None


def test_the_script_waits_until_the_probe_succeeds(host: ServiceHost) -> None:
    host.machine.program("sleep", f"echo $1 >>{host.root}/slept")
    assert succeeded(host.deploy(OLD, probe=f"test $(wc -l <{host.root}/slept) = 3"))
    assert host.written("slept") == ["1", "1", "1"]


def test_files_and_their_copies_keep_their_modes(host: ServiceHost) -> None:
    secret = TextFile(A, "good\n", mode="600", read_by="logstash")
    host.machine.run(files.put, files=[secret])
    unit = Unit("logstash", probe="true")
    for _ in range(2):
        assert host.machine.sh(services.activation_script(unit, [secret], host.present([A]))).returncode == 0
        assert host.machine.path(A).stat().st_mode & 0o7777 == 0o600
        assert host.last_good(A).stat().st_mode & 0o7777 == 0o600


def test_files_in_place_get_their_selinux_labels(host: ServiceHost) -> None:
    host.machine.program("restorecon", f"printf '%s\\n' $* >>{host.root}/labelled")
    host.deploy(OLD)
    assert {str(host.machine.path(path)) for path in OLD} <= set(host.written("labelled"))


@pytest.mark.parametrize("bad", ["bad", "unstartable"])
def test_a_service_gets_its_last_good_files_back(host: ServiceHost, bad: str) -> None:
    host.deploy(OLD)
    fingerprint = host.present([A, B])["fingerprint"]
    lines = failure(host.deploy({A: bad, B: "good 2", C: bad}, log=f"{host.root}/log"))
    reason = {"bad": "no such input", "unstartable": "Job failed."}[bad]
    assert lines == [
        f"logstash does not come up within 2 s: {reason}",
        "journal: --no-pager --output=cat --lines=10 --unit=logstash",
        "logstash: its old files are back, and it runs with them",
    ]
    assert host.files == OLD
    assert host.written("running") == ["good 1", "good 1"]
    assert host.written("active") == ["active"]
    assert host.present([A, B])["fingerprint"] == fingerprint
    assert host.deploy(OLD) is None
    assert failure(host.deploy({A: bad}))[-1] == lines[-1]
    assert host.files == OLD


def test_a_failure_shows_the_end_of_the_service_s_own_log(host: ServiceHost) -> None:
    host.write("log", "\n".join(f"line {number}" for number in range(1, 21)))
    lines = failure(host.deploy({A: "bad"}, log=f"{host.root}/log"))
    assert lines[2:12] == [f"line {number}" for number in range(11, 21)]


def test_the_probe_has_no_longer_than_the_bound(host: ServiceHost) -> None:
    assert "within 7 s" in failure(host.deploy({A: "bad"}, bound=7))[0]
    assert 107 <= float(host.written("clock")[0]) <= 109


@pytest.mark.parametrize(("was", "word"), [("active", "and it runs with them"), ("inactive", "it did not run before, and is stopped")])  # fmt: skip
def test_a_first_deploy_that_fails_goes_back_to_what_was_there_before(
    host: ServiceHost, was: str, word: str
) -> None:
    """What was there is back, also what was there as desired; what was not there is gone."""
    host.machine.write(A, "theirs\n", mode=0o640)
    host.machine.write(B, "same\n")
    host.write("active", was)
    lines = failure(host.deploy({A: "bad", B: "same", C: "bad"}))
    assert lines[-1].endswith(word)
    assert host.files == {A: "theirs", B: "same"}
    assert host.machine.path(A).stat().st_mode & 0o7777 == 0o640
    assert host.written("active") == [was]
    assert "UnitFileState=disabled" in host.written("shown")


def test_a_file_that_a_later_deploy_adds_goes_back_to_what_was_there_before(host: ServiceHost) -> None:
    """The deploy has come up before, without these files."""
    host.machine.write(B, "theirs\n")
    host.machine.write(C, "same\n")
    host.deploy({A: "good 1"})
    failure(host.deploy({A: "bad", B: "bad", C: "same"}))
    assert host.files == {A: "good 1", B: "theirs", C: "same"}
    assert host.deploy({A: "good 1"}) is None


def test_old_files_that_do_not_come_up_either_are_reported(host: ServiceHost) -> None:
    host.machine.write(A, "unstartable\n")
    host.write("active", "active")
    lines = failure(host.deploy({A: "bad"}))
    assert (
        lines[-1] == "logstash: its old files are back, and it does not come up with them either: Job failed."
    )
    assert host.files == {A: "unstartable"}


def test_files_that_are_no_longer_desired_go(host: ServiceHost) -> None:
    """Where there was another one before the deploy, that one is back."""
    host.machine.write(B, "theirs\n")
    host.deploy({A: "good 1", B: "good 1", C: "good 1"})
    assert succeeded(host.deploy({A: "good 2"}))
    assert host.files == {A: "good 2", B: "theirs"}
    assert host.present([A])["good"] == [A]
    assert host.deploy({A: "good 2"}) is None


def test_files_that_are_no_longer_desired_come_back_with_the_old_ones(host: ServiceHost) -> None:
    host.deploy(OLD)
    failure(host.deploy({A: "bad"}))
    assert host.files == OLD


def test_a_file_that_was_there_as_desired_before_the_first_deploy_stays(host: ServiceHost) -> None:
    """The deploy has not put it there."""
    host.machine.write(B, "good 1\n")
    host.deploy(OLD)
    assert succeeded(host.deploy({A: "good 1"}))
    assert host.files == OLD
    assert host.deploy({A: "good 1"}) is None


def updated(host: ServiceHost, version: str = "2", then: str = "true") -> PackageChange:
    """An update that writes down whether the service ran when it was made."""

    def script(version: str) -> str:
        return f"cat {host.root}/active >>{host.root}/updated; echo 'echo logstash-{version}' >{host.root}/bin/rpm"

    return PackageChange(install=f"{script(version)}; {then}", revert=script("1"))


def test_a_service_is_stopped_for_its_update(host: ServiceHost) -> None:
    host.deploy(OLD)
    assert succeeded(host.deploy(OLD, change=updated(host)))
    assert host.written("updated") == ["inactive"]
    assert host.written("active") == ["active"]
    assert host.written("calls").count("daemon-reload") == 1
    assert host.present([A, B])["fingerprint"][0] == "logstash-2"
    assert host.deploy(OLD) is None


def test_a_service_that_does_not_come_up_gets_its_old_package_back(host: ServiceHost) -> None:
    host.deploy(OLD)
    lines = failure(host.deploy({A: "bad"}, change=updated(host)))
    assert lines[0] == "logstash does not come up within 2 s: no such input"
    assert lines[-2:] == [
        "logstash: its old package is back",
        "logstash: its old files are back, and it runs with them",
    ]
    assert host.written("updated") == ["inactive", "inactive"]
    assert host.files == OLD
    assert host.deploy(OLD) is None


@pytest.mark.parametrize("changes", [True, False])
def test_a_package_that_can_not_be_updated_leaves_all_as_it_was(host: ServiceHost, changes: bool) -> None:
    """Also when it was installed before that became clear, as when it refuses the configuration."""
    host.deploy(OLD)
    change = updated(host, then="{ echo no room; false; }")
    if not changes:
        change = PackageChange(install="echo no room; false", revert="echo never; false")
    lines = failure(host.deploy(NEW, change=change))
    assert lines[0] == "logstash can't be updated: no room"
    assert ("logstash: its old package is back" in lines) is changes
    assert lines[-1] == "logstash: its old files are back, and it runs with them"
    assert host.files == {**OLD, f"{A[:-6]}.a.conf.staged": "good 2", f"{A[:-6]}.c.conf.staged": "good 2"}
    assert host.written("running") == ["good 1", "good 1"]
    assert host.deploy(OLD) is None


def test_an_old_package_that_can_not_be_installed_again_is_reported(host: ServiceHost) -> None:
    host.deploy(OLD)
    install = updated(host).install
    lines = failure(
        host.deploy({A: "bad"}, change=PackageChange(install=install, revert="echo not there; false"))
    )
    assert "logstash: its old package can't be installed again: not there" in lines


def test_a_unit_that_stops_first_stops_with_the_files_that_it_started_with(host: ServiceHost) -> None:
    host.deploy(OLD, stop_first=True)
    assert succeeded(host.deploy({A: "good 2"}, stop_first=True))
    assert host.written("at_stop") == ["good 1", "good 1"]
    failure(host.deploy({A: "bad"}, stop_first=True))
    assert host.written("at_stop") == ["bad"]
    assert host.written("running") == ["good 2"]


def test_another_unit_does_not_stop_before_its_files_change(host: ServiceHost) -> None:
    host.deploy(OLD)
    host.deploy(NEW)
    assert host.written("at_stop") == []


def test_events_that_wait_for_the_service_are_taken_before_its_restart(host: ServiceHost) -> None:
    """`queue` has a line for each check at which something still waits."""
    host.write("queue", "x\nx")
    idle = f"! grep -q x {host.root}/queue || {{ sed -i 1d {host.root}/queue; false; }}"
    assert succeeded(host.deploy(OLD, idle=idle))
    assert host.written("queue") == []
    assert float(host.written("clock")[0]) == pytest.approx(101.4)


def test_a_service_that_is_never_idle_is_restarted_all_the_same(host: ServiceHost) -> None:
    assert succeeded(host.deploy(OLD, idle="false"))
    assert 105 <= float(host.written("clock")[0]) <= 107


@pytest.mark.parametrize(("text", "end"), [("good 2", "good 2"), ("bad", "good 1")])
def test_the_script_runs_to_its_end_when_ssh_is_cut(host: ServiceHost, text: str, end: str) -> None:
    """Nobody reads its output any more, and the shell gets a SIGHUP."""
    host.deploy({A: "good 1"})
    hang_up = f"kill -HUP $(cat {host.root}/pid); touch {host.root}/hung_up"
    host.machine.program("systemctl", SYSTEMCTL.format(root=host.root) + hang_up)
    activation = host.activation({A: text})
    assert activation
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(
        host.machine.arguments(f"echo $$ >{host.root}/pid\n{activation[0]}"),
        executable=f"/bin/{host.machine.shell}",
        stdin=subprocess.PIPE,
        stdout=write,
        stderr=write,
        env=host.machine.environment,
    ) as process:
        os.close(write)
        process.communicate(activation[1].encode(), timeout=30)
    assert (host.root / "hung_up").exists()
    assert process.returncode == (text == "bad")
    assert host.files == {A: end}
    assert host.written("running") == [end]
    assert host.written("active") == ["active"]


@pytest.mark.parametrize("before", [{A: "theirs", B: "theirs"}, OLD], ids=["first", "later"])
def test_the_next_deploy_finishes_one_that_was_killed(tmp_path: Path, before: dict[str, str]) -> None:
    """Whatever the step: bad files then go back to all of the old or all of the new ones, and the same deploy ends well."""
    root, saved = tmp_path / "root", tmp_path / "saved"
    root.mkdir()
    host = ServiceHost(ShellMachine(root, "dash"))
    if before == OLD:
        host.deploy(before)
    else:
        for path, text in before.items():
            host.machine.write(path, f"{text}\n")
    activation = host.activation(NEW)
    assert activation
    shutil.copytree(root, saved)
    kept = {B: "theirs"} if before != OLD else {}
    at, killed = 0, True
    while killed:
        at += 1
        host.crash(at)
        script = f"echo $$ >{root}/pid\n{activation[0]}"
        killed = host.machine.sh(script, stdin=activation[1]).returncode < 0
        host.crash_no_more()
        failure(host.deploy({A: "bad", C: "bad"}, bound=1))
        assert host.files in (before, {**NEW, **kept}), at
        host.deploy(NEW)
        assert host.files == {**NEW, **kept}, at
        shutil.rmtree(root)
        shutil.copytree(saved, root)
    assert at > 12


def test_half_a_copy_of_a_killed_run_is_not_a_last_good_file(host: ServiceHost) -> None:
    host.deploy({A: "good 1"})
    half = Path(str(host.last_good(C)).replace("/good/logstash", "/good/logstash.new"))
    half.parent.mkdir(parents=True)
    half.write_text("half\n")
    host.deploy({A: "good 2"})
    assert host.present([A])["good"] == [A]


def test_a_unit_of_an_earlier_deploy_is_stopped_and_its_files_go(host: ServiceHost) -> None:
    file = "/etc/systemd/system/logstash.service"
    host.deploy({A: "good 1", file: "unit"})
    host.machine.run(files.put, files=[TextFile(file, "staged\n", read_by="logstash")])
    assert host.machine.path(file).exists()
    (done,) = host.machine.run(services.absent, units=["logstash"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "disable --now logstash" in host.written("calls")
    assert host.written("calls")[-1] == "daemon-reload"
    assert list(host.machine.path("/etc/systemd/system").iterdir()) == []
    assert host.present([A])["fingerprint"] == host.present([A])["good"] == []
    host.machine.run(files.pruned, files=[], kept=[])
    assert host.machine.commands(services.absent, units=["logstash"]) == []


def test_a_unit_that_the_deploy_has_not_put_there_is_left_alone(host: ServiceHost) -> None:
    host.machine.write("/etc/systemd/system/logstash.service", "theirs\n")
    assert host.machine.commands(services.absent, units=["logstash"]) == []


# One second passes with each `sleep`; a reload is noted with the age of keepalived's younger process then.
KEEPALIVED = """\
case "$*" in
*SubState*) printf 'MainPID=77\\nSubState=%s\\n' $(cat {root}/substate) ;;
is-active*) echo active ;;
reload-or-restart*) echo "$1 at $(ps | tail -n 1)" >>{root}/reloads ;;
esac
"""


@pytest.mark.parametrize(
    ("substate", "age", "reloaded_at"),
    [("running", 1, 5), ("running", 5, 5), ("running", 4000, 4000), ("start", 0, 5), ("auto-restart", 0, 0)],
)
@pytest.mark.parametrize("comes_up", [True, False])
def test_a_keepalived_that_has_just_started_is_not_reloaded_before_any_startup_delay_is_over(
    host: ServiceHost, substate: str, age: int, reloaded_at: int, comes_up: bool
) -> None:
    """Others may have started it, with a configuration of theirs that has a delay; so it is with one that was put back."""
    cluster = make_cluster(host.root)
    unit = replace(keepalived.unit(cluster, 9), probe="true" if comes_up else "false", bound=20)
    host.machine.program("systemctl", KEEPALIVED.format(root=host.root))
    host.write("substate", substate)
    host.write("clock", str(age))
    host.machine.program("ps", f"echo 4000; read -r now <{host.root}/clock; echo $now")
    host.machine.program(
        "sleep",
        f"read -r now <{host.root}/clock; now=$((now + 1)); echo $now >{host.root}/clock\n"
        f"[ $now != 2 ] || sed -i s/start$/running/ {host.root}/substate",
    )
    host.machine.sh(services.activation_script(unit, [], unit_state(unit.name, {})))
    first, *others = host.written("reloads")
    assert first == f"reload-or-restart at {reloaded_at}"
    assert bool(others) is not comes_up


def test_the_deploy_waits_as_long_as_the_program_that_the_health_service_has_run() -> None:
    program = Path(files.__file__).parents[1] / "files" / "logstash_ha_reload.py"
    assert f"\nOLD_ENOUGH = {keepalived.OLD_ENOUGH}\n" in program.read_text()
