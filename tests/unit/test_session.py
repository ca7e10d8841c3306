"""What a deploy sends arrives whole, however the connection is made."""

import time
from pathlib import Path

import pytest
from paramiko import ProxyCommand
from pyinfra.api import arguments

from remote import session


def test_a_proxy_command_that_takes_a_part_at_a_time_gets_all(tmp_path: Path) -> None:
    """As paramiko's `Packetizer.write_all` sends: it goes by what `send` returns. The pipe holds 64 KiB."""
    file, content = tmp_path / "taken", bytes(range(256)) * 4096
    proxy = ProxyCommand(f"sh -c 'sleep 0.2; exec cat >{file}'")
    session.send_whole(proxy)
    rest = content
    while rest:
        rest = rest[proxy.send(rest) :]
    assert proxy.process.stdin
    proxy.process.stdin.close()
    proxy.process.wait(30)
    assert file.read_bytes() == content


def test_the_end_of_a_proxy_command_is_seen_at_once() -> None:
    """paramiko looked for more until its time was over, and an established session never ended."""
    proxy = ProxyCommand("printf SSH")
    proxy.settimeout(30)
    start = time.monotonic()
    assert [proxy.recv(128), proxy.recv(128)] == [b"SSH", b""]
    assert time.monotonic() - start < 20
    proxy.close()


def test_a_proxy_command_that_says_nothing_is_not_waited_for_longer_than_the_timeout() -> None:
    proxy = ProxyCommand("sleep 30")
    proxy.settimeout(0.1)
    with pytest.raises(TimeoutError):
        proxy.recv(1)
    proxy.close()


def test_what_every_operation_may_be_given_is_found_out_once() -> None:
    assert arguments.all_global_arguments() is arguments.all_global_arguments()
