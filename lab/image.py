"""The guests' disk image: Debian underneath, with SELinux's labels on every file. The seed makes it an EL."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.content import content_key
from lab.settings import HERE, USER, VISITOR
from lab.shell import LabError, run

SUITE = "bookworm"
DISK_SIZE = "4G"
"""Sparse: it takes only what is written."""

PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "netbase"),
    *("iproute2", "iputils-ping", "iputils-arping"),
    *("openssh-server", "sudo", "python3", "curl", "ca-certificates", "less", "vim-tiny", "polkitd"),
    *("network-manager", "firewalld", "iptables", "ipset", "dnf", "rpm"),
    *("selinux-policy-default", "policycoreutils", "policycoreutils-python-utils", "selinux-utils", "auditd"),
)
"""What an EL guest has before anyone deploys to it, under Debian's names."""

LIBRARIES = (
    *("libnl-3-200", "libnl-genl-3-200", "libnftnl11", "libmnl0", "libsnmp40", "libpopt0", "libpcap0.8"),
    *("libglib2.0-0", "libpcre2-8-0", "libssl3"),
)
"""Shared libraries of the programs in the lab's RPMs."""

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
"""Units that a guest has no use for and that would make it boot slowly."""


def modules() -> Path:
    """The folder of the User Mode Linux kernel's modules."""
    found = sorted(Path("/usr/lib/uml/modules").glob("*"))
    if not found:
        raise LabError("/usr/lib/uml/modules: no kernel modules there; run `make packages`")
    return found[-1]


def image(cache: Path, progress: Callable[[str], None]) -> Path:
    """The base disk all guests start from; built when what it is made of has changed.

    Guests write to copy-on-write files of their own, which are good for as long as this file is left alone.
    """
    kernel_modules = modules()
    key = content_key(Path(__file__), HERE / "rootfs", HERE / "selinux", kernel_modules.name)
    target = cache / f"image-{key}.ext4"
    if target.exists():
        return target
    debian = _debian(cache, progress)
    with tempfile.TemporaryDirectory(dir=cache, prefix="image.") as scratch:
        work = Path(scratch)
        root = work / "root"
        root.mkdir()
        progress("unpacking the base system")
        run("tar", "-C", root, "-xf", debian)
        progress("preparing it for any EL")
        _prepare(root, kernel_modules, _policy(work))
        progress("labelling files for SELinux")
        _label(root)
        progress("writing the disk image")
        disk = work / "disk"
        run(
            "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", root, disk, DISK_SIZE
        )
        disk.rename(target)
    return target


def _debian(cache: Path, progress: Callable[[str], None]) -> Path:
    """The plain Debian system as a tar file; the slowest part, so it is kept apart."""
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


def _policy(work: Path) -> Path:
    """Compile the lab's SELinux modules."""
    sources = work / "selinux"
    shutil.copytree(HERE / "selinux", sources)
    modules = [f"{source.stem}.pp" for source in sorted(sources.glob("*.te"))]
    run("make", "-s", "-f", "/usr/share/selinux/devel/Makefile", "NAME=default", *modules, cwd=sources)
    compiled = work / "policy"
    compiled.mkdir()
    for module in modules:
        shutil.copy(sources / module, compiled)
    return compiled


def _prepare(root: Path, kernel_modules: Path, policy: Path) -> None:
    for name in ("usr/lib/os-release", "usr/bin/dnf", "etc/debian_version"):  # an EL's release brings its own
        (root / name).unlink()
    run("cp", "--recursive", "--no-dereference", "--preserve=mode", f"{HERE / 'rootfs'}/.", root)
    shutil.copytree(kernel_modules, root / "usr/lib/modules" / kernel_modules.name)
    (root / "etc/machine-id").write_text("")
    (root / "etc/sysconfig").mkdir()  # each EL has it, and Debian does not
    shutil.copytree(policy, root / "var/tmp/policy")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    _inside(
        root,
        f"depmod {kernel_modules.name}",
        f"useradd --create-home --shell /bin/bash --password '*' {USER}",
        f"useradd --create-home --shell /bin/bash --password '*' {VISITOR}",
        "semodule --noreload --install /var/tmp/policy/*.pp",
        # The kernel has no nf_tables families for IP, so firewalld uses its other backend, as on EL 7.
        "sed -i s/^FirewallBackend=.*/FirewallBackend=iptables/ /etc/firewalld/firewalld.conf",
        "update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy",
        "update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy",
        "systemctl enable lab-seed.service network.service",
        f"systemctl mask {' '.join(MASKED)}",
        "rm -r /var/tmp/policy",
    )


def _label(root: Path) -> None:
    contexts = "/etc/selinux/default/contexts/files/file_contexts"
    _inside(root, f"setfiles -F {contexts} /")


def _inside(root: Path, *commands: str) -> None:
    """Run shell commands with the image as their root, in a mount namespace of their own."""
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
