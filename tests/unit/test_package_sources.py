"""Where packages come from: certificates, logins and keys of an inventory, and RPM files beside it."""

from __future__ import annotations

import configparser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster, ClusterError, define
from cluster.package_sources import ELASTICS_FINGERPRINT
from desired import packages
from desired.files import desired_files
from tests.certificates import Authority
from tests.packages import Signer

Settings = dict[str, Any]
SECRETS = "USERNAME=deploy\nPASSWORD=hunter#22\nPROXY_USERNAME=webproxy\nPROXY_PASSWORD=swordfish\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an inventory, with all files that one may name."""
    Authority(tmp_path).issue("client", "stash.example.com")
    (tmp_path / "secrets").write_text(SECRETS)
    signer = Signer(tmp_path)
    (tmp_path / "fingerprint").write_text(signer.fingerprint)
    (tmp_path / "rpms").mkdir()
    signer.rpm(tmp_path / "rpms")
    signer.rpm(tmp_path / "rpms", "ipvsadm", "1.31")
    return tmp_path


@pytest.fixture
def made(folder: Path) -> Callable[..., Cluster]:
    """The cluster of an inventory in that folder, with these settings."""

    def made(**settings: Any) -> Cluster:
        names = {"signing_keys", "rpms"}
        settings = {key: _in(folder, value) if key in names else value for key, value in settings.items()}
        if isinstance(repository := settings.get("repository"), dict):
            files = {"certificate", "key", "ca", "secrets"}
            settings["repository"] = {
                key: _in(folder, value) if key in files else value for key, value in repository.items()
            }
        if settings.get("key_fingerprints") == "own":
            settings["key_fingerprints"] = (folder / "fingerprint").read_text()
        _, data = define(
            **{
                "nodes": {"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
                "network": "10.77.0.0/24",
                "interface": "eth0",
                "vip": "10.77.0.10",
                "inputs": [{"id": "udp-5514", "port": 5514}],
                "senders": ["10.77.0.101"],
                **settings,
            }
        )
        return Cluster.model_validate(data["cluster"])

    return made


def _in(folder: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_in(folder, each) for each in value]
    return str(folder / value) if isinstance(value, str) else value


KEYS: Settings = {"signing_keys": "signer.asc", "key_fingerprints": "own"}
URL = "https://satellite.example.com/pulp/content/ACME/Library/custom/elastic/logstash-8"
CLIENT = {"certificate": "client.pem", "key": "client.key", "ca": "ca.pem"}


def _repository(cluster: Cluster) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(desired_files(cluster, cluster.nodes[0], 9)[packages.REPOSITORY].content)
    (name,) = parser.sections()
    assert name == "logstash-9.x"
    return dict(parser[name])


def test_a_client_certificate_gets_to_the_nodes_and_only_root_reads_its_key(
    made: Callable[..., Cluster], folder: Path
) -> None:
    cluster = made(repository={"url": URL, **CLIENT}, **KEYS)
    files = desired_files(cluster, cluster.nodes[0], 9)
    repository = _repository(cluster)
    assert repository["baseurl"] == URL
    assert repository["gpgkey"] == f"file://{packages.KEY}"
    for option, name, mode in (
        ("sslclientcert", "client.pem", "644"),
        ("sslclientkey", "client.key", "600"),
        ("sslcacert", "ca.pem", "644"),
    ):
        file = files[repository[option]]
        assert (file.mode, file.secret, file.step) == (mode, mode == "600", 2)
        if name != "client.key":  # which is written anew, in PKCS #8
            assert file.content.split() == (folder / name).read_text().split()
    assert files[packages.REPOSITORY].mode == "644"


def test_logins_are_in_a_file_that_only_root_reads_and_nobody_is_shown(made: Callable[..., Cluster]) -> None:
    cluster = made(
        repository={"url": URL, "secrets": "secrets"}, proxy="http://proxy.example.com:3128", **KEYS
    )
    file = desired_files(cluster, cluster.nodes[0], 9)[packages.REPOSITORY]
    assert (file.mode, file.secret) == ("600", True)
    repository = _repository(cluster)
    assert (repository["username"], repository["password"]) == ("deploy", "hunter#22")
    assert (repository["proxy_username"], repository["proxy_password"]) == ("webproxy", "swordfish")
    masked = cluster.masked()
    text = desired_files(masked, masked.nodes[0], 9)[packages.REPOSITORY].content
    for secret in ("hunter#22", "swordfish"):
        assert secret not in text + repr(cluster) + cluster.model_dump_json()
    assert "********" in text


def test_mirrors_are_a_list_or_the_address_of_one(made: Callable[..., Cluster]) -> None:
    urls = ["https://a.example.com/logstash", "https://b.example.com/logstash"]
    assert _repository(made(repository={"url": urls}, **KEYS))["baseurl"].split() == urls
    listed = _repository(made(repository={"mirrorlist": "https://a.example.com/mirrors.txt"}, **KEYS))
    assert listed["mirrorlist"] == "https://a.example.com/mirrors.txt"
    assert "baseurl" not in listed


def test_without_a_repository_of_its_own_it_is_elastics(made: Callable[..., Cluster]) -> None:
    repository = _repository(made())
    assert repository["baseurl"] == "https://artifacts.elastic.co/packages/9.x/yum"
    assert repository["gpgkey"] == "https://artifacts.elastic.co/GPG-KEY-elasticsearch"
    assert made().key_fingerprints == (ELASTICS_FINGERPRINT,)


@pytest.mark.parametrize("settings", [{"packages": "managed"}, {"rpms": "rpms", "version": "8.19.3", **KEYS}])
def test_no_repository_is_written_where_none_is_used(
    made: Callable[..., Cluster], settings: Settings
) -> None:
    cluster = made(**settings)
    assert packages.files(cluster) == []


def test_rpm_files_are_named_one_by_one_or_by_their_folder(made: Callable[..., Cluster]) -> None:
    for rpms in ("rpms", ["rpms/logstash-8.19.3-1.x86_64.rpm", "rpms/ipvsadm-1.31-1.x86_64.rpm"]):
        cluster = made(rpms=rpms, version="8.19.3", **KEYS)
        assert [(rpm.name, rpm.version) for rpm in cluster.rpm_files] == [
            ("ipvsadm", "1.31"),
            ("logstash", "8.19.3"),
        ]
        assert packages.all_packages(cluster) == ["tcpdump", "ipvsadm", "keepalived", "logrotate", "logstash"]


BAD: list[tuple[Settings, str]] = [
    ({"repository": "x"}, "repository: 'x' is not a dictionary; write it as {\"url\": \"https://satellite.example.com/logstash-8\"}"),
    ({"repository": {"urls": URL}}, "repository.urls: unknown setting; did you mean url?"),
    ({"repository": {"url": "ftp://x"}}, "repository.url.0: 'ftp://x' is not an http or https URL; write it as https://artifacts.elastic.co, without a final slash"),
    ({"repository": {"url": URL}}, "signing_keys: is missing; name the local file with the key that signs the repository's packages, such as a copy of https://artifacts.elastic.co/GPG-KEY-elasticsearch"),
    ({"repository": {"url": [URL, URL]}, **KEYS}, f"repository.url: entry {URL} is given twice; each must be different"),
    ({"repository": {"url": URL, "mirrorlist": URL}, **KEYS}, "repository.mirrorlist: is another way to say what repository.url says; take one of them out"),
    ({"repository": {"seen_from": "moon"}}, "repository.seen_from: 'moon' is unknown; choose from 'operator', 'nodes'"),
    ({"repository": {"certificate": "client.pem"}, **KEYS}, "repository.key: is missing; name the file, since a client certificate is used with its key"),
    ({"repository": {"certificate": "client.pem", "key": "secrets"}, **KEYS}, "repository.key: {}/secrets holds no private key in PEM; name the file that has the certificate's key"),
    ({"repository": {"ca": "nowhere"}, **KEYS}, "repository.ca: {}/nowhere can't be read (No such file or directory); name a file with a certificate in PEM"),
    ({"repository": {"secrets": "bad"}}, "repository.secrets: {}/bad has TOKEN, which is none of its secrets; choose from USERNAME, PASSWORD, PROXY_USERNAME, PROXY_PASSWORD"),
    ({"repository": {"secrets": "half"}}, "repository.secrets: {}/half has USERNAME and no PASSWORD; write both, or none"),
    ({"repository": {"secrets": "dollar"}}, "repository.secrets: {}/dollar: PASSWORD is empty, or has a space, a `$` or a character outside ASCII, which yum's files can't carry; choose another one"),
    ({"repository": {"secrets": "secrets"}, **KEYS}, "proxy: is missing, and repository.secrets has a PROXY_USERNAME; name the proxy, or take the login out"),
    ({"signing_keys": "signer.asc"}, "signing_keys: {}/signer.asc holds the key FINGERPRINT, which is not in key_fingerprints (46095ACC8548582C1A2699A9D27D666CD88E42B4); take the right file, or, where that key is to be trusted, write its fingerprint there"),
    ({"signing_keys": "client.pem"}, "signing_keys: {}/client.pem holds no OpenPGP key in ASCII armor; name a file that begins with -----BEGIN PGP PUBLIC KEY BLOCK-----"),
    ({"key_fingerprints": "d88e42b4"}, "key_fingerprints: 'd88e42b4' is not a fingerprint; write the 40 digits that `gpg --show-keys FILE` prints"),
    ({"key_fingerprints": []}, "key_fingerprints: none given; write that of the key which signs the packages"),
    ({"packages": "managed", "proxy": "http://p:1"}, "proxy: nothing is installed with packages='managed'; take it out, or choose packages='install'"),
    ({"packages": "managed", "version": "latest"}, "version: 'latest' can't be checked with packages='managed'; write the version that the nodes must have, or none"),
    ({"packages": "yours"}, "packages: 'yours' is unknown; choose from 'install', 'managed'"),
    ({"rpms": "rpms"}, "signing_keys: is missing; name the local file with the key that signs the packages in rpms, which is Elastic's for Logstash"),
    ({"rpms": "rpms", **KEYS}, "version: is missing, and {}/rpms/logstash-8.19.3-1.x86_64.rpm in rpms is Logstash 8.19.3; write version=\"8.19.3\", or add the other file in its place"),
    ({"rpms": "rpms", "version": "8.19.4", **KEYS}, "version: is 8.19.4, and {}/rpms/logstash-8.19.3-1.x86_64.rpm in rpms is Logstash 8.19.3; write version=\"8.19.3\", or add the other file in its place"),
    ({"rpms": "rpms/ipvsadm-1.31-1.x86_64.rpm", **KEYS}, "rpms: has no package of Logstash (there are: ipvsadm); add its file"),
    ({"rpms": "empty", **KEYS}, "rpms: {}/empty has no *.rpm files; put Logstash's into it"),
    ({"rpms": "secrets", **KEYS}, "rpms: {}/secrets is not an RPM, or a part of one; fetch it again"),
    ({"rpms": "part.rpm", **KEYS}, "rpms: {}/part.rpm is not an RPM, or a part of one; fetch it again"),
    ({"rpms": "changed.rpm", **KEYS}, "rpms: {}/changed.rpm is not as a key in {}/signer.asc has signed it; fetch it again, or add the key that signs it"),
    ({"rpms": ["rpms", "copy.rpm"], **KEYS}, "rpms: {}/copy.rpm and {}/rpms/logstash-8.19.3-1.x86_64.rpm are both a package of logstash; take one of them out"),
    ({"rpms": "nowhere.rpm", **KEYS}, "rpms: {}/nowhere.rpm can't be read (No such file or directory); name an RPM file, or a folder of them"),
    ({"rpms": 5, **KEYS}, "rpms.0: 5 is not a path; write it in quotes"),
    ({"rpms": "rpms", "version": "8.19.3", "exclusive": True, **KEYS}, "exclusive: no repository is used with rpms, from which all is installed; take one of them out"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "line"), BAD, ids=[line.partition(";")[0] for _, line in BAD])
def test_what_can_not_be_used_is_refused_in_one_line(
    made: Callable[..., Cluster], folder: Path, settings: Settings, line: str
) -> None:
    good = (folder / "rpms/logstash-8.19.3-1.x86_64.rpm").read_bytes()
    (folder / "copy.rpm").write_bytes(good)
    (folder / "part.rpm").write_bytes(good[:200])
    (folder / "changed.rpm").write_bytes(good.replace(b"8.19.3", b"8.19.9"))
    (folder / "empty").mkdir()
    (folder / "bad").write_text("TOKEN=x\n")
    (folder / "half").write_text("USERNAME=x\n")
    (folder / "dollar").write_text("USERNAME=x\nPASSWORD=a$basearch\n")
    with pytest.raises(ClusterError) as error:
        made(**settings)
    fingerprint = (folder / "fingerprint").read_text()
    assert error.value.args == (line.replace("{}", str(folder)).replace("FINGERPRINT", fingerprint),)


def test_a_package_that_a_stranger_has_signed_is_refused(
    made: Callable[..., Cluster], tmp_path: Path, folder: Path
) -> None:
    Signer(tmp_path, "stranger").rpm(folder / "rpms", "keepalived", "2.2.8")
    with pytest.raises(ClusterError, match=r"keepalived-2.2.8-1.x86_64.rpm is not as a key in .* has signed"):
        made(rpms="rpms", version="8.19.3", **KEYS)


def test_several_keys_may_sign(made: Callable[..., Cluster], folder: Path) -> None:
    other = Signer(folder, "distribution")
    other.rpm(folder / "rpms", "keepalived", "2.2.8")
    own = folder / "signer.asc"
    own.write_text(own.read_text() + other.file.read_text())
    fingerprints = [(folder / "fingerprint").read_text(), other.fingerprint.lower()]
    cluster = made(rpms="rpms", version="8.19.3", signing_keys="signer.asc", key_fingerprints=fingerprints)
    assert [rpm.name for rpm in cluster.rpm_files] == ["ipvsadm", "keepalived", "logstash"]


def test_managed_packages_are_looked_at(made: Callable[..., Cluster]) -> None:
    cluster = made(packages="managed", version="8.19.3")
    node = cluster.nodes[0]
    there: dict[str, str | None] = dict.fromkeys(packages.package_names(cluster), "1")
    packages.check_managed(cluster, node, {**there, "logstash": "8.19.3"})
    with pytest.raises(ClusterError) as error:
        packages.check_managed(cluster, node, {**there, "keepalived": None, "logstash": None})
    assert error.value.args == (
        "packages: stash1 lacks keepalived, logstash, and with 'managed' nothing is installed; install them there, or choose "
        "packages='install'",
    )
    with pytest.raises(ClusterError) as error:
        packages.check_managed(cluster, node, {**there, "logstash": "8.19.2"})
    assert error.value.args == (
        "version: stash1 has Logstash 8.19.2, not 8.19.3, and with packages='managed' it is not changed; install 8.19.3 there, "
        "or correct the version",
    )
