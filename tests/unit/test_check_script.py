"""The health script, run as keepalived runs it, against an HTTP server with each Logstash major's answers."""

import contextlib
import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from desired.health import MODULES
from tests.unit.interpreters import LIMIT, Interpreter

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "files" / "check_logstash_input.py"
SAMPLES = Path(__file__).parents[1] / "samples"
VERSIONS = ["2.7", *(f"3.{minor}" for minor in range(6, 14))]
Answer = Callable[[BaseHTTPRequestHandler], None]


def interpreters() -> list[str]:
    """The Python that runs the tests, and each other one found on PATH or under pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {sys.version_info[:2]: sys.executable}
    for version in VERSIONS:
        major, minor = map(int, version.split("."))
        # pyenv's own first: what it has on PATH is a shell script, which starts slowly and may refuse.
        for path in [*map(str, pyenv.glob(f"{version}.*/bin/python")), shutil.which(f"python{version}")]:
            if (major, minor) in found:
                break
            if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                found[major, minor] = path
    return [found[key] for key in sorted(found)]


INTERPRETERS = interpreters()
OLDEST_AND_NEWEST = sorted({INTERPRETERS[0], INTERPRETERS[-1]}, key=INTERPRETERS.index)


Verdict = dict[str, str]
"""What a line of `--json` holds."""


BARE = {"http_proxy": "http://127.0.0.1:1"}
"""keepalived's environment, and a proxy that must not be used."""
_started: dict[str, Interpreter] = {}


def run(
    python: str,
    *arguments: str,
    drained: Path | None = None,
    settings: Path | None = None,
    access: Path | None = None,
) -> tuple[int, str]:
    """The script's exit status and what it prints, in keepalived's bare environment; it does nothing else.

    `drained` is the folder of drain flags to use instead of the deploy's, `settings` the file of the service's settings, and
    `access` the one that says how to ask the API.
    """
    if python not in _started:
        _started[python] = Interpreter(python, SCRIPT, BARE)
    names = {"DRAINED": drained, "SETTINGS": settings, "ACCESS": access}
    changed = {name: str(path) for name, path in names.items() if path}
    return judged(arguments, _started[python].run(*arguments, **changed))


def judged(arguments: tuple[str, ...], done: subprocess.CompletedProcess[bytes]) -> tuple[int, str]:
    """As `run`, of a run that has ended."""
    assert done.stderr == b"", done.stderr
    printed = done.stdout.decode("ascii")
    assert printed.endswith("\n")
    inputs = [argument for argument in arguments if argument != "--json"][1:]
    assert printed.count("\n") == max(1, len(inputs))
    return done.returncode, printed.strip()


def run_all(
    *arguments: str,
    pythons: list[str] = INTERPRETERS,
    drained: Path | None = None,
    settings: Path | None = None,
    access: Path | None = None,
) -> dict[str, tuple[int, str]]:
    """The same by each of these interpreters, at once."""
    with ThreadPoolExecutor() as pool:
        return dict(
            zip(
                pythons,
                pool.map(
                    lambda python: run(python, *arguments, drained=drained, settings=settings, access=access),
                    pythons,
                ),
                strict=True,
            )
        )


def verdicts(
    *arguments: str,
    pythons: list[str] = INTERPRETERS,
    drained: Path | None = None,
    settings: Path | None = None,
    access: Path | None = None,
) -> list[Verdict]:
    """What `--json` says of one input, by each of these interpreters; its exit status agrees with that."""
    found = []
    for python, (status, line) in run_all(
        "--json", *arguments, pythons=pythons, drained=drained, settings=settings, access=access
    ).items():
        verdict = json.loads(line)
        assert status == (verdict["state"] != "up"), python
        found.append(verdict)
    return found


def loopback() -> str:
    """An address of this machine that hardly anything else uses."""
    return "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))


