"""Elastic's own Logstash for the lab: fetched from a web server laid out like Elastic's, or from a file, and checked."""

import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.elastic import CHUNK, FINGERPRINT, KEY, Source, build_logstash, file_name, version_of
from lab.packages import KEYS, Package, build_rpm, create_keys, sign
from lab.shell import LabError, run

VERSION = "9.3.8"
RPM = f"logstash-{VERSION}-x86_64.rpm"
OFFERED = f"packages/9.x/yum/{RPM}"


def build(name: str, folder: Path, version: str = VERSION) -> Path:
    """An RPM of Elastic's layout: one that is too large to be read at once."""
    tree = folder / f"{name}-tree"
    (tree / "usr/share/logstash").mkdir(parents=True)
    (tree / "usr/share/logstash/data").write_bytes(hashlib.shake_256(b"incompressible").digest(3 * CHUNK))
    out = folder / f"{name}-out"
    out.mkdir()
    build_rpm(Package(name, version, "a test's", epoch=1, release="1"), tree, out, folder)
    (rpm,) = out.glob("*.rpm")
    return rpm


@dataclass
class Elastic:
    """A web server laid out like Elastic's, and what it was asked for."""

    folder: Path
    port: int = 0
    fingerprint: str = FINGERPRINT
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Paths, each with its Range."""
    cut: int | None = None
    """After so many bytes of an RPM the connection ends."""

    @property
    def source(self) -> Source:
        return Source(f"http://127.0.0.1:{self.port}", self.fingerprint)

    @property
    def rpm(self) -> Path:
        return self.folder / "downloads/logstash" / RPM

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


class Handler(SimpleHTTPRequestHandler):
    """With ranges, as Elastic's server has them; http.server has none."""

    def __init__(self, *arguments: object, elastic: Elastic) -> None:
        self.elastic = elastic
        super().__init__(*arguments, directory=str(elastic.folder))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.elastic.requests.append((self.path, wanted))
        if not self.path.endswith(".rpm") or not Path(self.translate_path(self.path)).exists():
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if begin >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        end = len(content) if self.elastic.cut is None else self.elastic.cut
        self.wfile.write(content[begin:end])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An RPM that is signed, and its key's folder. The same for all tests: signing takes a second."""
    folder = tmp_path_factory.mktemp("signed")
    keys = create_keys(folder)
    rpm = build("logstash", folder)
    sign(keys, "elastic", rpm.parent)
    return rpm, keys


@pytest.fixture
def elastic(tmp_path: Path, signed: tuple[Path, Path]) -> Iterator[Elastic]:
    rpm, keys = signed
    elastic = Elastic(tmp_path / "elastic")
    elastic.rpm.parent.mkdir(parents=True)
    shutil.copyfile(rpm, elastic.rpm)
    digest = hashlib.sha512(rpm.read_bytes()).hexdigest()
    elastic.rpm.with_name(f"{RPM}.sha512").write_text(f"{digest}  {RPM}\n")
    shutil.copyfile(keys / "elastic.asc", elastic.folder / KEY)
    shown = run("gpg", "--homedir", keys / "elastic", "--with-colons", "--list-keys", KEYS["elastic"])
    elastic.fingerprint = next(line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, elastic=elastic))
    elastic.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield elastic
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    cache = tmp_path / "cache"
    cache.mkdir()
    return cache


def fetch(cache: Path, elastic: Elastic, wanted: str | Path = VERSION) -> Path:
    return build_logstash(cache, str(wanted), lambda text: None, elastic.source)


def test_a_version_is_fetched_once_and_offered_as_elastic_offers_it(cache: Path, elastic: Elastic) -> None:
    folder = fetch(cache, elastic)
    assert (folder / OFFERED).read_bytes() == elastic.rpm.read_bytes()
    assert (folder / OFFERED).with_name("repodata").is_dir()
    assert (folder / KEY).read_bytes() == (elastic.folder / KEY).read_bytes()
    assert version_of(VERSION) == VERSION
    assert sorted(elastic.paths()) == sorted(
        (f"/{KEY}", f"/downloads/logstash/{RPM}", f"/downloads/logstash/{RPM}.sha512")
    )
    elastic.requests.clear()
    assert fetch(cache, elastic) == folder
    assert elastic.requests == []
    assert list((cache / "downloads").iterdir()) == []


