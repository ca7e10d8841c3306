"""Inputs of other plugins behind the VIP, each played by its own protocol, as `examples/` have them."""

from __future__ import annotations

import base64
import gzip
import json
import runpy
import shlex
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import cluster as model
from cluster.certificates import fingerprint, read_certificates
from tests.certificates import Authority
from tests.lab.conftest import ADDRESSES, NODES, ROOT, VIP, Cluster
from tests.traps import trap
from tests.until import until

NAME = "logs.example.com"
"""What senders call the VIP in `examples/beats_tls.py`."""
CERTIFICATES = "/tmp/inputs"
"""The sender's folder with what its Beats need."""
LOG = "/var/log/logstash/logstash-plain.log"
PLAYED = "/var/log/logstash/events-played.json"
PASSWORD, COMMUNITY = "open sesame", "lab-traps"


def of_example(name: str) -> list[dict[str, Any]]:
    """The inputs of an example, from its own file."""
    with pytest.MonkeyPatch.context() as patch:
        found: dict[str, Any] = {}
        patch.setattr(model, "define", lambda **settings: found.update(settings))
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"))
    inputs: list[dict[str, Any]] = found["inputs"]
    return inputs


def all_inputs() -> list[dict[str, Any]]:
    """Those of the examples, with another port or id where two of them have the same; all but those of `named_input`, which
    outputs its events itself, in a pipeline of their own. `acme_sensors` is a plugin that nobody has."""
    beats, https = of_example("beats_tls")
    (syslog_tls,) = of_example("syslog_tls")
    syslog, _ = of_example("other_plugins")
    characters, *codecs = of_example("codec_options")
    (snmptrap,) = of_example("snmptrap")
    played = [
        {**beats, "port": 5045},
        https,
        {**syslog_tls, "id": "syslog-tls"},
        {**syslog, "server_port": 5614},
        {**characters, "id": "characters"},
        *codecs,
        *(input for name in ("gelf", "http") for input in of_example(name)),
        snmptrap,
        {**snmptrap, "id": "traps-tcp", "port": 163, "server_port": 1163, "protocol": "tcp"},
        {"id": "direct", "port": 5046, "plugin": "elastic_agent", "forwarding": "dr"},
        {"id": "plain", "port": 5047, "plugin": "beats"},
    ]
    return [*({**input, "pipeline": "played"} for input in played), *of_example("named_input")]


def certify(authority: Authority) -> str:
    """Write the input's certificate and key anew, which the examples name; the certificate."""
    return Path(authority.issue("logs", NAME, VIP)["certificate"]).read_text()


@pytest.fixture(scope="module")
def authority(cluster: Cluster) -> Authority:
    """The CA of all certificates: beside the inventory, as the examples have it."""
    made = Authority(cluster.lab.folder)
    certify(made)
    made.issue("verify", "verify.example.com")
    return made


@pytest.fixture(scope="module")
def inventory(cluster: Cluster, authority: Authority) -> Path:
    environment = cluster.lab.folder / "logstash.env"
    environment.write_text(f"HTTP_PASSWORD={PASSWORD}\nSNMP_COMMUNITY={COMMUNITY}\n")
    return cluster.inventory(
        "inputs",
        inputs=all_inputs(),
        environment_file="logstash.env",
        pipelines=str(ROOT / "examples/named_input"),
        support_escapes=True,
    )


@pytest.fixture(scope="module")
def played(cluster: Cluster, inventory: Path, authority: Authority) -> Cluster:
    """The cluster with all of these inputs, and on the sender what its Beats need."""
    done = cluster.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    own = authority.issue("beat", "beat.example.com")
    files = {
        "beat.pem": Path(own["certificate"]).read_text() + Path(own["key"]).read_text(),
        "ca.pem": authority.ca_file.read_text(),
        "lumberjack.py": (ROOT / "tests/lumberjack.py").read_text(),
        "beat.py": (ROOT / "tests/lab/beat.py").read_text(),
    }
    cluster.get("sender", f"mkdir -p {CERTIFICATES}")
    for name, text in files.items():
        cluster.get("sender", f"cat >{CERTIFICATES}/{name}", text)
    return cluster


def events(cluster: Cluster, mark: str) -> dict[str, list[dict[str, Any]]]:
    """The events with this mark in the pipeline `played`, by node."""
    return {
        name: [
            json.loads(line) for line in cluster.get(name, f"grep -h -e {mark} {PLAYED} || true").splitlines()
        ]
        for name in NODES
    }


def wait_for(cluster: Cluster, mark: str, number: int) -> dict[str, list[dict[str, Any]]]:
    """The events with this mark, once there are so many."""
    found = until(
        lambda: [each for each in [events(cluster, mark)] if sum(map(len, each.values())) >= number],
        30,
        lambda: f"{number} events {mark}: {events(cluster, mark)}",
    )[0]
    assert sum(map(len, found.values())) == number
    return found


