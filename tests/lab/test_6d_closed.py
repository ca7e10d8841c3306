"""Closed data centres on real nodes: an RPM file without any repository, and a repository that asks for a client certificate."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.openpgp import SigningKeys
from lab.settings import GATEWAY as ADDRESS
from tests.certificates import Authority
from tests.lab.conftest import NODES, Cluster
from tests.until import until

NEWEST, OLDER = "8.19.18", "8.19.17"
GATEWAY, PORT = str(ADDRESS), 8443

SERVE = """
import functools, http.server, ssl, sys
folder, files, address, port = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(files + "/server.pem", files + "/server.key")
context.load_verify_locations(files + "/ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer((address, int(port)), handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
"""A web server that lets in who shows a certificate of its CA."""

CLOSE = (
    "nft 'add table ip closed; add chain ip closed out { type filter hook output priority 0; }; "
    f"add rule ip closed out ip daddr {GATEWAY} tcp dport 80 reject'"
)


@pytest.fixture
def closed(cluster: Cluster) -> Iterator[Cluster]:
    """The nodes can't reach the package server any more."""
    for name in NODES:
        cluster.get(name, CLOSE)
        assert cluster.on(name, f"curl --silent --max-time 5 http://{GATEWAY}/").returncode != 0
    yield cluster
    for name in NODES:
        cluster.get(name, "nft delete table ip closed")


@contextmanager
def serving(cluster: Cluster, folder: Path, files: Path) -> Iterator[Path]:
    """Meanwhile this folder is served over TLS to clients with a certificate: the log of the requests."""
    log = files / "requests"
    with log.open("w") as output:
        server = subprocess.Popen(
            [
                *cluster.lab.network.enter_command,
                sys.executable,
                "-c",
                SERVE,
                folder,
                files,
                GATEWAY,
                str(PORT),
            ],
            stderr=output,
        )
        try:
            look = f"curl --silent --insecure --max-time 5 https://{GATEWAY}:{PORT}/; [ $? != 7 ]"
            until(lambda: cluster.on(NODES[0], look).returncode == 0, 20, "the web server")
            yield log
        finally:
            server.terminate()
            server.wait()


def deploys(cluster: Cluster, mark: str, inventory: Path, version: str) -> None:
    """A deploy of this inventory loses no event, leaves this Logstash on all nodes, and would change nothing the next time."""
    with cluster.stream(mark) as sent:
        done = cluster.deploy("-y", inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NODES:
        assert f"logstash-{version}-" in cluster.get(name, "rpm -q logstash")
    assert cluster.lost(mark, sent[0]) == []
    assert cluster.plan(inventory)[0] == {}


@pytest.mark.long
def test_a_logstash_comes_from_a_file_and_from_a_repository_with_client_certificates(
    closed: Cluster, tmp_path: Path
) -> None:
    served = closed.lab.folder / "served"
    yum = (served / "packages").resolve() / "8.x/yum"
    key = (served / "GPG-KEY-elasticsearch").read_bytes()
    (tmp_path / "keys.asc").write_bytes(key)
    signed = {
        "signing_keys": str(tmp_path / "keys.asc"),
        "key_fingerprints": SigningKeys(key).fingerprints,
    }

    shutil.copy(yum / f"logstash-{OLDER}-1.x86_64.rpm", tmp_path)
    files = closed.inventory(
        "files", rpms=[str(tmp_path)], version=OLDER, repository=None, artifacts_url=None, **signed
    )
    _, shown = closed.plan(files)
    assert f"Will copy logstash-{OLDER}-1.x86_64.rpm" in shown
    deploys(closed, "files", files, OLDER)
    for name in NODES:
        assert closed.on(name, "ls /etc/yum.repos.d/logstash.repo").returncode != 0

    authority = Authority(tmp_path)
    authority.issue("server", GATEWAY)
    authority.issue("client", "stash.example.com")
    repository = {
        "url": f"https://{GATEWAY}:{PORT}",
        **{
            name: str(tmp_path / f"{file}")
            for name, file in (("certificate", "client.pem"), ("key", "client.key"), ("ca", "ca.pem"))
        },
        "seen_from": "nodes",
    }
    inventory = closed.inventory(
        "certificates", repository=repository, version=NEWEST, artifacts_url=None, **signed
    )
    with serving(closed, yum, tmp_path) as log:
        deploys(closed, "certificates", inventory, NEWEST)
        assert f"logstash-{NEWEST}-1.x86_64.rpm" in log.read_text()
        without = f"curl --silent --insecure --max-time 5 https://{GATEWAY}:{PORT}/repodata/repomd.xml"
        assert closed.on(NODES[0], without).returncode != 0
    for name in NODES:
        assert closed.get(name, "stat -c %a /etc/pki/logstash-ha/client.key") == "600"

    for name in NODES:
        closed.get(name, "nft flush table ip closed")
    done = closed.deploy("-y")
    assert done.returncode == 0, done.stdout + done.stderr
    until(closed.whole, 60, "the cluster whole")
