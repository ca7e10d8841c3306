"""The lab's package server: signed RPM repositories that are laid out like EL's and Elastic's.

Debian's builds of keepalived, ipvsadm, tcpdump and Java become RPMs, and so does the stand-in for Logstash,
once for each version that is played. Three keys sign: the distribution's, one in Elastic's place, and a forger's.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from lab.content import content_key
from lab.settings import HERE, LOGSTASH_VERSIONS, RELEASES
from lab.shell import LabError, run

RELEASE = "1.lab"
STANDIN = HERE / "standin"
KEYS = {
    "base": "Lab distribution <base@lab.invalid>",
    "elastic": "Lab Elasticsearch (stand-in signing key) <elastic@lab.invalid>",
    "forger": "Lab forger <forger@lab.invalid>",
}


@dataclass(frozen=True)
class Package:
    """What an RPM says of itself, beside its files."""

    name: str
    version: str
    summary: str
    license: str = "see the files"
    release: str = RELEASE
    epoch: int = 0
    provides: Sequence[str] = ()
    requires: Sequence[str] = ()
    config: Sequence[str] = ()
    owned: Mapping[str, str] = field(default_factory=dict)
    """Attributes of single paths, as ``%attr`` takes them."""
    scripts: Mapping[str, str] = field(default_factory=dict)


FROM_DEBIAN = {
    "keepalived": ("keepalived", "Load balancer and high availability service", (), ("ipvsadm",)),
    "ipvsadm": ("ipvsadm", "Utility to administer the Linux Virtual Server", (), ()),
    "tcpdump": ("tcpdump", "A network traffic monitoring tool", (), ()),
    "openjdk-17-jre-headless": (
        "java-17-openjdk-headless",
        "OpenJDK 17 runtime without graphics",
        (
            *("java = 1:17", "java-headless = 1:17", "jre-headless = 1:17"),
            *(
                "java-1.8.0-openjdk-headless = 1:1.8.0",
                "java-11-openjdk-headless = 1:11",
            ),  # Debian 12 has none of these
        ),
        (),
    ),
}
"""Debian package: the RPM's name, summary, provides and requires."""

LOGSTASH_PRE = """\
getent group logstash >/dev/null || groupadd -r logstash
getent passwd logstash >/dev/null || \\
    useradd -r -g logstash -d /usr/share/logstash -s /sbin/nologin -c logstash logstash
"""


def keys(cache: Path) -> Path:
    """The folder with one GnuPG home and one public key (``NAME.asc``) for each signing key; made once."""
    home = cache / "keys"
    if not (home / "done").exists():
        shutil.rmtree(home, ignore_errors=True)
        for name, user in KEYS.items():
            (home / name).mkdir(parents=True, mode=0o700)
            gpg = ("gpg", "--batch", "--quiet", "--homedir", home / name)
            run(*gpg, "--passphrase", "", "--quick-generate-key", user, "rsa3072", "sign", "never")
            (home / f"{name}.asc").write_text(run(*gpg, "--armor", "--export", user))
            run("gpgconf", "--homedir", home / name, "--kill", "gpg-agent")
        (home / "done").touch()
    return home


