"""The package server's content: signed RPM repositories with the layout of each EL's and of Elastic's.

The builds of keepalived, ipvsadm, tcpdump and Java of the EL's Debian suite are repackaged as RPMs. The stand-in for
Logstash is packaged once for each version. Three keys sign: the distribution's, one in place of Elastic's, and an
untrusted one.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from lab.content import content_key
from lab.debian import fetch_debian, repackaged
from lab.python import VERSION as PYTHON_VERSION
from lab.settings import HERE, LOGSTASH_VERSIONS, SUITES
from lab.shell import run

RELEASE = "1.lab"
STANDIN = HERE / "standin"
KEYS = {
    "base": "Lab distribution <base@lab.invalid>",
    "elastic": "Lab Elasticsearch (stand-in signing key) <elastic@lab.invalid>",
    "forger": "Lab forger <forger@lab.invalid>",
}


@dataclass(frozen=True)
class Package:
    """The metadata of an RPM."""

    name: str
    version: str
    summary: str
    license: str = "see the files"
    release: str = RELEASE
    epoch: int = 0
    provides: Sequence[str] = ()
    requires: Sequence[str] = ()
    config: Sequence[str] = ()
    """Paths that are marked ``%config(noreplace)``."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """The arguments of ``%attr`` (mode, user, group) by path."""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Scriptlets by section, such as ``post``."""


FROM_DEBIAN = {
    "keepalived": ("keepalived", "Load balancer and high availability service", (), ("ipvsadm",)),
    "ipvsadm": ("ipvsadm", "Utility to administer the Linux Virtual Server", (), ()),
    "logrotate": ("logrotate", "Rotates, compresses and removes log files", (), ()),
    "tcpdump": ("tcpdump", "A network traffic monitoring tool", (), ()),
    "openjdk-17-jre-headless": (
        "java-17-openjdk-headless",
        "OpenJDK 17 runtime without graphics",
        (
            *("java = 1:17", "java-headless = 1:17", "jre-headless = 1:17"),
            # Debian has neither Java 8 nor the 11 of EL 7 to 9, which Logstash 6 asks for.
            *("java-1.8.0-openjdk-headless = 1:1.8.0", "java-11-openjdk-headless = 1:11"),
        ),
        (),
    ),
    "openjdk-21-jre-headless": (
        "java-21-openjdk-headless",
        "OpenJDK 21 runtime without graphics",
        ("java = 1:21", "java-headless = 1:21", "jre-headless = 1:21"),
        (),
    ),
}
"""The RPM's name, summary, provides and requires, by Debian package."""

LOGSTASH_PRE = """\
getent group logstash >/dev/null || groupadd -r logstash
getent passwd logstash >/dev/null || \\
    useradd -r -g logstash -d /usr/share/logstash -s /sbin/nologin -c logstash logstash
"""


def create_keys(cache: Path) -> Path:
    """Create the signing keys, unless they exist, and return their folder.

    It holds a GnuPG home ``NAME`` and a public key ``NAME.asc`` for each.
    """
    folder = cache / "keys"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for name, user in KEYS.items():
            (folder / name).mkdir(parents=True, mode=0o700)
            gpg = ("gpg", "--batch", "--quiet", "--homedir", folder / name)
            run(*gpg, "--passphrase", "", "--quick-generate-key", user, "rsa3072", "sign", "never")
            (folder / f"{name}.asc").write_text(run(*gpg, "--armor", "--export", user))
            _stop_gpg_agent(folder / name)
        (folder / "done").touch()
    return folder


