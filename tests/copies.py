"""A Python program that tests start again and again: each start is a copy of a process that has imported all of it.

So a start does not cost what Python's own start and the imports do, many times what most tests need besides.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

# The child goes on to the end of this program, and so ends as one that was started by itself does.
_SERVER = """\
import gc, importlib, json, os, runpy, socket, sys
module, *imports = sys.argv[1:]
for name in imports:
    importlib.import_module(name)
gc.freeze()
orders = socket.socket(fileno=os.dup(0))
child = False
while not child:
    text, files, *_ = socket.recv_fds(orders, 1 << 20, 3)
    if not text:
        os._exit(0)
    order = json.loads(text)
    if "ended" in order:
        answer = os.waitstatus_to_exitcode(os.waitpid(order["ended"], 0)[1])
    else:
        answer = os.fork()
        child = not answer
    if not child:
        for file in files:
            os.close(file)
        orders.send(b"%d" % answer)
orders.close()
for number, file in enumerate(files):
    os.dup2(file, number)
    os.close(file)
os.chdir(order["folder"])
os.environ.clear()
os.environ.update(order["environment"])
for name in order["anew"]:
    importlib.reload(sys.modules[name])
sys.argv[1:] = order["arguments"]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


class Program:
    """`python -m module`, which has imported these modules. Those to be read `anew` by each copy look at its process."""

    def __init__(
        self, module: str, imports: Sequence[str], anew: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._orders, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._anew = anew
        with end:  # it ends with this process, which has the other end
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVER, module, *imports],
                env=dict(environment),
                stdin=end.fileno(),
                stdout=subprocess.DEVNULL,
            )

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], stdin: str = "", *, together: bool
    ) -> Copy:
        """Start a copy. What it says is in `stdout`; what goes to its standard error, too, if they are `together`."""
        copy = Copy(self, together)
        copy.stdin.write(stdin)
        copy.stdin.seek(0)
        order = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": os.getcwd(),
            "anew": self._anew,
        }
        files = [file.fileno() for file in (copy.stdin, copy.stdout, copy.stderr)]
        socket.send_fds(self._orders, [json.dumps(order).encode()], files)
        copy.begin(int(self._orders.recv(100)))
        return copy

    def status(self, pid: int) -> int:
        """The exit status of a copy that has ended, as in `subprocess`."""
        self._orders.send(json.dumps({"ended": pid}).encode())
        return int(self._orders.recv(100))


class Copy:
    """A copy, which is used like a `subprocess.Popen`. What it has said is kept in files."""

    def __init__(self, program: Program, together: bool) -> None:
        self._program = program
        self.stdin, self.stdout = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.stderr = self.stdout if together else tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.returncode: int | None = None

    def begin(self, pid: int) -> None:
        """It is this process."""
        self.pid, self._ended = pid, os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self.returncode = self._program.status(self.pid)
            os.close(self._ended)
        return self.returncode

    def wait(self, seconds: float) -> int:
        """The exit status. Raises `TimeoutExpired` when it does not end."""
        if self.returncode is None:
            select.select([self._ended], [], [], seconds)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), seconds)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def said(self) -> tuple[str, str]:
        """What it has said until its end, by way of its standard output and error."""
        texts = []
        for file in (self.stdout, self.stderr):
            file.seek(0)
            texts.append(file.read())
        return texts[0], texts[1]

    def close(self) -> None:
        """Leave nothing of it open."""
        for file in (self.stdin, self.stdout, self.stderr):
            file.close()
