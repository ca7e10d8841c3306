"""Packages, and the keys that sign them (the recipe's step 2)."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Generator

from pyinfra import host, state
from pyinfra.api import FileUploadCommand, StringCommand, operation

from cluster import Cluster
from cluster.rpm import RpmFile
from desired.packages import (
    ELASTICS_KEY,
    KEY,
    RPMS,
    all_packages,
    has_repository,
    key_url,
    manager,
    missing_packages,
    package_names,
    repository,
    rpm_path,
)
from desired.paths import KEY_NOTE, RECORD, STATE
from facts.files import Files
from facts.packages import ImportedKey, OfferedVersions, Packages, version_key
from operations.record import add_entry
from operations.services import PackageChange

# The record names the key as rpm does; a scratch database shows that name before the import. The note is written last:
# without it, the next run does all of this again.
_KEY = """\
set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{obtain}
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


# What comes over standard input is in no log and in no list of processes.
_COPY = """\
head -c {size} >"$work/key"
echo "{sha256}  $work/key" | sha256sum --check --status || {{ echo {path}: the upload was interrupted >&2; exit 1; }}"""
_FETCH = """\
cat >"$work/curl"
curl --config "$work/curl" --fail --silent --show-error --location --max-time 60 {proxy}--output "$work/key" {url}"""
# The proxy that dnf.conf(5) or yum.conf(5) has in its section `main`, as curl's configuration.
_DNF_PROXY = r"""
if [ -f FILE ]; then
    awk '
        function quoted(text) { gsub(/[\\"]/, "\\\\&", text); return "\"" text "\"" }
        /^\[/ { main = $0 ~ /^\[main\]/ }
        main && match($0, /^proxy(_username|_password)?[ \t]*=[ \t]*/) {
            name = $0; sub(/[ \t]*=.*/, "", name)
            value[name] = substr($0, RLENGTH + 1); sub(/[ \t]+$/, "", value[name])
        }
        END {
            if (value["proxy"] == "" || value["proxy"] == "_none_") exit
            print "proxy = " quoted(value["proxy"])
            if (value["proxy_username"] != "")
                print "proxy-user = " quoted(value["proxy_username"] ":" value["proxy_password"])
        }' FILE >>"$work/curl"
fi"""

# rpm's own words name no reason.
_OLD_KEY = (
    "{url}: rpm refuses it, most likely as an old copy of Elastic's key, which is signed by SHA-1; Enterprise Linux 9 and later "
    "take the one that Elastic has signed anew: put {elastic} in its place"
)


@operation()
def key(cluster: Cluster, el: int) -> Generator[StringCommand]:
    """
    Import the keys that sign the packages into the rpm database, and keep a copy of them in a file (the recipe's step 2).

    They come from the operator's machine, or from Elastic's server or a mirror of it.

    + cluster: the cluster whose settings name the file with the keys, or their address and a proxy
    + el: the node's major version of Enterprise Linux
    """
    if cluster.packages == "managed":
        host.noop("the packages are managed by others")
        return
    text = cluster.signing_key_text
    sha256 = hashlib.sha256(text.encode()).hexdigest() if text else None
    imported = host.get_fact(ImportedKey, path=KEY, note=KEY_NOTE)
    if imported and sha256 in (None, imported):
        host.noop(f"the key in {KEY} is imported")
        return
    where = str(cluster.signing_keys) if text else key_url(cluster)
    yield StringCommand(
        _KEY.format(
            obtain=_COPY.format(size=len(text.encode()), sha256=sha256, path=KEY)
            if text
            else _fetch(cluster, el),
            old_key=shlex.quote(_OLD_KEY.format(url=where, elastic=ELASTICS_KEY)),
            path=KEY,
            note=KEY_NOTE,
            state=STATE,
            record=RECORD,
        ),
        _stdin=text or _curl_configuration(cluster),
    )


def _fetch(cluster: Cluster, el: int) -> str:
    """Shell commands that fetch the key. The proxy's login comes over standard input."""
    proxy = f"--proxy {shlex.quote(cluster.proxy)} " if cluster.proxy else ""
    own = _DNF_PROXY.strip().replace("FILE", "/etc/yum.conf" if el == 7 else "/etc/dnf/dnf.conf")
    first, last = _FETCH.format(proxy=proxy, url=shlex.quote(key_url(cluster))).split("\n")
    return "\n".join([first, *([] if cluster.proxy else [own]), last])


def _curl_configuration(cluster: Cluster) -> str:
    """The proxy's login as curl's configuration (curl(1), --config)."""
    login = cluster.repository_files.proxy_login
    if login is None:
        return ""
    user = re.sub(r'(["\\])', r"\\\1", f"{login.username}:{login.password.get_secret_value()}")
    return f'proxy-user = "{user}"\n'


def _dnf(cluster: Cluster, el: int) -> str:
    """The package manager with Elastic's repository alone enabled, since others may have a Logstash, too."""
    return f"{manager(el)} --assumeyes --disablerepo='*' --enablerepo={repository(cluster)} --setopt=metadata_expire=1"


def _local_dnf(el: int) -> str:
    """The package manager for files alone. By itself it does not look who has signed a file."""
    return f"{manager(el)} --assumeyes --disablerepo='*' --setopt=localpkg_gpgcheck=1"


