"""Packages, Elastic's repository and the key that signs its packages (the recipe's step 2)."""

from __future__ import annotations

import sys

from cluster import Cluster
from desired.logstash import events_files
from desired.render import render
from desired.textfile import TextFile
from facts.packages import version_key

KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-elasticsearch"
ELASTICS_KEY = "https://artifacts.elastic.co/GPG-KEY-elasticsearch"
"""Where Elastic has the key as it signs it today: by SHA-512. Old copies are signed by SHA-1 (elastic/elasticsearch #85876)."""
REPOSITORY = "/etc/yum.repos.d/logstash.repo"
JAVA = "java-1.8.0-openjdk-headless"
"""The Java for a Logstash that brings none of its own. Enterprise Linux 7 to 9 have it."""


def files(cluster: Cluster) -> list[TextFile]:
    """The file that describes Elastic's repository to dnf."""
    return [TextFile(REPOSITORY, render("logstash.repo.j2", cluster=cluster), step=2)]


def key_url(cluster: Cluster) -> str:
    """The address of the key that signs Logstash's packages."""
    return f"{cluster.artifacts_url}/GPG-KEY-elasticsearch"


def manager(el: int) -> str:
    """The package manager of this Enterprise Linux."""
    return "yum" if el == 7 else "dnf"


def repository(cluster: Cluster) -> str:
    """The name of Elastic's repository for this major version of Logstash."""
    return f"logstash-{cluster.logstash}.x"


def release(cluster: Cluster) -> tuple[int, ...]:
    """The desired version of Logstash, for comparing; the newest of a major is above all others of it."""
    if cluster.version is None or cluster.version == "latest":
        return cluster.logstash, sys.maxsize
    return version_key(cluster.version)


def bundles_java(cluster: Cluster) -> bool:
    """Whether this Logstash brings its own Java, as all do from 7.10."""
    return release(cluster) >= (7, 10)


def package_names(cluster: Cluster) -> list[str]:
    """The packages that a node needs beside Logstash itself."""
    rotation = ["logrotate"] if events_files(cluster) else []
    return [*([] if bundles_java(cluster) else [JAVA]), "tcpdump", "ipvsadm", "keepalived", *rotation]


def all_packages(cluster: Cluster) -> list[str]:
    """The packages that a node needs, Logstash among them."""
    return [*package_names(cluster), "logstash"]


def logstash_package(cluster: Cluster) -> str:
    """The desired Logstash in words: `logstash 8.19.3`, or `logstash 8.x` where any of its major will do."""
    major = f"logstash {cluster.logstash}.x"
    if cluster.version == "latest":
        return f"{major}, the latest"
    return f"logstash {cluster.version}" if cluster.version else major
