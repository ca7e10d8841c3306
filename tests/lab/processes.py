"""What everybody can see of the processes of this machine and of the nodes, while something runs."""

import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.conftest import NODES, Cluster

SAMPLE = """
import os, select, sys, time
end, seen, kernel = time.time() + 600, set(), set()
while time.time() < end and not select.select([sys.stdin], [], [], 0.2)[0]:
    for pid in {pid for pid in os.listdir("/proc") if pid.isdigit()} - kernel:
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as command:
                words = command.read().replace(b"\\0", b" ").decode("utf-8", "replace")
        except (IOError, OSError):  # it has ended
            continue
        if not words:
            kernel.add(pid)
        elif words not in seen:
            seen.add(words)
            print(words)
            sys.stdout.flush()
"""
"""What everybody on a machine can see of its processes, until the input ends. A process for each look would take much of a
guest's time, and so would the kernel's threads, which have no words: they are half of them."""


@contextmanager
def sampled(cluster: Cluster) -> Iterator[list[str]]:
    """Meanwhile the processes of this machine and of the nodes are looked at. Afterwards the list has what was seen: first here."""
    commands = [[sys.executable, "-c", SAMPLE]] + [
        [*cluster.lab.ssh_command(name), f"python3 -c {shlex.quote(SAMPLE)}"] for name in NODES
    ]
    seen: list[str] = []
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    output = [""] * len(processes)

    def read(number: int, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        output[number] = process.stdout.read()

    readers = [threading.Thread(target=read, args=each) for each in enumerate(processes)]
    for reader in readers:
        reader.start()
    try:
        yield seen
    finally:
        for process in processes:
            assert process.stdin
            process.stdin.close()
        for process, reader in zip(processes, readers, strict=True):
            reader.join(timeout=60)
            process.wait(timeout=60)
            if process.stdout:
                process.stdout.close()
        seen += output