def repository(cache: Path, progress: Callable[[str], None]) -> Path:
    """The folder that the package server serves; built when what it is made of has changed."""
    signing = keys(cache)
    debs = _download(cache, progress)
    key = content_key(
        *(Path(__file__), HERE / "rpm", HERE / "releases", STANDIN, signing / "elastic.asc"),
        *(deb.name for deb in debs.values()),
    )
    target = cache / f"repository-{key}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix="repository.") as scratch:
        work = Path(scratch)
        served = work / "served"
        packages = work / "packages"
        packages.mkdir()
        for deb_name, (name, summary, provides, requires) in FROM_DEBIAN.items():
            progress(f"packing {name}")
            tree = work / deb_name
            unpacked = _unpack(debs[deb_name], tree)
            package = Package(
                name,
                unpacked,
                summary,
                provides=provides,
                requires=requires,
                config=[path for path in ("/etc/keepalived/keepalived.conf",) if (tree / path[1:]).exists()],
            )
            _build(package, tree, packages, work)
        _sign(signing / "base", KEYS["base"], packages)
        for el in RELEASES:
            folder = served / f"el{el}" / "os"
            folder.mkdir(parents=True)
            _release(el, signing, folder, work)
            _sign(signing / "base", KEYS["base"], folder)
            for rpm in packages.glob("*.rpm"):
                (folder / rpm.name).hardlink_to(rpm)
            _index(folder)
        library = _vendor(work, progress)
        for version in LOGSTASH_VERSIONS:
            progress(f"packing logstash {version} (the stand-in)")
            yum = served / "packages" / f"{version.split('.')[0]}.x" / "yum"
            yum.mkdir(parents=True, exist_ok=True)
            tree = work / f"logstash-{version}"
            _build(_logstash(version, tree, library), tree, yum, work)
        for yum in (served / "packages").glob("*/yum"):
            _sign(signing / "elastic", KEYS["elastic"], yum)
            _index(yum)
        _forge(signing, served)
        shutil.copy(signing / "elastic.asc", served / "GPG-KEY-elasticsearch")
        _open_to_readers(served)
        served.rename(target)
    return target


def release_file(el: int) -> str:
    """The file name of the RPM that makes a guest this EL, to people and to dnf."""
    return f"{_release_name(el)}-{el}.0-{RELEASE}.x86_64.rpm"


def _release_name(el: int) -> str:
    return "centos-release" if el == 7 else "centos-stream-release"


def _release(el: int, signing: Path, out: Path, work: Path) -> None:
    """The release RPM of an EL: its files in ``releases/``, and the key its packages are signed with."""
    tree = work / f"release-{el}"
    shutil.copytree(HERE / "releases" / f"el{el}", tree, symlinks=True)
    (tree / "etc/pki/rpm-gpg").mkdir(parents=True)
    shutil.copy(signing / "base.asc", tree / "etc/pki/rpm-gpg/RPM-GPG-KEY-lab")
    provides = (
        f"{name} = {el}" for name in ("system-release", "system-release(releasever)", "redhat-release")
    )
    package = Package(
        _release_name(el), f"{el}.0", f"Release files of the lab's EL {el}", provides=(*provides, "/bin/sh")
    )
    _build(package, tree, out, work)


def _download(cache: Path, progress: Callable[[str], None]) -> dict[str, Path]:
    """Debian's packages, at the versions Debian offers today, kept in the cache."""
    folder = cache / "debs"
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in FROM_DEBIAN:
        uri = run("apt-get", "download", "--print-uris", "-qq", name).strip().split()
        if len(uri) < 2:
            raise LabError(f"{name}: apt-get knows no such package; run `apt-get update`")
        deb = folder / uri[1]
        if not deb.exists():
            progress(f"downloading {name}")
            run("apt-get", "download", "-qq", name, cwd=folder)
        found[name] = deb
    return found


def _unpack(deb: Path, tree: Path) -> str:
    """Unpack a Debian package as EL lays it out, and return its upstream version."""
    run("dpkg-deb", "-x", deb, tree)
    for name in ("lib", "bin", "sbin"):  # EL and the guests have these below /usr
        if (tree / name).is_dir():
            shutil.copytree(tree / name, tree / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(tree / name)
    for name in ("etc/init.d", "etc/default", "usr/share/doc-base", "usr/share/lintian", "usr/share/bug"):
        shutil.rmtree(tree / name, ignore_errors=True)
    samples = tree / "usr/share/doc/keepalived/samples"
    if samples.is_dir():  # EL's package brings this sample as its configuration
        (tree / "etc/keepalived").mkdir(parents=True, exist_ok=True)
        shutil.copy(samples / "keepalived.conf.sample", tree / "etc/keepalived/keepalived.conf")
    shutil.rmtree(tree / "usr/share/doc", ignore_errors=True)
    for java in sorted(tree.glob("usr/lib/jvm/*/bin/java"))[-1:]:  # Debian makes this link when it installs
        (tree / "usr/bin").mkdir(exist_ok=True)
        (tree / "usr/bin/java").symlink_to(f"/{java.relative_to(tree)}")
    version = run("dpkg-deb", "-f", deb, "Version").strip().split(":")[-1]
    return version.split("-")[0].split("+")[0].replace("~", "")


def _vendor(work: Path, progress: Callable[[str], None]) -> Path:
    """The libraries the stand-in brings along, for the guests' Python 3.11."""
    progress("fetching the stand-in's libraries")
    target = work / "vendor"
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", target),
        *("--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux2014_x86_64"),
        *("--requirement", STANDIN / "requirements.txt"),
    )
    return target