def on_sender(cluster: Cluster, program: str, *arguments: str, stdin: str = "") -> str:
    """What a Python program prints on the sender."""
    return cluster.get(
        "sender", f"cd {CERTIFICATES}; python3 -c {shlex.quote(program)} {shlex.join(arguments)}", stdin
    )


SEND = """
import base64, socket, sys
protocol, target, port = sys.argv[1:]
for line in sys.stdin.read().split():
    payload = base64.b64decode(line)
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as out:
        out.settimeout(5)
        out.connect((target, int(port)))
        out.sendall(payload)
"""


def send(cluster: Cluster, protocol: str, port: int, *payloads: bytes) -> None:
    """Each as a datagram, or over a connection of its own."""
    on_sender(
        cluster,
        SEND,
        protocol,
        VIP,
        str(port),
        stdin="\n".join(base64.b64encode(each).decode() for each in payloads),
    )


def test_a_second_deploy_would_change_nothing(played: Cluster, inventory: Path) -> None:
    assert played.plan(inventory)[0] == {}


def test_health_checks_open_no_connection_to_an_input_with_tls(played: Cluster) -> None:
    """All the time since the deploy, no handshake has failed, and a Beats input without TLS saw nothing it does not know."""
    for name in NODES:
        assert played.on(name, f"grep -e Handshake -e 'Handling exception' {LOG}").stdout == ""


def test_verify_finds_all_whole_and_sends_over_tls_with_a_certificate(
    played: Cluster, inventory: Path
) -> None:
    result = played.verify("--inventory", str(inventory), "--send", "4")
    assert result["status"] == 0, result
    sent = {each["input"]: each["received"] for each in result["send"]["inputs"]}
    assert sent["syslog-tls"] == {"stash1": 2, "stash2": 2}


def test_syslog_over_both_protocols(played: Cluster) -> None:
    send(
        played, "udp", 514, *(f"<34>Oct 11 22:14:15 router app[1]: syslog-udp-{n}".encode() for n in range(4))
    )
    send(
        played,
        "tcp",
        514,
        *(f"<34>Oct 11 22:14:15 router app[1]: syslog-tcp-{n}\n".encode() for n in range(4)),
    )
    for protocol in ("udp", "tcp"):
        found = wait_for(played, f"syslog-{protocol}", 4)
        assert [len(found[name]) for name in NODES] == [2, 2]
        assert {event["host"]["hostname"] for each in found.values() for event in each} == {"router"}


def test_gelf_in_chunks_all_goes_to_one_node(played: Cluster) -> None:
    messages = [
        json.dumps({"short_message": f"gelf-{n}", "full_message": f"gelf-{n} " + "x" * 500}).encode()
        for n in range(6)
    ]
    datagrams = []
    for number, message in enumerate(messages):
        head = b"\x1e\x0f" + bytes([number]) * 8
        datagrams += [
            head + bytes([n, 2]) + gzip.compress(message)[40 * n : 40 * (n + 1) if n == 0 else None]
            for n in (0, 1)
        ]
    send(played, "udp", 12201, *datagrams, zlib.compress(b'{"short_message": "gelf-zlib"}'))
    send(played, "tcp", 12201, b'{"short_message": "gelf-tcp-1"}\0{"short_message": "gelf-tcp-2"}\0')
    found = wait_for(played, "gelf-", 9)
    assert sorted(len(each) for each in found.values()) == [0, 9], "one sender's messages all go to one node"


def test_snmp_traps_to_the_low_port(played: Cluster) -> None:
    traps = [trap(COMMUNITY, {"1.3.6.1.4.1.8072.2.3.2.1": f"trap-{n}"}) for n in range(4)]
    send(played, "udp", 162, trap("stranger", {"1.3.6.1.4.1.8072.2.3.2.1": "trap-of-a-stranger"}), *traps)
    found = wait_for(played, "trap-", 4)
    assert sorted(len(each) for each in found.values()) == [2, 2]


def test_snmp_traps_over_tcp(played: Cluster) -> None:
    """Two over each connection, and the nodes take the connections in turns."""
    pairs = [
        b"".join(trap(community, {"1.3.6.1.4.1.8072.2.3.2.1": f"over-tcp-{n}-{half}"}) for half in "ab")
        for n, community in enumerate((COMMUNITY, COMMUNITY, "stranger"))
    ]
    send(played, "tcp", 163, *pairs)
    found = wait_for(played, "over-tcp-", 4)
    assert [len(each) for each in found.values()] == [2, 2]