def build_repository(cache: Path, el: int, progress: Callable[[str], None]) -> Path:
    """Build the folder that stands for an EL's own repository, unless the cache has it, and return its path."""
    keys = create_keys(cache)
    debian = fetch_debian(cache, SUITES[el], progress)
    key = content_key(
        *(Path(__file__), HERE / "rpm", HERE / "releases" / f"el{el}", keys / "base.asc", debian.name)
    )
    target = cache / f"repository-el{el}-{key}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix="repository.") as scratch:
        work = Path(scratch)
        folder = work / "served" / "os"
        folder.mkdir(parents=True)
        for deb in repackaged(SUITES[el]):
            name, summary, provides, requires = FROM_DEBIAN[deb]
            progress(f"packaging {name} for EL {el}")
            tree = work / deb
            package = Package(
                name,
                _unpack(debian / f"{deb}.deb", tree),
                summary,
                provides=provides,
                requires=requires,
                config=[path for path in ("/etc/keepalived/keepalived.conf",) if (tree / path[1:]).exists()],
            )
            build_rpm(package, tree, folder, work)
        _build_release(el, keys, folder, work)
        sign(keys, "base", folder)
        index(folder)
        make_readable(folder.parent)
        folder.parent.rename(target)
    return target


def build_elastic(cache: Path, progress: Callable[[str], None]) -> Path:
    """Build the folder that stands for Elastic's server, unless the cache has it, and return its path."""
    keys = create_keys(cache)
    target = cache / f"elastic-{content_key(Path(__file__), HERE / 'rpm', STANDIN, keys / 'elastic.asc')}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix="elastic.") as scratch:
        work = Path(scratch)
        served = work / "served"
        libraries = _install_libraries(work, progress)
        for version in LOGSTASH_VERSIONS:
            progress(f"packaging logstash {version} (the stand-in)")
            yum = served / "packages" / f"{version.split('.')[0]}.x" / "yum"
            yum.mkdir(parents=True, exist_ok=True)
            tree = work / f"logstash-{version}"
            build_rpm(_lay_out_logstash(version, tree, libraries), tree, yum, work)
        for yum in (served / "packages").glob("*/yum"):
            sign(keys, "elastic", yum)
            index(yum)
        _forge(keys, served)
        shutil.copy(keys / "elastic.asc", served / "GPG-KEY-elasticsearch")
        make_readable(served)
        served.rename(target)
    return target


def release_file(el: int) -> str:
    """The file name of an EL's release RPM, by which people and dnf recognize the EL."""
    return f"{_release_name(el)}-{el}.0-{RELEASE}.x86_64.rpm"


def _release_name(el: int) -> str:
    return "centos-release" if el == 7 else "centos-stream-release"


def _build_release(el: int, keys: Path, out: Path, work: Path) -> None:
    """Build an EL's release RPM: its files in ``releases/``, and the public key of its packages."""
    tree = work / f"release-{el}"
    shutil.copytree(HERE / "releases" / f"el{el}", tree, symlinks=True)
    (tree / "etc/pki/rpm-gpg").mkdir(parents=True)
    shutil.copy(keys / "base.asc", tree / "etc/pki/rpm-gpg/RPM-GPG-KEY-lab")
    provides = (
        f"{name} = {el}" for name in ("system-release", "system-release(releasever)", "redhat-release")
    )
    package = Package(
        _release_name(el), f"{el}.0", f"Release files of the lab's EL {el}", provides=(*provides, "/bin/sh")
    )
    build_rpm(package, tree, out, work)


def _unpack(deb: Path, tree: Path) -> str:
    """Unpack a Debian package in EL's layout, and return its upstream version."""
    run("dpkg-deb", "-x", deb, tree)
    for name in ("lib", "bin", "sbin"):  # on EL and on the guests these are links to folders below /usr
        if (tree / name).is_dir():
            shutil.copytree(tree / name, tree / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(tree / name)
    for name in ("etc/init.d", "etc/default", "usr/share/doc-base", "usr/share/lintian", "usr/share/bug"):
        shutil.rmtree(tree / name, ignore_errors=True)
    samples = tree / "usr/share/doc/keepalived/samples"
    if samples.is_dir():  # EL's package installs this sample as its configuration
        (tree / "etc/keepalived").mkdir(parents=True, exist_ok=True)
        shutil.copy(samples / "keepalived.conf.sample", tree / "etc/keepalived/keepalived.conf")
    shutil.rmtree(tree / "usr/share/doc", ignore_errors=True)
    for java in sorted(tree.glob("usr/lib/jvm/*/bin/java"))[-1:]:  # Debian's scriptlets create this link
        (tree / "usr/bin").mkdir(exist_ok=True)
        (tree / "usr/bin/java").symlink_to(f"/{java.relative_to(tree)}")
    version = run("dpkg-deb", "-f", deb, "Version").strip().split(":")[-1]
    return version.split("-")[0].split("+")[0].replace("~", "")


def _install_libraries(work: Path, progress: Callable[[str], None]) -> Path:
    """Install the stand-in's libraries, for the Python that runs it, into a folder and return it."""
    progress("installing the stand-in's libraries")
    target = work / "vendor"
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", target),
        *("--only-binary", ":all:", "--python-version", PYTHON_VERSION, "--platform", "manylinux2014_x86_64"),
        *("--requirement", STANDIN / "requirements.txt"),
    )
    return target