def _change(cluster: Cluster, el: int, old: str | None, new: str) -> str:
    """A shell command that changes Logstash from one version to another."""
    # EL 7's yum also succeeds when it had nothing to do.
    command = (
        f"{_dnf(cluster, el)} {_verb(old, new)} logstash-{new}"
        if has_repository(cluster)
        else f"{_local_dnf(el)} {_verb(old, new)} {RPMS}/logstash-{new}-*.rpm"
    )
    return f"{command} && {{ rpm -q --quiet logstash-{new} || {{ {_failure(cluster, new)}; }}; }}"


def _verb(old: str | None, new: str) -> str:
    """The package manager's command for that change."""
    return "downgrade" if old and version_key(old) > version_key(new) else "install"


def _failure(cluster: Cluster, version: str) -> str:
    """A shell command that says that this version can't be installed, and fails."""
    where = repository(cluster) if has_repository(cluster) else "rpms"
    reason = f"logstash {version} could not be installed: is it in {where}?"
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
def installed(cluster: Cluster, el: int) -> Generator[StringCommand | FileUploadCommand]:
    """
    Install the packages that are missing (the recipe's step 2).

    An installed package keeps its version. Where the cluster's `version` demands another Logstash, that is
    only downloaded here: Logstash changes in `activation.rolling_restart` (by `version_change`), one node
    after the other.

    RPM files of the operator's are copied and installed where they are missing, without a repository; packages that others
    manage are left alone (`desired.packages.check_managed` has looked at them).

    + cluster: the cluster whose settings name the packages
    + el: the node's major version of Enterprise Linux
    """
    packages = host.get_fact(Packages, packages=all_packages(cluster))
    if cluster.packages == "managed":
        host.noop("the packages are managed by others, and are there")
        return
    if state.config.DIFF:  # before the first command: a dry run goes no further
        for rpm in _needed_files(cluster, packages):
            host.log(f"Will copy {rpm.file_name} ({rpm.size / 1e6:,.1f} MB), and install it")
    missing = missing_packages(cluster, packages)
    if missing:
        entries = [add_entry("package", package) for package in missing]
        yield StringCommand(
            " && ".join([*entries, f"{manager(el)} --assumeyes install {shlex.join(missing)}"])
        )
    present, desired = packages.get("logstash"), _desired_version(cluster, el)
    if cluster.rpms:
        yield from _from_files(cluster, el, packages)
    elif not present:
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


_KEEP = """\
mkdir -p {folder}
for file in {folder}/*; do case $file in {kept}) ;; *) rm -f "$file" ;; esac; done"""
_COPIED = """\
echo "{sha256}  {path}.new" | sha256sum --check --status || {{ echo {path}: the copy is not whole >&2; exit 1; }}
mv -fT {path}.new {path}"""


def _needed_files(cluster: Cluster, packages: dict[str, str | None]) -> list[RpmFile]:
    """The RPM files whose packages a node lacks, and Logstash's where it has another version."""
    return [
        rpm
        for rpm in cluster.rpm_files
        if (present := packages.get(rpm.name, "")) is None
        or (rpm.name == "logstash" and present != rpm.version)
    ]


def _from_files(
    cluster: Cluster, el: int, packages: dict[str, str | None]
) -> Generator[StringCommand | FileUploadCommand]:
    """Copy the RPM files that this node needs, and install those whose packages it lacks."""
    needed = _needed_files(cluster, packages)
    if not needed:
        if not missing_packages(cluster, packages):
            host.noop(f"{', '.join(all_packages(cluster))}: installed")
        return
    copies = host.get_fact(Files, paths=[rpm_path(rpm) for rpm in needed])
    # The Logstash that runs stays, to go back to.
    present = packages.get("logstash") or "none"
    kept = "|".join([*(rpm_path(rpm) for rpm in needed), f"{RPMS}/logstash-{present}-*"])
    yield StringCommand(_KEEP.format(folder=RPMS, kept=kept))
    for rpm in needed:
        copy = copies.get(rpm_path(rpm))
        if not copy or copy["sha256"] != rpm.sha256:
            yield FileUploadCommand(str(rpm.path), f"{rpm_path(rpm)}.new")
            yield StringCommand(_COPIED.format(path=rpm_path(rpm), sha256=rpm.sha256))
    if missing := [rpm for rpm in needed if packages.get(rpm.name, "") is None]:
        entries = [add_entry("package", rpm.name) for rpm in missing]
        install = f"{_local_dnf(el)} install {shlex.join(rpm_path(rpm) for rpm in missing)}"
        yield StringCommand(" && ".join([*entries, install]))


def version_change(cluster: Cluster, el: int) -> PackageChange | None:
    """The change of this node's Logstash to the desired version, up or down; None where it has that one."""
    if cluster.version is None or cluster.packages == "managed":
        return None
    present = host.get_fact(Packages, packages=all_packages(cluster)).get("logstash")
    desired = _desired_version(cluster, el)
    if not present or not desired or present == desired:
        return None
    return PackageChange(
        install=_change(cluster, el, present, desired), revert=_change(cluster, el, desired, present)
    )
