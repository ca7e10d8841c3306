"""Packages, and the key that signs them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from facts.packages import KeyImported, Missing, Offered, Version, ordered
from facts.record import RECORD, STATE
from operations.record import note

KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-elasticsearch"
REPOSITORY = "/etc/yum.repos.d/logstash.repo"
JAVA = "java-1.8.0-openjdk-headless"
"""What every Logstash without Java of its own runs on. Enterprise Linux 7 to 9 have it."""


def key_url(cluster: Cluster) -> str:
    """Where the key that signs Logstash's packages is."""
    return f"{cluster.artifacts_url}/GPG-KEY-elasticsearch"


def manager(el: int) -> str:
    """The package manager of this Enterprise Linux."""
    return "yum" if el == 7 else "dnf"


def release(cluster: Cluster) -> tuple[int, ...]:
    """The Logstash that is meant, as `ordered` has it; the newest of its major is above all others of it."""
    if cluster.version is None or cluster.version == "latest":
        return cluster.logstash, sys.maxsize
    return ordered(cluster.version)


def bundles_java(cluster: Cluster) -> bool:
    """Whether this Logstash brings its own Java, as all do from 7.10."""
    return release(cluster) >= (7, 10)


def names(cluster: Cluster) -> list[str]:
    """The packages that are needed beside Logstash itself (the recipe's step 2)."""
    return [*([] if bundles_java(cluster) else [JAVA]), "tcpdump", "ipvsadm", "keepalived"]


# What is noted is the key's name, which rpm gives it; a scratch database tells it beforehand.
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


@operation()
def installed(cluster: Cluster, el: int) -> Generator[StringCommand]:
    """All packages (the recipe's step 2), and the Logstash that is meant.

    What is installed is left at its version, but for Logstash where `version` says otherwise: an exact one,
    up or down, or the newest of its major. Elastic's package starts and restarts nothing: the running
    Logstash goes on as it was until it is activated.
    """
    missing = host.get_fact(Missing, packages=names(cluster))
    if missing:
        notes = [note("package", package) for package in missing]
        yield StringCommand(" && ".join([*notes, f"{manager(el)} --assumeyes install {shlex.join(missing)}"]))
    present = host.get_fact(Version, package="logstash")
    step = _logstash(cluster, el, present)
    if step:
        yield StringCommand(step)
    elif not missing:
        host.noop(f"{', '.join(names(cluster))} and logstash {present}: installed")


def _logstash(cluster: Cluster, el: int, present: str | None) -> str:
    """A shell command that brings Logstash from the version that is present to the one that is meant.

    It looks into Elastic's repository alone: also where that is off, and where others have a Logstash.
    """
    repository = f"logstash-{cluster.logstash}.x"
    run = f"{manager(el)} --assumeyes --disablerepo='*' --enablerepo={repository} --setopt=metadata_expire=1"
    wanted = cluster.version
    if wanted == "latest":
        offered = host.get_fact(Offered, package="logstash", repository=repository, manager=manager(el))
        wanted = offered[-1] if offered else None
        if present and not wanted:
            return f"{run} makecache"  # says why the repository can't be read, and fails
    if present and wanted in (None, present):
        return ""
    steps = [] if present else [note("package", "logstash")]
    if not wanted:
        steps.append(f"{run} install logstash")
    else:
        verb = "downgrade" if present and ordered(present) > ordered(wanted) else "install"
        steps.append(f"{run} {verb} logstash-{wanted}")
        # EL 7's yum also succeeds when there was nothing to do.
        why = f"logstash {wanted} could not be installed: is it in {repository}?"
        steps.append(f"{{ rpm -q --quiet logstash-{wanted} || {{ echo '{why}' >&2; false; }}; }}")
    return " && ".join(steps)
