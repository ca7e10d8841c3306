"""The service that has keepalived wait while firewalld has fallen back to its stock rules: its shell really runs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from desired import fallback
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine
from tests.until import until

GROUP = "sys/fs/cgroup/system.slice/firewalld.service"
WORKS_WHEN_ASKED = "import sys\nfor line in sys.stdin: print(sum(range(10**6)), flush=True)"


class Machine:
    """A machine whose firewalld says what `state` has, and that notes each question and each round of the service."""

    def __init__(self, machine: ShellMachine, firewalld: subprocess.Popen[str], group: str) -> None:
        self.root, self._shell = machine.root, machine.shell
        self._firewalld = firewalld
        self.state("RUNNING")
        machine.program("sleep", f"echo >>{self.root}/rounds; exec /bin/sleep 0.01")
        machine.program("busctl", f"echo >>{self.root}/questions; cat {self.root}/state")
        machine.program("systemctl", f'case $1 in is-active) ;; *) echo "$*" >>{self.root}/done ;; esac')
        (self.root / group).mkdir(parents=True)
        (self.root / group / "cgroup.procs").write_text(f"{firewalld.pid}\n")
        (file,) = fallback.files(make_cluster(machine.root))
        (command,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", file.content, re.MULTILINE)
        self._command = command.replace("$$", "$").replace("/sys/fs/cgroup", f"{self.root}/sys/fs/cgroup")
        self._environment = machine.environment

    def state(self, state: str) -> None:
        (self.root / "state").write_text(f's "{state}"\n')

    def work(self) -> None:
        """firewalld does something."""
        assert self._firewalld.stdin is not None
        assert self._firewalld.stdout is not None
        print(file=self._firewalld.stdin, flush=True)
        assert self._firewalld.stdout.readline()

    def count(self, what: str) -> int:
        file = self.root / what
        return len(file.read_text().splitlines()) if file.exists() else 0

    def wait(self, rounds: int = 5) -> None:
        """Until the service has been round so many times more."""
        before = self.count("rounds")
        until(lambda: self.count("rounds") >= before + rounds, 30, "more rounds of the service")

    @contextmanager
    def serving(self) -> Iterator[None]:
        with subprocess.Popen([self._shell, "-c", self._command], env=self._environment) as process:
            try:
                yield
            finally:
                process.terminate()


@pytest.fixture(params=[GROUP, GROUP.replace("cgroup/", "cgroup/systemd/")], ids=["v2", "v1"])
def served(machine: ShellMachine, request: pytest.FixtureRequest) -> Iterator[Machine]:
    arguments = [sys.executable, "-c", WORKS_WHEN_ASKED]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as firewalld:
        served = Machine(machine, firewalld, request.param)
        served.work()  # it has started
        with served.serving():
            yield served
        firewalld.terminate()


def test_firewalld_is_asked_once_it_has_run(served: Machine) -> None:
    served.wait()
    asked = served.count("questions")
    assert asked >= 1
    served.wait(20)
    assert served.count("questions") == asked
    served.state("FAILED")
    served.work()
    until(lambda: served.count("done") >= 1, 30, "keepalived restarted")
    assert (served.root / "done").read_text().splitlines()[0] == "--no-block restart keepalived"


def test_a_failed_firewalld_is_asked_until_it_runs_again(served: Machine) -> None:
    """However little it does meanwhile: keepalived may start at any time."""
    served.state("FAILED")
    served.work()
    until(lambda: served.count("done") >= 3, 30, "keepalived restarted each time that it runs")
    served.state("RUNNING")
    served.wait()
    before = served.count("done")
    served.wait()
    assert served.count("done") == before


def test_a_firewalld_that_is_not_found_is_asked_each_time(served: Machine) -> None:
    for file in Path(served.root, "sys").rglob("cgroup.procs"):
        file.unlink()
    served.wait()
    before = served.count("questions")
    served.wait(10)
    assert served.count("questions") >= before + 9