@pytest.mark.parametrize("kept", [1, CHUNK, 2 * CHUNK + 17])
def test_an_interrupted_download_is_continued(cache: Path, elastic: Elastic, kept: int) -> None:
    elastic.cut = kept
    with pytest.raises(
        LabError, match=r"the connection was closed before the end.* run it again to continue"
    ):
        fetch(cache, elastic)
    (part,) = (cache / "downloads").iterdir()
    got = part.stat().st_size
    assert 0 <= got <= kept
    part.write_bytes(elastic.rpm.read_bytes()[:kept])  # what has come of the last piece may be lost
    elastic.cut = None
    elastic.requests.clear()
    folder = fetch(cache, elastic)
    assert (f"/downloads/logstash/{RPM}", f"bytes={kept}-") in elastic.requests
    assert (folder / OFFERED).read_bytes() == elastic.rpm.read_bytes()


@pytest.mark.parametrize("ending", ["", ".part"])
def test_a_download_that_was_complete_is_not_fetched_again(
    cache: Path, elastic: Elastic, ending: str
) -> None:
    (cache / "downloads").mkdir()
    shutil.copyfile(elastic.rpm, cache / "downloads" / f"{RPM}{ending}")
    elastic.cut = 0
    assert (fetch(cache, elastic) / OFFERED).read_bytes() == elastic.rpm.read_bytes()


def test_a_file_with_the_wrong_checksum_is_refused_and_fetched_anew(cache: Path, elastic: Elastic) -> None:
    """As where Elastic's file was changed since the first part of it was fetched."""
    (cache / "downloads").mkdir()
    (cache / "downloads" / f"{RPM}.part").write_bytes(b"of another file")
    with pytest.raises(
        LabError, match=r"its SHA-512 is \w{16}…, and Elastic publishes \w{16}…; run it again"
    ):
        fetch(cache, elastic)
    elastic.requests.clear()
    assert (fetch(cache, elastic) / OFFERED).read_bytes() == elastic.rpm.read_bytes()
    assert (f"/downloads/logstash/{RPM}", None) in elastic.requests


def test_a_version_that_elastic_does_not_have_is_named(cache: Path, elastic: Elastic) -> None:
    with pytest.raises(LabError, match=r"^--logstash: Elastic has no Logstash 9\.3\.99 \(404 for http://127"):
        fetch(cache, elastic, "9.3.99")


def test_without_a_network_one_line_says_what_else_there_is(cache: Path, elastic: Elastic) -> None:
    nowhere = Source("http://127.0.0.1:9", elastic.fingerprint)
    with pytest.raises(LabError) as error:
        build_logstash(cache, VERSION, lambda text: None, nowhere)
    assert str(error.value) == (
        f"http://127.0.0.1:9/downloads/logstash/{RPM}.sha512: cannot be reached; check this machine's network and proxy, "
        "or give the RPM's file: --logstash FILE.rpm"
    )
    with pytest.raises(LabError, match=f"/{KEY}: cannot be reached; .*, or put it beside {RPM}"):
        build_logstash(cache, str(elastic.rpm), lambda text: None, nowhere)


def test_something_else_than_elastics_server_is_refused(cache: Path, elastic: Elastic) -> None:
    """Such as the page of a proxy that wants a password."""
    elastic.rpm.with_name(f"{RPM}.sha512").write_text("<html>Please log in</html>")
    with pytest.raises(LabError, match=r"\.sha512: is not a SHA-512 checksum; is that Elastic's server\?"):
        fetch(cache, elastic)


def test_a_key_with_another_fingerprint_is_refused(cache: Path, elastic: Elastic) -> None:
    actual = elastic.fingerprint
    elastic.fingerprint = FINGERPRINT
    with pytest.raises(LabError, match=f"must be the key {FINGERPRINT} alone, .* and is {actual};"):
        fetch(cache, elastic)


