"""The disk image of an EL's guests: a Debian with the EL's SELinux policy for keepalived, and a label on every file.

A guest's seed brings the EL's own files.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.content import content_key
from lab.debian import SYSTEM, fetch_debian
from lab.python import HOME as PYTHON
from lab.python import SUITE as PYTHON_SUITE
from lab.python import fetch_python
from lab.settings import HERE, SUITES, UNPRIVILEGED_USER, USER
from lab.shell import run

DISK_SIZE = "4G"
"""The image is a sparse file and takes only the space that is written to."""

MASKED = (
    *("e2scrub_reap.service", "systemd-pstore.service", "systemd-binfmt.service", "systemd-sysusers.service"),
    *("systemd-random-seed.service", "systemd-journal-flush.service", "kmod-static-nodes.service"),
    *("modprobe@.service", "getty@.service", "getty.target", "dev-mqueue.mount", "dev-hugepages.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount"),
    *("sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-update-utmp.service"),
    *(
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "fstrim.timer",
    ),
    *("NetworkManager-wait-online.service", "user@.service", "systemd-machine-id-commit.service"),
)
"""Units that a guest does not need and that would slow down its boot."""

GENERATORS = (
    *(
        "cryptsetup",
        "getty",
        "gpt-auto",
        "hibernate-resume",
        "integritysetup",
        "rc-local",
        "run",
        "system-update",
    ),
    *("sysv", "veritysetup"),
)
"""Generators of systemd that make nothing in a guest. Each `daemon-reload` and each boot runs all of them, which takes as long as all
else that it does."""

POLICY = (
    *("base", "unconfined", "unprivuser", "staff", "ssh", "su", "sudo", "getty", "hostname", "tzdata"),
    *("cron", "logrotate", "networkmanager", "firewalld", "iptables", "netutils", "dmidecode", "policykit"),
    *("userhelper", "setrans"),
    *("xserver", "xdg"),  # base names users and types of them
    "mta",  # cron names a type of it, on bullseye
)
"""The modules of Debian's SELinux policy for what a guest has; it has 300 for programs that no guest has.

Each program that labels files reads the rules of all modules first, which takes half a second in a guest, and systemd,
useradd, rpm and sshd do it again and again.
"""


def build_image(cache: Path, el: int, kernel_modules: Path, progress: Callable[[str], None]) -> Path:
    """Build the disk image that an EL's guests start from, unless the cache has it, and return its path.

    Guests write to copy-on-write files of their own, which are valid only while this file does not change.
    """
    suite = SUITES[el]
    debian = fetch_debian(cache, suite, progress)
    python = None if suite == PYTHON_SUITE else fetch_python(cache, progress)
    key = content_key(
        *(Path(__file__), HERE / "rootfs", HERE / "selinux", kernel_modules.parents[1].name, debian.name),
        *((python.name,) if python else ()),
    )
    target = cache / f"image-el{el}-{key}.ext4"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix="image.") as scratch:
        work = Path(scratch)
        root = work / "root"
        root.mkdir()
        progress(f"unpacking EL {el}'s base system")
        run("tar", "-C", root, "-xf", debian / SYSTEM)
        progress(f"configuring EL {el}'s base system")
        if python:
            shutil.copytree(python, root / PYTHON.relative_to("/"))
            _run_inside(root, f"{PYTHON}/bin/python* -m compileall -q {PYTHON}/lib")
        _configure(root, el, kernel_modules)
        progress(f"labelling EL {el}'s files for SELinux")
        _label_files(root)
        progress(f"writing EL {el}'s disk image")
        disk = work / "disk"
        run(
            "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", root, disk, DISK_SIZE
        )
        disk.rename(target)
    return target


def _configure(root: Path, el: int, kernel_modules: Path) -> None:
    for name in ("usr/lib/os-release", "usr/bin/dnf", "etc/debian_version"):  # each EL's seed brings its own
        (root / name).unlink()
    run("cp", "--recursive", "--no-dereference", "--preserve=mode", f"{HERE / 'rootfs'}/.", root)
    shutil.copytree(kernel_modules, root / "usr/lib/modules" / kernel_modules.name)
    (root / "etc/machine-id").write_text("")
    (root / "etc/sysconfig").mkdir()  # every EL has this folder; Debian does not
    shutil.copytree(HERE / "selinux", root / "var/tmp/policy")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    modules = " ".join(f"{source.stem}.pp" for source in sorted((HERE / "selinux").glob("*.te")))
    _run_inside(
        root,
        f"depmod {kernel_modules.name}",
        f"useradd --create-home --shell /bin/bash --password '*' {USER}",
        f"useradd --create-home --shell /bin/bash --password '*' {UNPRIVILEGED_USER}",
        # The sources ask `ifdef` which EL they are compiled for.
        f"(cd /var/tmp/policy && M4PARAM='-D el{el}' make -s -f /usr/share/selinux/devel/Makefile NAME=default {modules})",
        "cd /usr/share/selinux/default",
        f"needed=$(ls {' '.join(f'{module}.pp.bz2' for module in POLICY)} 2>/dev/null || true)",  # not all suites have all
        "semodule --noreload --priority 100 --install $needed --priority 400 --install /var/tmp/policy/*.pp",
        "cd /",
        *_firewall(el),
        "systemctl enable lab-seed.service network.service",
        f"systemctl mask {' '.join(MASKED)}",
        "mkdir -p /etc/systemd/system-generators",
        *(f"ln -s /dev/null /etc/systemd/system-generators/systemd-{name}-generator" for name in GENERATORS),
        "rm -r /var/tmp/policy",
    )


def _firewall(el: int) -> tuple[str, ...]:
    """Commands that set firewalld's backend, and which iptables it uses for direct rules."""
    backend, iptables = ("iptables", "legacy") if el == 7 else ("nftables", "nft")
    # The kernel does not export what nftables' reverse-path filter for IPv6 needs.
    rpfilter = "yes" if el == 7 else "no"
    return (
        f"sed -i 's/^FirewallBackend=.*/FirewallBackend={backend}/; s/^IPv6_rpfilter=.*/IPv6_rpfilter={rpfilter}/' /etc/firewalld/firewalld.conf",
        f"update-alternatives --quiet --set iptables /usr/sbin/iptables-{iptables}",
        f"update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-{iptables}",
    )


def _label_files(root: Path) -> None:
    contexts = "/etc/selinux/default/contexts/files/file_contexts"
    _run_inside(root, f"setfiles -F {contexts} /")


def _run_inside(root: Path, *commands: str) -> None:
    """Run shell commands with ``root`` as their root folder, in a mount namespace of their own."""
    script = "\n".join(
        (
            "set -e",
            f"mount -t proc proc '{root}/proc'",
            f"chroot '{root}' /bin/sh -e <<'INSIDE'",
            "export LC_ALL=C PATH=/usr/sbin:/usr/bin",
            *commands,
            "INSIDE",
        )
    )
    run("unshare", "--mount", "sh", "-c", script)
