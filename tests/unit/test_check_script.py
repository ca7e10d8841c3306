"""The health script, run as keepalived runs it, against an HTTP server with each Logstash major's answers."""

import contextlib
import json
import os
import random
import shutil
import socket
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

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "files" / "check_logstash_input.py"
SAMPLES = Path(__file__).parents[1] / "samples"
VERSIONS = ["2.7", *(f"3.{minor}" for minor in range(6, 14))]
LIMIT = 10.0
"""Seconds after which a run has failed; it takes 3 at most, and Python's start on a busy machine."""

Answer = Callable[[BaseHTTPRequestHandler], None]


def interpreters() -> list[str]:
    """The Python that runs the tests, and each other one found on PATH or under pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {sys.version_info[:2]: sys.executable}
    for version in VERSIONS:
        major, minor = map(int, version.split("."))
        for path in [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python"))]:
            if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                found.setdefault((major, minor), path)
    return [found[key] for key in sorted(found)]


INTERPRETERS = interpreters()


def run(
    python: str, *arguments: str, drained: Path | None = None, settings: Path | None = None
) -> tuple[int, str]:
    """The script's exit status and its line, in keepalived's bare environment; it does nothing else.

    `drained` is the folder to take for the deploy's, `settings` the file.
    """
    command = (
        [str(SCRIPT)]
        if drained is None and settings is None
        else [
            "-B",
            "-c",
            f"""\
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import check_logstash_input as script
script.DRAINED = {str(drained)!r}
script.SETTINGS = {str(settings)!r}
sys.exit(script.main(sys.argv[1:]))
""",
        ]
    )
    done = subprocess.run(
        [python, *command, *arguments],
        cwd="/",
        env={"http_proxy": "http://127.0.0.1:1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.stderr == b""
    line = done.stdout.decode("ascii")
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return done.returncode, line.strip()


def run_all(
    *arguments: str, drained: Path | None = None, settings: Path | None = None
) -> dict[str, tuple[int, str]]:
    """The same from each interpreter, at once."""
    with ThreadPoolExecutor() as pool:
        return dict(
            zip(
                INTERPRETERS,
                pool.map(
                    lambda python: run(python, *arguments, drained=drained, settings=settings), INTERPRETERS
                ),
                strict=True,
            )
        )


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A Logstash API on port 9600 of a loopback address of its own, which is returned."""

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
        address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
        with contextlib.suppress(OSError):
            server = ThreadingHTTPServer((address, 9600), Handler)
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
        name: {"plugins": {"inputs": [{"id": each} for each in ids], "filters": []}}
        for name, ids in inputs.items()
    }
    return json.dumps({"pipelines": listed}).encode()


OK_7 = sample("7.17.29.02-ok")
OK_8 = sample("8.19.18.02-ok")
STARTING = sample("8.19.18.01-first-answer")

RECORDED = {path.name.removesuffix(".pipelines.200.json") for path in SAMPLES.glob("*.pipelines.200.json")}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_answers(name: str) -> None:
    """A look at the API alone tells a pipeline that does not run, but not a port that can't be bound."""
    with serving(body(sample(name))) as address:
        status, line = run(sys.executable, address, "udp-5514")
    down = {"01-first-answer": "no pipeline is there", "04-crashed": "pipeline main does not run"}
    words = next((words for state, words in down.items() if state in name), None)
    assert (status, words or "up, in pipeline main") == (
        int(words is not None),
        words or "up, in pipeline main",
    )
    assert (words or "up, in pipeline main") in line


STATES: dict[str, tuple[Answer, int, str]] = {
    "6": (body(as_6(OK_7)), 0, "up, in pipeline main"),
    "6 starting": (body(b"", status=500), 1, "down: HTTP status 500"),
    "7": (body(OK_7), 0, "up, in pipeline main"),
    "8": (body(OK_8), 0, "up, in pipeline main"),
    "8 starting": (body(STARTING), 1, "down: no pipeline is there: Logstash is starting"),
    "9": (body(as_9(OK_8)), 0, "up, in pipeline main"),
    "second pipeline": (body(pipelines(a=["x"], b=["y", "udp-5514"])), 0, "up, in pipeline b"),
    "not listed": (
        body(pipelines(a=["x"], b=["udp-55140"])),
        1,
        "down: no such input; there are: x, udp-55140",
    ),
    "no inputs": (body(pipelines(a=[])), 1, "down: no such input; there are: none"),
    "many inputs": (body(pipelines(a=[f"udp-{n}" for n in range(999)])), 1, "udp-0, udp-1, "),
    "strange ids": (body(pipelines(a=["ü\n\x1b[31m"])), 1, r"there are: \xfc\n\x1b[31m"),
    "strange shapes": (
        body(b'{"pipelines": {"a": 1, "b": {"plugins": [1]}, "c": {"plugins": {"inputs": [2, {"id": 1}]}}}}'),
        1,
        "down: no such input",
    ),
    "404": (body(b"", status=404), 1, "down: HTTP status 404"),
    "401": (body(b"", status=401), 1, "down: HTTP status 401"),
    "redirect": (body(b"", status=302), 1, "down: HTTP status 302"),
    "truncated": (body(OK_8[:700], length=len(OK_8)), 1, f"truncated: 700 of {len(OK_8)} bytes"),
    "cut without a length": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + OK_8[:700]), 1, "down: the answer is not JSON"),
    "not JSON": (body(b"<html>hello</html>"), 1, "down: the answer is not JSON"),
    "no UTF-8": (body(b"\xff\xfe"), 1, "down: the answer is not JSON"),
    "wrong length": (
        raw(b"HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\n{}"),
        1,
        "down: the answer is not JSON",
    ),
    "deep JSON": (body(b"[" * 200_000), 1, "down: the answer is not JSON"),
    "other JSON": (body(b'{"cluster_name": "elasticsearch"}'), 1, "down: the answer names no pipelines"),
    "a JSON list": (body(b"[]"), 1, "down: the answer names no pipelines"),
    "not HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), 1, "down: the answer is not HTTP"),
    "TLS": (raw(b"\x15\x03\x01\x00\x02\x02\x46"), 1, "down: the answer is not HTTP"),
    "nothing": (raw(b""), 1, "down: the connection was closed without an answer"),
    "endless": (endless, 1, "down: the answer is over 8 MiB"),
}