POST = """
import base64, ssl, sys, urllib.error, urllib.request
url, password, name, *bodies = sys.argv[1:]
context = ssl.create_default_context(cafile="ca.pem")
for body in bodies:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    if password:
        request.add_header("Authorization", "Basic " + base64.b64encode(("webhook:" + password).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            print(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.code)
"""


def test_http_with_a_password_and_by_tls(played: Cluster) -> None:
    """Each request over a connection of its own, which the nodes take in turns."""
    bodies = [json.dumps([{"message": f"http-{n}-a"}, {"message": f"http-{n}-b"}]) for n in range(2)]
    assert on_sender(played, POST, f"http://{VIP}:8080/", "wrong", "", *bodies) == "401\n401"
    assert on_sender(played, POST, f"http://{VIP}:8080/", PASSWORD, "", *bodies) == "200 ok\n200 ok"
    assert [len(each) for each in wait_for(played, "http-", 4).values()] == [2, 2]
    bodies = [json.dumps({"message": f"https-{n}"}) for n in range(4)]
    assert on_sender(played, POST, f"https://{VIP}:8443/", "", "", *bodies).split("\n") == ["200 ok"] * 4
    assert [len(each) for each in wait_for(played, "https-", 4).values()] == [2, 2]


def test_codecs_with_options(played: Cluster) -> None:
    send(played, "tcp", 5515, '{"message": "codec-charset café"}\n'.encode("cp1252"))
    send(played, "tcp", 5516, b"codec-lines one\n two\n three\ncodec-lines four\n")
    send(played, "udp", 5517, b"codec-table\tdoor opened")
    (charset,) = (event for each in wait_for(played, "codec-charset", 1).values() for event in each)
    assert charset["message"] == "codec-charset café"
    lines = [event["message"] for each in wait_for(played, "codec-lines", 2).values() for event in each]
    assert lines == ["codec-lines one\n two\n three", "codec-lines four"]
    (table,) = (event for each in wait_for(played, "codec-table", 1).values() for event in each)
    assert (table["time"], table["what"]) == ("codec-table", "door opened")


