"""Packages: which are desired, and the commands that install them, with stand-ins for dnf and rpm."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from cluster import Cluster
from desired.packages import JAVA, KEY, RPMS, package_names
from desired.paths import KEY_NOTE
from facts.packages import ImportedKey
from operations import packages
from operations.services import PackageChange
from tests.packages import Signer
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine

RECORD = "/var/lib/logstash-ha/record"
NEEDED = ["tcpdump", "ipvsadm", "keepalived", "logrotate"]

# `installed` has lines NAME VERSION, `offered` versions of Logstash. yum succeeds also when it has nothing to do.
RPM = """\
cd {root}
for last; do :; done
case "$*" in
*--whatprovides*) shift 4; for name; do grep "^$name " installed || echo "no package provides $name"; done ;;
*--quiet*) grep -qx "logstash ${{last#logstash-}}" installed ;;
esac
"""
DNF = """\
cd {root}
echo "$0 $*" | sed 's,^[^ ]*/,,' >>calls
for last; do :; done
case "$*" in
*--downloadonly*) ;;
*" list "*) while read -r version; do echo "logstash.x86_64 1:$version-1 logstash-8.x"; done <offered ;;
*" makecache"*) echo "Failed to download metadata" >&2; exit 1 ;;
*.rpm*)
    verb=install; for word; do case $word in
    install | downgrade) verb=$word ;;
    *.rpm)
        [ -f "$word" ] || {{ echo "no $word" >&2; exit 1; }}
        name=${{word##*/}}; version=${{name%-1.x86_64.rpm}}; version=${{version##*-}}; name=${{name%-$version-1.x86_64.rpm}}
        sed -i "/^$name /d" installed
        echo "$name $version" >>installed ;;
    esac; done ;;
*logstash*" install logstash" | *" install logstash-"* | *" downgrade logstash-"*)
    version=${{last#logstash}}; version=${{version#-}}
    version=${{version:-$(tail -n 1 offered)}}
    grep -qx "$version" offered || exit 0
    sed -i '/^logstash /d' installed
    echo "logstash $version" >>installed ;;
*" install "*) shift 2; for name; do echo "$name 1" >>installed; done ;;
esac
"""
FROM = "--assumeyes --disablerepo=* --enablerepo=logstash-8.x --setopt=metadata_expire=1"


class PackageHost:
    """A machine on which none of the packages is installed."""

    def __init__(self, machine: ShellMachine) -> None:
        self.machine = machine
        machine.program("rpm", RPM.format(root=machine.root))
        for name in ("dnf", "yum"):
            machine.program(name, DNF.format(root=machine.root))
        self.have()
        self.offer("8.9.2", "8.19.3", "8.19.18")

    def have(self, **installed: str) -> None:
        (self.machine.root / "installed").write_text(
            "".join(f"{name} {version}\n" for name, version in installed.items())
        )

    def offer(self, *versions: str) -> None:
        (self.machine.root / "offered").write_text("".join(f"{version}\n" for version in versions))

    def deploy(self, cluster: Cluster, el: int = 9) -> list[subprocess.CompletedProcess[str]]:
        (self.machine.root / "calls").write_text("")
        return self.machine.run(packages.installed, cluster=cluster, el=el)

    def update(self, cluster: Cluster, el: int = 9) -> PackageChange | None:
        (self.machine.root / "calls").write_text("")
        return cast("PackageChange | None", self.machine.inside(lambda: packages.version_change(cluster, el)))

    @property
    def changes(self) -> list[str]:
        calls = (self.machine.root / "calls").read_text().splitlines()
        return [call for call in calls if " list " not in call]

    @property
    def logstash(self) -> list[str]:
        installed = (self.machine.root / "installed").read_text().splitlines()
        return [line.split()[1] for line in installed if line.startswith("logstash ")]


@pytest.fixture
def host(machine: ShellMachine) -> PackageHost:
    return PackageHost(machine)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Cluster]:
    return lambda **settings: make_cluster(tmp_path, **settings)


@pytest.mark.parametrize(
    ("logstash", "version", "java"),
    [
        (6, None, True),
        (6, "6.8.23", True),
        (7, None, False),
        (7, "latest", False),
        (7, "7.9.3", True),
        (7, "7.10.0", False),
        (8, None, False),
        (9, "9.0.0", False),
    ],
)
def test_java_is_needed_for_a_logstash_without_its_own(
    make: Callable[..., Cluster], logstash: int, version: str | None, java: bool
) -> None:
    cluster = make(logstash=logstash, version=version)
    assert package_names(cluster) == ([JAVA] if java else []) + NEEDED


@pytest.mark.parametrize(("el", "manager"), [(7, "yum"), (8, "dnf"), (10, "dnf")])
def test_a_fresh_machine_gets_all_packages_and_they_are_recorded(
    host: PackageHost, make: Callable[..., Cluster], el: int, manager: str
) -> None:
    done = host.deploy(make(), el)
    assert {(run.returncode, run.stderr) for run in done} == {(0, "")}
    assert host.changes == [
        f"{manager} --assumeyes install tcpdump ipvsadm keepalived logrotate",
        f"{manager} {FROM} install logstash",
    ]
    record = host.machine.path(RECORD).read_text().splitlines()
    assert record == [f"package {name}" for name in [*NEEDED, "logstash"]]
    assert host.deploy(make(), el) == []


def test_a_package_that_was_there_before_is_not_recorded(
    host: PackageHost, make: Callable[..., Cluster]
) -> None:
    host.have(tcpdump="4.99", logstash="8.9.2")
    host.deploy(make())
    assert host.changes == ["dnf --assumeyes install ipvsadm keepalived logrotate"]
    assert host.machine.path(RECORD).read_text().splitlines() == [
        "package ipvsadm",
        "package keepalived",
        "package logrotate",
    ]


@pytest.mark.parametrize(
    ("version", "installed"),
    [(None, "8.19.18"), ("8.19.3", "8.19.3"), ("latest", "8.19.18")],
)
def test_the_desired_version_is_installed_at_once_where_there_is_none(
    host: PackageHost, make: Callable[..., Cluster], version: str | None, installed: str
) -> None:
    host.have(tcpdump="1", ipvsadm="1", keepalived="1", logrotate="1")
    assert {run.returncode for run in host.deploy(make(version=version))} == {0}
    assert host.changes == [f"dnf {FROM} install logstash{'' if version is None else '-' + installed}"]
    assert host.logstash == [installed]
    assert host.deploy(make(version=version)) == []
    assert host.update(make(version=version)) is None


@pytest.mark.parametrize(
    ("present", "version"),
    [("8.9.2", None), ("8.19.3", "8.19.3"), ("8.19.18", "latest")],
)
def test_a_desired_version_that_is_there_is_left_alone(
    host: PackageHost, make: Callable[..., Cluster], present: str, version: str | None
) -> None:
    host.have(tcpdump="1", ipvsadm="1", keepalived="1", logrotate="1", logstash=present)
    assert host.deploy(make(version=version)) == []
    assert host.update(make(version=version)) is None
    assert host.changes == []


@pytest.mark.parametrize(
    ("present", "version", "new", "old"),
    [
        ("8.9.2", "8.19.3", "install logstash-8.19.3", "downgrade logstash-8.9.2"),
        ("8.19.18", "8.19.3", "downgrade logstash-8.19.3", "install logstash-8.19.18"),
        ("8.9.2", "latest", "install logstash-8.19.18", "downgrade logstash-8.9.2"),
    ],
)
def test_another_version_is_only_downloaded_until_the_node_s_turn_comes(
    host: PackageHost, make: Callable[..., Cluster], present: str, version: str, new: str, old: str
) -> None:
    host.have(tcpdump="1", ipvsadm="1", keepalived="1", logrotate="1", logstash=present)
    cluster = make(version=version)
    assert {run.returncode for run in host.deploy(cluster)} == {0}
    assert host.changes == [f"dnf {FROM} --downloadonly {new}"]
    assert host.logstash == [present]
    update = host.update(cluster)
    assert update
    for command, verb in ((update.install, new), (update.revert, old)):
        assert host.machine.sh(command).returncode == 0
        assert host.changes[-1] == f"dnf {FROM} {verb}"
        assert host.logstash == [verb.partition("-")[2]]


@pytest.mark.parametrize("present", [{}, {"logstash": "8.9.2"}])
def test_a_version_that_is_not_offered_fails(
    host: PackageHost, make: Callable[..., Cluster], present: dict[str, str]
) -> None:
    """EL 7's yum itself would succeed."""
    host.have(tcpdump="1", ipvsadm="1", keepalived="1", logrotate="1", **present)
    done = host.deploy(make(version="8.10.1"), 7)[-1]
    assert done.returncode == 1
    assert done.stderr == "logstash 8.10.1 could not be installed: is it in logstash-8.x?\n"
    assert host.logstash == [*present.values()]


def test_the_latest_version_fails_where_the_repository_can_not_be_read(
    host: PackageHost, make: Callable[..., Cluster]
) -> None:
    host.have(tcpdump="1", ipvsadm="1", keepalived="1", logrotate="1", logstash="8.9.2")
    host.offer()
    (done,) = host.deploy(make(version="latest"))
    assert (done.returncode, done.stderr) == (1, "Failed to download metadata\n")


CURL = """\
echo "$@" >{root}/calls
for word; do ! test -f "$word" || cat "$word" >{root}/configuration; done
while [ "$1" != --output ]; do shift; done
echo KEY >"$2"
"""
KEYS = """\
cd {root}
case "$*" in
*--dbpath*--import*) ;;
*--dbpath*-q*) echo gpg-pubkey-d88e42b4-52371eca ;;
--import*) cp {root}{record} record_before; cat "$2" >imported ;;
*-q*) test ! -f imported || echo gpg-pubkey-d88e42b4-52371eca; echo gpg-pubkey-1-1 ;;
esac
"""


@pytest.mark.parametrize("proxy", [None, "http://proxy.example.com:3128"])
def test_the_key_is_recorded_and_then_imported_once(
    machine: ShellMachine, make: Callable[..., Cluster], proxy: str | None
) -> None:
    machine.program("curl", CURL.format(root=machine.root))
    machine.program("rpm", KEYS.format(root=machine.root, record=RECORD))
    machine.path("/etc/pki/rpm-gpg").mkdir(parents=True)
    cluster = make(proxy=proxy, artifacts_url="https://mirror.example.com/elastic")
    (done,) = machine.run(packages.key, cluster=cluster, el=9)
    assert (done.returncode, done.stderr) == (0, "")
    call = (machine.root / "calls").read_text().split()
    assert call[-1] == "https://mirror.example.com/elastic/GPG-KEY-elasticsearch"
    assert (call[call.index("--proxy") + 1] if "--proxy" in call else None) == proxy
    assert (machine.root / "imported").read_text() == "KEY\n"
    assert machine.path(KEY).read_text() == "KEY\n"
    recorded = ["key gpg-pubkey-d88e42b4-52371eca"]
    assert (machine.root / "record_before").read_text().splitlines() == recorded
    assert machine.fact(ImportedKey, path=KEY, note=KEY_NOTE) == hashlib.sha256(b"KEY\n").hexdigest()
    assert machine.run(packages.key, cluster=cluster, el=9) == []
    machine.path(KEY).write_text("another key\n")
    assert machine.fact(ImportedKey, path=KEY, note=KEY_NOTE) is None
    machine.path(KEY).unlink()  # the key itself is there, and is not ours to record
    machine.path(RECORD).write_text("")
    machine.run(packages.key, cluster=cluster, el=9)
    assert machine.path(RECORD).read_text() == ""


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("error: key 1 import failed.", True),  # Enterprise Linux 9, and in the last line 10
        ("error: key 1 not an armored public key.", False),
    ],
)
def test_an_old_copy_of_elastics_key_is_named_as_such(
    machine: ShellMachine, make: Callable[..., Cluster], said: str, explained: bool
) -> None:
    machine.program("curl", CURL.format(root=machine.root))
    machine.program("rpm", f"echo '{said}' >&2; exit 1")
    (done,) = machine.run(
        packages.key, cluster=make(artifacts_url="https://mirror.example.com/elastic"), el=9
    )
    old = (
        "https://mirror.example.com/elastic/GPG-KEY-elasticsearch: rpm refuses it, most likely as an old copy of Elastic's "
        "key, which is signed by SHA-1; Enterprise Linux 9 and later take the one that Elastic has signed anew: "
        "put https://artifacts.elastic.co/GPG-KEY-elasticsearch in its place"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [said, *([old] if explained else [])]
    assert not machine.path(KEY).exists()


@pytest.mark.parametrize(("el", "name"), [(9, "dnf/dnf.conf"), (7, "yum.conf")])
@pytest.mark.parametrize(
    ("text", "configuration"),
    [
        ("[main]\ngpgcheck=1\n", ""),
        ("[main]\nproxy = http://web.example.com:3128 \n[x]\nproxy=http://other:1\n", 'proxy = "http://web.example.com:3128"\n'),
        (
            '[main]\nproxy=http://web:3128\nproxy_username=me\nproxy_password=a"b\\c\n',
            'proxy = "http://web:3128"\nproxy-user = "me:a\\"b\\\\c"\n',
        ),
        ("[main]\nproxy=_none_\n", ""),
        ("[other]\nproxy=http://web:3128\n", ""),
    ],
)  # fmt: skip
def test_the_proxy_of_dnf_is_used_for_the_key(
    machine: ShellMachine, make: Callable[..., Cluster], el: int, name: str, text: str, configuration: str
) -> None:
    machine.program("curl", CURL.format(root=machine.root))
    machine.program("rpm", KEYS.format(root=machine.root, record=RECORD))
    machine.path("/etc/pki/rpm-gpg").mkdir(parents=True)
    machine.write(f"/etc/{name}", text)
    (done,) = machine.run(packages.key, cluster=make(), el=el)
    assert (done.returncode, done.stderr) == (0, "")
    assert (machine.root / "configuration").read_text() == configuration


def test_the_login_of_a_proxy_comes_over_standard_input(
    machine: ShellMachine, make: Callable[..., Cluster], tmp_path: Path
) -> None:
    machine.program("curl", CURL.format(root=machine.root))
    machine.program("rpm", KEYS.format(root=machine.root, record=RECORD))
    machine.path("/etc/pki/rpm-gpg").mkdir(parents=True)
    machine.write("/etc/dnf/dnf.conf", "[main]\nproxy=http://other:1\n")
    (tmp_path / "secrets").write_text('PROXY_USERNAME=me\nPROXY_PASSWORD=sword"fish\n')
    cluster = make(proxy="http://web:3128", repository={"secrets": tmp_path / "secrets"})
    (command,) = machine.commands(packages.key, cluster=cluster, el=9)
    assert "sword" not in str(command)
    (done,) = machine.run(packages.key, cluster=cluster, el=9)
    assert (done.returncode, done.stderr) == (0, "")
    assert (machine.root / "configuration").read_text().strip() == 'proxy-user = "me:sword\\"fish"'
    assert "sword" not in (machine.root / "calls").read_text()


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


def test_a_key_of_the_operators_is_imported_without_a_network(
    machine: ShellMachine, make: Callable[..., Cluster], signer: Signer
) -> None:
    machine.program("rpm", KEYS.format(root=machine.root, record=RECORD))
    machine.path("/etc/pki/rpm-gpg").mkdir(parents=True)
    cluster = make(signing_keys=signer.file, key_fingerprints=signer.fingerprint)
    (done,) = machine.run(packages.key, cluster=cluster, el=9)
    assert (done.returncode, done.stderr) == (0, "")
    assert (machine.root / "imported").read_text() == machine.path(KEY).read_text() == signer.file.read_text()
    assert machine.run(packages.key, cluster=cluster, el=9) == []
    (machine.root / "new").mkdir()
    other = Signer(machine.root / "new")
    machine.run(packages.key, cluster=make(signing_keys=other.file, key_fingerprints=other.fingerprint), el=9)
    assert machine.path(KEY).read_text() == other.file.read_text()


def test_an_upload_of_a_key_that_is_interrupted_imports_nothing(
    machine: ShellMachine, make: Callable[..., Cluster], signer: Signer
) -> None:
    machine.program("rpm", KEYS.format(root=machine.root, record=RECORD))
    cluster = make(signing_keys=signer.file, key_fingerprints=signer.fingerprint)
    (command,) = machine.commands(packages.key, cluster=cluster, el=9)
    done = machine.sh(command, signer.file.read_text()[:100])
    assert (done.returncode, done.stderr.replace(str(machine.root), "")) == (
        1,
        f"{KEY}: the upload was interrupted\n",
    )
    assert not (machine.root / "imported").exists()


@pytest.fixture
def files(make: Callable[..., Cluster], signer: Signer, tmp_path: Path) -> Callable[..., Cluster]:
    """A cluster whose packages are in files of these versions."""

    def files(**versions: str) -> Cluster:
        (folder := tmp_path / f"rpms-{versions['logstash']}").mkdir(exist_ok=True)
        for name, version in versions.items():
            signer.rpm(folder, name, version)
        keys = {"signing_keys": signer.file, "key_fingerprints": signer.fingerprint}
        return make(rpms=folder, version=versions["logstash"], **keys)

    return files


@pytest.mark.parametrize(("el", "manager"), [(7, "yum"), (9, "dnf")])
def test_files_are_copied_and_installed_without_a_repository(
    host: PackageHost, files: Callable[..., Cluster], el: int, manager: str
) -> None:
    host.have(tcpdump="4.99", logrotate="3.21", libnl3="3.9")
    cluster = files(logstash="8.19.3", keepalived="2.2.8", ipvsadm="1.31", libnl3="3.7")
    done = host.deploy(cluster, el)
    assert {(run.returncode, run.stderr) for run in done} == {(0, "")}
    names = ["ipvsadm-1.31", "keepalived-2.2.8", "logstash-8.19.3"]
    copies = [host.machine.path(f"{RPMS}/{name}-1.x86_64.rpm") for name in names]
    assert host.changes == [
        f"{manager} --assumeyes --disablerepo=* --setopt=localpkg_gpgcheck=1 install {' '.join(map(str, copies))}"
    ]
    assert sorted(host.machine.path(RPMS).iterdir()) == copies
    assert host.logstash == ["8.19.3"]
    record = host.machine.path(RECORD).read_text().splitlines()
    assert record == ["package ipvsadm", "package keepalived", "package logstash"]
    assert host.deploy(cluster, el) == []


def test_a_copy_that_is_not_whole_is_not_installed(
    host: PackageHost, files: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.have(tcpdump="1", ipvsadm="1", keepalived="1", logrotate="1")
    monkeypatch.setattr("shutil.copy", lambda _, path: Path(path).write_text("a part"))
    done = host.deploy(files(logstash="8.19.3"))[-1]
    path = f"{RPMS}/logstash-8.19.3-1.x86_64.rpm"
    assert (done.returncode, done.stderr.replace(str(host.machine.root), "")) == (
        1,
        f"{path}: the copy is not whole\n",
    )
    assert host.changes == []
    assert not host.machine.path(path).exists()


def test_another_version_in_files_waits_for_the_node_s_turn_and_the_old_one_is_kept(
    host: PackageHost, files: Callable[..., Cluster]
) -> None:
    host.have(tcpdump="1", ipvsadm="1", keepalived="1", logrotate="1")
    host.deploy(files(logstash="8.9.2"))
    host.deploy(files(logstash="8.19.3"))
    assert host.changes == []
    assert host.logstash == ["8.9.2"]
    copies = [host.machine.path(f"{RPMS}/logstash-{version}-1.x86_64.rpm") for version in ("8.19.3", "8.9.2")]
    assert sorted(host.machine.path(RPMS).iterdir()) == copies
    update = host.update(files(logstash="8.19.3"))
    assert update
    local = "dnf --assumeyes --disablerepo=* --setopt=localpkg_gpgcheck=1"
    for command, verb, copy in (
        (update.install, "install", copies[0]),
        (update.revert, "downgrade", copies[1]),
    ):
        assert host.machine.sh(command).returncode == 0
        assert host.changes[-1] == f"{local} {verb} {copy}"
        assert host.logstash == [copy.name.split("-")[1]]
    host.machine.sh(update.install)
    host.deploy(files(logstash="8.20.0"))
    assert [path.name for path in sorted(host.machine.path(RPMS).iterdir())] == [
        "logstash-8.19.3-1.x86_64.rpm",
        "logstash-8.20.0-1.x86_64.rpm",
    ]


def test_managed_packages_are_left_alone(host: PackageHost, make: Callable[..., Cluster]) -> None:
    host.have(logstash="8.9.2")
    cluster = make(packages="managed", version="8.19.3")
    assert host.deploy(cluster) == []
    assert host.update(cluster) is None
    assert host.machine.run(packages.key, cluster=cluster, el=9) == []
    assert host.changes == []
