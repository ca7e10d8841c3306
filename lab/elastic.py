"""Elastic's own Logstash for the lab, in the stand-in's place: fetched from Elastic, or taken from a file, and checked.

Elastic's server has `/downloads/logstash/FILE`, `FILE.sha512` in the format of sha512sum(1), and `/GPG-KEY-elasticsearch`.
"""

import hashlib
import itertools
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from lab.console import console
from lab.content import content_key
from lab.packages import index, make_readable
from lab.shell import LabError, run

ARTIFACTS = "https://artifacts.elastic.co"
FINGERPRINT = "46095ACC8548582C1A2699A9D27D666CD88E42B4"
"""Of the key that signs Elastic's packages (Elastic's documentation: "Import the Elastic PGP key")."""

MAGIC = b"\xed\xab\xee\xdb"
"""The first bytes of an RPM file. Of any other file, rpm would read names of RPMs."""

KEY = "GPG-KEY-elasticsearch"
VERSION = re.compile(r"\d+\.\d+\.\d+")
OLDEST = (7, 10, 0)
"""The first version that brings its own Java."""
TIMEOUT = 30
"""Seconds that Elastic's server may say nothing."""
CHUNK = 1 << 20
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Source:
    """Where Elastic's packages come from, and the fingerprint of the key that must have signed them."""

    artifacts: str = ARTIFACTS
    fingerprint: str = FINGERPRINT


def build_logstash(
    cache: Path, wanted: str, progress: Callable[[str], None], source: Source | None = None
) -> Path:
    """The folder that stands for Elastic's server with this one Logstash, unless the cache has it; its path.

    ``wanted`` is a version, which is fetched, or the path of an RPM file; the key is fetched, too, unless it is beside the
    file. Raises LabError.
    """
    version, source = version_of(wanted), source or Source()
    try:
        if wanted == version:
            return _build_version(cache, version, progress, source)
        return _build_file(cache, Path(wanted), version, progress, source)
    except OSError as error:
        raise LabError(
            f"{error.filename or cache}: {error.strerror}; make room in the cache, and run it again"
        ) from None


def version_of(wanted: str) -> str:
    """The version of what `build_logstash` is asked for: a version, or the path of an RPM file. Raises LabError."""
    if VERSION.fullmatch(wanted):
        version = wanted
    elif Path(wanted).is_file():
        version = _check_package(Path(wanted))
    elif wanted.endswith(".rpm"):
        raise LabError(f"--logstash: {wanted}: no such file")
    else:
        raise LabError(f"--logstash: {wanted!r} is neither a version, such as 9.3.8, nor an RPM file")
    if not VERSION.fullmatch(version):
        raise LabError(f"--logstash: {wanted}: is Logstash {version}; choose a release, such as 9.3.8")
    if tuple(map(int, version.split("."))) < OLDEST:
        raise LabError(
            f"--logstash: {version} needs Java 8 or 11, which no guest has; choose 7.10.0 or later"
        )
    return version


def file_name(version: str) -> str:
    """The name of a version's RPM on Elastic's server."""
    return f"logstash-{version}-x86_64.rpm"


def _build_version(cache: Path, version: str, progress: Callable[[str], None], source: Source) -> Path:
    target = cache / f"logstash-{content_key(version, source.artifacts, source.fingerprint)}"
    if target.exists():
        return target
    name = file_name(version)
    url = f"{source.artifacts}/downloads/logstash/{name}"
    checksum = _fetch_checksum(url, version)
    progress(f"fetching Elastic's {name}")
    downloads = cache / "downloads"
    downloads.mkdir(exist_ok=True)
    rpm = downloads / name
    download(url, rpm)
    progress(f"checking {name}")
    if (found := _sha512(rpm)) != checksum:
        rpm.unlink()  # else it would be continued
        raise LabError(
            f"{url}: its SHA-512 is {found[:16]}…, and Elastic publishes {checksum[:16]}…; run it again"
        )
    _check_package(rpm)
    with tempfile.TemporaryDirectory(dir=cache, prefix="logstash.") as scratch:
        served = Path(scratch) / "served"
        served.mkdir()
        (served / KEY).write_bytes(_get(f"{source.artifacts}/{KEY}").content)
        _check_signature(rpm, served / KEY, source.fingerprint, Path(scratch))
        rpm.rename(_repository(served, version) / name)
        return _finish(served, target)


def _build_file(
    cache: Path, rpm: Path, version: str, progress: Callable[[str], None], source: Source
) -> Path:
    progress(f"checking {rpm.name}")
    with tempfile.TemporaryDirectory(dir=cache, prefix="logstash.") as scratch:
        served = Path(scratch) / "served"
        served.mkdir()
        beside = rpm.with_name(KEY)
        if beside.is_file():
            shutil.copyfile(beside, served / KEY)
        else:
            answer = _get(f"{source.artifacts}/{KEY}", f"or put it beside {rpm.name}")
            (served / KEY).write_bytes(answer.content)
        _check_signature(rpm, served / KEY, source.fingerprint, Path(scratch))
        target = cache / f"logstash-{content_key(_sha512(rpm), served / KEY)}"
        if target.exists():
            return target
        shutil.copyfile(rpm, _repository(served, version) / file_name(version))
        return _finish(served, target)


