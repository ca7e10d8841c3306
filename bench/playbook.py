"""The steps of deploy.py as an Ansible project: `bench/ansible`, with an inventory and files that are written here.

Each node's files are those that the deploy renders, and what else the playbook needs to know of a cluster comes from
`desired`, too. So both tools bring a node of the benchmark's cluster to the same state; `LEFT_OUT` are the deploy's
operations without a task. Rendering costs Ansible nothing here, and the deploy does it in each run.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

from cluster import OWN_PIPELINE_FILE, Cluster, Node
from desired import firewalld, health, health_script, keepalived, logstash, modules, packages, sysctl
from desired.files import desired_files
from desired.textfile import TextFile
from desired.units import managed_units

PROJECT = Path(__file__).with_name("ansible")
LIMIT = 1800
"""Seconds after which a run of Ansible is ended."""
WITHOUT = {sysctl.FILE}
"""Files of the deploy's that one of Ansible's modules writes instead of a copy."""
OWN_STEP = 12
"""Its files are notes of the deploy for itself."""
LEFT_OUT = {
    "9. firewalld: no address is in a zone that denies it": "it changes nothing",
    "4. Logstash accepts its files": "Ansible tests the file of the inputs when it copies it",
    "8. Folder of the health service's metrics": "the cluster writes none",
    "7. Others' blocks in keepalived.conf are adopted": "there are none",
    "9. nftables: the file of the table of our own": "no source is translated",
    "9. nftables: sources translated": "no source is translated",
    "9. firewalld has the ipsets of senders": "there is one sender",
    "10. Hardware recorded, so that a clone is told by it": "a note of the deploy for itself",
    "11. No node is left out by a run that was interrupted": "Ansible drains no node",
    "12. No unit of an earlier deploy": "Ansible keeps no record",
    "12. No file of an earlier deploy": "Ansible keeps no record",
    "12. No firewall rule of an earlier deploy": "Ansible keeps no record",
    "12. No nftables rule of an earlier deploy": "Ansible keeps no record",
    "12. No kernel setting of an earlier deploy": "Ansible keeps no record",
    "12. The version of this project": "a note of the deploy for itself",
    "12. The cluster is whole": "it changes nothing",
}
"""The deploy's operations for which the playbook has no task of that name, and why."""
THEN = {
    f"systemd-tmpfiles --create {health.TMPFILES}": "Create temporary files",
    "systemctl daemon-reload": "Reload systemd",
    logstash.START_ROTATION: "Start logrotate's timer",
}
"""The playbook's handlers for what the deploy runs as soon as a file is in place."""

_UNITS = "/etc/systemd/system/"

# The new file has its final folder, owner and mode while it is checked, as in operations/files.py.
_VALIDATE = """\
set -e
work=$(mktemp -d)
new=$(mktemp {folder}/.{base}.XXXXXX)
trap 'rm -rf "$work" "$new"' EXIT
cp "$1" "$new"
chmod {mode} "$new"
{check}"""

# Ansible tests a pipeline file alone, and not with all others as the deploy does (operations/logstash.py); as its own user,
# too, which 9.x demands.
_LOGSTASH_TEST = """\
chown logstash: "$work"
runuser -u logstash -- /usr/share/logstash/bin/logstash --path.settings /etc/logstash --path.data "$work" --path.logs "$work" \\
    --config.test_and_exit -f "$new"
"""


class AnsibleFailed(Exception):
    """A run of the playbook has failed, and the end of what it printed."""


_OWN_PIPELINE = f"{logstash.HOME}/conf.d/{OWN_PIPELINE_FILE}"


def handlers(file: TextFile) -> list[str]:
    """The playbook's handlers that must run when this file has changed."""
    names = [] if file.then == ":" else [THEN[file.then]]
    if file.path.startswith(_UNITS) and "Reload systemd" not in names:
        names.append("Reload systemd")
    if file.read_by:
        names.append(f"{'Reload' if file.read_by == keepalived.UNIT else 'Restart'} {file.read_by}")
    return names


def validation(file: TextFile) -> str | None:
    """The command by which Ansible's `copy` checks the new file, for its option `validate`; None where nothing does."""
    check = _LOGSTASH_TEST if file.path == _OWN_PIPELINE else file.check
    if check == ":":
        return None
    folder, base = posixpath.split(file.path)
    script = _VALIDATE.format(folder=folder, base=base, mode=file.mode, check=check)
    return f"sh -c {shlex.quote(script.replace('%', '%%'))} validate %s"


