"""The guests' kernel: User Mode Linux of a newer Debian than theirs, since a process costs a guest a fraction there.

From Linux 6.16 on, User Mode Linux traps a guest's system calls by seccomp instead of ptrace; a fork takes a third of
the time. Debian builds that kernel without packet filtering by IP families, so the lab compiles those modules, from
Debian's source of the same kernel.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab import libraries
from lab.content import content_key
from lab.debian import bootstrap
from lab.shell import LabError, run

SUITE = "forky"

OPTIONS = (
    *(f"NF_TABLES_{family}=y" for family in ("INET", "NETDEV", "IPV4", "IPV6")),
    *(f"NFT_{module}=m" for module in ("FIB_INET", "FIB_IPV4", "FIB_IPV6", "NAT")),
    "NETFILTER_XTABLES_LEGACY=y",
    *(f"{ip}_NF_IPTABLES_LEGACY=m" for ip in ("IP", "IP6")),
    *(f"{ip}_NF_{table}=m" for ip in ("IP", "IP6") for table in ("FILTER", "NAT", "MANGLE", "RAW")),
)
"""What Debian's configuration of the kernel leaves out and a firewall needs.

None may add an option to the kernel itself, since that can change structures which it shares with its modules.
"""

NFT = (
    *("chain_nat", "compat", "ct", "fib", "fib_inet", "hash", "limit", "log", "masq", "nat", "numgen"),
    *("quota", "redir", "reject", "reject_inet", "socket", "tproxy"),
)
MODULES = (
    *("netfilter/x_tables", "netfilter/nf_nat", "netfilter/nf_tables"),
    *(f"netfilter/nft_{name}" for name in NFT),
    *(f"ipv{v}/netfilter/nft_{name}_ipv{v}" for v in (4, 6) for name in ("fib", "reject")),
    *("ipv4/netfilter/ip_tables", "ipv6/netfilter/ip6_tables"),
    *(f"ipv4/netfilter/iptable_{table}" for table in ("filter", "nat", "mangle", "raw")),
    *(f"ipv6/netfilter/ip6table_{table}" for table in ("filter", "nat", "mangle", "raw")),
)
"""The modules that those options make or change, below ``net/``. nf_tables' own parts share structures with it."""

UNNEEDED = (
    *("*/drivers/*.[ch]", "*/fs/*.c", "*/sound/*.[ch]", "*/arch/[a-tv-w]*/*.[chS]", "*/tools/testing/*"),
    *("*.dts*", "*.json", "*.rs", "*.rst", "*.svg", "*.txt", "*.yaml"),
)
"""Most of the source, which these modules do not need."""

HEADERS = ("linux/module.h", "linux/netfilter_ipv4.h", "linux/netfilter_ipv6.h", "net/netfilter/nf_tables.h")
"""What the modules include, nearly all of it: for each source, the compiler spends most of its time on these."""


def fetch_kernel(cache: Path, progress: Callable[[str], None]) -> Path:
    """Fetch the kernel, unless the cache has it: a folder with ``linux.uml`` and ``modules/VERSION``.

    The program comes with the C library that it was linked to, since this machine's may be older. Raises LabError.
    """
    target = cache / f"kernel-{content_key(Path(__file__), Path(libraries.__file__))}"
    if target.exists():
        return target
    progress("fetching the guests' kernel")
    with tempfile.TemporaryDirectory(dir=cache, prefix="kernel.") as scratch:
        root, folder = Path(scratch) / "root", Path(scratch) / "kernel"
        # The source's package is named after the kernel: linux-source-7.2 for 7.2.7.
        download = (
            'cd "$1" && version=$(ls usr/lib/uml/modules) && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" '
            'apt-get download -qq "linux-source-${version%.*}"'
        )
        bootstrap(
            *(SUITE, root, "--variant=extract", "--include=user-mode-linux", f"--extract-hook={download}"),
            # Debian's testing is valid for a week, and a mirror that is a snapshot is older.
            '--aptopt=Acquire::Check-Valid-Until "false"',
        )
        folder.mkdir()
        shutil.move(root / "usr/lib/uml/modules", folder)
        program = folder / "linux.uml"
        shutil.move(root / "usr/bin/linux.uml", program)
        libraries.add(program, root, libraries.C_LIBRARY, folder, target)
        progress("compiling the kernel's modules for a firewall (a minute)")
        _add_modules(root, modules_of(folder))
        folder.rename(target)
    return target


