"""A machine for the deploy's shell commands, which really run: a folder stands for its root folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api import FactBase, FileUploadCommand, StringCommand
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeHost, FakeState

SHELLS = ("dash", "bash")
"""pyinfra runs commands by `sh`: bash on Enterprise Linux, and dash is the plainest there is."""


class ShellMachine:
    """A machine whose `/etc` and `/var/lib` are in `root`; programs in `root/bin` are found before the real ones."""

    def __init__(self, root: Path, shell: str) -> None:
        self.root = root
        self.shell = shell
        (root / "bin").mkdir()

    def path(self, path: str) -> Path:
        """The real path of a file of the machine."""
        return Path(self._moved(path))

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Write a file on the machine."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def program(self, name: str, script: str) -> None:
        """Put a shell script in the place of a program."""
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that commands run in."""
        return {**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}"}

    def arguments(self, command: StringCommand | str) -> list[str]:
        """The arguments to run a command with; the shell takes the first one for its own name."""
        text = command.get_raw_value() if isinstance(command, StringCommand) else command
        return ["sh", "-c", self._moved(text)]

    def sh(self, command: StringCommand | str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as pyinfra does: its standard input ends with a newline."""
        if stdin is None and isinstance(command, StringCommand):
            stdin = str(command.connector_arguments.get("_stdin") or "")
            stdin += "" if stdin.endswith("\n") or not stdin else "\n"
        return subprocess.run(
            self.arguments(command),
            executable=f"/bin/{self.shell}",
            input=stdin or "",
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=30,
        )

    def fact(self, fact: type[FactBase[Any]], **arguments: Any) -> Any:
        """The value of a fact, whose command must not fail."""
        one = fact()
        done = self.sh(one.command(**arguments))
        assert done.returncode == 0, done.stderr
        lines = done.stdout.replace(str(self.root), "").splitlines()
        return one.process(lines) if lines else one.default()

    def commands(self, operation: Any, **arguments: Any) -> list[StringCommand]:
        """The commands that an operation would run."""
        state = FakeState()
        with ctx_state.use(state), ctx_host.use(_Host(state, self)):
            return list(operation._inner(**arguments))

    def inside(self, function: Callable[[], Any]) -> Any:
        """The result of a function that reads facts, called as in an operation."""
        state = FakeState()
        with ctx_state.use(state), ctx_host.use(_Host(state, self)):
            return function()

    def run(self, operation: Any, **arguments: Any) -> list[subprocess.CompletedProcess[str]]:
        """Run the operation's commands until one fails."""
        done = []
        for command in self.commands(operation, **arguments):
            if isinstance(command, FileUploadCommand):
                shutil.copy(str(command.src), self.path(command.dest))
                continue
            done.append(self.sh(command))
            if done[-1].returncode:
                break
        return done

    def _moved(self, text: str) -> str:
        folders = ["/etc/", "/var/lib/"]
        if (self.root / "proc/sys").exists():  # a kernel whose settings can be changed
            folders.append("/proc/sys/")
        for folder in folders:
            text = text.replace(folder, f"{self.root}{folder}")
        return text


class _Host(FakeHost):  # type: ignore[misc]
    """pyinfra's host, as an operation sees it; facts are read from the machine."""

    def __init__(self, state: FakeState, machine: ShellMachine) -> None:
        super().__init__(state, "stash1", {}, {})
        self.machine = machine

    def get_fact(self, fact: type[FactBase[Any]], **arguments: Any) -> Any:
        return self.machine.fact(fact, **arguments)

    def log(self, message: str, log_func: Callable[[str], Any] = logger.info) -> None:
        log_func(message)
