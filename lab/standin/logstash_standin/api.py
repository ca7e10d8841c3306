"""The HTTP API: addresses to answers."""

import errno
import json
import socket
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .answers import Answers, NotReadyError
from .log import Log

IDLE = 60.0
"""Seconds after which a connection that asks nothing is closed, and between two idle wake-ups."""


class Api:
    """Listens once it is made. Raises `OSError` when it can't, with the real words for a taken port."""

    def __init__(self, host: str, ports: range, option: str, log: Log) -> None:
        self._server = _listen(host, ports, option)
        self.port: int = self._server.server_address[1]
        self._log = log.logger("logstash.agent")

    def serve(self, answers: Answers) -> None:
        """Answer from now on until the process ends, in threads."""
        self._server.answers = answers
        threading.Thread(
            target=self._server.serve_forever, args=(IDLE,), name="Api Webserver", daemon=True
        ).start()
        self._log.info("Successfully started Logstash API endpoint", port=self.port, ssl_enabled=False)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    answers: Answers

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever does not wait for the answer is no error; the real one says nothing of it."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = IDLE

    def do_GET(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        try:
            status, body = _answer(self.server.answers, address.path)
        except NotReadyError:
            status, body = 500, _not_ready(address, self.headers["Accept"])
        pretty = "pretty" in urllib.parse.parse_qs(address.query, keep_blank_values=True)
        text = json.dumps(body, indent=2 if pretty else None, separators=None if pretty else (",", ":"))
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the real one logs requests at debug only."""


def _answer(answers: Answers, path: str) -> tuple[int, Any]:
    """Status and body for a path, by the real one's routes: names of parts filter, a pipeline's id picks."""
    parts: dict[str, Any] | None
    match [part for part in path.split("/") if part]:
        case []:
            return 200, answers.root()
        case ["_health_report"]:
            health = answers.health()
            return (200, health) if health else (404, _not_found(path))
        case ["_node", "stats", "pipelines", id]:
            parts = answers.stats_pipeline(id)
        case ["_node", "stats", *names] if len(names) < 2:
            parts = _only(names, answers.stats())
        case ["_node", "pipelines", id]:
            parts = answers.node_pipeline(id)
        case ["_node", *names] if len(names) < 2:
            parts = _only(names, answers.node())
        case _:
            parts = None
    return (200, answers.with_node(parts)) if parts else (404, _not_found(path))


def _only(names: list[str], parts: dict[str, Any]) -> dict[str, Any]:
    wanted = names[0].split(",") if names else list(parts)
    return {name: part for name, part in parts.items() if name in wanted}


def _not_found(path: str) -> dict[str, Any]:
    return {"path": path, "status": 404, "error": {"message": "Not Found"}}


def _not_ready(address: urllib.parse.SplitResult, accept: str | None) -> dict[str, Any]:
    return {
        "status": 500,
        "request_method": "GET",
        "path_info": address.path,
        "query_string": address.query,
        "http_version": "HTTP/1.1",
        "http_accept": accept,
        "error": "Unexpected Internal Error",
        "class": "LogStash::Instrument::MetricStore::MetricNotFound",
        "message": "For path: events. Map keys: [:reloads]",
        "backtrace": [],
    }


def _listen(host: str, ports: range, option: str) -> _Server:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server_type = type("Server", (_Server,), {"address_family": family})
    for port in ports:
        try:
            server: _Server = server_type((host, port), _Handler)
            return server
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    taken = f"port range {ports[0]}..{ports[-1]}, but all the ports are"
    if len(ports) == 1:
        taken = f"port {ports[0]}, but the port is"
    raise OSError(
        errno.EADDRINUSE,
        f"Address already in use - Logstash tried to bind to {taken} already in use. You can specify a new"
        f' port by launching logstash with the {option} option."',
    )
