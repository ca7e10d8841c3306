"""The look at a repository before a deploy, at local web servers laid out like Elastic's, Satellite's and Pulp's."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster, ClusterError
from desired.packages import needs_repository
from remote import repository
from tests.certificates import Authority
from tests.packages import COMPRESSIONS, Signer, write_repository
from tests.unit.clusters import make_cluster

PASSWORD = "hunter#22"
HERE = "where only the nodes can reach it, write repository={'seen_from': 'nodes'}"
SATELLITE = "pulp/content/ACME/Library/custom/elastic/logstash-8"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    login = ""
    """USER:PASSWORD that it asks for, as a server or as a proxy."""
    proxy = False
    statuses: dict[str, int]
    asked: list[str]

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that goes away, or whose certificate is refused, is none."""


class _Handler(SimpleHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.path)
        header = self.headers.get("Proxy-Authorization" if server.proxy else "Authorization", "")
        expected = "Basic " + base64.b64encode(server.login.encode()).decode()
        if server.login and header != expected:
            return self.send_error(407 if server.proxy else 401)
        for part, status in server.statuses.items():
            if part in self.path:
                return self.send_error(status)
        if server.proxy:  # it has the files of all servers
            self.path = "/" + self.path.split("/", 3)[3]
        return super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(folder: Path, context: ssl.SSLContext | None = None, **attributes: Any) -> Iterator[_Server]:
    """A web server of this folder."""
    server = _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    server.statuses, server.asked = {}, []
    for name, value in attributes.items():
        setattr(server, name, value)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def url(server: _Server, path: str = "", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_address[1]}{path and '/' + path}"


@pytest.fixture
def served(tmp_path: Path) -> Path:
    (folder := tmp_path / "served").mkdir()
    write_repository(folder / "packages/8.x/yum", "8.19.18", "8.9.2", "9.0.0-0.rc1", "8.19.3")
    write_repository(folder / SATELLITE, "8.19.3")
    return folder


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture
def make(tmp_path: Path, signer: Signer) -> Callable[..., Cluster]:
    """A cluster that has the key on the operator's machine."""
    keys = {"signing_keys": signer.file, "key_fingerprints": signer.fingerprint}
    return lambda **settings: make_cluster(tmp_path, **{**keys, **settings})


def refused(cluster: Cluster) -> str:
    with pytest.raises(ClusterError) as error:
        repository.look(cluster)
    (line,) = error.value.args
    assert PASSWORD not in line
    return str(line)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_repository_that_has_the_version_is_good(
    make: Callable[..., Cluster], served: Path, compression: str
) -> None:
    write_repository(served / "packages/8.x/yum", "8.9.2", "8.19.3", compression=compression)
    with serving(served) as server:
        for version in (None, "latest", "8.19.3"):
            repository.look(make(artifacts_url=url(server), version=version))
        missing = refused(make(artifacts_url=url(server), version="8.19.4"))
        place = url(server, "packages/8.x/yum")
    assert missing == (
        f"version: {place} has no logstash 8.19.4 (it has 8.19.3, 8.9.2); choose one that is there, or add that one to the repository"
    )


def test_a_repository_without_that_major_version_is_refused(
    make: Callable[..., Cluster], served: Path
) -> None:
    """A candidate for a release is none."""
    write_repository(served / "packages/9.x/yum", "9.0.0-0.rc1", "8.1.0")
    with serving(served) as server:
        line = refused(make(artifacts_url=url(server), logstash=9))
        place = url(server, "packages/9.x/yum")
    assert line == (
        f"artifacts_url: {place} has no Logstash 9 (it has 8.1.0); correct the address, or set logstash to a major version that "
        "is there"
    )


def test_the_key_that_the_nodes_will_fetch_must_be_the_right_one(
    make: Callable[..., Cluster], served: Path, signer: Signer, tmp_path: Path
) -> None:
    key = served / "GPG-KEY-elasticsearch"
    with serving(served) as server:
        settings: dict[str, Any] = {"artifacts_url": url(server), "signing_keys": None}
        assert (
            refused(make(**settings))
            == f"artifacts_url: {url(server, key.name)} answers 404; there is no such file; correct the address"
        )
        key.write_text("<html>")
        assert refused(make(**settings)) == (
            f"artifacts_url: {url(server, key.name)} is not an OpenPGP key in ASCII armor; put a copy of "
            "https://artifacts.elastic.co/GPG-KEY-elasticsearch there"
        )
        key.write_text(signer.file.read_text())
        repository.look(make(**settings))
        other = Signer(tmp_path, "other")
        key.write_text(other.file.read_text())
        assert refused(make(**settings)) == (
            f"key_fingerprints: {url(server, key.name)} has the key {other.fingerprint}, and not one of {signer.fingerprint}; put "
            "the right key there, or, where that one is to be trusted, write its fingerprint into key_fingerprints"
        )


