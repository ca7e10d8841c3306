"""Inputs with TLS: the certificate and key of the operator's folder, checked, and put on the nodes."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cluster import Cluster, ClusterError, define
from cluster.certificates import out_of_date, read_certificates
from desired import logstash
from desired.textfile import TextFile
from desired.tree import tree
from remote.preflight import require_valid_certificates
from tests.certificates import Authority
from tests.unit.clusters import make_cluster, write_api
from tests.unit.observations import all_well, status
from verification.certificates import certificates
from verification.finding import Observations
from verification.judge import judge
from verification.report import Status

Settings = dict[str, Any]
NOW = datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def with_tls(folder: Path, tls: Any, **change: Any) -> Cluster:
    """A cluster with one TLS input, `beats` unless `change` says otherwise."""
    settings = {key: change.pop(key) for key in ("logstash", "version", "vip") if key in change}
    input = {"id": "a", "port": 5044, "plugin": "beats", "tls": tls, **change}
    nodes = {"stash1": "10.77.0.11", "stash2": "10.77.0.12"}
    _, data = define(
        nodes=nodes,
        network="10.77.0.0/24",
        interface="eth0",
        senders=["10.77.0.101"],
        inputs=[input],
        **{"vip": "10.77.0.10", **settings},
    )
    return Cluster.model_validate(data["cluster"])


def refusal(folder: Path, tls: Any, **change: Any) -> str:
    with pytest.raises(ClusterError) as error:
        with_tls(folder, tls, **change)
    (line,) = error.value.args
    assert line.isprintable()
    return str(line).replace(f"{folder}/", "")


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
def test_a_node_gets_the_certificate_and_the_key_which_only_logstash_may_read(
    authority: Authority, key_type: trustme.KeyType, tmp_path: Path
) -> None:
    """The key in PKCS #8, which all of Logstash's inputs read, whatever it was before."""
    tls = authority.issue("logs", "10.77.0.10", key_type=key_type)
    made = with_tls(tmp_path, {**tls, "ca": str(authority.ca_file)})
    files = {file.path: file for file in logstash.files(made, made.nodes[0])}
    certificate, key, ca = (files[f"/etc/logstash/tls/a.{suffix}"] for suffix in ("crt", "key", "ca"))
    assert (certificate.owner, certificate.mode, certificate.secret) == ("root", "644", False)
    assert (key.owner, key.mode, key.secret) == ("logstash", "400", True)
    assert {file.read_by for file in (certificate, key, ca)} == {logstash.UNIT}
    assert read_certificates(certificate.content) == read_certificates(Path(tls["certificate"]).read_text())
    assert key.content.startswith("-----BEGIN PRIVATE KEY-----\n")
    public = load_pem_private_key(key.content.encode(), None).public_key()
    assert public == read_certificates(certificate.content)[0].public_key()
    assert read_certificates(ca.content) == read_certificates(authority.ca_file.read_text())


def test_no_output_shows_the_key(authority: Authority, tmp_path: Path) -> None:
    made = with_tls(tmp_path, authority.issue("logs", "10.77.0.10"))
    key = made.tls_files["a"].key.get_secret_value()
    assert key.splitlines()[1] not in repr(made) + repr(made.tls_files) + made.model_dump_json()
    file = tree(made, 9)["stash1/etc/logstash/tls/a.key"]
    assert (file.content, file.mode) == ("********", 0o400)


OLD_TCP = {
    "ssl_enable": "true",
    "ssl_cert": '"/etc/logstash/tls/a.crt"',
    "ssl_key": '"/etc/logstash/tls/a.key"',
}
NEW = {
    "ssl_enabled": "true",
    "ssl_certificate": '"/etc/logstash/tls/a.crt"',
    "ssl_key": '"/etc/logstash/tls/a.key"',
}
OLD_MODE = {"ssl": "true", **{key: value for key, value in NEW.items() if key != "ssl_enabled"}}
CA = '["/etc/logstash/tls/a.ca"]'


