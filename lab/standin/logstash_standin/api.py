"""The HTTP API: its routes and its server."""

import base64
import errno
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .errors import ArgumentError
from .log import Log
from .responses import NotReadyError, Responses
from .settings import Settings

IDLE = 60.0
"""Seconds until a connection without a request is closed, and between wake-ups of an idle server."""


class Security:
    """How the API is secured, by the settings. Raises `ArgumentError` with Logstash's message where they are incomplete,
    or the keystore can't be opened."""

    def __init__(self, settings: Settings) -> None:
        self.context: ssl.SSLContext | None = None
        self.login: bytes | None = None
        if settings["api.ssl.enabled"]:
            path = _required(settings, "api.ssl.keystore.path", "api.ssl.enabled")
            self.context = _open_keystore(
                path, _required(settings, "api.ssl.keystore.password", "api.ssl.enabled")
            )
        if settings["api.auth.type"] == "basic":
            username = _required(settings, "api.auth.basic.username", "api.auth.type")
            password = _required(settings, "api.auth.basic.password", "api.auth.type")
            self.login = f"{username}:{password}".encode()


def _required(settings: Settings, name: str, trigger: str) -> str:
    value: str | None = settings[name]
    if not value:
        is_set = str(settings[trigger]).lower()
        raise ArgumentError(
            f"Setting `{name}` is required when `{trigger}` is set to `{is_set}`. Please provide it in your `logstash.yml`"
        )
    return value


def _open_keystore(path: str, password: str) -> ssl.SSLContext:
    """A keystore in PKCS #12, which Python can't read: the key that OpenSSL finds in it is never on a disk."""
    done = subprocess.run(
        ["openssl", "pkcs12", "-in", path, "-passin", "env:KEYSTORE_PASSWORD", "-nodes"],
        env={**os.environ, "KEYSTORE_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ArgumentError(
            "API Keystore could not be opened (java.io.IOException: keystore password was incorrect)"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with os.fdopen(os.memfd_create("keystore"), "wb") as memory:
        memory.write(done.stdout)
        memory.flush()
        context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}")
    return context


class Api:
    """A server that listens from its creation on, and answers once `serve` is called.

    Raises `OSError` when it cannot listen, with Logstash's message where the ports are taken.
    """

    def __init__(self, host: str, ports: range, option: str, security: Security, log: Log) -> None:
        self._server = _listen(host, ports, option)
        self._server.security = security
        self.port: int = self._server.server_address[1]
        self._log = log.logger("logstash.agent")

    def serve(self, responses: Responses) -> None:
        """Answer requests in threads until the process ends."""
        self._server.responses = responses
        threading.Thread(
            target=self._server.serve_forever, args=(IDLE,), name="Api Webserver", daemon=True
        ).start()
        self._log.info(
            "Successfully started Logstash API endpoint",
            port=self.port,
            ssl_enabled=self._server.security.context is not None,
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    responses: Responses
    security: Security

    def finish_request(self, request: Any, client_address: Any) -> None:
        """With TLS, a client without gets no answer; without TLS, one with it gets an error, as from Puma."""
        request.settimeout(IDLE)
        begins_tls = request.recv(1, socket.MSG_PEEK) == b"\x16"
        if begins_tls and self.security.context is None:
            request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif begins_tls and self.security.context:
            with self.security.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        elif self.security.context is None:
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect before the response, as the real one does."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = IDLE

    def do_GET(self) -> None:
        if self.server.security.login is not None and not self._logged_in(self.server.security.login):
            return
        address = urllib.parse.urlsplit(self.path)
        try:
            status, body = _route(self.server.responses, address.path)
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

    def _logged_in(self, login: bytes) -> bool:
        """Whether the request has the login; otherwise it has been refused, as by Rack."""
        scheme, _, credentials = (self.headers["Authorization"] or "").partition(" ")
        try:
            given = base64.b64decode(credentials)
        except ValueError:
            given = b""
        if scheme.lower() == "basic" and given == login:
            return True
        self.send_response(400 if scheme and scheme.lower() != "basic" else 401)
        self.send_header("Content-Type", "text/plain")
        if not scheme or scheme.lower() == "basic":
            self.send_header("WWW-Authenticate", 'Basic realm="logstash-api"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: the real one logs them at the level debug only."""


def _route(responses: Responses, path: str) -> tuple[int, Any]:
    """The status and body for a path, by the real routes: sections are selected by name, pipelines by id."""
    sections: dict[str, Any] | None
    match [part for part in path.split("/") if part]:
        case []:
            return 200, responses.root()
        case ["_health_report"]:
            health = responses.health()
            return (200, health) if health else (404, _not_found(path))
        case ["_node", "stats", "pipelines", id]:
            sections = responses.stats_pipeline(id)
        case ["_node", "stats", *names] if len(names) < 2:
            sections = _select(names, responses.stats())
        case ["_node", "pipelines", id]:
            sections = responses.node_pipeline(id)
        case ["_node", *names] if len(names) < 2:
            sections = _select(names, responses.node())
        case _:
            sections = None
    return (200, responses.with_node(sections)) if sections else (404, _not_found(path))


def _select(names: list[str], sections: dict[str, Any]) -> dict[str, Any]:
    """The sections whose names a path gives, separated by commas; all where it gives none."""
    selected = names[0].split(",") if names else list(sections)
    return {name: section for name, section in sections.items() if name in selected}


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
    if len(ports) == 1:
        taken = f"port {ports[0]}, but the port is"
    else:
        taken = f"port range {ports[0]}..{ports[-1]}, but all the ports are"
    raise OSError(
        errno.EADDRINUSE,
        f"Address already in use - Logstash tried to bind to {taken} already in use. You can specify a new"
        f' port by launching logstash with the {option} option."',
    )