def test_a_file_of_two_keys_is_refused(cache: Path, elastic: Elastic, signed: tuple[Path, Path]) -> None:
    """The second one could have signed the RPM."""
    with (elastic.folder / KEY).open("ab") as file:
        file.write((signed[1] / "forger.asc").read_bytes())
    with pytest.raises(LabError, match=r"must be the key \w+ alone"):
        fetch(cache, elastic)


@pytest.mark.parametrize("change", ["unsigned", "forged", "changed"])
def test_an_rpm_that_elastics_key_has_not_signed_is_refused(
    cache: Path, elastic: Elastic, signed: tuple[Path, Path], change: str, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    rpm = folder / RPM
    shutil.copyfile(elastic.rpm, rpm)
    shutil.copyfile(elastic.folder / KEY, folder / KEY)
    if change == "changed":
        content = bytearray(rpm.read_bytes())
        content[-CHUNK] ^= 1
        rpm.write_bytes(content)
    else:
        run("rpmsign", "--delsign", rpm)
    if change == "forged":
        sign(signed[1], "forger", folder)
    with pytest.raises(
        LabError, match=f"{RPM}: is not as Elastic's key .{{8}} has signed it; fetch it again"
    ):
        fetch(cache, elastic, rpm)
    assert not list(cache.glob("logstash-*"))


def test_a_file_is_offered_likewise_and_stays_where_it_is(
    cache: Path, elastic: Elastic, tmp_path: Path
) -> None:
    """The key is fetched, unless it is beside the file."""
    file = tmp_path / "mine.rpm"
    shutil.copyfile(elastic.rpm, file)
    folder = fetch(cache, elastic, file)
    assert version_of(str(file)) == VERSION
    assert (folder / OFFERED).read_bytes() == file.read_bytes()
    assert elastic.paths() == [f"/{KEY}"]
    shutil.copyfile(elastic.folder / KEY, tmp_path / KEY)
    elastic.requests.clear()
    assert fetch(cache, elastic, file) == folder
    assert elastic.requests == []


def test_a_file_that_is_not_logstashs_rpm_is_refused(cache: Path, elastic: Elastic, tmp_path: Path) -> None:
    text = tmp_path / "text.rpm"
    text.write_text(f"{elastic.rpm}\n")  # which rpm would take for the names of RPMs
    empty = tmp_path / "empty.rpm"
    empty.touch()
    other = build("elasticsearch", tmp_path)
    snapshot = build("logstash", tmp_path, "9.4.0~SNAPSHOT")
    for wanted, reason in (
        (text, "is not an RPM; fetch it again"),
        (empty, "is not an RPM; fetch it again"),
        (other, "is a package of elasticsearch, not of logstash; choose another file"),
        (snapshot, "is Logstash 9.4.0~SNAPSHOT; choose a release, such as 9.3.8"),
        (tmp_path / "none.rpm", "no such file"),
    ):
        with pytest.raises(LabError) as error:
            fetch(cache, elastic, wanted)
        assert str(error.value) == f"--logstash: {wanted}: {reason}"
    with pytest.raises(
        LabError, match=r"^--logstash: '9\.x' is neither a version, such as 9\.3\.8, nor an RPM"
    ):
        fetch(cache, elastic, "9.x")
    assert elastic.requests == []


def test_elastics_own_address_key_and_names_are_the_default() -> None:
    assert Source() == Source("https://artifacts.elastic.co", "46095ACC8548582C1A2699A9D27D666CD88E42B4")
    assert replace(Source(), artifacts="x").fingerprint == FINGERPRINT
    assert file_name("9.3.8") == "logstash-9.3.8-x86_64.rpm"


def test_a_logstash_without_a_java_of_its_own_is_refused() -> None:
    assert version_of("7.10.0") == "7.10.0"
    for version in ("6.8.23", "7.9.3"):
        with pytest.raises(
            LabError, match=rf"^--logstash: {version} needs Java 8 or 11, which no guest has; "
        ):
            version_of(version)


def test_a_full_disk_is_reported_in_a_line(cache: Path, elastic: Elastic) -> None:
    (cache / "downloads").mkdir()
    (cache / "downloads" / f"{RPM}.part").symlink_to("/dev/full")
    with pytest.raises(LabError, match=r"cache: No space left on device; make room in the cache, and run it"):
        fetch(cache, elastic)