def _repository(served: Path, version: str) -> Path:
    """The folder of the repository for a version's major, which is made here."""
    folder = served / "packages" / f"{version.split('.')[0]}.x" / "yum"
    folder.mkdir(parents=True)
    return folder


def _sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def _finish(served: Path, target: Path) -> Path:
    (yum,) = served.glob("packages/*/yum")
    index(yum)
    make_readable(served)
    served.rename(target)
    return target


def download(url: str, target: Path) -> None:
    """Fetch a file, with a progress bar in a terminal. What an interrupted download has left is continued.

    Raises LabError.
    """
    part = target.with_name(f"{target.name}.part")
    if target.exists():  # it was complete, but never checked
        target.rename(part)
    begin = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={begin}-"} if begin else {})}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                part.rename(target)  # nothing is missing, or its checksum shows that it is another file
                return
            _check_status(answer, url)
            if answer.status_code != requests.codes.partial_content:  # the server sends all of it
                begin = 0
            length = int(answer.headers.get("Content-Length", 0))
            columns = (
                TextColumn(target.name),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            with (
                part.open("ab" if begin else "wb") as file,
                Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
            ):
                task = bar.add_task("", total=begin + length if length else None, completed=begin)
                for chunk in answer.iter_content(CHUNK):
                    bar.advance(task, file.write(chunk))
    except requests.RequestException as error:
        raise _unreachable(url, error, "run it again to continue") from None
    if length and part.stat().st_size != begin + length:
        raise LabError(
            f"{url}: interrupted after {part.stat().st_size} of {begin + length} bytes; run it again to continue"
        )
    part.rename(target)


def _fetch_checksum(url: str, version: str) -> str:
    """The SHA-512 that Elastic publishes of a file. Raises LabError, also where there is no such version."""
    answer = _get(
        f"{url}.sha512",
        "or give the RPM's file: --logstash FILE.rpm",
        missing=f"Elastic has no Logstash {version}",
    )
    if not (match := re.match(r"[0-9a-f]{128}\b", answer.text)):
        raise LabError(f"{url}.sha512: is not a SHA-512 checksum; is that Elastic's server?")
    return match[0]


def _get(url: str, mend: str = "try again later", missing: str = "") -> requests.Response:
    """A small file. Raises LabError, with `missing` where the server does not have it."""
    try:
        answer = requests.get(url, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise _unreachable(url, error, mend) from None
    if missing and answer.status_code == requests.codes.not_found:
        raise LabError(f"--logstash: {missing} (404 for {url}); choose another version")
    _check_status(answer, url)
    return answer


def _check_status(answer: requests.Response, url: str) -> None:
    if not answer.ok:
        raise LabError(f"{url}: the server answers {answer.status_code} {answer.reason}; try again later")


def _unreachable(url: str, error: requests.RequestException, mend: str) -> LabError:
    if isinstance(error, requests.Timeout):
        reason = f"no answer within {TIMEOUT} s"
    elif isinstance(error, requests.exceptions.ChunkedEncodingError):
        reason = "the connection was closed before the end"
    elif isinstance(error, requests.exceptions.SSLError):
        reason = "its certificate is not accepted"
    else:
        reason = "cannot be reached"
    return LabError(f"{url}: {reason}; check this machine's network and proxy, {mend}")


def _check_package(rpm: Path) -> str:
    """Check that a file is Logstash's RPM for these guests, and return its version. Raises LabError."""
    with rpm.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise LabError(f"--logstash: {rpm}: is not an RPM; fetch it again")
    name, version, architecture = _query(rpm, "%{NAME} %{VERSION} %{ARCH}").split()
    if name != "logstash":
        raise LabError(f"--logstash: {rpm}: is a package of {name}, not of logstash; choose another file")
    if architecture not in ("x86_64", "noarch"):
        raise LabError(
            f"--logstash: {rpm}: is for {architecture}, and the guests are x86_64; choose another file"
        )
    return version


def _check_signature(rpm: Path, key: Path, fingerprint: str, scratch: Path) -> None:
    """Check that the key is the one of this fingerprint, and has signed the RPM. Raises LabError."""
    home = scratch / "gnupg"
    home.mkdir(mode=0o700)
    try:
        shown = run("gpg", "--batch", "--homedir", home, "--with-colons", "--show-keys", key)
    except LabError:
        shown = ""
    fields = [line.split(":") for line in shown.splitlines()]
    keys = [
        after[9] for before, after in itertools.pairwise(fields) if (before[0], after[0]) == ("pub", "fpr")
    ]
    if keys != [fingerprint]:
        found = ", ".join(keys) or "none"
        raise LabError(
            f"{key.name}: must be the key {fingerprint} alone, which is Elastic's, and is {found}; "
            f"take it from {ARTIFACTS}/{KEY}"
        )
    database = ("--dbpath", scratch / "rpmdb")
    run("rpmkeys", *database, "--import", key)
    try:  # by itself rpm is content with a package that nobody has signed
        run("rpmkeys", *database, "--define", "_pkgverify_level signature", "--checksig", rpm)
    except LabError:
        raise LabError(
            f"--logstash: {rpm}: is not as Elastic's key {fingerprint[-8:]} has signed it; fetch it again"
        ) from None


def _query(rpm: Path, tags: str) -> str:
    """What an RPM says of itself, by rpm's tags. Raises LabError where the file is not an RPM."""
    return run("rpm", "--query", "--package", "--nosignature", "--queryformat", tags, rpm)