@contextmanager
def beat(cluster: Cluster, mark: str, port: int, tls: bool = False) -> Iterator[dict[str, Any]]:
    """Meanwhile a Beat publishes events to the VIP over one connection. Afterwards what it says is in the dictionary."""
    further = f"ca.pem {NAME} beat.pem" if tls else ""
    said: dict[str, Any] = {}
    with subprocess.Popen(
        (
            *cluster.lab.ssh_command("sender"),
            f"cd {CERTIFICATES}; sudo python3 beat.py {VIP} {port} {mark} {further}",
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield said
        finally:
            output, errors = process.communicate("stop\n", timeout=60)
    assert process.returncode == 0, errors
    said.update(json.loads(output))


def numbers(cluster: Cluster, *marks: str, file: str = PLAYED) -> dict[str, dict[str, list[int]]]:
    """By mark: the numbers of a Beat's events, by node."""
    found: dict[str, dict[str, list[int]]] = {mark: {name: [] for name in NODES} for mark in marks}
    words = " ".join(f"-e 'message\":\"{mark}-[0-9]*'" for mark in marks)
    for name in NODES:
        for text in cluster.get(name, f"grep -oh {words} {file} || true").split():
            mark, _, number = text.rpartition('"')[2].rpartition("-")
            found[mark][name].append(int(number))
    return found


def grow(cluster: Cluster, *marks: str) -> dict[str, set[str]]:
    """By mark: the nodes to which a Beat's events come now."""
    before = numbers(cluster, *marks)
    after = until(
        lambda: [
            now for now in [numbers(cluster, *marks)] if all(now[mark] != before[mark] for mark in marks)
        ],
        20,
        f"more of {', '.join(marks)}",
    )[0]
    return {
        mark: {name for name in NODES if len(after[mark][name]) > len(before[mark][name])} for mark in marks
    }


def assert_none_lost(cluster: Cluster, mark: str, said: dict[str, Any], windows: int) -> None:
    """All that was acknowledged is there, and no more came twice than so many windows."""

    def arrived() -> list[int]:
        return sorted(number for each in numbers(cluster, mark)[mark].values() for number in each)

    until(lambda: set(range(said["published"])) <= set(arrived()), 20, f"all events of {mark}")
    assert len(arrived()) <= said["published"] + 5 * windows


BEATS = {"tls": (5045, True), "snat": (5047, False), "dr-1": (5046, False), "dr-2": (5046, False)}
"""Port, and whether by TLS. Of the two with direct routing, which nodes take in turns, one is not on the node with the VIP."""


@contextmanager
def drained(cluster: Cluster, node: str) -> Iterator[None]:
    """Meanwhile a deploy would restart the node's Logstash, which here goes on."""
    flag = f"/etc/keepalived/drained/{ADDRESSES[node]}"
    for name in NODES:
        cluster.get(name, f"mkdir -p /etc/keepalived/drained && touch {flag}")
    try:
        yield
    finally:
        for name in NODES:
            cluster.get(name, f"rm -f {flag}")


def test_beats_move_to_another_node_when_their_own_is_drained(played: Cluster) -> None:
    """And no event is lost. With direct routing a connection to the node with the VIP lasts until its Logstash stops."""
    # With direct routing each node has the VIP on lo.
    (holder,) = (name for name in NODES if f" {VIP}/" in played.get(name, "ip -o addr show eth0"))
    ports = {port for port, _ in BEATS.values()}
    tables = "; ".join(
        f"ipvsadm -Lnt {VIP}:{port}" for port in sorted(ports)
    )  # each has a heading with an arrow
    with ExitStack() as stack:
        said = {name: stack.enter_context(beat(played, f"moves-{name}", *BEATS[name])) for name in BEATS}
        marks = {name: f"moves-{name}" for name in BEATS}
        until(
            lambda: all(any(each.values()) for each in numbers(played, *marks.values()).values()),
            20,
            "the first events",
        )
        begin = grow(played, *marks.values())
        assert begin[marks["dr-1"]] | begin[marks["dr-2"]] == {*NODES}
        for node in NODES:
            move = [marks[name] for name in BEATS if not (name.startswith("dr") and node == holder)]
            with drained(played, node):
                until(
                    lambda node=node, move=move: node not in set().union(*grow(played, *move).values()),  # type: ignore[misc]
                    20,
                    f"{', '.join(move)} away from {node}",
                )
            until(
                lambda: played.get(holder, tables).count("->") == 3 * len(ports),
                20,
                f"{node} in the pools again",
            )
    for name in BEATS:
        assert_none_lost(played, marks[name], said[name], windows=len(said[name]["faults"]))
    assert min(said["tls"]["connections"], said["snat"]["connections"]) >= 2, said
    assert max(said["dr-1"]["connections"], said["dr-2"]["connections"]) >= 2, said


SHOWN = """
import hashlib, ssl, sys
for _ in range(4):
    shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((sys.argv[1], 8443)))
    print(hashlib.sha256(shown).hexdigest())
"""


def test_certificates_are_renewed_without_an_event_lost(
    played: Cluster, inventory: Path, authority: Authority
) -> None:
    """By a second deploy: the Beats, one with TLS, go from node to node as these restart."""
    (renewed, *_) = read_certificates(certify(authority))
    with beat(played, "renew-tls", 5045, tls=True) as by_tls, beat(played, "renew-dr", 5046) as by_dr:
        said = {"renew-tls": by_tls, "renew-dr": by_dr}
        until(
            lambda: all(any(each.values()) for each in numbers(played, *said).values()),
            20,
            "the first events",
        )
        done = played.deploy("-y", inventory=inventory)
        assert done.returncode == 0, done.stdout + done.stderr
    for mark, result in said.items():
        assert result["connections"] >= 2, result
        assert_none_lost(played, mark, result, windows=len(result["faults"]))
        assert all(numbers(played, mark)[mark].values()), "each node had some of them"
    assert {*on_sender(played, SHOWN, VIP).split()} == {fingerprint(renewed)}


def test_an_input_that_stands_in_a_file_of_the_users_own(played: Cluster) -> None:
    """Its events go where the file says, so Logstash's own count says that they came."""

    def counted() -> int:
        total = 0
        for name, address in ADDRESSES.items():
            answer = json.loads(played.get(name, f"curl -s http://{address}:9600/_node/stats/pipelines/main"))
            inputs = answer["pipelines"]["main"]["plugins"]["inputs"]
            total += sum(plugin["events"]["out"] for plugin in inputs if plugin["id"] == "windows")
        return total

    with beat(played, "named", 5044) as said:
        until(counted, 20, "the first event")
    until(lambda: counted() == said["published"], 20, lambda: f"{counted()} of {said}")


def test_a_sender_without_a_certificate_sends_nothing(played: Cluster) -> None:
    """And Logstash says why, as it never did for a health check."""
    program = f"""
import ssl
from lumberjack import Client
context = ssl.create_default_context(cafile="ca.pem")
try:
    Client("{VIP}", 5045, context=context, name="{NAME}").publish([{{"message": "bare"}}])
    print("taken")
except OSError as error:
    print("refused")
"""
    assert on_sender(played, program) == "refused"
    until(
        lambda: any(played.on(name, f"grep HandshakeException {LOG}").stdout for name in NODES),
        10,
        "its line in the log",
    )
    assert not any(events(played, "bare").values())