def _logstash(version: str, tree: Path, vendor: Path) -> Package:
    home = tree / "usr/share/logstash"
    shutil.copytree(STANDIN / "root", tree, symlinks=True)
    home.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(STANDIN / "logstash_standin", home / "lib/logstash_standin", ignore=ignore)
    shutil.copytree(vendor, home / "vendor", ignore=ignore)
    # The user logstash can't write here: without this, each start would compile all of it again.
    run(sys.executable, "-m", "compileall", "-q", "-s", tree, "-p", "/", home / "lib", home / "vendor")
    (home / "VERSION").write_text(f"{version}\n")
    for folder in ("etc/logstash/conf.d", "var/lib/logstash", "var/log/logstash"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    return Package(
        "logstash",
        version,
        "Stand-in for Logstash in the lab: not Elastic's program",
        epoch=1,
        release="1",
        config=[f"/{file.relative_to(tree)}" for file in tree.glob("etc/logstash/*") if file.is_file()],
        owned={"/var/lib/logstash": "0755,logstash,logstash", "/var/log/logstash": "0755,logstash,logstash"},
        scripts={"pre": LOGSTASH_PRE, "post": "systemctl daemon-reload >/dev/null 2>&1 || :"},
    )


def _build(package: Package, tree: Path, out: Path, work: Path) -> None:
    files = []
    for path in sorted(tree.rglob("*")):
        name = f"/{path.relative_to(tree)}"
        attributes = f"%attr({package.owned[name]}) " if name in package.owned else ""
        if path.is_dir() and not path.is_symlink():
            if name in package.owned or not _shared_folder(name):
                files.append(f'{attributes}%dir "{name}"')
        else:
            files.append(f'{attributes}{"%config(noreplace) " if name in package.config else ""}"{name}"')
    template = jinja2.Template((HERE / "rpm/package.spec.j2").read_text(), keep_trailing_newline=True)
    spec = work / f"{package.name}-{package.version}.spec"
    spec.write_text(template.render(vars(package), tree=tree, files=files))
    run(
        *("rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", f"_topdir {work / 'rpmbuild'}"),
        *(
            "--define",
            f"_rpmdir {out}",
            "--define",
            "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        ),
        spec,
    )


def _shared_folder(name: str) -> bool:
    """Folders that belong to the base system, not to one package."""
    return name.count("/") <= 2 or name in ("/usr/lib/systemd/system", "/usr/share/man", "/usr/lib/systemd")


def _sign(home: Path, user: str, folder: Path) -> None:
    macros = (
        "--define",
        "__gpg /usr/bin/gpg",
        "--define",
        f"_gpg_path {home}",
        "--define",
        f"_gpg_name {user}",
    )
    run("rpmsign", *macros, "--addsign", *sorted(folder.glob("*.rpm")))
    run("gpgconf", "--homedir", home, "--kill", "gpg-agent")


def _index(folder: Path) -> None:
    run("createrepo_c", "--quiet", folder)


def _forge(signing: Path, served: Path) -> None:
    """A repository whose package and index a stranger has signed: dnf must refuse both."""
    forged = served / "packages" / "forged" / "yum"
    forged.mkdir(parents=True)
    for package in (served / "packages" / "8.x" / "yum").glob("*.rpm"):
        shutil.copy(package, forged)
    run("rpmsign", "--delsign", *sorted(forged.glob("*.rpm")))
    _sign(signing / "forger", KEYS["forger"], forged)
    _index(forged)
    index = forged / "repodata/repomd.xml"
    run("gpg", "--batch", "--quiet", "--homedir", signing / "forger", "--armor", "--detach-sign", index)
    run("gpgconf", "--homedir", signing / "forger", "--kill", "gpg-agent")


def _open_to_readers(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