@pytest.mark.parametrize(
    ("plugin", "version", "clients", "expected"),
    [
        ("beats", 9, "none", {**NEW, "ssl_client_authentication": '"none"'}),
        ("beats", 8, "required", {**NEW, "ssl_certificate_authorities": CA, "ssl_client_authentication": '"required"'}),
        ("tcp", 8, "optional", {**NEW, "ssl_certificate_authorities": CA, "ssl_client_authentication": '"optional"'}),
        ("http", "8.12.0", "none", {**NEW, "ssl_client_authentication": '"none"'}),
        ("http", "8.11.4", "none", {**OLD_MODE, "ssl_verify_mode": '"none"'}),
        ("elastic_agent", 7, "required", {**OLD_MODE, "ssl_certificate_authorities": CA, "ssl_verify_mode": '"force_peer"'}),
        ("beats", 6, "optional", {**OLD_MODE, "ssl_certificate_authorities": CA, "ssl_verify_mode": '"peer"'}),
        ("tcp", 7, "none", {**OLD_TCP, "ssl_verify": "false"}),
        ("tcp", "7.17.29", "required", {**OLD_TCP, "ssl_certificate_authorities": CA, "ssl_verify": "true"}),
        ("relp", 9, "required", {**OLD_TCP, "ssl_cacert": CA[1:-1], "ssl_verify": "true"}),
        ("logstash", 9, "none", {**NEW, "ssl_client_authentication": '"none"'}),
        ("logstash", 9, None, {"ssl_enabled": "false"}),
        ("beats", 9, None, {}),
    ],
)  # fmt: skip
def test_each_logstash_gets_the_options_that_it_knows(
    authority: Authority,
    plugin: str,
    version: int | str,
    clients: str | None,
    expected: Settings,
    tmp_path: Path,
) -> None:
    tls: Settings | None = None
    if clients:
        ca = {"ca": str(authority.ca_file)} if clients != "none" else {}
        tls = {**authority.issue("logs", "10.77.0.10"), **ca, "client_authentication": clients}
    given = (
        {"logstash": version}
        if isinstance(version, int)
        else {"version": version, "logstash": int(version[0])}
    )
    made = with_tls(tmp_path, tls, plugin=plugin, **given)
    options = logstash.options(made, made.nodes[0], made.inputs[0], plugin)
    assert {name: value for name, value in options.items() if name.startswith("ssl")} == expected


def test_senders_need_a_certificate_where_there_is_a_ca_and_nothing_else_is_said(
    authority: Authority,
) -> None:
    tls = authority.issue("logs", "10.77.0.10")
    assert with_tls(authority.folder, tls).inputs[0].tls.clients == "none"  # type: ignore[union-attr]
    with_ca = with_tls(authority.folder, {**tls, "ca": str(authority.ca_file)})
    assert with_ca.inputs[0].tls.clients == "required"  # type: ignore[union-attr]


def test_paths_begin_at_the_inventorys_folder(authority: Authority, tmp_path: Path) -> None:
    tls = {name: Path(path).name for name, path in authority.issue("logs", "192.0.2.10").items()}
    (tmp_path / "inventory.py").write_text(
        f"""
from cluster import define

nodes = define(
    nodes={{"stash1": "192.0.2.11", "stash2": "192.0.2.12"}},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{{"id": "a", "port": 5044, "plugin": "beats", "tls": {tls}}}],
    senders=["192.0.2.64/26"],
)
"""
    )
    _, data = runpy.run_path(str(tmp_path / "inventory.py"))["nodes"]
    found = Cluster.model_validate(data["cluster"]).inputs[0].tls
    assert found
    assert found.certificate == tmp_path / "logs.pem"


@pytest.mark.parametrize(
    ("names", "asked", "refused"),
    [
        (["10.77.0.10"], {}, None),
        (["logs.example.com"], {"names": "logs.example.com"}, None),
        (["*.example.com"], {"names": ["LOGS.example.com"]}, None),
        (["logs.example.com", "10.77.0.10"], {"names": ["logs.example.com", "10.77.0.10"]}, None),
        (["logs.example.com"], {}, "is for logs.example.com, and not for 10.77.0.10"),
        (
            ["*.example.com"],
            {"names": "a.b.example.com"},
            "is for *.example.com, and not for a.b.example.com",
        ),
        (["*.example.com"], {"names": "example.com"}, "is for *.example.com, and not for example.com"),
        (["10.77.0.99"], {"names": ["10.77.0.99", "logs"]}, "is for 10.77.0.99, and not for logs"),
    ],
)
def test_the_certificate_must_be_for_what_senders_call_the_vip(
    authority: Authority, names: list[str], asked: Settings, refused: str | None, tmp_path: Path
) -> None:
    """Its addresses, unless the inventory says otherwise."""
    tls = {**authority.issue("logs", *names), **asked}
    if refused is None:
        assert with_tls(tmp_path, tls).tls_files
        return
    assert refusal(tmp_path, tls) == (
        f"inputs.0.tls.certificate: logs.pem {refused}; write what senders call the VIP into `names`, or name another certificate"
    )