@contextlib.contextmanager
def serving(answer: Answer, context: Callable[[str], ssl.SSLContext] | None = None) -> Iterator[str]:
    """A Logstash API on port 9600 of a loopback address of its own, which is returned; with TLS where `context` makes some
    for that address. Then a client without TLS gets no answer."""

    class Server(ThreadingHTTPServer):
        tls: ssl.SSLContext | None = None

        def finish_request(self, request: Any, client_address: Any) -> None:
            if self.tls:
                if request.recv(1, socket.MSG_PEEK) != b"\x16":
                    return
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
            if self.tls:
                request.close()

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Quiet: TLS fails where it should."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/_node/stats/pipelines":
                self.send_error(404)
                return
            with contextlib.suppress(OSError):  # the script may have gone
                answer(self)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = None
    while server is None:
        address = loopback()
        with contextlib.suppress(OSError):
            server = Server((address, 9600), Handler)
    server.tls = context(address) if context else None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def body(content: bytes, *, status: int = 200, length: int | None = None) -> Answer:
    """An answer of this status and content, which may promise another length."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def raw(content: bytes) -> Answer:
    """These bytes, HTTP or not."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(content)

    return answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    """An answer that comes byte by byte: no single read times out."""
    body(b" ")(handler)
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def hang(handler: BaseHTTPRequestHandler) -> None:
    """A Logstash that takes the request and never answers."""
    handler.connection.settimeout(LIMIT)
    handler.connection.recv(1)  # until the script goes


def endless(handler: BaseHTTPRequestHandler) -> None:
    """An answer as fast as it goes, without an end."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"[" * 1_000_000)


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.pipelines.200.json").read_bytes()


def as_6(content: bytes) -> bytes:
    """A 7.17 answer in 6.4's shape, which lacks these keys."""
    stats = json.loads(content)
    for key in ("status", "ephemeral_id", "pipeline", "snapshot"):
        del stats[key]
    for pipeline in stats["pipelines"].values():
        for key in ("hash", "ephemeral_id"):
            pipeline.pop(key, None)
    return json.dumps({**stats, "version": "6.4.2"}).encode()


def as_9(content: bytes) -> bytes:
    """An 8.19 answer as 9.3.8 gives it."""
    return json.dumps({**json.loads(content), "version": "9.3.8"}).encode()


def pipelines(**inputs: list[str]) -> bytes:
    """An answer with these input ids by pipeline."""
    listed = {
        name: {"plugins": {"inputs": [{"id": input_id} for input_id in ids], "filters": []}}
        for name, ids in inputs.items()
    }
    return json.dumps({"pipelines": listed}).encode()


OK_7 = sample("7.17.29.02-ok")
OK_8 = sample("8.19.18.02-ok")
STARTING = sample("8.19.18.01-first-answer")
CRASHED = sample("8.19.18.04-crashed-socket-closed")

RECORDED = {path.name.removesuffix(".pipelines.200.json") for path in SAMPLES.glob("*.pipelines.200.json")}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_recorded_answer_is_down_where_no_pipeline_runs_and_up_where_one_does(name: str) -> None:
    """The API alone shows a pipeline that does not run, but not a port that can't be bound."""
    with serving(body(sample(name))) as address:
        status, line = run(sys.executable, address, "udp-5514")
    down = {"01-first-answer": "no pipeline is there", "04-crashed": "pipeline main does not run"}
    words = next((words for state, words in down.items() if state in name), None)
    assert (status, words or "up, in pipeline main") == (
        int(words is not None),
        words or "up, in pipeline main",
    )
    assert (words or "up, in pipeline main") in line


UP = None
"""The reason where an input is up."""

