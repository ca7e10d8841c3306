"""The settings of Logstash's API, of pipelines and of Java: what is refused in one line, and what is rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import Cluster, ClusterError, define
from desired import firewalld, health_script, logstash
from desired.files import desired_files
from desired.majors import with_installed_major, with_seen_major
from desired.textfile import TextFile
from desired.tree import tree
from tests.certificates import Authority
from tests.unit.clusters import API_PASSWORD, KEYSTORE_PASSWORD, make_cluster, write_api

ADDRESSES = ("10.77.0.11", "10.77.0.12")
SETTINGS: dict[str, Any] = {
    "nodes": {"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
    "network": "10.77.0.0/24",
    "interface": "eth0",
    "vip": "10.77.0.10",
    "inputs": [{"id": "udp-5514", "port": 5514}],
    "senders": ["10.77.0.101"],
}


def refused(**change: Any) -> str:
    with pytest.raises(ClusterError) as caught:
        define(**{**SETTINGS, **change})
    return str(caught.value)


def files_of(cluster: Cluster, number: int = 0) -> dict[str, TextFile]:
    return desired_files(cluster, cluster.nodes[number], 9)


def settings_of(cluster: Cluster) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(files_of(cluster)[logstash.SETTINGS].content)
    return settings


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({"api": "api.secrets"}, 'api: \'api.secrets\' is not a dictionary; write it as {"secrets": "api.secrets"}'),
        ({"api": {"secrets": "x", "keystor": "y"}}, "api.keystor: unknown setting; did you mean keystore?"),
        ({"api": {"secrets": "/nonexistent"}}, "api.secrets: /nonexistent can't be read (No such file or directory); write lines"),
        ({"monitors": ["metricbeat"]}, "monitors.0: 'metricbeat' is "),
        ({"monitors": ["2001:db8::7"]}, "monitors: 2001:db8::7/128 is IPv6, and the API listens at the nodes' IPv4 addresses; name an IPv4 one"),
        ({"monitors": ["192.0.2.7", "192.0.2.7"]}, "monitors: entry 192.0.2.7/32 is given twice; each must be different"),
        ({"jvm_options": ["-Xmx4g"]}, "jvm_options: -Xmx4g is the heap's size; take it out, and use heap"),
        ({"jvm_options": ["-Da=b c"]}, "jvm_options.0: '-Da=b c' is not an option of Java; write it as -Duser.timezone=UTC"),
        ({"pipeline_settings": {"other": {"pipeline.workers": 2}}}, "pipeline_settings.other: is not a pipeline of this cluster; choose from main"),
        ({"pipeline_settings": {"main": {"path.config": "/tmp"}}}, "pipeline_settings.main.path.config: is not a setting of one pipeline; choose from pipeline.workers, "),
        ({"pipeline_settings": {"main": {"pipeline.workers": 0}}}, "pipeline_settings.main.pipeline.workers: 0 is not a whole number from 1 on; write it in digits"),
        ({"pipeline_settings": {"main": {"pipeline.batch.delay": "soon"}}}, "pipeline_settings.main.pipeline.batch.delay: 'soon' is not a number of milliseconds"),
        ({"pipeline_settings": {"main": {"pipeline.ordered": "no"}}}, "pipeline_settings.main.pipeline.ordered: 'no' is not 'auto', True or False; write one of them"),
        ({"logstash": 6, "pipeline_settings": {"main": {"pipeline.ordered": "auto"}}}, "pipeline_settings.main.pipeline.ordered: Logstash 6 does not know it; choose 7.7.0 or later"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_in_one_line(change: dict[str, Any], start: str) -> None:
    message = refused(**change)
    assert message.startswith(start)
    assert "\n" not in message


BAD_SECRETS = {
    "USERNAME=monitor\n": "has USERNAME and no PASSWORD; write both",
    f"PASSWORD={API_PASSWORD}\n": "has PASSWORD and no USERNAME; write both",
    "": "has no USERNAME and PASSWORD, and there is no api.keystore; add one of them",
    "USER=monitor\n": "has USER, which is none of its secrets; choose from USERNAME, PASSWORD, KEYSTORE_PASSWORD",
    f"USERNAME=a:b\nPASSWORD={API_PASSWORD}\n": "USERNAME has a colon, which no login can have",
    "USERNAME=a\nPASSWORD=Sh0rt\n": "PASSWORD is weaker than Logstash's policy allows; use 8 characters",
    "USERNAME=a\nPASSWORD=onlyl0wercase\n": "PASSWORD is weaker than Logstash's policy allows",
    "USERNAME=a\nPASSWORD=with Space1\n": "PASSWORD is empty, or has a space or a character outside ASCII",
    "KEYSTORE_PASSWORD=Abcdefg1\n": "has a KEYSTORE_PASSWORD, and there is no keystore; name it in api.keystore",
    "nonsense\n": "line 1 is not NAME=value",
}


@pytest.mark.parametrize("text", BAD_SECRETS)
def test_bad_secrets_are_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "api.secrets").write_text(text)
    message = refused(api={"secrets": str(tmp_path / "api.secrets")})
    assert message.startswith(f"api.secrets: {tmp_path}/api.secrets")
    assert BAD_SECRETS[text] in message
    for value in ("Sh0rt", "onlyl0wercase", "Space1", "Abcdefg1", API_PASSWORD):
        assert value not in message


def keystores(folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """What is wrong with each, by name: the change of `api`, and what is said."""
    other = folder / "other"
    other.mkdir()
    stranger = Authority(other)
    one = Authority(folder).keystore("one", KEYSTORE_PASSWORD, "10.77.0.12")
    pem = folder / "api.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    jks = folder / "api.jks"
    jks.write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2")
    wrong = stranger.keystore("wrong", "Another-pass1", *ADDRESSES)
    return {
        "PEM": ({"keystore": str(pem)}, "is PEM, and Logstash's API takes a keystore"),
        "JKS": ({"keystore": str(jks)}, "is a keystore in Java's own format; make one in PKCS #12 of it"),
        "password": ({"keystore": str(wrong)}, "can't be opened with the KEYSTORE_PASSWORD in api.secrets"),
        "address": ({"keystore": str(one)}, "is for 10.77.0.12, and not for 10.77.0.11, stash1's address"),
        "CA": ({"ca": str(stranger.ca_file)}, "has no CA that has signed the certificate in "),
        "no CA": ({"ca": None}, "api.ca: is missing; name the file"),
        "missing": ({"keystore": str(folder / "no.p12")}, "no.p12 can't be read (No such file or directory)"),
    }


@pytest.mark.parametrize("name", ["PEM", "JKS", "password", "address", "CA", "no CA", "missing"])
def test_a_keystore_that_no_check_could_accept_is_refused(tmp_path: Path, name: str) -> None:
    api = write_api(tmp_path, *ADDRESSES)
    change, text = keystores(tmp_path)[name]
    message = refused(api={**api, **change})
    assert message.startswith("api.")
    assert text in message
    assert KEYSTORE_PASSWORD not in message


@pytest.mark.parametrize("change", [{"logstash": 6}, {"version": "7.15.2"}, {"version": "6.8.23"}])
def test_an_old_logstash_can_not_secure_its_api(tmp_path: Path, change: dict[str, Any]) -> None:
    message = refused(api=write_api(tmp_path, *ADDRESSES), **change)
    assert message.startswith("api: Logstash ")
    assert message.endswith("can't secure its API; choose 7.16.0 or later, or take it out")


def test_each_secret_is_in_files_that_only_its_readers_may_read(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, api=write_api(tmp_path, *ADDRESSES))
    files = files_of(cluster)
    holding = {
        (path, file.mode, file.owner)
        for path, file in files.items()
        if any(each in file.content for each in (API_PASSWORD, KEYSTORE_PASSWORD))
    }
    assert holding == {
        (logstash.ENVIRONMENT, "600", "root"),
        (health_script.ACCESS, "400", health_script.USER),
    }
    keystore = files[logstash.KEYSTORE]
    assert (keystore.mode, keystore.owner, keystore.secret) == ("400", "logstash", True)
    assert keystore.data == (tmp_path / "api.p12").read_bytes()
    assert settings_of(cluster)["api.auth.basic.password"] == "${LOGSTASH_HA_API_PASSWORD}"


def test_each_node_can_have_its_own_keystore(tmp_path: Path) -> None:
    api = write_api(tmp_path, *ADDRESSES)
    authority = Authority(tmp_path)
    for number, address in enumerate(ADDRESSES, 1):
        authority.keystore(f"stash{number}", KEYSTORE_PASSWORD, address)
    path = str(tmp_path / "<%= node.name %>.p12")
    cluster = make_cluster(tmp_path, api={**api, "keystore": path, "ca": str(authority.ca_file)})
    for number in (0, 1):
        expected = (tmp_path / f"stash{number + 1}.p12").read_bytes()
        assert files_of(cluster, number)[logstash.KEYSTORE].data == expected


def test_the_tree_for_reviews_has_no_secret(tmp_path: Path) -> None:
    found = tree(make_cluster(tmp_path, api=write_api(tmp_path, *ADDRESSES)), 9)
    for file in found.values():
        assert API_PASSWORD not in file.content
        assert KEYSTORE_PASSWORD not in file.content
    assert found["stash1/etc/logstash/tls/api.p12"].content == "********"


def test_a_login_without_tls_is_a_warning(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, api=write_api(tmp_path, keystore=False))
    assert cluster.warnings[0].startswith("api: the API's login goes through the network as it is")
    assert "api.ssl.enabled" not in settings_of(cluster)


def test_monitors_get_a_rule_and_those_at_localhost_a_listener(tmp_path: Path) -> None:
    before = make_cluster(tmp_path)
    remote = make_cluster(tmp_path, monitors=["192.0.2.7"])
    local = make_cluster(tmp_path, monitors=["127.0.0.1", "192.0.2.0/28"])
    rules = [set(firewalld.rules(each, each.nodes[0])) for each in (before, remote, local)]
    rule = 'rule family="ipv4" source address="{}" destination address="10.77.0.11" port port="9600" protocol="tcp" accept'
    assert rules[1] - rules[0] == {rule.format("192.0.2.7")}
    assert rules[2] - rules[0] == {rule.format("192.0.2.0/28")}
    assert [settings_of(each)["api.http.host"] for each in (before, remote, local)] == [
        "10.77.0.11",
        "10.77.0.11",
        "0.0.0.0",
    ]


@pytest.mark.parametrize(("with_login", "warned"), [(False, True), (True, False)])
def test_an_api_without_a_login_for_everyone_is_a_warning(
    tmp_path: Path, with_login: bool, warned: bool
) -> None:
    api = write_api(tmp_path, *ADDRESSES) if with_login else None
    cluster = make_cluster(tmp_path, monitors=["0.0.0.0/0"], api=api)
    assert any(line.startswith("monitors: everyone may read the API") for line in cluster.warnings) == warned


def test_a_pipeline_has_its_own_settings(tmp_path: Path) -> None:
    own = {"pipeline.workers": 2, "pipeline.ordered": "auto", "queue.type": "persisted"}
    cluster = make_cluster(tmp_path, pipeline_settings={"main": own})
    (main,) = yaml.safe_load(files_of(cluster)[logstash.PIPELINES].content)
    assert main == {"pipeline.id": "main", "path.config": "/etc/logstash/conf.d/*.conf", **own}


def test_options_of_java_come_after_the_heap(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, heap="2g", jvm_options=["-Duser.timezone=UTC", "-XX:+UseG1GC"])
    text = files_of(cluster)[logstash.ENVIRONMENT].content
    assert 'LS_JAVA_OPTS="-Xms2g -Xmx2g -Duser.timezone=UTC -XX:+UseG1GC"\n' in text


@pytest.mark.parametrize(
    ("settings", "versions", "major"),
    [
        ({}, {}, 9),
        ({}, {"stash1": None, "stash2": None}, 9),
        ({}, {"stash1": "8.19.3", "stash2": None}, 8),
        ({"version": "latest"}, {"stash1": "7.17.29"}, 7),
        ({"version": "8.19.3"}, {}, 8),
    ],
)
def test_without_a_major_version_that_of_the_nodes_counts(
    tmp_path: Path, settings: dict[str, Any], versions: dict[str, str | None], major: int
) -> None:
    cluster = make_cluster(tmp_path, **{"logstash": None, **settings})
    assert with_installed_major(cluster, versions).major == major
    assert with_seen_major(cluster, versions).major == major


def test_nodes_with_several_major_versions_are_refused(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path, logstash=None)
    versions = {"stash1": "8.19.3", "stash2": "9.3.8"}
    with pytest.raises(ClusterError) as caught:
        with_installed_major(cluster, versions)
    assert str(caught.value) == (
        "logstash: the nodes have several major versions (stash1 has 8.19.3, stash2 has 9.3.8); "
        "set it to the one that all should have"
    )
    assert with_seen_major(cluster, versions).major == 8  # who only looks goes on
