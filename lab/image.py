"""The guests' disk image: Debian with SELinux labels on every file. A guest's seed turns it into an EL."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.content import content_key
from lab.settings import HERE, UNPRIVILEGED_USER, USER
from lab.shell import run

SUITE = "bookworm"
DISK_SIZE = "4G"
"""The image is a sparse file and takes only the space that is written to."""

PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "netbase"),
    *("iproute2", "iputils-ping", "iputils-arping"),
    *("openssh-server", "sudo", "python3", "curl", "ca-certificates", "less", "vim-tiny", "polkitd"),
    *("network-manager", "firewalld", "iptables", "ipset", "dnf", "rpm"),
    *("selinux-policy-default", "policycoreutils", "policycoreutils-python-utils", "selinux-utils", "auditd"),
)
"""The packages of a fresh EL machine, by Debian's names."""

LIBRARIES = (
    *("libnl-3-200", "libnl-genl-3-200", "libnftnl11", "libmnl0", "libsnmp40", "libpopt0", "libpcap0.8"),
    *("libglib2.0-0", "libpcre2-8-0", "libssl3"),
)
"""Shared libraries that the programs in the lab's RPMs need."""

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

POLICY = (
    *("base", "unconfined", "unprivuser", "staff", "ssh", "su", "sudo", "getty", "hostname", "tzdata"),
    *("cron", "logrotate", "networkmanager", "firewalld", "iptables", "netutils", "dmidecode", "policykit"),
    *("userhelper", "setrans"),
    *("xserver", "xdg"),  # base names users and types of them
    "guest",  # the lab's own takes its place
)
"""The modules of Debian's SELinux policy for what a guest has; it has 300 for programs that no guest has.

Each program that labels files reads the rules of all modules first, which takes half a second in a guest, and systemd,
useradd, rpm and sshd do it again and again.
"""


def build_image(cache: Path, kernel_modules: Path, progress: Callable[[str], None]) -> Path:
    """Build the disk image that all guests start from, unless the cache has it, and return its path.

    Guests write to copy-on-write files of their own, which are valid only while this file does not change.
    """
    key = content_key(Path(__file__), HERE / "rootfs", HERE / "selinux", kernel_modules.name)
    target = cache / f"image-{key}.ext4"
    if target.exists():
        return target
    debian = build_debian(cache, progress)
    with tempfile.TemporaryDirectory(dir=cache, prefix="image.") as scratch:
        work = Path(scratch)
        root = work / "root"
        root.mkdir()
        progress("unpacking the base system")
        run("tar", "-C", root, "-xf", debian)
        progress("configuring the base system")
        _configure(root, kernel_modules, _compile_policy(work))
        progress("labelling files for SELinux")
        _label_files(root)
        progress("writing the disk image")
        disk = work / "disk"
        run(
            "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", root, disk, DISK_SIZE
        )
        disk.rename(target)
    return target


def build_debian(cache: Path, progress: Callable[[str], None]) -> Path:
    """Build the plain Debian system as a tar file. This is the slowest part, so it is cached separately."""
    names = ",".join((*PACKAGES, *LIBRARIES))
    target = cache / f"debian-{content_key(SUITE, names)}.tar"
    if not target.exists():
        progress("installing the base system from Debian's packages (a minute or two)")
        scratch = target.with_suffix(".new.tar")
        scratch.unlink(missing_ok=True)
        run(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={names}"),
            *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*"),
            *("--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
            *(SUITE, scratch),
        )
        scratch.rename(target)
    return target


def _compile_policy(work: Path) -> Path:
    """Compile the lab's SELinux modules and return the folder that holds them."""
    sources = work / "selinux"
    shutil.copytree(HERE / "selinux", sources)
    modules = [f"{source.stem}.pp" for source in sorted(sources.glob("*.te"))]
    run("make", "-s", "-f", "/usr/share/selinux/devel/Makefile", "NAME=default", *modules, cwd=sources)
    compiled = work / "policy"
    compiled.mkdir()
    for module in modules:
        shutil.copy(sources / module, compiled)
    return compiled


def _configure(root: Path, kernel_modules: Path, policy: Path) -> None:
    for name in ("usr/lib/os-release", "usr/bin/dnf", "etc/debian_version"):  # each EL's seed brings its own
        (root / name).unlink()
    run("cp", "--recursive", "--no-dereference", "--preserve=mode", f"{HERE / 'rootfs'}/.", root)
    shutil.copytree(kernel_modules, root / "usr/lib/modules" / kernel_modules.name)
    (root / "etc/machine-id").write_text("")
    (root / "etc/sysconfig").mkdir()  # every EL has this folder; Debian does not
    shutil.copytree(policy, root / "var/tmp/policy")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    _run_inside(
        root,
        f"depmod {kernel_modules.name}",
        f"useradd --create-home --shell /bin/bash --password '*' {USER}",
        f"useradd --create-home --shell /bin/bash --password '*' {UNPRIVILEGED_USER}",
        f"unused=$(semodule --list-modules | grep -vxF {' '.join(f'-e {module}' for module in POLICY)})",
        "semodule --noreload $(printf ' --disable %s' $unused) --install /var/tmp/policy/*.pp",
        # The kernel lacks nf_tables' IP families, so firewalld uses its iptables backend, as on EL 7.
        "sed -i s/^FirewallBackend=.*/FirewallBackend=iptables/ /etc/firewalld/firewalld.conf",
        "update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy",
        "update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy",
        "systemctl enable lab-seed.service network.service",
        f"systemctl mask {' '.join(MASKED)}",
        "rm -r /var/tmp/policy",
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
