"""The Pythons that the programs of `files/` must run on, and how a program is run on one of them again and again."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LIMIT = 30.0
"""Seconds after which a run has failed; it takes 3 at most, and Python's start on a busy machine."""

# Python 2.7 to 3.13. The child goes on to the end of this program, and so ends as one that was started for it does.
_SERVER = """\
import json, os, sys
path = sys.argv[1]
with open(path, "rb") as file:
    code = compile(file.read(), path, "exec")
exec(code, {"__name__": "loaded", "__file__": path})
orders, answers = os.dup(0), os.dup(1)
child = False
text = b""
while not child:
    part = os.read(orders, 65536)
    if not part:
        os._exit(0)
    text += part
    if not text.endswith(b"\\n"):
        continue
    order, text = json.loads(text.decode("ascii")), b""
    pid = os.fork()
    child = not pid
    if not child:
        status = os.waitpid(pid, 0)[1]
        os.write(answers, ("%d\\n" % status).encode("ascii"))
os.close(orders)
os.close(answers)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for number in (1, 2):
    os.dup2(int(sys.argv[number + 1]), number)
arguments = order["arguments"]
if sys.version_info[0] == 2:
    arguments = [argument.encode("utf-8") for argument in arguments]
sys.argv = [path] + arguments
names = {"__name__": "loaded" if order["set"] else "__main__", "__file__": path}
exec(code, names)
if order["set"]:
    names.update(order["set"])
    sys.exit(names["main"](sys.argv[1:]))
"""


class Interpreter:
    """One Python that has read a program and what it imports: each run is a copy of its process, with the program's text
    executed anew. So a run does not wait until Python has started, which takes ten times as long."""

    def __init__(self, python: str, program: Path, environment: Mapping[str, str]) -> None:
        printed, said = os.pipe(), os.pipe()
        self._printed, self._said = printed[0], said[0]
        # It ends with this process, whose end of its standard input is the only one.
        self._process = subprocess.Popen(
            [python, "-B", "-c", _SERVER, str(program), str(printed[1]), str(said[1])],
            cwd="/",
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(printed[1], said[1]),
            bufsize=0,
        )
        for end in (printed[1], said[1]):
            os.close(end)
        for end in (printed[0], said[0]):
            os.set_blocking(end, False)

    def run(self, *arguments: str, **names: str) -> subprocess.CompletedProcess[bytes]:
        """Run the program with these arguments; `names` are names of it that have other values than in its text."""
        assert self._process.stdin
        assert self._process.stdout
        order = {"arguments": arguments, "set": names}
        self._process.stdin.write(json.dumps(order).encode("ascii") + b"\n")
        assert select.select([self._process.stdout], [], [], LIMIT)[0], f"no end within {LIMIT} s"
        status = os.waitstatus_to_exitcode(int(self._process.stdout.readline()))
        return subprocess.CompletedProcess(
            arguments, status, _what_is_in(self._printed), _what_is_in(self._said)
        )


def _what_is_in(pipe: int) -> bytes:
    text = b""
    with suppress(BlockingIOError):
        while part := os.read(pipe, 1 << 16):
            text += part
    return text
