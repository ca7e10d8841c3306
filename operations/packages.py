"""Packages, and the key that signs them (the recipe's step 2)."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from desired.packages import KEY, key_url, manager, package_names, repository
from desired.paths import RECORD, STATE
from facts.packages import KeyImported, MissingPackages, OfferedVersions, PackageVersion, version_key
from operations.record import add_entry
from operations.services import PackageChange

# The record has the key by the name that rpm gives it; a scratch database shows that name beforehand.
_KEY = """\
set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl --fail --silent --show-error --location --max-time 60 {proxy}--output "$work/key" {url}
rpm --dbpath "$work" --import "$work/key"
mkdir -p {state}
touch {record}
rpm -q gpg-pubkey >"$work/there" || true
rpm --dbpath "$work" -q gpg-pubkey | grep -vxFf "$work/there" | sed 's/^/key /' >"$work/new"
grep -vxFf {record} "$work/new" >>{record} || true
rpm --import "$work/key"
install -m 644 "$work/key" {path}
"""


@operation()
def key(cluster: Cluster) -> Generator[StringCommand]:
    """Elastic's GPG key in the rpm database, and a copy of it in a file (the recipe's step 2)."""
    if host.get_fact(KeyImported, path=KEY):
        host.noop(f"the key in {KEY} is imported")
        return
    yield StringCommand(
        _KEY.format(
            proxy=f"--proxy {shlex.quote(cluster.proxy)} " if cluster.proxy else "",
            url=shlex.quote(key_url(cluster)),
            path=KEY,
            state=STATE,
            record=RECORD,
        )
    )


def _dnf(cluster: Cluster, el: int) -> str:
    """The package manager, looking into Elastic's repository alone: also where that is off, and where others have a
    Logstash."""
    return f"{manager(el)} --assumeyes --disablerepo='*' --enablerepo={repository(cluster)} --setopt=metadata_expire=1"


def _to(cluster: Cluster, el: int, present: str | None, wanted: str) -> str:
    """A shell command that brings Logstash from one version to the other."""
    # EL 7's yum also succeeds when there was nothing to do.
    return (
        f"{_dnf(cluster, el)} {_verb(present, wanted)} logstash-{wanted} && "
        f"{{ rpm -q --quiet logstash-{wanted} || {{ {_refused(cluster, wanted)}; }}; }}"
    )


def _verb(present: str | None, wanted: str) -> str:
    return "downgrade" if present and version_key(present) > version_key(wanted) else "install"


def _refused(cluster: Cluster, wanted: str) -> str:
    why = f"logstash {wanted} could not be installed: is it in {repository(cluster)}?"
    return f"echo '{why}' >&2; false"


def _offered(cluster: Cluster, el: int) -> list[str]:
    return host.get_fact(
        OfferedVersions, package="logstash", repository=repository(cluster), manager=manager(el)
    )


def _wanted(cluster: Cluster, el: int) -> str | None:
    """The desired version of Logstash; None where any will do, or none is offered."""
    if cluster.version != "latest":
        return cluster.version
    return next(reversed(_offered(cluster, el)), None)


@operation()
def installed(cluster: Cluster, el: int) -> Generator[StringCommand]:
    """All packages (the recipe's step 2).

    What is installed is left at its version. Where `version` says otherwise of Logstash, the package is only
    downloaded: it changes when the node's turn comes to be activated (`version_change`), and not on all nodes at once.
    """
    missing = host.get_fact(MissingPackages, packages=package_names(cluster))
    if missing:
        entries = [add_entry("package", package) for package in missing]
        yield StringCommand(
            " && ".join([*entries, f"{manager(el)} --assumeyes install {shlex.join(missing)}"])
        )
    present = host.get_fact(PackageVersion, package="logstash")
    wanted = _wanted(cluster, el)
    if not present:
        install = _to(cluster, el, None, wanted) if wanted else f"{_dnf(cluster, el)} install logstash"
        yield StringCommand(f"{add_entry('package', 'logstash')} && {install}")
    elif cluster.version and not wanted:
        # It says why the repository can't be read, and fails.
        yield StringCommand(f"{_dnf(cluster, el)} makecache")
    elif wanted and wanted != present:
        there = wanted in _offered(cluster, el)
        download = f"{_dnf(cluster, el)} --downloadonly {_verb(present, wanted)} logstash-{wanted}"
        yield StringCommand(download if there else _refused(cluster, wanted))
    elif not missing:
        host.noop(f"{', '.join(package_names(cluster))} and logstash {present}: installed")


def version_change(cluster: Cluster, el: int) -> PackageChange | None:
    """How this node's Logstash comes to the desired version, up or down; None where it has that."""
    if cluster.version is None:
        return None
    present, wanted = host.get_fact(PackageVersion, package="logstash"), _wanted(cluster, el)
    if not present or not wanted or present == wanted:
        return None
    return PackageChange(install=_to(cluster, el, present, wanted), revert=_to(cluster, el, wanted, present))
