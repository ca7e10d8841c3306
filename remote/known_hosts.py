"""The ssh client's known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from paramiko import HostKeys
from pyinfra.api import Host
from pyinfra.connectors.sshuserclient.client import get_ssh_config


def replace_keys(host: Host, known: HostKeys, addresses: list[str], keys: list[str]) -> Path:
    """Make these (`TYPE KEY`) the host's only known keys, and return the file that they are in.

    The keys are known for the host's name, for the host name that ssh_config has for it, and for these
    addresses. The file is the one that pyinfra reads for this host: `ssh_known_hosts_file`, ssh_config's
    first UserKnownHostsFile, or ~/.ssh/known_hosts. `known` is what pyinfra has read of such files, once for
    all connections; it is read again.
    """
    ssh_config = get_ssh_config(host.data.get("ssh_config_file"))
    settings = ssh_config.lookup(host.name) if ssh_config else {}
    port = int(host.data.get("ssh_port") or settings.get("port", 22))
    names = dict.fromkeys([host.name, settings.get("hostname", host.name), *addresses])
    patterns = [name if port == 22 else f"[{name}]:{port}" for name in names]

    paths = host.data.get("ssh_known_hosts_file") or settings.get("userknownhostsfile", "~/.ssh/known_hosts")
    files = [Path(path).expanduser() for path in paths.split()]
    files[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = files[0].read_text() if files[0].exists() else ""
    _write(files[0].resolve(), with_keys(before, patterns, keys))

    known.clear()
    for file in files:
        with suppress(Exception):  # pyinfra has already reported what is wrong with a file
            known.load(str(file))
    return files[0]


def with_keys(text: str, patterns: list[str], keys: list[str]) -> str:
    """The file's text, with these keys as the only ones for these host patterns. A line's other patterns
    stay, and so do comments, certificate authorities and revoked keys."""
    lines = []
    for line in text.splitlines():
        if not line.strip() or line[0] in "#@ \t":
            lines.append(line)
            continue
        present, _, rest = line.partition(" ")
        others = [other for other in present.split(",") if not any(_is(name, other) for name in patterns)]
        if others:
            lines.append(f"{','.join(others)} {rest}")
    lines += [f"{','.join(patterns)} {key}" for key in keys]
    return "".join(f"{line}\n" for line in lines)


def _is(name: str, pattern: str) -> bool:
    """Whether a host pattern of known_hosts, hashed or not, is this name."""
    return (HostKeys.hash_host(name, pattern) if pattern.startswith("|1|") else name) == pattern


def _write(path: Path, text: str) -> None:
    """Write the file in one step, with the mode that it has."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(text)
    os.chmod(new.name, mode)
    os.replace(new.name, path)