def test_with_several_vips_it_must_be_for_all_of_them(authority: Authority, tmp_path: Path) -> None:
    vips = ["10.77.0.10", "10.77.0.20"]
    assert with_tls(tmp_path, authority.issue("both", *vips), vip=vips).tls_files
    assert "not for 10.77.0.20" in refusal(tmp_path, authority.issue("one", vips[0]), vip=vips)


NO_PEM = (
    "holds no certificate in PEM, or a broken one; name a file that begins with -----BEGIN CERTIFICATE-----"
)


@pytest.mark.parametrize(
    ("change", "files", "line"),
    [
        ({"key": "nowhere"}, {}, "inputs.0.tls.key: nowhere can't be read (No such file or directory); name the file that has the certificate's key"),
        ({"certificate": "nowhere"}, {}, "inputs.0.tls.certificate: nowhere can't be read (No such file or directory); name a file with a certificate in PEM"),
        ({}, {"logs.pem": "x\n"}, f"inputs.0.tls.certificate: logs.pem {NO_PEM}"),
        ({}, {"logs.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, f"inputs.0.tls.certificate: logs.pem {NO_PEM}"),
        ({"ca": "logs.key"}, {}, f"inputs.0.tls.ca: logs.key {NO_PEM}"),
        ({"key": "logs.pem"}, {}, "inputs.0.tls.key: logs.pem holds no private key in PEM; name the file that has the certificate's key"),
        ({"ca": "ca.pem", "client_certificate": "logs.pem", "client_key": "other.key"}, {}, "inputs.0.tls.client_key: other.key is the key of another certificate; name the one that belongs to it"),
        ({"ca": "ca.pem", "client_certificate": "logs.key", "client_key": "logs.key"}, {}, f"inputs.0.tls.client_certificate: logs.key {NO_PEM}"),
        ({"key": "other.key"}, {}, "inputs.0.tls.key: other.key is the key of another certificate; name the one that belongs to it"),
        ({}, {"logs.key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, "inputs.0.tls.key: logs.key holds a private key that can't be read; name the certificate's key"),
        ({}, {"logs.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"}, "inputs.0.tls.key: logs.key is protected by a password; write the key without it into a file that only you may read (`openssl pkey -in OLD -out NEW`)"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_should_be_is_refused_in_one_line(
    authority: Authority, change: Settings, files: dict[str, str], line: str, tmp_path: Path
) -> None:
    tls = authority.issue("logs", "10.77.0.10")
    authority.issue("other", "10.77.0.10")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    tls |= {name: str(tmp_path / file) for name, file in change.items()}
    assert refusal(tmp_path, tls) == line


def test_one_file_may_have_both_the_certificate_and_the_key(authority: Authority, tmp_path: Path) -> None:
    tls = authority.issue("logs", "10.77.0.10")
    both = tmp_path / "both.pem"
    both.write_text("# both\n" + Path(tls["certificate"]).read_text() + Path(tls["key"]).read_text())
    made = with_tls(tmp_path, {"certificate": str(both), "key": str(both)})
    assert "PRIVATE KEY" not in made.tls_files["a"].certificate
    assert "CERTIFICATE" not in made.tls_files["a"].key.get_secret_value()


@pytest.mark.parametrize(
    ("tls", "change", "line"),
    [
        ("x", {}, "inputs.0.tls: 'x' is not a dictionary; write it as {\"certificate\": \"logs.pem\", \"key\": \"logs.key\"}"),
        ({"certificate": "x"}, {}, "inputs.0.tls.key: is missing; add it"),
        ({"certificate": 5, "key": "x"}, {}, "inputs.0.tls.certificate: 5 is not a path; write it in quotes"),
        ({"cert": "x", "key": "x"}, {}, "inputs.0.tls.cert: unknown setting; choose from certificate, key, ca, client_authentication, client_certificate, client_key, names"),
        ({"certificate": "x", "key": "x", "name": "x"}, {}, "inputs.0.tls.name: unknown setting; did you mean names?"),
        ({"certificate": "x", "key": "x", "names": ["a b"]}, {}, "inputs.0.tls.names.0: 'a b' is neither a host name nor an address; write it as logs.example.com"),
        ({"certificate": "x", "key": "x", "client_authentication": "force"}, {}, "inputs.0.tls.client_authentication: 'force' is unknown; choose from 'none', 'optional', 'required'"),
        ({"certificate": "x", "key": "x", "ca": "x", "client_authentication": "none"}, {}, "inputs.0.tls.ca: no sender is asked for a certificate, as client_authentication is 'none'; take one of the two out"),
        ({"certificate": "x", "key": "x", "ca": "x", "client_key": "x"}, {}, "inputs.0.tls.client_certificate: is missing, and client_key is given; name both, or none"),
        ({"certificate": "x", "key": "x", "client_certificate": "x", "client_key": "x"}, {}, "inputs.0.tls.client_certificate: senders need none here; name a ca, or take it out with its key"),
        ({"certificate": "x", "key": "x", "client_authentication": "required"}, {}, "inputs.0.tls.ca: is missing, and client_authentication is 'required'; name the file with the certificates of the CAs that sign senders' certificates"),
        ({"certificate": "~nobody-here/x", "key": "x"}, {}, "inputs.0.tls.certificate: '~nobody-here/x' names no user's home; write the whole path"),
        ({"certificate": "x", "key": "x"}, {"plugin": None}, "inputs.0.tls: there is none over UDP; choose protocol='tcp', or one input for each protocol"),
        ({"certificate": "x", "key": "x"}, {"plugin": "syslog"}, "inputs.0.tls: there is none over UDP; choose protocol='tcp', or one input for each protocol"),
        ({"certificate": "x", "key": "x"}, {"plugin": "syslog", "protocol": "tcp"}, "inputs.0.tls: Logstash's syslog input has none; choose plugin='tcp', with a codec and filters"),
        ({"certificate": "x", "key": "x"}, {"plugin": "acme", "protocol": "tcp"}, "inputs.0.tls: the names of the options of acme are not known; take it out, and write them into options, with files that are on the nodes"),
        ({"certificate": "x", "key": "x", "ca": "x", "client_authentication": "optional"}, {"plugin": "tcp", "logstash": 7}, "inputs.0.tls.client_authentication: 'optional' is not possible with the tcp input of this Logstash; choose from 'none', 'required'"),
        (None, {"options": {"ssl_enabled": True}}, "inputs.0.options.ssl_enabled: follows from the input's `tls`; write that, and take it out"),
        (None, {"options": {"ssl": True}}, "inputs.0.options.ssl: follows from the input's `tls`; write that, and take it out"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_in_one_line(
    tls: Any, change: Settings, line: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, tls, **change) == line


def test_other_options_of_tls_are_the_users(authority: Authority, tmp_path: Path) -> None:
    tls = authority.issue("logs", "10.77.0.10")
    made = with_tls(tmp_path, tls, options={"ssl_supported_protocols": ["TLSv1.3"]})
    options = logstash.options(made, made.nodes[0], made.inputs[0], "beats")
    assert options["ssl_supported_protocols"] == '["TLSv1.3"]'


# Dates: a deploy refuses what is not valid; verify.py must still load the inventory, and say so.


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (-2, 2, None),
        (-2, -1, "has expired: "),
        (1, 2, "is not valid yet: "),
    ],
)
def test_a_deploy_refuses_a_certificate_that_is_not_valid_now(
    authority: Authority, before: int, after: int, refused: str | None, tmp_path: Path
) -> None:
    day = timedelta(days=1)
    tls = authority.issue("logs", "10.77.0.10", not_before=NOW + before * day, not_after=NOW + after * day)
    made = with_tls(tmp_path, tls)
    if refused is None:
        require_valid_certificates(made)
        return
    with pytest.raises(ClusterError) as error:
        require_valid_certificates(made)
    (line,) = error.value.args
    assert line.startswith(f"inputs.0.tls.certificate: {tmp_path}/logs.pem {refused}")
    assert re.search(r"20\d\d-\d\d-\d\d.*; put one that is valid into its place$", line)
    assert line.isprintable()


def test_what_is_not_valid_is_named(authority: Authority) -> None:
    text = authority.ca_file.read_text()
    assert out_of_date(text, NOW) is None
    assert "has expired" in (out_of_date(text, NOW + timedelta(days=365 * 2000)) or "")


def seeing(made: Cluster, found: dict[str, str] | None) -> Observations:
    """All is well, and each node has these certificates."""
    return {name: replace(seen, certificates=found) for name, seen in all_well(made).items()}


@pytest.mark.parametrize(
    ("days", "expected", "what"),
    [
        (400, (Status.OK, "400 days"), None),
        (30, (Status.OK, "30 days"), None),
        (29, (Status.WARNING, "29 days"), "a certificate in /etc/logstash/tls/a.crt expires in 29 days, on {end:%Y-%m-%d}"),
        (1, (Status.WARNING, "1 day"), "a certificate in /etc/logstash/tls/a.crt expires in 1 day, on {end:%Y-%m-%d}"),
        (-1, (Status.WRONG, "expired"), "a certificate in /etc/logstash/tls/a.crt has expired, on {end:%Y-%m-%d}"),
    ],
)  # fmt: skip
def test_verify_tells_how_long_a_certificate_is_valid(
    authority: Authority, days: int, expected: tuple[Status, str], what: str | None, tmp_path: Path
) -> None:
    """The one that is on the node, whatever is in the operator's folder."""
    end = NOW + timedelta(days=days, hours=1)
    tls = authority.issue("logs", "10.77.0.10", not_before=NOW - timedelta(days=500), not_after=end)
    made = with_tls(tmp_path, tls)
    text = Path(tls["certificate"]).read_text()
    authority.issue("logs", "10.77.0.10")
    seen = seeing(made, {"/etc/logstash/tls/a.crt": text})
    report = judge(made, seen)
    assert status(report, "tls", "stash1") == expected
    told = [problem for problem in report.problems if problem.check == "tls" and problem.node == "stash1"]
    assert [problem.what for problem in told] == ([what.format(end=end)] if what else [])
    assert report.ok == (expected[0] is not Status.WRONG)
    if told:
        assert told[0].do.startswith(f"put a new one into {tls['certificate']}, and run the deploy again")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, (Status.UNKNOWN, "?")),
        ({}, (Status.WRONG, "none")),
        ({"/etc/logstash/tls/a.crt": "x\n"}, (Status.WRONG, "none")),
    ],
)
def test_verify_sees_a_certificate_that_is_missing_or_broken(
    authority: Authority, found: Any, expected: tuple[Status, str], tmp_path: Path
) -> None:
    made = with_tls(tmp_path, authority.issue("logs", "10.77.0.10"))
    assert status(judge(made, seeing(made, found)), "tls", "stash1") == expected


def test_the_first_certificate_that_ends_counts(authority: Authority, tmp_path: Path) -> None:
    """Also one of the CA, by which senders are known."""
    day = timedelta(days=1)
    tls = authority.issue("logs", "10.77.0.10", not_before=NOW - day, not_after=NOW + 300 * day)
    early = authority.issue("early", "early", not_before=NOW - day, not_after=NOW + 5 * day + day / 2)
    made = with_tls(tmp_path, {**tls, "ca": early["certificate"]})
    files = {
        "/etc/logstash/tls/a.crt": Path(tls["certificate"]).read_text(),
        "/etc/logstash/tls/a.ca": Path(early["certificate"]).read_text(),
    }
    ((row, problems),) = certificates(made, seeing(made, files))
    assert {cell.text for cell in row.cells.values()} == {"5 days"}
    assert early["certificate"] in problems[0].do


@pytest.mark.parametrize(
    ("days", "ca_days", "expected", "what"),
    [
        (400, 500, (Status.OK, "400 days"), None),
        (29, 500, (Status.WARNING, "29 days"), "the API's certificate expires in 29 days"),
        (-1, 500, (Status.WRONG, "expired"), "the API's certificate has expired"),
        (400, 7, (Status.WARNING, "7 days"), "the certificate of the API's CA expires in 7 days"),
    ],
)
def test_verify_tells_how_long_the_apis_certificate_is_valid(
    days: int, ca_days: int, expected: tuple[Status, str], what: str | None, tmp_path: Path
) -> None:
    made = make_cluster(tmp_path, api=write_api(tmp_path, "10.77.0.11", "10.77.0.12"))
    assert made.api_files
    begin = NOW - timedelta(days=600)
    authority = Authority(tmp_path)
    leaf, ca = (
        Path(
            authority.issue(
                name, "10.77.0.11", not_after=NOW + timedelta(days=left, hours=1), not_before=begin
            )["certificate"]
        ).read_text()
        for name, left in (("leaf", days), ("ca", ca_days))
    )
    vars(made)["api_files"] = replace(
        made.api_files, certificates=dict.fromkeys(made.node_names, leaf), ca=ca
    )
    seen = all_well(made)
    report = judge(made, seen)
    assert status(report, "api-tls", "stash1") == expected
    told = [problem for problem in report.problems if problem.check == "api-tls" and problem.node == "stash1"]
    assert [problem.what.partition(", on")[0] for problem in told] == ([what] if what else [])
    units = seen["stash1"].units
    assert units
    units[logstash.UNIT]["files"][logstash.KEYSTORE] = "0" * 64
    assert status(judge(made, seen), "api-tls", "stash1") == (Status.OK, "not this one")


def test_a_cluster_without_tls_has_no_such_row_and_no_such_file(tmp_path: Path) -> None:
    made = make_cluster(tmp_path)
    assert certificates(made, all_well(made)) == []
    assert logstash.certificate_paths(made) == []
    files: list[TextFile] = logstash.files(made, made.nodes[0])
    assert not any("tls" in file.path for file in files)