def host_variables(cluster: Cluster, node: Node, el: int, folder: Path) -> dict[str, object]:
    """What the playbook must know of one node, whose files are in `folder` under their paths."""
    steps: dict[str, list[dict[str, object]]] = {}
    for file in copied_files(cluster, node, el):
        item: dict[str, object] = {
            "src": f"{folder}{file.path}",
            "path": file.path,
            "mode": file.mode,
            "owner": file.owner,
            "handlers": handlers(file),
        }
        if command := validation(file):
            item["validate"] = command
        steps.setdefault(str(file.step), []).append(item)
    units = managed_units(cluster, node, el)
    (probe,) = (unit.probe for unit in units if unit.name == logstash.UNIT)
    return {
        "files": steps,
        "rules": firewalld.rules(cluster, node),
        "kernel_settings": sysctl.boot_settings(sysctl.kernel_settings(cluster, node)),
        "units": [unit.name for unit in units],
        "logstash_probe": probe,
        "health_key": {"src": f"{folder}{health.KEY}", "path": health.KEY},
    }


def copied_files(cluster: Cluster, node: Node, el: int) -> list[TextFile]:
    """The files that the playbook copies."""
    return [
        file
        for file in desired_files(cluster, node, el).values()
        if file.path not in WITHOUT and file.step != OWN_STEP
    ]


def inventory(cluster: Cluster, el: int, folder: Path, **connection: object) -> dict[str, object]:
    """Ansible's inventory of this cluster, whose rendered files are in `folder` under the nodes' names.

    `connection` are Ansible's variables for the connections.
    """
    return {
        "nodes": {
            "hosts": {
                node.name: host_variables(cluster, node, el, folder / node.name) for node in cluster.nodes
            },
            "vars": {
                "key_url": packages.key_url(cluster),
                "key_file": packages.KEY,
                "packages": [*packages.package_names(cluster), logstash.UNIT],
                "modules": modules.module_names(cluster),
                "sysctl_file": sysctl.FILE,
                "user": health_script.USER,
                "tmpfiles": health.TMPFILES,
                **connection,
            },
        }
    }


def write(cluster: Cluster, el: int, folder: Path, **connection: object) -> None:
    """Write the inventory and all nodes' files into a folder. `connection` as in `inventory`."""
    files = folder / "files"
    key = f"{secrets.token_hex(32)}\n".encode()
    for node in cluster.nodes:
        copied = {file.path: file.data for file in copied_files(cluster, node, el)}
        for name, content in {**copied, health.KEY: key}.items():
            path = Path(f"{files / node.name}{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    text = json.dumps(inventory(cluster, el, files, **connection), indent=2)
    (folder / "inventory.json").write_text(text)


def run(folder: Path, sockets: Path, *options: str) -> int:
    """Run the playbook on the inventory that `write` has written into a folder.

    What Ansible keeps from run to run is in that folder, and the sockets of its ssh connections are in `sockets`, as their
    paths must be short. Returns how many tasks have changed something, on all nodes together. Raises `AnsibleFailed`.
    """
    environment = {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
        "ANSIBLE_SSH_CONTROL_PATH": str(control_path(sockets, "%%n")),
    }
    command = Path(sys.executable).with_name("ansible-playbook")
    if not command.exists():
        raise SystemExit(f"{command}: is missing; install it by `pip install -e '.[dev,bench]'`")
    done = subprocess.run(
        (command, "-i", folder / "inventory.json", PROJECT / "site.yml", *options),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        raise AnsibleFailed(f"status {done.returncode}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return changes(done.stdout)


def control_path(sockets: Path, host: str) -> Path:
    """The socket of Ansible's ssh connection to a host."""
    return sockets / f"ansible-{host}"


def changes(output: str) -> int:
    """How many tasks have changed something, on all nodes together, by the recap that Ansible prints at the end."""
    _, found, recap = output.rpartition("PLAY RECAP")
    counts = re.findall(r"\bchanged=(\d+)", recap)
    if not found or not counts:
        raise AnsibleFailed(f"no recap in {output[-1000:]!r}")
    return sum(map(int, counts))