ANSWERS: dict[str, tuple[Answer, str | None, str]] = {
    "6": (body(as_6(OK_7)), UP, "up, in pipeline main"),
    "6 starting": (body(b"", status=500), "http_status", "down: HTTP status 500"),
    "7": (body(OK_7), UP, "up, in pipeline main"),
    "8": (body(OK_8), UP, "up, in pipeline main"),
    "8 starting": (body(STARTING), "no_pipeline", "down: no pipeline is there: Logstash is starting"),
    "8 crashed": (body(CRASHED), "not_running", "down: pipeline main does not run"),
    "9": (body(as_9(OK_8)), UP, "up, in pipeline main"),
    "second pipeline": (body(pipelines(a=["x"], b=["y", "udp-5514"])), UP, "up, in pipeline b"),
    "long pipeline": (body(pipelines(**{"p" * 9999: ["udp-5514"]})), UP, f"up, in pipeline {'p' * 200}"),
    "not listed": (
        body(pipelines(a=["x"], b=["udp-55140"])),
        "no_such_input",
        "down: no such input; there are: x, udp-55140",
    ),
    "no inputs": (body(pipelines(a=[])), "no_such_input", "down: no such input; there are: none"),
    "many inputs": (
        body(pipelines(a=[f"udp-{n}" for n in range(999)])),
        "no_such_input",
        "udp-0, udp-1, ",
    ),
    "strange ids": (
        body(pipelines(a=["ü\n\x1b[31m"])),
        "no_such_input",
        r"there are: \xfc\n\x1b[31m",
    ),
    "strange shapes": (
        body(b'{"pipelines": {"a": 1, "b": {"plugins": [1]}, "c": {"plugins": {"inputs": [2, {"id": 1}]}}}}'),
        "no_such_input",
        "down: no such input",
    ),
    "404": (body(b"", status=404), "http_status", "down: HTTP status 404"),
    "401": (body(b"", status=401), "login", "down: it wants a login, and is asked without (HTTP status 401)"),
    "redirect": (body(b"", status=302), "http_status", "down: HTTP status 302"),
    "truncated": (
        body(OK_8[:700], length=len(OK_8)),
        "truncated",
        f"truncated: 700 of {len(OK_8)} bytes",
    ),
    "cut without a length": (
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + OK_8[:700]),
        "not_json",
        "down: the answer is not JSON",
    ),
    "not JSON": (body(b"<html>hello</html>"), "not_json", "down: the answer is not JSON"),
    "no UTF-8": (body(b"\xff\xfe"), "not_json", "down: the answer is not JSON"),
    "wrong length": (
        raw(b"HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\n{}"),
        "not_json",
        "down: the answer is not JSON",
    ),
    "deep JSON": (body(b"[" * 200_000), "not_json", "down: the answer is not JSON"),
    "other JSON": (
        body(b'{"cluster_name": "elasticsearch"}'),
        "not_logstash",
        "down: the answer names no pipelines",
    ),
    "a JSON list": (body(b"[]"), "not_logstash", "down: the answer names no pipelines"),
    "not HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "not_http", "down: the answer is not HTTP"),
    "TLS": (raw(b"\x15\x03\x01\x00\x02\x02\x46"), "not_http", "down: the answer is not HTTP"),
    "nothing": (raw(b""), "closed", "down: the connection was closed without an answer"),
    "endless": (endless, "too_long", "down: the answer is over 8 MiB"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_has_its_exit_status_and_its_words(name: str) -> None:
    """On each Python."""
    answer, reason, words = ANSWERS[name]
    with serving(answer) as address:
        for python, (status, line) in run_all(address, "udp-5514").items():
            assert status == (reason is not UP), f"{python}: {line}"
            assert line.startswith(f"udp-5514 at {address} is "), python
            assert words in line, python
            assert len(line) <= 300, python


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_has_its_reason_for_programs(name: str) -> None:
    """However long the answer's own words are."""
    answer, reason, words = ANSWERS[name]
    with serving(answer) as address:
        found = verdicts(address, "udp-5514", pythons=OLDEST_AND_NEWEST)
    for verdict in found:
        assert (verdict["input"], verdict["address"]) == ("udp-5514", address)
        assert (verdict["state"], verdict.get("reason")) == ("up" if reason is UP else "down", reason)
        described = f"{'up, ' if reason is UP else 'down: '}{verdict['message']}"
        assert words in described.encode("unicode_escape").decode()
        assert ("pipeline" in verdict) == (reason in (UP, "not_running"))
        assert all(len(value) <= 300 for value in verdict.values())


def test_each_input_gets_an_object_on_a_line_of_its_own() -> None:
    """In the order of the arguments, in ASCII, and the exit status is that of the worst."""
    inputs = ["udp-5514", "ü\n", "x"]
    with serving(body(pipelines(a=["x"], b=["udp-5514"]))) as address:
        for python, (status, printed) in run_all("--json", address, *inputs).items():
            found = [json.loads(line) for line in printed.splitlines()]
            assert [verdict["input"] for verdict in found] == inputs, python
            assert [verdict.get("reason") for verdict in found] == [UP, "no_such_input", UP], python
            assert [verdict.get("pipeline") for verdict in found] == ["b", None, "a"], python
            assert status == 1, python


def test_each_reason_is_documented_and_used() -> None:
    """Programs go by these words: none comes up that the list lacks, and none is listed that never comes up."""
    texts = [
        (SCRIPT.parent / name).read_text()
        for name in (
            SCRIPT.name,
            "logstash_ha_health.py",
            *(Path(path).name for path in MODULES),
        )
    ]
    listed = re.findall(r'^    "(\w+)": ', texts[0].partition("REASONS = {")[2].partition("\n}")[0], re.M)
    used = {word for text in texts for word in re.findall(r'Down\(\s*"(\w+)"|reason="(\w+)"', text)}
    assert sorted(listed) == sorted(direct or named for direct, named in used)


@pytest.mark.parametrize("answer", [hang, drip])
def test_an_answer_that_does_not_end_is_given_up_after_3_seconds(answer: Answer) -> None:
    """The limit holds for the whole exchange, not for each read."""
    with serving(answer) as address:
        start = time.monotonic()
        for verdict in verdicts(address, "udp-5514"):
            assert (verdict["state"], verdict["reason"]) == ("down", "hung")
            assert verdict["message"] == "no whole answer within 3 s: Logstash hangs"
        assert time.monotonic() - start > 2.9
        assert "is down: no whole answer within 3 s" in run(sys.executable, address, "udp-5514")[1]


@pytest.mark.parametrize(("protocol", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_a_listed_input_is_down_while_nothing_listens_at_its_port(
    tmp_path: Path, protocol: str, kind: socket.SocketKind
) -> None:
    """Where the settings name the input's port."""
    with serving(body(OK_8)) as address:
        with socket.socket(socket.AF_INET, kind) as listener:
            listener.bind((address, 0))
            if protocol == "tcp":
                listener.listen()
            port = listener.getsockname()[1]
            settings = tmp_path / "settings.json"
            sockets = [{"protocol": protocol, "port": port, "probe": True}]
            listed = {"sockets": sockets, "verdict": "/nonexistent"}
            settings.write_text(json.dumps({"nodes": {address: {"udp-5514": listed}}}))
            for outcome in run_all(address, "udp-5514", settings=settings).values():
                assert outcome == (0, f"udp-5514 at {address} is up, in pipeline main")
        for status, line in run_all(address, "udp-5514", settings=settings).values():
            assert (status, line.partition(": ")[2]) == (
                1,
                "nobody listens at its port, though Logstash lists it",
            )
        for verdict in verdicts(address, "udp-5514", settings=settings):
            assert (verdict["state"], verdict["reason"]) == ("down", "nobody_listens")
            assert verdict["pipeline"] == "main"


@pytest.mark.parametrize(
    "listed",
    [
        ["udp", 1],
        {"protocol": "udp", "port": 1},
        {"sockets": {"protocol": "udp", "port": 1, "probe": True}},
        *(
            {"sockets": [each]}
            for each in ({"protocol": "udp"}, {"port": 1}, {"protocol": 7, "port": "1"}, None)
        ),
        {"sockets": [{"protocol": "udp", "port": 1, "probe": False}]},
        None,
    ],
)
def test_settings_that_name_no_port_leave_the_api_to_decide(tmp_path: Path, listed: object) -> None:
    """As those of an older version, which the deploy replaces a moment later."""
    settings = tmp_path / "settings.json"
    with serving(body(OK_8)) as address:
        settings.write_text(json.dumps({"nodes": {address: {"udp-5514": listed}}}))
        for outcome in run_all(address, "udp-5514", settings=settings).values():
            assert outcome == (0, f"udp-5514 at {address} is up, in pipeline main")


def test_a_refused_connection_is_down() -> None:
    for status, line in run_all("127.0.0.1", "udp-5514").values():
        assert status == 1
        assert line.startswith("udp-5514 at 127.0.0.1 is down: connection refused:")
    for verdict in verdicts("127.0.0.1", "udp-5514"):
        assert (verdict["state"], verdict["reason"]) == ("down", "refused")
        assert verdict["message"].startswith("connection refused: Logstash is stopped")


@pytest.mark.parametrize("python", INTERPRETERS)
def test_the_file_is_a_program(python: str) -> None:
    """The other tests run it in an `Interpreter`."""
    arguments = ("127.0.0.1", "udp-5514")
    done = subprocess.run(
        [python, str(SCRIPT), *arguments], cwd="/", env=BARE, capture_output=True, timeout=LIMIT, check=False
    )
    status, line = judged(arguments, done)
    assert status == 1
    assert line.startswith("udp-5514 at 127.0.0.1 is down: connection refused")


def test_a_connection_that_is_not_accepted_in_time_is_down() -> None:
    """Its queue of connections is full, so the kernel drops further ones, as a firewall would."""
    with contextlib.ExitStack() as stack:
        address = loopback()
        server = stack.enter_context(socket.create_server((address, 9600), backlog=0))
        for _ in range(2):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(server.getsockname())
        for verdict in verdicts(address, "udp-5514"):
            assert (verdict["state"], verdict["reason"]) == ("down", "no_connection")
            assert verdict["message"].startswith("no connection within 0.3 s")


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_network_that_is_unreachable_is_down(python: str) -> None:
    """In a namespace whose only interface is down."""
    command = ["unshare", "--net", python, str(SCRIPT), "--json", "192.0.2.1", "udp-5514"]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["state"], verdict["reason"]) == (1, "down", "network_error")
    assert verdict["message"] == "network is unreachable"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("age", [0, 290, -3])
def test_a_drained_node_is_down_without_being_asked(tmp_path: Path, address: str, age: float) -> None:
    (tmp_path / address).touch()
    os.utime(tmp_path / address, times=(0, time.time() - age))
    for outcome in run_all(address, "udp-5514", drained=tmp_path).values():
        assert outcome == (1, f"udp-5514 at {address} is down: drained, to be restarted or stopped")
    for verdict in verdicts(address, "udp-5514", drained=tmp_path):
        assert verdict == {
            "input": "udp-5514",
            "address": address,
            "state": "drained",
            "reason": "drained",
            "message": "drained, to be restarted or stopped",
        }


@pytest.mark.parametrize(
    "state", ["old", "future", "link", "folder", "other node", "no folder", "loop", "file"]
)
def test_a_drain_flag_that_has_expired_or_is_not_the_deploys_leaves_the_api_to_decide(
    tmp_path: Path, state: str
) -> None:
    """It expires for the case that the deploy was interrupted."""
    drained = tmp_path / "drained"
    with serving(body(OK_8)) as address:
        if state == "loop":
            drained.symlink_to(drained)
        elif state == "file":
            drained.touch()
        elif state != "no folder":
            drained.mkdir()
        flag = drained / ("127.0.0.1" if state == "other node" else address)
        if state == "link":
            flag.symlink_to(SCRIPT)
        elif state == "folder":
            flag.mkdir()
        elif drained.is_dir():
            flag.touch()
            age = {"old": 310, "future": -60}.get(state, 0)
            os.utime(flag, times=(0, time.time() - age))
        for status, line in run_all(address, "udp-5514", drained=drained).values():
            assert (status, line) == (0, f"udp-5514 at {address} is up, in pipeline main")


USAGE = "usage: check_logstash_input.py [--json] [--also-in-maintenance] IP INPUT-ID..., or --stats IP"


@pytest.mark.parametrize("arguments", [[], ["127.0.0.1"], ["--version"], ["--json"], ["--json", "127.0.0.1"]])
def test_wrong_usage_prints_the_usage_and_ends_with_status_1(arguments: list[str]) -> None:
    for outcome in run_all(*arguments).values():
        assert outcome == (1, USAGE)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_prints_the_usage_and_ends_with_status_0(option: str) -> None:
    assert run(sys.executable, option) == (0, USAGE)


@pytest.mark.parametrize("ip", ["stash1", "127.0.0", "10.0.0.999", "::g", "", "ü", "127.0.0.1:9600", "a\nb"])
def test_what_is_not_an_address_is_refused_and_not_looked_up(ip: str) -> None:
    for status, line in run_all(ip, "udp-5514").values():
        assert status == 1
        assert "is not an IP address" in line
    for verdict in verdicts(ip, "udp-5514"):
        assert (verdict["address"], verdict["state"], verdict["reason"]) == (ip, "down", "usage")
        assert verdict["message"] == f"{ip} is not an IP address; {USAGE}"


def test_an_ipv6_address_is_asked_and_the_request_names_it_in_brackets() -> None:
    """As RFC 3986 writes it."""
    with socket.create_server(("::1", 9600), family=socket.AF_INET6) as server:
        requests = []

        def serve() -> None:
            connection = server.accept()[0]
            with connection:
                requests.append(connection.recv(1000))
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + OK_8)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        status, line = run(sys.executable, "::1", "udp-5514")
        thread.join(LIMIT)
    assert (status, line) == (0, "udp-5514 at ::1 is up, in pipeline main")
    assert b"\r\nHost: [::1]:9600\r\n" in requests[0]


@pytest.mark.parametrize("python", INTERPRETERS)
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_the_exit_status_is_the_same_where_nobody_can_read_the_line(python: str, redirection: str) -> None:
    with serving(body(OK_8)) as address:
        command = f'exec "$0" "$@" {redirection}'
        done = subprocess.run(
            ["sh", "-c", command, python, str(SCRIPT), address, "udp-5514"],
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("python", INTERPRETERS)
def test_no_module_is_imported_that_is_slow_to_load(python: str) -> None:
    """A check every few seconds for each input and node must start fast."""
    slow = [
        "argparse",
        "base64",
        "email",
        "http.client",
        "httplib",
        "logging",
        "ssl",
        "urllib2",
        "urllib.request",
    ]
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); sys.dont_write_bytecode = True\n"
    code += f"import check_logstash_input; print([name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout == "[]\n"
