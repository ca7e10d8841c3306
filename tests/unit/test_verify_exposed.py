"""What a sender can reach and should not, tried by the script that really runs there."""

import os
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from pyinfra.api import Host, StringCommand

from cluster import Cluster, checks
from tests.unit.clusters import make_cluster
from tests.unit.events import pythons
from verification.exposed import find_exposed
from verification.report import Status

OWN = f"127.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250}"
"""The addresses of these tests begin with it: other processes run them at the same time."""


class Sender:
    """This machine; `pythons` are the ones that it has."""

    name = "sender"

    def __init__(self, python: str = "python3") -> None:
        self.python = python

    def run_shell_command(self, command: StringCommand, _timeout: int) -> tuple[bool, Any]:
        text = str(command).replace("in python3 ", f"in {self.python} ", 1)
        done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=False)
        return done.returncode == 0, SimpleNamespace(stdout_lines=done.stdout.splitlines())


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(checks, "UNUSABLE", {})  # the nodes are this machine
    nodes = [{"name": f"stash{n}", "address": f"{OWN}.{n}"} for n in (1, 2, 3)]
    settings = {"nodes": nodes, "network": "127.0.0.0/8", "vip": f"{OWN}.10", "senders": ["127.0.0.0/8"]}
    return Cluster.model_validate(make_cluster(tmp_path).model_dump(mode="json", by_alias=True) | settings)


@pytest.mark.parametrize("python", pythons())
def test_an_api_that_answers_a_sender(cluster: Cluster, python: str) -> None:
    """The second one's; the first one refuses, and the third one listens elsewhere."""
    with socket.create_server((f"{OWN}.2", 9600)), socket.create_server((f"{OWN}.3", 9601)):
        (problem,) = find_exposed(cast(Host, Sender(python)), cluster)
    assert (problem.status, problem.node) == (Status.WARNING, "stash2")
    assert problem.what == "Logstash's API answers sender, which only sends events"
    assert find_exposed(cast(Host, Sender(python)), cluster) == []


def test_a_sender_that_is_a_monitor_may_read_the_api(cluster: Cluster) -> None:
    """As long as it is that one: here, all are at 127.0.0.1."""
    data = cluster.model_dump(mode="json", by_alias=True)
    monitored = Cluster.model_validate({**data, "monitors": ["127.0.0.0/28"]})
    others = Cluster.model_validate({**data, "monitors": ["127.0.9.0/24"]})
    with socket.create_server((f"{OWN}.2", 9600)):
        assert find_exposed(cast(Host, Sender()), monitored) == []
        assert [problem.node for problem in find_exposed(cast(Host, Sender()), others)] == ["stash2"]


def test_a_sender_that_can_not_try(cluster: Cluster) -> None:
    sender = SimpleNamespace(name="sender", run_shell_command=Mock(side_effect=OSError("gone")))
    (problem,) = find_exposed(cast(Host, sender), cluster)
    assert (problem.status, problem.what) == (Status.UNKNOWN, "sender can't try Logstash's API")
