"""Packages, the repository that Logstash's comes from, and the keys that sign them (the recipe's step 2)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cluster import Cluster, ClusterError, Node
from cluster.errors import listed
from desired.logstash import events_files
from desired.paths import STATE
from desired.render import render
from desired.textfile import TextFile
from facts.packages import version_key

if TYPE_CHECKING:
    from cluster.rpm import RpmFile

KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-elasticsearch"
ELASTICS_KEY = "https://artifacts.elastic.co/GPG-KEY-elasticsearch"
"""Where Elastic has the key as it signs it today: by SHA-512. Old copies are signed by SHA-1 (elastic/elasticsearch #85876)."""
REPOSITORY = "/etc/yum.repos.d/logstash.repo"
FOLDER = "/etc/pki/logstash-ha"
"""The folder of the certificates with which the package manager asks the repository."""
CERTIFICATE, CERTIFICATE_KEY, CA = (f"{FOLDER}/{name}" for name in ("client.pem", "client.key", "ca.pem"))
RPMS = f"{STATE}/packages"
"""The folder of the copies of `rpms`: what is to be installed, and the Logstash that is, to go back to."""
JAVA = "java-1.8.0-openjdk-headless"
"""The Java for a Logstash that brings none of its own. Enterprise Linux 7 to 9 have it."""


def files(cluster: Cluster) -> list[TextFile]:
    """The file that describes the repository to the package manager, and the certificates that it names."""
    if not has_repository(cluster):
        return []
    found = cluster.repository_files
    secret = bool(found.login or found.proxy_login)
    text = render("logstash.repo.j2", cluster=cluster, **_repository_values(cluster))
    files = [
        TextFile(CERTIFICATE, found.certificate or "", step=2),
        TextFile(
            CERTIFICATE_KEY,
            found.key.get_secret_value() if found.key else "",
            step=2,
            mode="600",
            secret=True,
        ),
        TextFile(CA, found.ca or "", step=2),
        # It names the others, so it comes last.
        TextFile(REPOSITORY, text, step=2, mode="600" if secret else "644", secret=secret),
    ]
    return [file for file in files if file.content]


def has_repository(cluster: Cluster) -> bool:
    """Whether Logstash is installed from a repository, and not from RPM files, or by somebody else."""
    return cluster.packages == "install" and not cluster.rpms


def needs_repository(cluster: Cluster, installed: str | None) -> bool:
    """Whether a node with this Logstash, or without one, gets a package from a repository that can be seen from here."""
    if not has_repository(cluster) or (cluster.repository and cluster.repository.seen_from == "nodes"):
        return False
    return installed is None or cluster.version not in (None, installed)


def repository_urls(cluster: Cluster) -> list[str]:
    """The addresses of the repository's mirrors; none with a list of mirrors."""
    if cluster.repository and (cluster.repository.urls or cluster.repository.mirrorlist):
        return list(cluster.repository.urls)
    return [f"{cluster.artifacts_url}/packages/{cluster.major}.x/yum"]


def _repository_values(cluster: Cluster) -> dict[str, object]:
    found = cluster.repository_files
    return {
        "urls": repository_urls(cluster),
        "mirrorlist": cluster.repository.mirrorlist if cluster.repository else None,
        "gpgkey": f"file://{KEY}" if cluster.signing_keys else key_url(cluster),
        "login": found.login,
        "proxy_login": found.proxy_login,
        "certificate": CERTIFICATE if found.certificate else None,
        "certificate_key": CERTIFICATE_KEY if found.key else None,
        "ca": CA if found.ca else None,
    }


def rpm_path(rpm: RpmFile) -> str:
    """Where the nodes have their copy of an RPM file."""
    return f"{RPMS}/{rpm.file_name}"


def missing_packages(cluster: Cluster, packages: dict[str, str | None]) -> list[str]:
    """Of the packages that a node needs beside Logstash and those in `rpms`, the ones that it lacks.

    `packages` is the fact `Packages` of `all_packages`.
    """
    in_files = {rpm.name for rpm in cluster.rpm_files}
    return [
        name for name in package_names(cluster) if packages.get(name, "") is None and name not in in_files
    ]


def check_managed(cluster: Cluster, node: Node, packages: dict[str, str | None]) -> None:
    """Raise `ClusterError` where a node lacks packages that others see to, or has another Logstash.

    `packages` is the fact `Packages` of `all_packages`.
    """
    missing = [name for name in all_packages(cluster) if packages.get(name, "") is None]
    if missing:
        raise ClusterError(
            f"packages: {node.name} lacks {listed(missing)}, and with 'managed' nothing is installed; install "
            f"{'it' if len(missing) == 1 else 'them'} there, or choose packages='install'"
        )
    present = packages.get("logstash")
    if cluster.version and present and present != cluster.version:
        raise ClusterError(
            f"version: {node.name} has Logstash {present}, not {cluster.version}, and with packages='managed' it is not changed; "
            f"install {cluster.version} there, or correct the version"
        )


def key_url(cluster: Cluster) -> str:
    """The address of the key that signs Logstash's packages."""
    return f"{cluster.artifacts_url}/GPG-KEY-elasticsearch"


def manager(el: int) -> str:
    """The package manager of this Enterprise Linux."""
    return "yum" if el == 7 else "dnf"


def repository(cluster: Cluster) -> str:
    """The name of Elastic's repository for this major version of Logstash."""
    return f"logstash-{cluster.major}.x"


def release(cluster: Cluster) -> tuple[int, ...]:
    """The desired version of Logstash, for comparing; the newest of a major is above all others of it."""
    if cluster.version is None or cluster.version == "latest":
        return cluster.major, sys.maxsize
    return version_key(cluster.version)


def bundles_java(cluster: Cluster) -> bool:
    """Whether this Logstash brings its own Java, as all do from 7.10."""
    return release(cluster) >= (7, 10)


def package_names(cluster: Cluster) -> list[str]:
    """The packages that a node needs beside Logstash itself."""
    rotation = ["logrotate"] if events_files(cluster) else []
    return [*([] if bundles_java(cluster) else [JAVA]), "tcpdump", "ipvsadm", "keepalived", *rotation]


def all_packages(cluster: Cluster) -> list[str]:
    """The packages that a node needs, those in `rpms` and Logstash among them."""
    return list(
        dict.fromkeys([*package_names(cluster), *(rpm.name for rpm in cluster.rpm_files), "logstash"])
    )


def logstash_package(cluster: Cluster) -> str:
    """The desired Logstash in words: `logstash 8.19.3`, or `logstash 8.x` where any of its major will do."""
    major = f"logstash {cluster.major}.x"
    if cluster.version == "latest":
        return f"{major}, the latest"
    return f"logstash {cluster.version}" if cluster.version else major
