"""What the guests get of Debian: of each EL, the suite whose programs have the versions that the EL has, or the nearest ones."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.content import content_key
from lab.settings import RELEASES, SUITES
from lab.shell import LabError, run

PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "netbase"),
    *("iproute2", "iputils-ping", "iputils-arping"),
    *("openssh-server", "sudo", "python3", "curl", "ca-certificates", "less", "vim-tiny"),
    *("network-manager", "firewalld", "iptables", "nftables", "ipset", "dnf", "rpm"),
    *("selinux-policy-default", "policycoreutils", "policycoreutils-python-utils", "selinux-utils", "auditd"),
    "selinux-policy-dev",  # compiles the lab's modules
)
"""The packages of a fresh EL machine, by Debian's names."""

LIBRARIES = (
    *("libnl-3-200", "libnl-genl-3-200", "libnftnl11", "libmnl0", "libsnmp40", "libpopt0", "libpcap0.8"),
    *("libglib2.0-0", "libpcre2-8-0"),
)
"""Shared libraries that the programs in the lab's RPMs need. libssl comes with curl."""

FURTHER_PACKAGES = {
    "bullseye": ("policykit-1", "python2.7"),  # EL 7's Python
    "bookworm": ("polkitd",),
    "trixie": ("polkitd",),
}

JAVA = {
    "bullseye": "openjdk-17-jre-headless",
    "bookworm": "openjdk-17-jre-headless",
    "trixie": "openjdk-21-jre-headless",
}

SYSTEM = "system.tar"
"""The name of the base system in the folder of `fetch_debian`."""


def _without(program: str) -> tuple[str, ...]:
    """What lets `bootstrap` install packages whose scripts run a program, without what it does."""
    return (
        f'--essential-hook=chroot "$1" dpkg-divert --quiet --local --rename --add {program}',
        f'--essential-hook=ln -s /bin/true "$1{program}"',
        f'--customize-hook=rm "$1{program}"',
        f'--customize-hook=chroot "$1" dpkg-divert --quiet --local --rename --remove {program}',
    )


NO_POLICY = _without("/usr/sbin/semodule")
"""What keeps Debian's package from compiling a policy of 300 modules: an image gets a policy of those that it needs."""

COMPILED_ONCE = (
    *_without("/usr/bin/py3compile"),
    '--customize-hook=chroot "$1" python3 -m compileall -q /usr/lib/python3/dist-packages',
)
"""What compiles Python's modules at the end, in one process: each package would start several."""

UNREAD = "/usr/share/doc /usr/share/locale /usr/share/man"
NO_DOCUMENTATION = (
    # As an option `--dpkgopt`, mmdebstrap would also filter each package with a Python program, which costs as much as
    # all that dpkg unpacks.
    '--setup-hook=mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && '
    f'for folder in {UNREAD}; do echo "path-exclude=$folder/*"; done >"$1/etc/dpkg/dpkg.cfg.d/lab"',
    # The essential packages were unpacked without dpkg before.
    f'--customize-hook=cd "$1" && for folder in {UNREAD}; do find ".$folder" -mindepth 1 -delete; done',
)
"""What keeps out of the guests what nobody reads there."""

MERGED_USR = {"bullseye": ("--setup-hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh",)}
"""What makes /bin, /lib and /sbin links to folders of /usr, as they are on EL. Later suites do it themselves."""


def repackaged(suite: str) -> tuple[str, ...]:
    """The packages of a suite that the lab's repository offers as RPMs."""
    return "keepalived", "ipvsadm", "logrotate", "tcpdump", JAVA[suite]


def fetch_debian(cache: Path, suite: str, progress: Callable[[str], None]) -> Path:
    """Fetch a suite, unless the cache has it: a folder with the base system as `system.tar`, and `repackaged` as NAME.deb.

    This is the slowest part of a build, so it is cached separately. Raises LabError, which names the suite and its
    EL, where Debian's mirrors no longer have it.
    """
    names = ",".join((*PACKAGES, *LIBRARIES, *FURTHER_PACKAGES[suite]))
    options = (*NO_POLICY, *COMPILED_ONCE, *NO_DOCUMENTATION, *MERGED_USR.get(suite, ()))
    target = cache / f"debian-{suite}-{content_key(names, *repackaged(suite), *options)}"
    if target.exists():
        return target
    progress(f"installing the base system from Debian {suite}'s packages (a minute or two)")
    with tempfile.TemporaryDirectory(dir=cache, prefix="debian.") as scratch:
        folder = Path(scratch) / suite
        folder.mkdir()
        download = f'cd "{folder}" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download -qq'
        bootstrap(
            suite,
            folder / SYSTEM,
            *("--variant=minbase", f"--include={names}", "--dpkgopt=force-unsafe-io"),
            *options,
            f"--customize-hook={download} {' '.join(repackaged(suite))}",
        )
        for name in repackaged(suite):
            (deb,) = folder.glob(f"{name}_*.deb")
            deb.rename(folder / f"{name}.deb")
        folder.rename(target)
    return target


def bootstrap(suite: str, target: Path, *options: str) -> None:
    """Install or unpack packages of a suite into a new folder or tar file. Raises LabError, which names suite and EL."""
    try:
        run("mmdebstrap", "--quiet", "--mode=root", *options, suite, target)
    except LabError as error:
        releases = " and ".join(f"EL {el}" for el in RELEASES if SUITES[el] == suite)
        part, remedy = (
            (f"the guests of {releases} are made of", "choose another EL with --el")
            if releases
            else ("the guests' kernel is part of", "try again later")
        )
        raise LabError(
            f"Debian {suite}, which {part}, cannot be installed: Debian's mirrors no longer have it, or cannot be reached; "
            f"{remedy} ({error})"
        ) from None