def modules_of(kernel: Path) -> Path:
    """The folder of the kernel's modules, which has its version as its name."""
    (folder,) = (kernel / "modules").iterdir()
    return folder


def _built_in(configuration: str) -> set[str]:
    """The options that are part of the kernel itself."""
    return set(re.findall(r"^CONFIG_(\w+=y)$", configuration, re.MULTILINE))


def _add_modules(root: Path, modules: Path) -> None:
    """Compile `MODULES` for the kernel that is unpacked in `root`, and put them into the folder of its modules."""
    (package,) = root.glob("linux-source-*.deb")
    run("dpkg-deb", "--extract", package, root)
    (archive,) = root.glob("usr/src/linux-source-*.tar.xz")
    source = root / "source"
    source.mkdir()
    unneeded = (f"--exclude={pattern}" for pattern in UNNEEDED)
    run("tar", "--extract", "--strip-components=1", *unneeded, "-C", source, "-f", archive)
    _forget_names(source)
    configuration = run("zcat", root / "usr/share/doc/user-mode-linux/config.gz")
    (source / ".config").write_text(configuration + "".join(f"CONFIG_{option}\n" for option in OPTIONS))
    # The source can be a few corrections newer, and a module must name its kernel's version. The symbols of the
    # kernel itself are not at hand: it checks them when it loads the module.
    version, patchlevel, sublevel = modules.name.split(".")
    names = (f"VERSION={version}", f"PATCHLEVEL={patchlevel}", f"SUBLEVEL={sublevel}", "EXTRAVERSION=")
    options = ("ARCH=um", "KBUILD_MODPOST_WARN=1", "KCFLAGS=-g0", *names)  # nobody debugs it
    make = ("make", "-C", source, f"-j{os.cpu_count()}", *options)
    run(*make, "olddefconfig")
    added = _built_in((source / ".config").read_text()) - _built_in(configuration)
    if missing := {option for option in added if option.startswith("NET")} - set(OPTIONS):
        raise LabError(
            f"Debian's kernel {modules.name} has no {sorted(missing)[0]}, which the lab's modules need"
        )
    run(*make, "modules_prepare")
    run(*make, f"net/{MODULES[0]}.o")
    _precompile_headers(source, source / f"net/{MODULES[0]}.o")
    run(*make, *(f"net/{module}.ko" for module in MODULES))
    for module in MODULES:
        shutil.copy(source / f"net/{module}.ko", modules / "kernel/net" / f"{module}.ko")


def _forget_names(source: Path) -> None:
    """Let the headers be the same for each module: they have its name, for messages alone."""
    names = r"\b(__)?KBUILD_(MODNAME|BASENAME)\b"
    folders = ("include", "arch/x86/include", "arch/um/include")
    headers = run("grep", "-rlE", names, *folders, cwd=source).splitlines()
    run("sed", "-i", "-E", f's/{names}/"netfilter"/g', *headers, cwd=source)


def _precompile_headers(source: Path, example: Path) -> None:
    """Compile `HEADERS` once for all modules, as `example` was. It takes the place of the first header that each source includes."""
    (source / "headers.h").write_text("".join(f"#include <{header}>\n" for header in HEADERS))
    saved = example.with_name(f".{example.name}.cmd").read_text().splitlines()[0]
    compiler = saved.partition(" := ")[2].partition(" -DKBUILD_BASENAME")[0]
    target = "include/linux/compiler-version.h.gch"
    run("sh", "-c", f"{compiler} -x c-header -o {target} headers.h", cwd=source)
