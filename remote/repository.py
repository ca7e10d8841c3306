"""A look at the repository from the machine that runs the deploy, before any node is touched: is it there, does it have the
desired Logstash, and is the key that the nodes will fetch the right one?

The layout is that of createrepo_c(8): `repodata/repomd.xml` names the primary metadata, a compressed XML file.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urljoin
from weakref import WeakKeyDictionary
from xml.etree import ElementTree

import requests
import zstandard
from gevent.lock import RLock
from pyinfra.api import State

from cluster import Cluster, ClusterError
from cluster.openpgp import SigningKeys
from cluster.package_sources import Login
from desired.packages import ELASTICS_KEY, key_url, logstash_package, repository_urls
from facts.packages import parse_offered, version_key

CONNECT_TIMEOUT = 5.0
"""Seconds that a server may take to accept a connection."""
TIMEOUT = 20.0
"""Seconds that a server may take for one file, and say nothing in the middle of it."""
LIMIT = 512 << 20
"""Bytes of one file, compressed or not, that are read at most."""
_HERE = "where only the nodes can reach it, write repository={'seen_from': 'nodes'}"

Get = Callable[[str, str], IO[bytes]]
"""Fetches a file: the setting that names it, and its address."""

_found: WeakKeyDictionary[State, dict[str, ClusterError | None]] = WeakKeyDictionary()
_lock = RLock()


def look_once(state: State, cluster: Cluster) -> None:
    """Look at the cluster's repository, once in a run. Raises `ClusterError` each time where something is wrong."""
    key = cluster.model_dump_json()
    with _lock:
        found = _found.setdefault(state, {})
        if key not in found:
            try:
                look(cluster)
                found[key] = None
            except ClusterError as error:
                found[key] = error
    if wrong := found[key]:
        raise ClusterError(*wrong.args)


def look(cluster: Cluster) -> None:
    """Look at the cluster's repository. Raises `ClusterError` with the setting, its value and what to do."""
    with _session(cluster) as get:
        errors = []
        for field, url in _addresses(cluster, get):
            try:
                offered = _offered(field, url, get)
                break
            except ClusterError as error:
                errors.append(error)
        else:
            raise errors[0]
        _check_version(cluster, field, url, offered)
        if cluster.signing_keys is None:
            _check_key(cluster, get)


def _check_version(cluster: Cluster, field: str, url: str, offered: list[str]) -> None:
    major = [version for version in offered if version_key(version)[0] == cluster.major]
    if cluster.version in (None, "latest"):
        if not major:
            raise ClusterError(
                f"{field}: {url} has no Logstash {cluster.major} (it has {_shown(offered)}); correct the address, "
                "or set logstash to a major version that is there"
            )
    elif cluster.version not in offered:
        raise ClusterError(
            f"version: {url} has no {logstash_package(cluster)} (it has {_shown(major or offered)}); choose one that is there, or "
            "add that one to the repository"
        )


def _shown(versions: list[str]) -> str:
    """The newest versions, for a message."""
    newest = versions[::-1][:5]
    return ", ".join([*newest, *(["…"] if len(versions) > 5 else [])]) or "none"


def _check_key(cluster: Cluster, get: Get) -> None:
    url = key_url(cluster)
    with get("artifacts_url", url) as file:
        data = file.read()
    try:
        keys = SigningKeys(data)
    except ValueError:
        raise ClusterError(
            f"artifacts_url: {url} is not an OpenPGP key in ASCII armor; put a copy of {ELASTICS_KEY} there"
        ) from None
    for found in keys.fingerprints:
        if found not in cluster.key_fingerprints:
            raise ClusterError(
                f"key_fingerprints: {url} has the key {found}, and not one of {', '.join(cluster.key_fingerprints)}; put the right "
                "key there, or, where that one is to be trusted, write its fingerprint into key_fingerprints"
            )


def _addresses(cluster: Cluster, get: Get) -> Iterator[tuple[str, str]]:
    """The addresses of the repository's mirrors, each with the setting that names it."""
    repository = cluster.repository
    if repository and repository.mirrorlist:
        with get("repository.mirrorlist", repository.mirrorlist) as file:
            lines = file.read().decode("utf-8", "replace").splitlines()
        found = [line.strip() for line in lines if line.strip().startswith(("http://", "https://"))]
        if not found:
            raise ClusterError(
                f"repository.mirrorlist: {repository.mirrorlist} has no line with an address; write repositories' addresses "
                "into it, one a line, or use repository.url"
            )
        yield from (("repository.mirrorlist", url) for url in found)
        return
    field = "repository.url" if repository and repository.urls else "artifacts_url"
    yield from ((field, url) for url in repository_urls(cluster))


def _offered(field: str, url: str, get: Get) -> list[str]:
    """The versions of Logstash that a repository has, the newest last."""
    base = url.rstrip("/") + "/"
    with get(field, urljoin(base, "repodata/repomd.xml")) as file:
        index = _parsed(field, url, file)
    places = [
        place.get("href", "")
        for data in index.iterfind("{*}data")
        if data.get("type") == "primary"
        for place in data.iterfind("{*}location")
    ]
    if not places:
        raise ClusterError(
            f"{field}: {url}/repodata/repomd.xml names no primary metadata; run createrepo_c for the repository"
        )
    with get(field, urljoin(base, places[0])) as file:
        return parse_offered(_releases(field, urljoin(base, places[0]), file))


