"""The inputs of other plugins: each takes events by its own protocol, and fails as the real one does."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import ssl
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.certificates import Authority
from tests.lumberjack import Client, LumberjackError
from tests.standin.standin_process import ADDRESS, MakeStandin, Standin
from tests.traps import send_over_tcp, trap
from tests.until import until

Text = Callable[[int, str], str]


def pipeline(standin: Standin, plugin: str, options: str = "", port: int | None = None) -> str:
    """A pipeline with one input, whose id is `it`, and the file that it writes to."""
    place = f'host => "{ADDRESS}" port => {port or standin.tcp} id => "it"'
    return (
        f"input {{ {plugin} {{ {place} {options} }} }}\n"
        f'output {{ file {{ path => "{standin.output}" codec => json_lines flush_interval => 0 }} }}\n'
    )


@pytest.fixture
def run(make_standin: MakeStandin) -> Callable[..., Standin]:
    """Starts a stand-in with one input, at the TCP and UDP port `standin.tcp`."""

    def start(plugin: str, options: str = "", version: str = "8.19.18", **delays: float) -> Standin:
        standin = make_standin(version, **delays)
        standin.configure(pipeline(standin, plugin, options))
        standin.start()
        return standin

    return start


def connect(standin: Standin) -> socket.socket:
    """A connection to the input, once it listens."""
    until(lambda: listens(standin.tcp))
    return socket.create_connection((ADDRESS, standin.tcp), 10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0


def datagrams(standin: Standin, *payloads: bytes) -> None:
    until(lambda: bound(standin.tcp))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, (ADDRESS, standin.tcp))


def bound(port: int) -> bool:
    """Whether a UDP port is taken; nothing is sent to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return True
    return False


# Beats


@pytest.mark.parametrize("plugin", ["beats", "elastic_agent"])
@pytest.mark.parametrize("compressed", [True, False])
def test_beats_takes_windows_and_acknowledges_each_as_a_whole(
    run: Callable[..., Standin], plugin: str, compressed: bool
) -> None:
    standin = run(plugin, 'tags => ["t"]')
    connect(standin).close()
    with Client(ADDRESS, standin.tcp) as client:
        sent = [{"message": f"line {n}", "agent": {"type": "filebeat"}} for n in range(5)]
        assert client.publish(sent[:3], compressed) == [3]
        assert client.publish(sent[3:], compressed) == [2]
    events = standin.events(5)
    assert [event["message"] for event in events] == [f"line {n}" for n in range(5)]
    assert events[0]["agent"] == {"type": "filebeat"}
    assert events[0]["event"] == {"original": "line 0"}
    assert events[0]["tags"] == ["beats_input_codec_plain_applied", "t"]
    statistics = standin.input_stats("it")
    assert statistics["name"] == plugin
    assert statistics["events"]["out"] == 5
    assert statistics["peak_connections"] >= 1
    assert "errors" not in statistics


def test_beats_takes_an_event_without_a_message_as_it_is(run: Callable[..., Standin]) -> None:
    standin = run("beats")
    connect(standin).close()
    with Client(ADDRESS, standin.tcp) as client:
        client.publish(
            [{"metric": 4, "@timestamp": "2020-01-01T00:00:00.000Z", "@metadata": {"beat": "metricbeat"}}]
        )
    (event,) = standin.events(1)
    assert event == {
        "metric": 4,
        "@timestamp": "2020-01-01T00:00:00.000Z",
        "@version": "1",
        "tags": ["beats_input_raw_event"],
    }


def test_beats_says_that_it_is_still_at_work_while_an_output_is_blocked(
    make_standin: MakeStandin,
) -> None:
    standin = make_standin(KEEPALIVE=0.1)
    standin.configure(pipeline(standin, "beats"))
    standin.settings |= {"pipeline.batch.size": 1, "pipeline.workers": 1}
    standin.write_settings()
    os.mkfifo(standin.output)
    standin.start()
    connect(standin).close()
    with Client(ADDRESS, standin.tcp) as client:
        client.send([{"message": f"line {n}"} for n in range(20)])
        answers = client.wait(20)
        assert [next(answers), next(answers)] == [0, 0]
        with standin.output.open() as reader:
            assert [*answers][-1] == 20
            assert len([reader.readline() for _ in range(20)]) == 20


