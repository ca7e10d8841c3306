"""What everybody can see of the processes of this machine and of the nodes, while something runs."""

import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.conftest import NODES, Cluster

SAMPLE = "while sleep 0.2; do ps -eo args; done"
"""What everybody on a machine can see of its processes, again and again."""


@contextmanager
def sampled(cluster: Cluster) -> Iterator[list[str]]:
    """Meanwhile the processes of this machine and of the nodes are looked at. Afterwards the list has what was seen: first here."""
    commands = [["sh", "-c", SAMPLE]] + [
        [*cluster.lab.ssh_command(name), f"timeout 600 sh -c {shlex.quote(SAMPLE)}"] for name in NODES
    ]
    seen: list[str] = []
    processes = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
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
            process.terminate()
            process.wait()
        for reader in readers:
            reader.join()
        seen += output
        for process in processes:
            if process.stdout:
                process.stdout.close()