def _parsed(field: str, url: str, file: IO[bytes]) -> ElementTree.Element:
    try:
        return ElementTree.parse(file).getroot()
    except ElementTree.ParseError:
        raise ClusterError(
            f"{field}: {url}/repodata/repomd.xml is not XML, so this is not a repository, or a page to log in; correct the address"
        ) from None


def _releases(field: str, url: str, file: IO[bytes]) -> list[str]:
    """EPOCH:VERSION-RELEASE of each package of Logstash in a repository's primary metadata."""
    found = []
    try:
        for _, element in ElementTree.iterparse(_decompressed(url, file)):
            if element.tag.endswith("}package"):
                version = element.find("{*}version")
                if element.findtext("{*}name") == "logstash" and version is not None:
                    found.append(f"{version.get('epoch')}:{version.get('ver')}-{version.get('rel')}")
                element.clear()
    except (ElementTree.ParseError, OSError, EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError):
        raise ClusterError(f"{field}: {url} is broken; run createrepo_c for the repository again") from None
    return found


def _decompressed(url: str, file: IO[bytes]) -> Any:
    if url.endswith(".gz"):
        return gzip.open(file)
    if url.endswith(".xz"):
        return lzma.open(file)
    if url.endswith(".bz2"):
        return bz2.open(file)
    if url.endswith(".zst"):
        return zstandard.ZstdDecompressor().stream_reader(file)
    return file


@contextmanager
def _session(cluster: Cluster) -> Iterator[Get]:
    """What fetches with the repository's certificates and logins, which are in files for as long as this lasts."""
    files = cluster.repository_files
    with tempfile.TemporaryDirectory() as name, requests.Session() as session:
        folder = Path(name)
        if files.certificate and files.key:
            session.cert = (
                _written(folder / "client.pem", files.certificate),
                _written(folder / "client.key", files.key.get_secret_value()),
            )
        if files.ca:
            session.verify = _written(folder / "ca.pem", files.ca)
        if files.login:
            session.auth = (files.login.username, files.login.password.get_secret_value())
        if cluster.proxy:
            # The environment's proxies would come before these.
            session.trust_env = False
            session.proxies = dict.fromkeys(("http", "https"), _with_login(cluster.proxy, files.proxy_login))
        yield lambda field, url: _fetched(cluster, session, field, url)


def _written(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def _with_login(proxy: str, login: Login | None) -> str:
    if login is None:
        return proxy
    scheme, _, place = proxy.partition("://")
    return f"{scheme}://{quote(login.username, safe='')}:{quote(login.password.get_secret_value(), safe='')}@{place}"


def _fetched(cluster: Cluster, session: requests.Session, field: str, url: str) -> IO[bytes]:
    """A file, whole. Raises `ClusterError`, in which no login is."""
    end = time.monotonic() + TIMEOUT
    content = io.BytesIO()
    try:
        # The CA is given here, too: one of the environment (REQUESTS_CA_BUNDLE) would come before the session's.
        with session.get(
            url, timeout=(CONNECT_TIMEOUT, TIMEOUT), stream=True, verify=session.verify
        ) as answer:
            if not answer.ok:
                raise ClusterError(
                    f"{field}: {url} answers {answer.status_code}; {_remedy(cluster, answer.status_code)}"
                )
            for part in answer.raw.stream(1 << 16, decode_content=False):
                content.write(part)
                if time.monotonic() > end:
                    raise requests.Timeout
                if content.tell() > LIMIT:
                    raise ClusterError(f"{field}: {url} is larger than {LIMIT >> 20} MB; correct the address")
    except requests.RequestException as error:
        raise ClusterError(_unreachable(cluster, field, url, error)) from None
    except (OSError, ValueError) as error:  # urllib3's, while the content is read
        raise ClusterError(f"{field}: {url} was interrupted ({type(error).__name__}); run it again") from None
    content.seek(0)
    return content


def _remedy(cluster: Cluster, status: int) -> str:
    files = cluster.repository_files
    if status == 401:
        what = "correct" if files.login else "add"
        return f"{what} USERNAME and PASSWORD in the file repository.secrets"
    if status == 403:
        what = "is that the certificate for it?" if files.certificate else "does it ask for one?"
        return f"it refuses who asks: name the client certificate in repository.certificate ({what}), or correct the login"
    if status == 404:
        return "there is no such file; correct the address"
    if status == 407:
        what = "correct" if files.proxy_login else "add"
        return f"{what} PROXY_USERNAME and PROXY_PASSWORD in the file repository.secrets"
    return f"try again later, or {_HERE}"


def _unreachable(cluster: Cluster, field: str, url: str, error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        if "407" in str(error):
            return f"proxy: {cluster.proxy} answers 407; {_remedy(cluster, 407)}"
        where = cluster.proxy or "of this machine's environment"
        return f"proxy: {where} can't be reached from this machine; correct it, or, {_HERE}"
    if isinstance(error, requests.exceptions.SSLError):
        said = str(error).lower()
        if "certificate verify failed" in said:
            return f"{field}: {url} shows a certificate that this machine does not trust; name its CA in repository.ca"
        return (
            f"{field}: {url} refuses the TLS connection; does it ask for a client certificate? Name that in "
            "repository.certificate and repository.key"
        )
    if isinstance(error, requests.Timeout):
        reason = f"no answer within {TIMEOUT:g} s"
    elif "Name or service not known" in str(error) or "NameResolutionError" in str(error):
        reason = "its name is not known"
    else:
        reason = "no connection"
    return f"{field}: {url} can't be reached from this machine ({reason}); correct it, or, {_HERE}"
