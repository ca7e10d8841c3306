"""Ansible's connection to machines that exist in memory only, and on which the playbook has nothing to change.

Each command takes a fixed time, which is spent waiting. So a run costs what Ansible itself costs the controller, without ssh
and without the machines. `bench.growth` does the same to the deploy.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: memory
short_description: machines that exist in memory only
description: Answers each command as a machine does on which there is nothing to change.
options:
  latency:
    description: Seconds that each command takes.
    type: float
    default: 0.1
    vars: [{name: memory_latency}]
  files:
    description: The folder with the machine's files under their paths.
    type: str
    required: true
    vars: [{name: memory_files}]
extends_documentation_fragment: [connection_pipelining]
"""

_TEMPORARY = re.compile(r'echo (ansible-tmp-\S+)="')
"""How Ansible asks for a temporary folder."""
_PARAMETERS = re.compile(rb"\bparams=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
"""A module's parameters, as JSON in a Python string, in the program that Ansible sends."""


class Connection(ConnectionBase):  # type: ignore[misc]
    """The connection to one machine."""

    transport = "memory"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        time.sleep(self.get_option("latency"))
        if in_data:
            return 0, json.dumps(result(in_data, Path(self.get_option("files")))).encode(), b""
        return 0, printed(cmd).encode(), b""

    def put_file(self, in_path: str, out_path: str) -> None:
        raise AnsibleError(f"{out_path}: a run that changes nothing puts no file there")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        raise AnsibleError(f"{in_path}: the playbook fetches no file")

    def close(self) -> None:
        self._connected = False


def printed(command: str) -> str:
    """What one of Ansible's own shell commands prints: the home, or a new temporary folder."""
    if match := _TEMPORARY.search(command):
        return f"{match[1]}=/root/.ansible/tmp/{match[1]}\n"
    return "/root\n" if "echo ~" in command else ""


def result(program: bytes, files: Path) -> dict[str, Any]:
    """What a module returns that has nothing to change; `program` is what Ansible sends to Python's standard input."""
    match = _PARAMETERS.search(program)
    if not match:
        raise AnsibleError("the module's parameters are not in the program that Ansible sends")
    arguments = json.loads(ast.literal_eval(match[1].decode()))["ANSIBLE_MODULE_ARGS"]
    if "get_checksum" not in arguments:
        return {"changed": False, "ansible_facts": {}}
    content = Path(f"{files}{arguments['path']}").read_bytes()
    return {
        "changed": False,
        "stat": {"exists": True, "isdir": False, "checksum": hashlib.sha1(content).hexdigest()},
    }