@pytest.mark.parametrize("name", STATES)
def test_states(name: str) -> None:
    """Each state has its exit status and its words, on each Python."""
    answer, status, words = STATES[name]
    with serving(answer) as address:
        for python, (got, line) in run_all(address, "udp-5514").items():
            assert got == status, f"{python}: {line}"
            assert line.startswith(f"udp-5514 at {address} is "), python
            assert words in line, python
            assert len(line) <= 300, python


@pytest.mark.parametrize("answer", [hang, drip])
def test_time_is_bounded(answer: Answer) -> None:
    """The bound holds for the whole exchange, not for each read."""
    with serving(answer) as address:
        start = time.monotonic()
        for status, line in run_all(address, "udp-5514").values():
            assert status == 1
            assert "down: no whole answer within 3 s" in line
        assert time.monotonic() - start > 2.9


@pytest.mark.parametrize(("protocol", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_somebody_must_listen(tmp_path: Path, protocol: str, kind: socket.SocketKind) -> None:
    """Where the settings name the input's port."""
    with serving(body(OK_8)) as address:
        with socket.socket(socket.AF_INET, kind) as listener:
            listener.bind((address, 0))
            if protocol == "tcp":
                listener.listen()
            port = listener.getsockname()[1]
            settings = tmp_path / "settings.json"
            settings.write_text(json.dumps({"nodes": {address: {"udp-5514": [protocol, port]}}}))
            for outcome in run_all(address, "udp-5514", settings=settings).values():
                assert outcome == (0, f"udp-5514 at {address} is up, in pipeline main")
        for status, line in run_all(address, "udp-5514", settings=settings).values():
            assert (status, line.partition(": ")[2]) == (
                1,
                "nobody listens at its port, though Logstash lists it",
            )


def test_connection_refused() -> None:
    for status, line in run_all("127.0.0.1", "udp-5514").values():
        assert status == 1
        assert line.startswith("udp-5514 at 127.0.0.1 is down: connection refused:")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("age", [0, 290, -3])
def test_drained(tmp_path: Path, address: str, age: float) -> None:
    """A node that a deploy drains is down, and isn't asked."""
    (tmp_path / address).touch()
    os.utime(tmp_path / address, times=(0, time.time() - age))
    for outcome in run_all(address, "udp-5514", drained=tmp_path).values():
        assert outcome == (1, f"udp-5514 at {address} is down: drained, to be restarted or stopped")


@pytest.mark.parametrize(
    "state", ["old", "future", "link", "folder", "other node", "no folder", "loop", "file"]
)
def test_not_drained(tmp_path: Path, state: str) -> None:
    """The API decides where the deploy broke off long ago, and where what is there is not the deploy's."""
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


@pytest.mark.parametrize("arguments", [[], ["127.0.0.1"], ["--version"]])
def test_wrong_usage(arguments: list[str]) -> None:
    for outcome in run_all(*arguments).values():
        assert outcome == (1, "usage: check_logstash_input.py IP INPUT-ID...")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option: str) -> None:
    assert run(sys.executable, option) == (0, "usage: check_logstash_input.py IP INPUT-ID...")


@pytest.mark.parametrize("ip", ["stash1", "127.0.0", "10.0.0.999", "::g", "", "ü", "127.0.0.1:9600", "a\nb"])
def test_address_must_be_literal(ip: str) -> None:
    """A name is refused, not looked up."""
    for status, line in run_all(ip, "udp-5514").values():
        assert status == 1
        assert "is not an IP address" in line


def test_ipv6() -> None:
    """A literal IPv6 address is asked, and named in the request as RFC 3986 writes it."""
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
def test_nobody_reads_the_line(python: str, redirection: str) -> None:
    """The exit status is the answer; a lost line changes nothing."""
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
def test_imports_are_light(python: str) -> None:
    """A check every few seconds for each input and node must start fast."""
    heavy = ["argparse", "email", "http.client", "httplib", "logging", "ssl", "urllib2", "urllib.request"]
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); sys.dont_write_bytecode = True\n"
    code += f"import check_logstash_input; print([each for each in {heavy!r} if each in sys.modules])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout == "[]\n"
