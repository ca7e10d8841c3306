"""Packages, and the key that signs them."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from facts.packages import KeyImported, Missing

KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-elasticsearch"
REPOSITORY = "/etc/yum.repos.d/logstash.repo"
NAMES = ["java", "tcpdump", "ipvsadm", "keepalived", "logstash"]
"""The recipe's step 2."""


def key_url(cluster: Cluster) -> str:
    """Where the key that signs Logstash's packages is."""
    return f"{cluster.artifacts_url}/GPG-KEY-elasticsearch"


@operation()
def key(url: str, path: str) -> Generator[StringCommand]:
    """The GPG key at this URL in the rpm database, and a copy in the file `path` (the recipe's step 2)."""
    if host.get_fact(KeyImported, path=path):
        host.noop(f"the key in {path} is imported")
        return
    yield StringCommand(
        f"set -e; new=$(mktemp); trap 'rm -f $new' EXIT; "
        f"curl --fail --silent --show-error --location --max-time 60 --output $new {shlex.quote(url)}; "
        f"rpm --import $new; install -m 644 $new {shlex.quote(path)}"
    )


@operation()
def installed(packages: list[str], manager: str) -> Generator[StringCommand]:
    """Each of these packages, or something that provides it, by `dnf` or EL 7's `yum` (the recipe's step 2).

    What is installed is left at its version.
    """
    missing = host.get_fact(Missing, packages=packages)
    if not missing:
        host.noop(f"{', '.join(packages)}: all installed")
        return
    yield StringCommand(f"{manager} --assumeyes install {shlex.join(missing)}")
