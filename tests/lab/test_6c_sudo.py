"""A user whose sudo asks for a password: each of the project's programs works, and nobody on a node sees it."""

import os
import pty
import secrets
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import NODES, ROOT, Cluster, tool
from tests.lab.processes import sampled

USER = "visitor"
SUDOERS = "/etc/sudoers.d/visitor"


@pytest.fixture
def password(cluster: Cluster) -> Iterator[str]:
    """The password of a user who has to give it to sudo."""
    text = f"Aa1 '{secrets.token_hex(8)}"
    for name in NODES:
        cluster.get(
            name,
            f"cp -p /etc/shadow /root/shadow; chpasswd; echo '{USER} ALL=(ALL) ALL' >{SUDOERS}; chmod 440 {SUDOERS}",
            f"{USER}:{text}\n",
        )
    yield text
    for name in NODES:
        cluster.get(name, f"rm {SUDOERS}; mv /root/shadow /etc/shadow")


def inventory(cluster: Cluster, **connection: object) -> Path:
    config = f"{cluster.lab.folder}/ssh_config"
    return cluster.inventory(
        "password", connection={"ssh_config_file": config, "ssh_user": USER, "_sudo": True, **connection}
    )


def on_a_terminal(cluster: Cluster, answer: str, *command: str) -> tuple[int, str]:
    """The exit status and the output of a command of the project's on a terminal, where somebody types this when asked."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT)
        os.environ |= {"LAB_DIR": str(cluster.lab.folder), "COLUMNS": "120"}
        os.execv(command[0], command)
    said = b""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # it has ended
            break
        if not read:
            break
        asked, said = said.count(b"password"), said + read
        if said.count(b"password") > asked and b": " in said:
            os.write(terminal, answer.encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def test_sudo_may_ask_for_a_password(cluster: Cluster, password: str) -> None:
    given = inventory(cluster, _sudo_password=password)
    with sampled(cluster) as seen:
        done = cluster.deploy("--dry", "--diff", "-vvv", "--debug", inventory=given)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        status = cluster.verify("--inventory", str(given))
        assert status["status"] == 0, status
    given = inventory(cluster, _sudo_password="wrong")
    done = cluster.deploy("--dry", inventory=given)
    assert "(sudo: 1 incorrect password attempt); type the password" in done.stdout + done.stderr
    given = inventory(cluster)
    done = cluster.deploy("--dry", inventory=given)
    assert "no sudo (sudo: a password is required)" in done.stdout + done.stderr
    code, typed = on_a_terminal(
        cluster, password, sys.executable, "verify.py", "--inventory", str(given), "--json"
    )
    assert code == 0, typed
    assert typed.count("sudo password") == 1
    code, typed = on_a_terminal(cluster, password, tool("pyinfra"), str(given), "verify.py")
    assert code == 0, typed
    assert typed.count("sudo password") == 1
    files = "grep -rlsF -f - /tmp /home /var/log /run --devices=skip || true"
    for name in NODES:
        assert cluster.get(name, files, f"{password}\n") == ""
    assert all("LOGSTASH_HA_SUDO_PASSWORD" in text for text in seen[1:]), "no command was seen"
    for text in (*seen, said, typed):
        assert password not in text
        assert shlex.quote(password) not in text
        assert password.split("'")[1] not in text
