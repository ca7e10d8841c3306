"""Packages, and the key that signs them (the recipe's step 2)."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from desired.packages import ELASTICS_KEY, KEY, all_packages, key_url, manager, package_names, repository
from desired.paths import KEY_NOTE, RECORD, STATE
from facts.packages import KeyImported, OfferedVersions, Packages, version_key
from operations.record import add_entry
from operations.services import PackageChange

# The record names the key as rpm does; a scratch database shows that name before the import. The note is written last:
# without it, the next run does all of this again.
_KEY = """\
set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl --fail --silent --show-error --location --max-time 60 {proxy}--output "$work/key" {url}
output=$(rpm --dbpath "$work" --import "$work/key" 2>&1) || {{
    echo "$output" >&2
    case $output in *'import failed'*) echo {old_key} >&2 ;; esac
    exit 1
}}
mkdir -p {state}
touch {record}
rpm -q gpg-pubkey >"$work/present" || true
rpm --dbpath "$work" -q gpg-pubkey >"$work/names"
grep -vxFf "$work/present" "$work/names" | sed 's/^/key /' >"$work/new"
grep -vxFf {record} "$work/new" >>{record} || true
rpm --import "$work/key"
install -m 644 "$work/key" {path}
{{ sha256sum {path}; cat "$work/names"; }} >{note}
"""


# rpm's own words name no reason.
_OLD_KEY = (
    "{url}: rpm refuses it, most likely as an old copy of Elastic's key, which is signed by SHA-1; Enterprise Linux 9 and later "
    "take the one that Elastic has signed anew: put {elastic} in its place"
)


@operation()
def key(cluster: Cluster) -> Generator[StringCommand]:
    """
    Import Elastic's GPG key into the rpm database, and keep a copy of it in a file (the recipe's step 2).

    + cluster: the cluster whose settings name the key's address and a proxy
    """
    if host.get_fact(KeyImported, path=KEY, note=KEY_NOTE):
        host.noop(f"the key in {KEY} is imported")
        return
    yield StringCommand(
        _KEY.format(
            proxy=f"--proxy {shlex.quote(cluster.proxy)} " if cluster.proxy else "",
            url=shlex.quote(key_url(cluster)),
            old_key=shlex.quote(_OLD_KEY.format(url=key_url(cluster), elastic=ELASTICS_KEY)),
            path=KEY,
            note=KEY_NOTE,
            state=STATE,
            record=RECORD,
        )
    )


def _dnf(cluster: Cluster, el: int) -> str:
    """The package manager with Elastic's repository alone enabled, since others may have a Logstash, too."""
    return f"{manager(el)} --assumeyes --disablerepo='*' --enablerepo={repository(cluster)} --setopt=metadata_expire=1"


def _change(cluster: Cluster, el: int, old: str | None, new: str) -> str:
    """A shell command that changes Logstash from one version to another."""
    # EL 7's yum also succeeds when it had nothing to do.
    return (
        f"{_dnf(cluster, el)} {_verb(old, new)} logstash-{new} && "
        f"{{ rpm -q --quiet logstash-{new} || {{ {_failure(cluster, new)}; }}; }}"
    )


def _verb(old: str | None, new: str) -> str:
    """The package manager's command for that change."""
    return "downgrade" if old and version_key(old) > version_key(new) else "install"


def _failure(cluster: Cluster, version: str) -> str:
    """A shell command that says that this version can't be installed, and fails."""
    reason = f"logstash {version} could not be installed: is it in {repository(cluster)}?"
    return f"echo '{reason}' >&2; false"


def _offered_versions(cluster: Cluster, el: int) -> list[str]:
    return host.get_fact(
        OfferedVersions, package="logstash", repository=repository(cluster), manager=manager(el)
    )


def _desired_version(cluster: Cluster, el: int) -> str | None:
    """The desired version of Logstash; None where any will do, or none is offered."""
    if cluster.version != "latest":
        return cluster.version
    return next(reversed(_offered_versions(cluster, el)), None)


@operation()
def installed(cluster: Cluster, el: int) -> Generator[StringCommand]:
    """
    Install the packages that are missing (the recipe's step 2).

    An installed package keeps its version. Where the cluster's `version` demands another Logstash, that is
    only downloaded here: Logstash changes in `activation.rolling_restart` (by `version_change`), one node
    after the other.

    + cluster: the cluster whose settings name the packages
    + el: the node's major version of Enterprise Linux
    """
    packages = host.get_fact(Packages, packages=all_packages(cluster))
    missing = [name for name in package_names(cluster) if packages.get(name, "") is None]
    if missing:
        entries = [add_entry("package", package) for package in missing]
        yield StringCommand(
            " && ".join([*entries, f"{manager(el)} --assumeyes install {shlex.join(missing)}"])
        )
    present, desired = packages.get("logstash"), _desired_version(cluster, el)
    if not present:
        install = _change(cluster, el, None, desired) if desired else f"{_dnf(cluster, el)} install logstash"
        yield StringCommand(f"{add_entry('package', 'logstash')} && {install}")
    elif cluster.version and not desired:
        # It prints why the repository can't be read, and fails.
        yield StringCommand(f"{_dnf(cluster, el)} makecache")
    elif desired and desired != present:
        offered = desired in _offered_versions(cluster, el)
        download = f"{_dnf(cluster, el)} --downloadonly {_verb(present, desired)} logstash-{desired}"
        yield StringCommand(download if offered else _failure(cluster, desired))
    elif not missing:
        host.noop(f"{', '.join(package_names(cluster))} and logstash {present}: installed")


def version_change(cluster: Cluster, el: int) -> PackageChange | None:
    """The change of this node's Logstash to the desired version, up or down; None where it has that one."""
    if cluster.version is None:
        return None
    present = host.get_fact(Packages, packages=all_packages(cluster)).get("logstash")
    desired = _desired_version(cluster, el)
    if not present or not desired or present == desired:
        return None
    return PackageChange(
        install=_change(cluster, el, present, desired), revert=_change(cluster, el, desired, present)
    )
