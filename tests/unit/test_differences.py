"""What `--diff` and pyinfra's log show of files: no secret, neither of the new content nor of what is on the node."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pyinfra import logger
from pyinfra.api import Config, output

from desired import health_script, keepalived, logstash, nftables, packages
from desired.files import desired_files
from desired.textfile import TextFile
from facts.files import FileText, mask, mask_file
from operations import files
from remote import session
from tests.unit.clusters import example_clusters, make_cluster
from tests.unit.machine import ShellMachine
from tests.unit.test_examples import NAMES

SECRET = "Aa1hunter22"
LOGIN = f"[logstash-8.x]\nbaseurl=https://repo.example/\nusername=me\npassword={SECRET}\n"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What pyinfra logs."""
    lines: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(record.getMessage()))
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "state", type("State", (), {"config": Config(DIFF=True)}))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o750])
def test_what_not_everybody_on_the_node_may_read_is_not_shown(
    machine: ShellMachine, log: list[str], mode: int
) -> None:
    """A repository that had a login has none any more: whatever the secret in the old file looks like."""
    machine.write(packages.REPOSITORY, f"# {SECRET}\n{LOGIN}", mode)
    machine.commands(files.put, files=[TextFile(packages.REPOSITORY, "[logstash-8.x]\n")])
    text = "\n".join(log)
    assert SECRET not in text
    assert "its content is secret" in text
    assert f"mode {mode:o} becomes 644" in text


def test_a_secret_that_somebody_made_readable_is_masked(machine: ShellMachine, log: list[str]) -> None:
    machine.write(packages.REPOSITORY, LOGIN)
    machine.commands(files.put, files=[TextFile(packages.REPOSITORY, "[logstash-8.x]\nenabled=1\n")])
    text = "\n".join(log)
    assert SECRET not in text
    assert "password=********" in text
    assert "enabled=1" in text


def test_a_file_with_the_mode_that_it_always_has_is_shown_with_its_passwords_masked(
    machine: ShellMachine, log: list[str]
) -> None:
    machine.write(keepalived.CONF, f"advert_int 1\nauth_pass {SECRET}\n", 0o600)
    machine.commands(files.put, files=[TextFile(keepalived.CONF, "advert_int 2\n", mode="600")])
    text = "\n".join(log)
    assert SECRET not in text
    assert "advert_int 2" in text


MASKED = [
    (f"    auth_pass {SECRET}", "    auth_pass ********"),
    (f"password={SECRET}", "password=********"),
    (f"proxy_password = {SECRET} # ours", "proxy_password = ********"),
    (f"baseurl=https://me:{SECRET}@repo.example/a", "baseurl=https://me:********@repo.example/a"),
    (f'    password => "{SECRET} x"', '    password => "********'),
    (f"  ssl_key_passphrase => '{SECRET}'", "  ssl_key_passphrase => '********"),
    (f'xpack.monitoring.elasticsearch.password: "{SECRET}"', 'xpack.monitoring.elasticsearch.password: "********'),
    (f'"api_key": "{SECRET}"', '"api_key": "********'),
    (f"API_TOKEN=${SECRET}", "API_TOKEN=********"),
]  # fmt: skip
SHOWN = [
    'api.auth.basic.password: "${LOGSTASH_HA_API_PASSWORD}"',
    "baseurl=http://10.77.0.1:8080/a@b",
    "server http://[2001:db8::1]:9600/",
    "        password => ${TOKEN}",
    "auth_type PASS",
]


@pytest.mark.parametrize(("line", "expected"), [*MASKED, *((line, line) for line in SHOWN)])
def test_secrets_in_a_file_are_masked_alike_on_the_node_and_here(
    machine: ShellMachine, line: str, expected: str
) -> None:
    machine.write("/etc/x", f"first\n{line}\nlast\n")
    assert mask_file(f"first\n{line}\nlast\n") == f"first\n{expected}\nlast\n"
    assert machine.fact(FileText, path="/etc/x") == ["first", expected, "last"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"Status code: 401 for http://me:{SECRET}@repo/x",
            "Status code: 401 for http://me:********@repo/x",
        ),
        (f"\x1b[31mauth_pass {SECRET}\x1b[0m", "\x1b[31mauth_pass ********\x1b[0m"),
        (f'after output {{ http {{ password => "{SECRET}"', 'after output { http { password => "********'),
        ("api.secrets: /x has no PASSWORD; write PASSWORD=…", "api.secrets: /x has no PASSWORD; write PASSWORD=…"),
    ],
)  # fmt: skip
def test_secrets_in_what_commands_say_are_masked(
    line: str, expected: str, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log, and in the output that `-vvv` shows as it comes."""
    said: list[str] = []
    monkeypatch.setattr(click, "echo", lambda message, **_: said.append(message))
    monkeypatch.setattr(output, "_echo", click.echo)
    monkeypatch.setattr(logger, "filters", [])
    session.hide_passwords()
    session.hide_passwords()
    logger.error("%s", line)
    output.echo(line, err=True)
    assert (mask(line), log, said) == (expected, [expected], [expected])


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_not_everybody_may_read_is_secret_or_has_passwords_of_known_forms(
    name: str, tmp_path: Path
) -> None:
    for cluster in example_clusters(name, tmp_path).values():
        for file in desired_files(cluster, cluster.nodes[0], 9).values():
            if not int(file.mode, 8) & 0o004 and not file.secret:
                assert file.path in {keepalived.CONF, nftables.RULES}


@pytest.mark.parametrize("path", [health_script.ACCESS, logstash.ENVIRONMENT])
def test_a_file_whose_path_can_have_secrets_is_secret_without_any(path: str, tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, heap="1g")
    assert desired_files(cluster, cluster.nodes[0], 9)[path].secret
