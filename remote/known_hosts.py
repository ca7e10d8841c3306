"""The ssh client's known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from paramiko import HostKeys
from pyinfra.api import Host
from pyinfra.connectors.sshuserclient.client import get_ssh_config


def learn(host: Host, known: HostKeys, addresses: list[str], keys: list[str]) -> Path:
    """Know this host by these keys (`TYPE KEY`), and by no others, from now on; returns the file they are in.

    `known` is what pyinfra has read of such files, once for all connections. The host is known by its name, by what ssh_config makes of the name, and by these addresses. The file is
    the one that pyinfra reads for this host: `ssh_known_hosts_file`, ssh_config's first
    UserKnownHostsFile, or ~/.ssh/known_hosts.
    """
    ssh_config = get_ssh_config(host.data.get("ssh_config_file"))
    settings = ssh_config.lookup(host.name) if ssh_config else {}
    port = int(host.data.get("ssh_port") or settings.get("port", 22))
    places = dict.fromkeys([host.name, settings.get("hostname", host.name), *addresses])
    names = [place if port == 22 else f"[{place}]:{port}" for place in places]

    named = host.data.get("ssh_known_hosts_file") or settings.get("userknownhostsfile", "~/.ssh/known_hosts")
    files = [Path(file).expanduser() for file in named.split()]
    files[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = files[0].read_text() if files[0].exists() else ""
    _write(files[0].resolve(), learned(before, names, keys))

    known.clear()
    for file in files:
        with suppress(Exception):  # pyinfra has told already what is wrong with a file
            known.load(str(file))
    return files[0]


def learned(text: str, names: list[str], keys: list[str]) -> str:
    """The file's text, with these names known by these keys alone. Other names of a line stay; so do
    comments, certificate authorities and revoked keys."""
    lines = []
    for line in text.splitlines():
        if not line.strip() or line[0] in "#@ \t":
            lines.append(line)
            continue
        hosts, _, rest = line.partition(" ")
        others = [each for each in hosts.split(",") if not any(_is(name, each) for name in names)]
        if others:
            lines.append(f"{','.join(others)} {rest}")
    lines += [f"{','.join(names)} {key}" for key in keys]
    return "".join(f"{line}\n" for line in lines)


def _is(name: str, entry: str) -> bool:
    """Whether an entry of known_hosts, hashed or not, is this name."""
    return (HostKeys.hash_host(name, entry) if entry.startswith("|1|") else name) == entry


def _write(path: Path, text: str) -> None:
    """In one step, with the mode it has."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(text)
    os.chmod(new.name, mode)
    os.replace(new.name, path)