def _contexts(folder: Path, *, clients: bool) -> tuple[ssl.SSLContext, dict[str, Path]]:
    """TLS of a server, and the settings by which it is asked."""
    authority = Authority(folder)
    server = authority.issue("server", "127.0.0.1")
    authority.issue("client", "stash.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server["certificate"], server["key"])
    if clients:
        context.load_verify_locations(authority.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    names = {"certificate": "client.pem", "key": "client.key", "ca": "ca.pem"}
    return context, {setting: folder / name for setting, name in names.items()}


def test_satellite_asks_for_a_client_certificate(
    make: Callable[..., Cluster], served: Path, tmp_path: Path
) -> None:
    context, files = _contexts(tmp_path, clients=True)
    with serving(served, context) as server:
        place = url(server, SATELLITE, "https")
        repository.look(make(repository={"url": place, **files}, version="8.19.3"))
        line = refused(make(repository={"url": place, "ca": files["ca"]}))
        assert line.startswith(
            f"repository.url: {place}/repodata/repomd.xml refuses the TLS connection; does it ask for a"
        )
        line = refused(make(repository={"url": place}))
        assert line == (
            f"repository.url: {place}/repodata/repomd.xml shows a certificate that this machine does not trust; name its CA in "
            "repository.ca"
        )


def test_a_repository_may_ask_for_a_login(make: Callable[..., Cluster], served: Path, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"USERNAME=deploy\nPASSWORD={PASSWORD}\n")
    with serving(served, login=f"deploy:{PASSWORD}") as server:
        place = url(server, SATELLITE)
        repository.look(make(repository={"url": place, "secrets": secrets}))
        line = refused(make(repository={"url": place}))
        assert line == (
            f"repository.url: {place}/repodata/repomd.xml answers 401; add USERNAME and PASSWORD in the file repository.secrets"
        )
        secrets.write_text(f"USERNAME=nobody\nPASSWORD={PASSWORD}\n")
        assert "correct USERNAME and PASSWORD" in refused(make(repository={"url": place, "secrets": secrets}))
        server.statuses, server.login = {"repomd": 403}, ""
        assert "answers 403; it refuses who asks" in refused(make(repository={"url": place}))


def test_it_is_asked_through_the_proxy_with_its_login(
    make: Callable[..., Cluster], served: Path, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"PROXY_USERNAME=web@proxy\nPROXY_PASSWORD={PASSWORD}\n")
    with serving(served, login=f"web@proxy:{PASSWORD}", proxy=True) as proxy:
        settings: dict[str, Any] = {"proxy": url(proxy), "artifacts_url": "http://mirror.example"}
        repository.look(make(**settings, repository={"secrets": secrets}))
        assert proxy.asked[0] == "http://mirror.example/packages/8.x/yum/repodata/repomd.xml"
        assert "answers 407; add PROXY_USERNAME" in refused(make(**settings))
    assert refused(make(**settings)) == (
        f"proxy: {settings['proxy']} can't be reached from this machine; correct it, or, {HERE}"
    )


@pytest.mark.parametrize("by_list", [False, True])
def test_the_first_mirror_that_answers_is_enough(
    make: Callable[..., Cluster], served: Path, by_list: bool
) -> None:
    with serving(served) as server:
        places = [url(server, "nowhere"), url(server, SATELLITE)]
        (served / "mirrors").write_text("# mirrors\n" + "\n".join(places))
        listed = {"mirrorlist": url(server, "mirrors")} if by_list else {"url": places}
        repository.look(make(repository=listed, version="8.19.3"))
        (served / "mirrors").write_text("<html>\n")
        if by_list:
            assert refused(make(repository=listed)).startswith(
                f"repository.mirrorlist: {url(server, 'mirrors')} has no line"
            )
        server.statuses = {"repomd": 404}
        (served / "mirrors").write_text("\n".join(places))
        field = "repository.mirrorlist" if by_list else "repository.url"
        assert refused(make(repository=listed)) == (
            f"{field}: {places[0]}/repodata/repomd.xml answers 404; there is no such file; correct the address"
        )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "repodata/repomd.xml",
            b"<html><p>Log in",
            "is not XML, so this is not a repository, or a page to log in; ",
        ),
        ("repodata/repomd.xml", b"<html/>", "names no primary metadata; run createrepo_c"),
        (
            "repodata/abc-primary.xml.gz",
            b"\x1f\x8b broken",
            "is broken; run createrepo_c for the repository again",
        ),
        (
            "repodata/abc-primary.xml.gz",
            b"<metadata/>",
            "is broken; run createrepo_c for the repository again",
        ),
    ],
)
def test_what_is_no_repository_is_named_as_that(
    make: Callable[..., Cluster], served: Path, name: str, content: bytes, words: str
) -> None:
    (served / SATELLITE / name).write_bytes(content)
    with serving(served) as server:
        line = refused(make(repository={"url": url(server, SATELLITE)}))
    assert line.startswith("repository.url: ")
    assert words in line


def test_nobody_there_and_nobody_who_answers(
    make: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(repository, "TIMEOUT", 0.3)
        assert refused(make(repository={"url": place})) == (
            f"repository.url: {place}/repodata/repomd.xml can't be reached from this machine (no answer within 0.3 s); correct it, "
            f"or, {HERE}"
        )
    assert refused(make(repository={"url": place})) == (
        f"repository.url: {place}/repodata/repomd.xml can't be reached from this machine (no connection); correct it, or, {HERE}"
    )


@pytest.mark.parametrize(
    ("settings", "installed", "needed"),
    [
        ({}, None, True),
        ({}, "8.9.2", False),
        ({"version": "8.19.3"}, "8.9.2", True),
        ({"version": "8.19.3"}, "8.19.3", False),
        ({"version": "latest"}, "8.19.3", True),
        ({"repository": {"seen_from": "nodes"}}, None, False),
        ({"packages": "managed", "signing_keys": None}, None, False),
    ],
)
def test_it_is_looked_at_only_where_a_node_needs_something_of_it(
    make: Callable[..., Cluster], settings: dict[str, Any], installed: str | None, needed: bool
) -> None:
    assert needs_repository(make(**settings), installed) is needed