def test_beats_ends_a_connection_that_is_idle(run: Callable[..., Standin]) -> None:
    standin = run("beats", "client_inactivity_timeout => 1")
    with connect(standin) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"1D\0\0\0\1", b"2J\0\0\0\1\0\0\0\1{"])
def test_beats_ends_a_connection_that_speaks_another_protocol(
    run: Callable[..., Standin], data: bytes
) -> None:
    standin = run("beats")
    with connect(standin) as connection:
        connection.sendall(data)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert "Handling exception" in standin.log()


def test_beats_leaves_a_window_that_it_did_not_take_unacknowledged_when_it_stops(
    run: Callable[..., Standin],
) -> None:
    standin = run("beats", STOP_DELAY=2)
    connect(standin).close()
    with Client(ADDRESS, standin.tcp) as client:
        client.publish([{"message": "before"}])
        standin.signal(signal.SIGTERM)
        until(lambda: not listens(standin.tcp))
        with pytest.raises((OSError, LumberjackError)):
            client.publish([{"message": "after"}])
    assert standin.wait() == 0
    assert [event["message"] for event in standin.events(1)] == ["before"]


# HTTP


def post(
    standin: Standin, body: bytes, content_type: str = "text/plain", **headers: str
) -> tuple[int, bytes]:
    """The status and the body of the answer."""
    until(lambda: listens(standin.tcp))
    request = urllib.request.Request(
        f"http://{ADDRESS}:{standin.tcp}/path", body, {"Content-Type": content_type, **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_http_answers_ok_and_makes_an_event_of_each_body(run: Callable[..., Standin]) -> None:
    standin = run("http")
    assert post(standin, b"plain") == (200, b"ok")
    assert post(standin, b'[{"n": 1}, {"n": 2}]', "application/json; charset=utf-8") == (200, b"ok")
    plain, first, second = standin.events(3)
    assert plain["message"] == "plain"
    assert plain["host"] == {"ip": ADDRESS}
    assert (plain["http"]["method"], plain["url"]["path"]) == ("POST", "/path")
    assert (first["n"], second["n"]) == (1, 2)


def test_http_wants_a_password_where_it_has_one(run: Callable[..., Standin]) -> None:
    standin = run("http", 'user => "me" password => "secret" response_code => 201')
    assert post(standin, b"none")[0] == 401
    assert post(standin, b"wrong", Authorization="Basic bWU6d3Jvbmc=")[0] == 401
    assert post(standin, b"right", Authorization="Basic bWU6c2VjcmV0") == (201, b"ok")
    assert [event["message"] for event in standin.events(1)] == ["right"]


def test_http_reads_other_types_by_the_codecs_that_it_is_given(run: Callable[..., Standin]) -> None:
    standin = run("http", 'additional_codecs => { "application/x-ndjson" => "json_lines" }')
    assert post(standin, b'{"n": 1}\n{"n": 2}', "application/x-ndjson") == (200, b"ok")
    assert [event["n"] for event in standin.events(2)] == [1, 2]


# Syslog


LINE = b"<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed"


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_syslog_takes_datagrams_and_lines(run: Callable[..., Standin], protocol: str) -> None:
    standin = run("syslog")
    if protocol == "udp":
        datagrams(standin, LINE, b"another form")
    else:
        with connect(standin) as connection:
            connection.sendall(LINE + b"\nanother form\nan end is missing")
    known, other = standin.events(2)
    assert known["message"] == "'su root' failed"
    assert known["host"] == {"ip": ADDRESS, "hostname": "mymachine"}
    assert known["process"] == {"name": "su", "pid": 7}
    assert known["log"]["syslog"] == {
        "priority": 34,
        "facility": {"code": 4, "name": "security/authorization"},
        "severity": {"code": 2, "name": "Critical"},
    }
    assert other["message"].strip() == "another form"
    assert other["tags"] == ["_grokparsefailure_sysloginput"]
    assert other["log"]["syslog"]["priority"] == 13


def test_syslog_before_8_has_the_fields_of_its_time(run: Callable[..., Standin]) -> None:
    standin = run("syslog", version="7.17.29")
    datagrams(standin, LINE)
    (event,) = standin.events(1)
    assert (event["host"], event["logsource"], event["program"], event["pid"]) == (
        ADDRESS,
        "mymachine",
        "su",
        "7",
    )
    assert (event["facility_label"], event["severity"]) == ("security/authorization", 2)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_syslog_counts_each_attempt_to_bind_a_port_that_is_taken(
    make_standin: MakeStandin, kind: socket.SocketKind
) -> None:
    standin = make_standin(RETRY=0.1)
    standin.configure(pipeline(standin, "syslog"))
    with socket.socket(socket.AF_INET, kind) as thief:
        thief.bind((ADDRESS, standin.tcp))
        if kind == socket.SOCK_STREAM:
            thief.listen()
        standin.start()
        until(lambda: standin.input_stats("it").get("errors", {}).get("listener", 0) > 2)
    until(lambda: bound(standin.tcp) and listens(standin.tcp))


# GELF


def test_gelf_takes_plain_compressed_and_chunked_messages(run: Callable[..., Standin]) -> None:
    standin = run("gelf")

    def message(text: str) -> bytes:
        return json.dumps({"version": "1.1", "host": "h", "short_message": text, "_user": "u"}).encode()

    large = zlib.compress(message("chunked"))
    chunks = [
        b"\x1e\x0fABCDEFGH" + bytes([n, 3]) + large[n * 20 : (n + 1) * 20 if n < 2 else None]
        for n in range(3)
    ]
    datagrams(
        standin,
        message("plain"),
        zlib.compress(message("zlib")),
        gzip.compress(message("gzip")),
        *reversed(chunks),
        b"neither",
        b"\x1e\x0fABCDEFGI" + bytes([3, 3]) + b"chunk 3 of 3",
        message("last"),
    )
    events = standin.events(5)
    assert [event["message"] for event in events] == ["plain", "zlib", "gzip", "chunked", "last"]
    assert (events[0]["user"], events[0]["source_host"], events[0]["host"]) == ("u", ADDRESS, "h")
    assert standin.log().count("Gelfd failed to parse a message skipping") == 2


def test_gelf_over_tcp_ends_each_message_with_a_nul(run: Callable[..., Standin]) -> None:
    standin = run("gelf", "use_tcp => true use_udp => false")
    with connect(standin) as connection:
        connection.sendall(b'{"short_message": "a"}\0{"short_message": "b", "full_message": "c"}\0not JSON')
    assert [event["message"] for event in standin.events(3)] == ["a", "c", "not JSON"]
    assert not bound(standin.tcp)


# SNMP traps


def test_snmptrap_makes_an_event_of_each_notification_with_its_community(run: Callable[..., Standin]) -> None:
    standin = run("snmptrap", 'community => ["public", "other"]')
    values = {"1.3.6.1.4.1.8072.2.3.2.1": "x" * 200}
    datagrams(
        standin,
        trap("stranger", values),
        b"no trap",
        b"\x30\x05\x02",
        trap("public", values),
        trap("other", {}),
    )
    first, second = standin.events(2)
    assert first["1.3.6.1.4.1.8072.2.3.2.1"] == "x" * 200
    assert first["1.3.6.1.2.1.1.3.0"] == 4711
    assert first["1.3.6.1.6.3.1.1.4.1.0"] == "1.3.6.1.6.3.1.1.5.3"
    assert '"community"=>"public"' in first["message"]
    assert '"community"=>"other"' in second["message"]
    assert standin.log().count("Failed to create event") == 2


OBJECT = "1.3.6.1.4.1.8072.2.3.2.1"


@pytest.mark.parametrize("piece", [1, 7, 65536])
def test_snmptrap_over_tcp_takes_messages_one_after_another(run: Callable[..., Standin], piece: int) -> None:
    """However the stream is cut; each has its length in it. A message of no notification leaves the others as they are."""
    standin = run("snmptrap", 'supported_transports => ["tcp"]', version="8.15.0")
    texts = ["a", "b" * 200, "c" * 300]
    with connect(standin) as connection:
        stranger, *ours = (
            trap(name, {OBJECT: text})
            for name, text in zip(("stranger", *["public"] * 3), ["x", *texts], strict=True)
        )
        send_over_tcp(connection, stranger, ours[0], b"\x30\x05no SN", *ours[1:], piece=piece)
        assert [event[OBJECT] for event in standin.events(3)] == texts
        send_over_tcp(connection, trap("public", {OBJECT: "later"}))
        last = standin.events(4)[-1]
    assert (last[OBJECT], last["host"]["ip"]) == ("later", ADDRESS)
    assert standin.log().count("Failed to create event") == 1
    assert not bound(standin.tcp)


@pytest.mark.parametrize(
    "head", [b"\x30\x84\xff\xff\xff\xff", b"\x30\x80\x00\x00\x00\x00", b"\x30\x85\x00\x00\x00\x00"]
)
def test_snmptrap_over_tcp_ends_a_connection_whose_messages_have_no_end(
    run: Callable[..., Standin], head: bytes
) -> None:
    """Too long, or without a length."""
    standin = run("snmptrap", 'supported_transports => ["tcp"]')
    with connect(standin) as connection:
        send_over_tcp(connection, head)
        assert connection.recv(1) == b""
    with connect(standin) as connection:
        send_over_tcp(connection, trap("public", {OBJECT: "another"}))
        assert [event[OBJECT] for event in standin.events(1)] == ["another"]


def test_snmptrap_listens_on_both_transports(run: Callable[..., Standin]) -> None:
    standin = run("snmptrap", 'supported_transports => ["udp", "tcp"]')
    with connect(standin) as connection:
        send_over_tcp(connection, trap("public", {OBJECT: "tcp"}))
        standin.events(1)
    datagrams(standin, trap("public", {OBJECT: "udp"}))
    assert [event[OBJECT] for event in standin.events(2)] == ["tcp", "udp"]


def test_snmptrap_knows_no_transports_before_8_15(make_standin: MakeStandin) -> None:
    standin = make_standin("8.14.3")
    standin.configure(pipeline(standin, "snmptrap", 'supported_transports => ["tcp"]'))
    done = standin.run()
    assert done.returncode == 1
    assert "Unknown setting 'supported_transports' for snmptrap" in done.stdout


# A port that is taken


@pytest.mark.parametrize(
    ("plugin", "version", "options", "kind"),
    [
        ("beats", "8.19.18", "", socket.SOCK_STREAM),
        ("gelf", "8.19.18", "", socket.SOCK_DGRAM),
        ("snmptrap", "8.14.3", "", socket.SOCK_DGRAM),
        ("snmptrap", "8.15.0", 'supported_transports => ["tcp"]', socket.SOCK_STREAM),
    ],
)
def test_a_taken_port_is_bound_once_it_is_free_and_the_api_counts_no_error(
    make_standin: MakeStandin, plugin: str, version: str, options: str, kind: socket.SocketKind
) -> None:
    standin = make_standin(version, RETRY=0.1)
    standin.configure(pipeline(standin, plugin, options))
    with socket.socket(socket.AF_INET, kind) as thief:
        thief.bind((ADDRESS, standin.tcp))
        if kind == socket.SOCK_STREAM:
            thief.listen()
        standin.start()
        until(lambda: "Errno::EADDRINUSE" in standin.log())
        assert "errors" not in standin.input_stats("it")
        assert "hash" in standin.main_stats()
    until(lambda: (listens if kind == socket.SOCK_STREAM else bound)(standin.tcp))


def test_snmptrap_whose_udp_port_is_taken_keeps_its_pipeline_from_starting_from_8_15_on(
    make_standin: MakeStandin,
) -> None:
    standin = make_standin("8.15.0")
    standin.configure(pipeline(standin, "snmptrap"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.bind((ADDRESS, standin.tcp))
        done = standin.run()
    assert done.returncode == 1
    assert "Address already in use" in done.stdout


def test_http_whose_port_is_taken_keeps_its_pipeline_from_starting(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure(pipeline(standin, "http"))
    with socket.create_server((ADDRESS, standin.tcp)):
        done = standin.run()
    assert done.returncode == 1
    assert f"could not bind to {ADDRESS}:{standin.tcp}; Address already in use" in done.stdout


# TLS


class Tls:
    """A CA in a folder, with what an input needs of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.authority = Authority(folder)
        made = self.authority.issue("logs", ADDRESS)
        self.certificate, self.key = made["certificate"], folder / "logs.p8"
        self.traditional = made["key"]
        key = load_pem_private_key(Path(made["key"]).read_bytes(), None)
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def options(self, client: str = "none", **others: str) -> str:
        given = {
            "ssl_enabled": "true",
            "ssl_certificate": f'"{self.certificate}"',
            "ssl_key": f'"{self.key}"',
            "ssl_client_authentication": f'"{client}"',
            **({"ssl_certificate_authorities": f'["{self.authority.ca_file}"]'} if client != "none" else {}),
            **others,
        }
        return " ".join(f"{name} => {value}" for name, value in given.items() if value)

    def context(self, own: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        if own:
            made = self.authority.issue("sender", "sender.example.com")
            context.load_cert_chain(made["certificate"], made["key"])
        return context


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path / "tls")


def test_tcp_by_tls(run: Callable[..., Standin], tls: Tls) -> None:
    """Both sides say that they end."""
    standin = run("tcp", tls.options())
    with tls.context().wrap_socket(connect(standin), server_hostname=ADDRESS) as connection:
        connection.sendall(b"one\ntwo\n")
        connection.unwrap()
    assert [event["message"] for event in standin.events(2)] == ["one", "two"]


@pytest.mark.parametrize("client", ["optional", "required"])
def test_beats_by_tls_with_the_clients_certificate(
    run: Callable[..., Standin], tls: Tls, client: str
) -> None:
    standin = run("beats", tls.options(client))
    until(lambda: listens(standin.tcp))
    with Client(ADDRESS, standin.tcp, context=tls.context(own=True)) as beat:
        assert beat.publish([{"message": "with"}]) == [1]
    if client == "optional":
        with Client(ADDRESS, standin.tcp, context=tls.context()) as beat:
            assert beat.publish([{"message": "without"}]) == [1]
        return
    with (
        pytest.raises((OSError, LumberjackError)),
        Client(ADDRESS, standin.tcp, context=tls.context()) as beat,
    ):
        beat.publish([{"message": "without"}])
    assert [event["message"] for event in standin.events(1)] == ["with"]
    until(lambda: "SSLHandshakeException: PEER_DID_NOT_RETURN_A_CERTIFICATE" in standin.log())


def test_http_by_tls(run: Callable[..., Standin], tls: Tls) -> None:
    standin = run("http", tls.options())
    until(lambda: listens(standin.tcp))
    url = f"https://{ADDRESS}:{standin.tcp}"
    with urllib.request.urlopen(
        urllib.request.Request(url, b"one"), timeout=10, context=tls.context()
    ) as answer:
        assert answer.read() == b"ok"
    assert [event["message"] for event in standin.events(1)] == ["one"]


@pytest.mark.parametrize("plugin", ["tcp", "beats", "http"])
def test_a_connection_that_is_opened_and_dropped_is_a_handshake_that_failed(
    run: Callable[..., Standin], tls: Tls, plugin: str
) -> None:
    """So no health check may open one."""
    standin = run(plugin, tls.options())
    connect(standin).close()
    until(lambda: "SSLHandshakeException: " in standin.log())


def test_without_tls_a_connection_that_is_opened_and_dropped_is_no_line_in_the_log(
    run: Callable[..., Standin],
) -> None:
    standin = run("tcp", "dns_reverse_lookup_enabled => false")
    before = ""
    for number in (1, 2):
        with connect(standin) as connection:
            connection.sendall(b"one\n")
        standin.events(number)
        before = before or standin.log()
        connect(standin).close()
    assert standin.log() == before


def test_protocols_can_be_chosen(run: Callable[..., Standin], tls: Tls) -> None:
    standin = run("tcp", tls.options(ssl_supported_protocols='["TLSv1.2"]'))
    with tls.context().wrap_socket(connect(standin), server_hostname=ADDRESS) as connection:
        assert connection.version() == "TLSv1.2"


OLD: Mapping[str, Mapping[str, str]] = {
    "tcp": {"enable": "ssl_enable", "certificate": "ssl_cert", "client": "ssl_verify", "required": "true"},
    "beats": {
        "enable": "ssl",
        "certificate": "ssl_certificate",
        "client": "ssl_verify_mode",
        "required": '"force_peer"',
    },
}


@pytest.mark.parametrize("plugin", OLD)
@pytest.mark.parametrize(
    ("version", "known"), [("7.17.29", True), ("8.11.4", True), ("8.19.18", True), ("9.3.8", False)]
)
def test_earlier_names_of_the_options(
    run: Callable[..., Standin], make_standin: MakeStandin, tls: Tls, plugin: str, version: str, known: bool
) -> None:
    names = OLD[plugin]
    options = (
        f'{names["enable"]} => true {names["certificate"]} => "{tls.certificate}" ssl_key => "{tls.key}" '
        f'{names["client"]} => {names["required"]} ssl_certificate_authorities => ["{tls.authority.ca_file}"]'
    )
    if not known:
        standin = make_standin(version)
        standin.configure(pipeline(standin, plugin, options))
        assert standin.run("-t").returncode == 1
        assert f"Unknown setting '{names['enable']}' for {plugin}" in standin.log()
        return
    standin = run(plugin, options, version)
    with tls.context(own=True).wrap_socket(connect(standin), server_hostname=ADDRESS):
        pass
    with pytest.raises(OSError), tls.context().wrap_socket(connect(standin), server_hostname=ADDRESS) as bare:  # noqa: PT011
        assert bare.recv(1) != b"", "the certificate is missed"


def test_the_present_names_are_unknown_before_8_12(make_standin: MakeStandin, tls: Tls) -> None:
    standin = make_standin("8.11.4")
    standin.configure(pipeline(standin, "beats", tls.options()))
    assert standin.run("-t").returncode == 1
    assert "Unknown setting 'ssl_enabled' for beats" in standin.log()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ssl_key": ""}, "ssl_key => is a required setting when ssl_enabled => true is configured"),
        (
            {"ssl_certificate": ""},
            "ssl_certificate => is a required setting when ssl_enabled => true is configured",
        ),
        (
            {"ssl_client_authentication": '"required"'},
            "ssl_certificate_authorities => is a required setting when",
        ),
        (
            {"ssl_certificate_authorities": '["{tls.certificate}"]'},
            "Configuring ssl_certificate_authorities requires ssl_client_authentication",
        ),
        ({"ssl_client_authentication": '"some"'}, "Invalid `ssl_client_authentication` value some"),
        ({"ssl_key": '"{tls.traditional}"'}, "File does not contain valid private key: "),
        ({"ssl_key": '"{other}"'}, "SSL configuration invalid: "),
    ],
)
def test_wrong_options_pass_the_test_of_the_configuration_and_keep_the_pipeline_from_starting(
    make_standin: MakeStandin, tls: Tls, tmp_path: Path, change: dict[str, str], why: str
) -> None:
    """As with the real one, whose `-t` opens no file: it only looks whether it is there."""
    other = Tls(tmp_path / "other").key
    standin = make_standin()
    changed = {name: value.format(tls=tls, other=other) for name, value in change.items()}
    standin.configure(pipeline(standin, "http", tls.options(**changed)))
    assert standin.run("-t").returncode == 0
    done = standin.run()
    assert done.returncode == 1
    assert why in done.stdout


def test_beats_does_not_start_with_multiline(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure(pipeline(standin, "beats", 'codec => multiline { pattern => "x" what => "next" }'))
    assert standin.run("-t").returncode == 0
    done = standin.run()
    assert done.returncode == 1
    assert "Multiline codec with beats input is not supported" in done.stdout


def test_a_file_that_is_missing_fails_the_test_of_the_configuration(
    make_standin: MakeStandin, tls: Tls
) -> None:
    standin = make_standin()
    standin.configure(pipeline(standin, "beats", tls.options(ssl_key='"/nosuch"')))
    assert standin.run("-t").returncode == 1
    assert "File does not exist or cannot be opened /nosuch" in standin.log()


# Codecs with options


@pytest.mark.parametrize(
    ("codec", "sent", "messages"),
    [
        ('json { charset => "CP1252" }', b'{"message": "caf\xe9"}\n', ["café"]),
        ('plain { charset => "ISO-8859-1" }', b"caf\xe9\n", ["café"]),
        (
            r'multiline { pattern => "^\s" what => "previous" auto_flush_interval => 1 }',
            b"one\n two\n three\nfour\n five\n",
            ["one\n two\n three", "four\n five"],
        ),
        (r'multiline { pattern => "\\$" what => "next" }', b"one\\\ntwo\nthree\n", ["one\\\ntwo", "three"]),
        (
            'multiline { pattern => "^-" what => "previous" negate => true auto_flush_interval => 1 }',
            b"-one\ntwo\n-three\n",
            ["-one\ntwo", "-three"],
        ),
    ],
)
def test_codecs_with_options(
    run: Callable[..., Standin], codec: str, sent: bytes, messages: list[str]
) -> None:
    """The connection stays open: what is complete, or has waited long enough, becomes an event."""
    standin = run("tcp", f"dns_reverse_lookup_enabled => false codec => {codec}")
    with connect(standin) as connection:
        connection.sendall(sent)
        assert [event["message"] for event in standin.events(len(messages))] == messages


def test_what_can_not_be_decoded_ends_its_own_connection_only(run: Callable[..., Standin]) -> None:
    standin = run("tcp", 'dns_reverse_lookup_enabled => false codec => line { charset => "nosuch" }')
    for _ in range(2):
        with connect(standin) as connection:
            connection.sendall(b"one\n")
            assert connection.recv(1) == b""
    assert standin.log().count("An error occurred, closing connection") == 2


@pytest.mark.parametrize("escapes", [True, False])
def test_csv_gives_its_columns_their_names(make_standin: MakeStandin, escapes: bool) -> None:
    """The separator is a tab: as itself, or with `config.support_escapes` as two characters."""
    standin = make_standin()
    tab = r"\t" if escapes else "\t"
    standin.configure(
        pipeline(standin, "udp", f'codec => csv {{ separator => "{tab}" columns => ["time", "what"] }}')
    )
    standin.settings["config.support_escapes"] = escapes
    standin.write_settings()
    standin.start()
    datagrams(standin, b'now\t"a, b"\tmore')
    (event,) = standin.events(1)
    assert (event["time"], event["what"], event["column3"]) == ("now", "a, b", "more")