def _lay_out_logstash(version: str, tree: Path, libraries: Path) -> Package:
    """Lay out the stand-in's files in ``tree`` as Elastic's package does, and describe the package."""
    home = tree / "usr/share/logstash"
    shutil.copytree(STANDIN / "root", tree, symlinks=True)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(STANDIN / "logstash_standin", home / "lib/logstash_standin", ignore=ignore)
    shutil.copytree(libraries, home / "vendor", ignore=ignore)
    # The user logstash cannot write here, so without this every start would compile everything again.
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
        attributes={
            "/var/lib/logstash": "0755,logstash,logstash",
            "/var/log/logstash": "0755,logstash,logstash",
        },
        scripts={"pre": LOGSTASH_PRE, "post": "systemctl daemon-reload >/dev/null 2>&1 || :"},
    )


def build_rpm(package: Package, tree: Path, out: Path, work: Path) -> None:
    """Build the RPM of all files in ``tree`` into the folder ``out``."""
    files = []
    for path in sorted(tree.rglob("*")):
        name = f"/{path.relative_to(tree)}"
        attributes = f"%attr({package.attributes[name]}) " if name in package.attributes else ""
        if path.is_dir() and not path.is_symlink():
            if name in package.attributes or not _is_shared_folder(name):
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


def _is_shared_folder(name: str) -> bool:
    """Whether a folder belongs to the base system and not to one package."""
    return name.count("/") <= 2 or name in ("/usr/lib/systemd/system", "/usr/share/man", "/usr/lib/systemd")


def sign(keys: Path, name: str, folder: Path) -> None:
    """Sign all RPMs of a folder with the named key."""
    macros = ("__gpg /usr/bin/gpg", f"_gpg_path {keys / name}", f"_gpg_name {KEYS[name]}")
    defines = [word for macro in macros for word in ("--define", macro)]
    run("rpmsign", *defines, "--addsign", *sorted(folder.glob("*.rpm")))
    _stop_gpg_agent(keys / name)


def index(folder: Path) -> None:
    """Write the index by which dnf finds the RPMs of a folder."""
    run("createrepo_c", "--quiet", folder)


def _forge(keys: Path, served: Path) -> None:
    """Add a repository whose packages and index are signed with an untrusted key: dnf must refuse both."""
    forged = served / "packages" / "forged" / "yum"
    forged.mkdir(parents=True)
    for package in (served / "packages" / "8.x" / "yum").glob("*.rpm"):
        shutil.copy(package, forged)
    run("rpmsign", "--delsign", *sorted(forged.glob("*.rpm")))
    sign(keys, "forger", forged)
    index(forged)
    metadata = forged / "repodata/repomd.xml"
    run("gpg", "--batch", "--quiet", "--homedir", keys / "forger", "--armor", "--detach-sign", metadata)
    _stop_gpg_agent(keys / "forger")


def _stop_gpg_agent(home: Path) -> None:
    """Stop the agent that gpg has started for a GnuPG home; it would keep running."""
    run("gpgconf", "--homedir", home, "--kill", "gpg-agent")


def make_readable(folder: Path) -> None:
    """Let every user read a folder and what is in it."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
