"""The http input: each request's body is an event, or several where its codec makes several of it."""

import base64
import http.server
import os
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ..codecs import Codec, make_codec
from ..errors import ConfigurationError
from ..options import Option, extend
from ..plugin import Context
from .stream import SecuredStream, Sender

_DEFAULTS = {
    "additional_codecs": {"application/json": "json"},
    "response_headers": {"Content-Type": "text/plain"},
}


class Http(SecuredStream):
    """One whose port is taken keeps its whole pipeline from starting."""

    NAME = "http"
    OPTIONS = extend(
        SecuredStream.OPTIONS,
        port=Option("number", 8080),
        user=Option("string"),
        password=Option("string"),
        additional_codecs=Option("hash", _DEFAULTS["additional_codecs"]),
        response_headers=Option("hash", _DEFAULTS["response_headers"]),
        response_code=Option("number", 200),
        threads=Option("number", os.cpu_count()),
        max_pending_requests=Option("number", 200),
        max_content_length=Option("number", 100 * 1024 * 1024),
        remote_host_target_field=Option("string"),
        request_headers_target_field=Option("string"),
        ssl_handshake_timeout=Option("number", 10000),
    )

    def __init__(self, options: Mapping[str, Any], id: str, context: Context) -> None:
        super().__init__(options, id, context)
        self._listener: socket.socket | None = None
        self._codecs: dict[str, Codec] = {}

    def register(self) -> None:
        super().register()
        self._codecs = {
            content_type: make_codec(
                name,
                self.context.event_factory,
                lambda name: self.context.log.logger(name, self.context.pipeline_id),
            )
            for content_type, name in self.options["additional_codecs"].items()
        }
        try:
            self._listener = self.bind(self.options["host"], self.options["port"])
        except OSError as error:
            raise ConfigurationError(
                f"could not bind to {self.address}; {os.strerror(error.errno or 0)}"
            ) from None

    def run(self) -> None:
        self.log.info("Starting http input listener", address=self.address, ssl_enabled=bool(self.tls))
        assert self._listener is not None
        self.accept(self._listener)

    def close(self) -> None:
        super().close()
        if self._listener is not None:
            self._listener.close()

    def converse(self, connection: socket.socket, sender: Sender) -> None:
        _Conversation(self, connection, sender)

    def authorized(self, header: str) -> bool:
        """Whether a request with this header `Authorization` may send, where a user and a password are needed."""
        user, password = self.options["user"], self.options["password"]
        if not (user and password):
            return True
        return header == f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    def take(self, request: Mapping[str, str], body: bytes, sender: Sender) -> None:
        """Make events of a request: its headers, with what its first line says, and its body."""
        content_type = request.get("content_type", "").partition(";")[0].strip()
        codec = self._codecs.get(content_type, self.codec).copy()
        events = [*codec.decode(body), *codec.flush()]
        ecs = self.context.ecs
        headers = self.options["request_headers_target_field"] or (
            "[@metadata][input][http][request][headers]" if ecs else "headers"
        )
        host = self.options["remote_host_target_field"] or ("[host][ip]" if ecs else "host")
        names = {"[http][method]": "request_method", "[url][path]": "request_path"} if ecs else {}
        for event in events:
            event.set(headers, dict(request))
            event.set(host, sender[0])
            for field, name in names.items():
                event.set(field, request[name])
        self.push(events)


class _Conversation(http.server.BaseHTTPRequestHandler):
    """The requests of one connection, which stays open between them (HTTP 1.1)."""

    protocol_version = "HTTP/1.1"

    def __init__(self, plugin: Http, connection: socket.socket, sender: Sender) -> None:
        self.plugin, self.sender = plugin, sender
        super().__init__(connection, sender, plugin)  # type: ignore[arg-type]  # the server, which it does not use

    def log_message(self, format: str, *arguments: object) -> None:
        """The real one logs no requests."""

    def _answer(self) -> None:
        options = self.plugin.options
        length = int(self.headers.get("Content-Length") or 0)
        if length > options["max_content_length"]:
            self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"")
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if not self.plugin.authorized(self.headers.get("Authorization", "")):
            self._reply(
                HTTPStatus.UNAUTHORIZED, b"", {"WWW-Authenticate": 'Basic realm="Logstash HTTP Input"'}
            )
            return
        headers = {name.lower().replace("-", "_"): value for name, value in self.headers.items()}
        request = {
            "request_method": self.command,
            "request_path": self.path,
            "http_version": self.request_version,
        }
        self.plugin.take({**headers, **request}, body, self.sender)
        self._reply(HTTPStatus(options["response_code"]), b"ok", options["response_headers"])
        self.close_connection = self.close_connection or self.plugin.stopping.is_set()

    do_GET = do_POST = do_PUT = _answer  # called by their names

    def _reply(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
