"""A lab as a whole: `up` creates it, `down` removes it."""

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.cache import ORIGINS, locked_cache, prune, register
from lab.debian import fetch_debian
from lab.elastic import build_logstash, version_of
from lab.guest import Guest
from lab.image import build_image
from lab.network import Network
from lab.packages import build_elastic, build_repository, create_keys
from lab.python import SUITE as PYTHON_SUITE
from lab.python import fetch_python
from lab.settings import (
    BOOT_TIMEOUT,
    DEFAULT_RELEASE,
    GUEST_MEMORY,
    LOGSTASH_MEMORY,
    MAX_NODES,
    SUITES,
    USER,
    Machine,
    cache_dir,
    lab_dir,
    machines,
    namespace,
)
from lab.shell import LabError, run
from lab.uml import fetch_kernel, modules_of

TOOLS = (
    "mmdebstrap",
    "patchelf",
    "mkfs.ext4",
    "rpmbuild",
    "rpmsign",
    "createrepo_c",
    "gpg",
    "ip",
    "socat",
    "ssh",
)

SSH_HOST = """\
Host {name}
    HostName {address}
    User {user}
    IdentityFile {folder}/key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    StrictHostKeyChecking yes
    ProxyCommand nsenter --net={netns} -- socat - TCP:%h:%p,nodelay
    ControlMaster auto
    ControlPath {sockets}/ssh-%n
    ControlPersist 60
"""


@dataclass(frozen=True)
class Artifacts:
    """What a lab is created from: paths in the cache."""

    kernel: Path
    images: Mapping[int, Path]
    """The disk image of each EL."""
    repositories: Mapping[int, Path]
    """The package repository of each EL."""
    elastic: Path
    """The packages that Elastic's server would have."""
    logstash: str | None = None
    """The version of Elastic's own Logstash that is among them; None where all are the stand-in."""

    def paths(self) -> tuple[Path, ...]:
        return self.kernel, *self.images.values(), *self.repositories.values(), self.elastic


@dataclass(frozen=True)
class Lab:
    """A lab: its folder, with ssh_config, keys and the guests' disks, and its network namespace."""

    folder: Path

    @classmethod
    def here(cls) -> "Lab":
        """The lab that ``LAB_DIR`` names."""
        return cls(lab_dir())

    @property
    def network(self) -> Network:
        return Network(namespace(self.folder))

    @property
    def guests(self) -> tuple[Guest, ...]:
        """The guests that `up` created, in the order of their addresses."""
        created = {path.name for path in (self.folder / "guests").glob("*")}
        return tuple(
            Guest(machine, self.network, self.folder / "guests" / machine.name)
            for machine in machines(MAX_NODES)
            if machine.name in created
        )

    def guest(self, name: str) -> Guest:
        """One guest by name. Raises LabError, with the names that exist."""
        for guest in self.guests:
            if guest.name == name:
                return guest
        names = ", ".join(guest.name for guest in self.guests)
        raise LabError(
            f"{name}: no such guest; choose from {names}"
            if names
            else "no lab is running here; run `python -m lab up`"
        )

    @property
    def logstash(self) -> str | None:
        """The version of Elastic's own Logstash that this lab offers; None where it offers the stand-in."""
        return self._logstash.read_text() if self._logstash.exists() else None

    def up(
        self,
        nodes: int,
        logstash_delay: float,
        progress: Callable[[str], None],
        el: Sequence[int] = (DEFAULT_RELEASE,),
        logstash: str | None = None,
    ) -> None:
        """Boot a lab of this many nodes and a sender. Of an existing lab, boot the guests that are off.

        ``el`` are the EL versions that the guests get in turn; a list shorter than the guests starts over. ``logstash`` is
        the version or the RPM file of Elastic's own Logstash, which is offered in the stand-in's place. Raises LabError.
        """
        version = version_of(logstash) if logstash else self.logstash
        check_machine(sum(memory_of(machine, bool(version)) for machine in machines(nodes)))
        if not self.guests:
            releases = dict(zip(machines(nodes), itertools.cycle(el), strict=False))
            with build_artifacts(releases.values(), progress, logstash) as artifacts:
                self._create(releases, logstash_delay, artifacts)
                register(cache_dir(), self.folder)
                prune(cache_dir())
        elif version != self.logstash:
            offered = f"Logstash {self.logstash}" if self.logstash else "the stand-in"
            raise LabError(
                f"--logstash: the lab that is here offers {offered}; run `python -m lab down`, then `up`"
            )
        if not self.network.exists():
            self.network.create()
            self.network.start_package_server(self._served, self.folder / "packages.log")
        for guest in self.guests:
            if not guest.running():
                self._start(guest)
        self.wait_until_up(self.guests, progress)

    def power_on(self, name: str, progress: Callable[[str], None]) -> None:
        """Boot one guest from its own disk. Raises LabError when it is on already."""
        guest = self.guest(name)
        if guest.running():
            raise LabError(f"{name} is on already")
        self._start(guest)
        self.wait_until_up((guest,), progress)

    def clone(self, source: str, name: str, progress: Callable[[str], None]) -> None:
        """Boot one guest from a byte-for-byte copy of another's disk. Raises LabError when either is on.

        It comes up with the name and the addresses of its source, but with its own MAC address.
        """
        original, copy = self.guest(source), self.guest(name)
        for guest in (original, copy):
            if guest.running():
                raise LabError(f"{guest.name} is on; run `python -m lab power-off {guest.name}`")
        run("cp", "--sparse=always", original.disk, copy.disk)
        copy.image.write_text(original.image.read_text())
        known_hosts = self.folder / "known_hosts"  # the copy has overwritten the host key of this name
        lines = known_hosts.read_text().splitlines(keepends=True)
        known_hosts.write_text("".join(line for line in lines if not line.startswith(f"{name},")))
        self._start(copy)
        machine = Machine(source, original.machine.addresses)
        self.wait_until_up((Guest(machine, self.network, copy.folder),), progress)
        original.forget_connection()

    def wait_until_up(self, guests: tuple[Guest, ...], progress: Callable[[str], None]) -> None:
        """Wait until systemd has booted each guest. Raises LabError when one stops or takes too long."""
        start = time.monotonic()
        limit = BOOT_TIMEOUT * (1 + len(guests) / 2)
        waiting = list(guests)
        while waiting:
            seconds = time.monotonic() - start
            progress(f"booting {', '.join(guest.name for guest in waiting)} ({seconds:.0f} s)")
            for guest in list(waiting):
                if not guest.running():
                    raise LabError(
                        f"{guest.name} stopped while booting: {guest.last_console_lines()}; "
                        f"see {guest.console}"
                    )
                if guest.answers() and self.has_booted(guest):
                    waiting.remove(guest)
            if waiting and seconds > limit:
                raise LabError(
                    f"{waiting[0].name} is not up after {limit:.0f} s: {waiting[0].last_console_lines()}; "
                    f"see {waiting[0].console}"
                )
            time.sleep(0.5)

    def has_booted(self, guest: Guest) -> bool:
        """Wait up to a minute for the guest's systemd to finish booting, and return whether it has."""
        try:
            done = subprocess.run(
                (*self.ssh_command(guest.name), "systemctl", "is-system-running", "--wait"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.stdout.strip() in ("running", "degraded")

    def ssh_command(self, name: str) -> tuple[str, ...]:
        """The command that logs in to a guest. Raises LabError where there is no such guest."""
        return ("ssh", "-F", str(self.folder / "ssh_config"), "-o", "LogLevel=ERROR", self.guest(name).name)

    def down(self) -> None:
        """Stop all guests and remove everything that `up` created, even after a crash. The cache stays."""
        self.network.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _served(self) -> Path:
        """The folder that the package server serves: links to the repositories in the cache."""
        return self.folder / "served"

    @property
    def _logstash(self) -> Path:
        """The file that names the version of Elastic's own Logstash; the lab's inventory reads it, too."""
        return self.folder / "logstash"

    def _create(self, releases: Mapping[Machine, int], logstash_delay: float, artifacts: Artifacts) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", self.folder / "key")
        public = (self.folder / "key.pub").read_text()
        known_hosts, config = [], []
        for machine, el in releases.items():
            guest = Guest(machine, self.network, self.folder / "guests" / machine.name)
            host_key = guest.write_seed(el, artifacts.repositories[el], public, logstash_delay)
            guest.image.write_text(str(artifacts.images[el]))
            known_hosts.append(f"{machine.name},{machine.address} {host_key}")
            config.append(
                SSH_HOST.format(
                    name=machine.name,
                    address=machine.address,
                    user=USER,
                    folder=self.folder,
                    netns=self.network.path,
                    sockets=self.network.sockets,
                )
            )
        self._served.mkdir()
        for el, repository in artifacts.repositories.items():
            (self._served / f"el{el}").symlink_to(repository)
        for path in artifacts.elastic.iterdir():
            (self._served / path.name).symlink_to(path)
        (self.folder / "known_hosts").write_text("".join(known_hosts))
        (self.folder / "ssh_config").write_text("\n".join(config))
        (self.folder / "kernel").write_text(str(artifacts.kernel))
        if artifacts.logstash:
            self._logstash.write_text(artifacts.logstash)
        (self.folder / ORIGINS).write_text("\n".join(map(str, artifacts.paths())))

    def _start(self, guest: Guest) -> None:
        """Boot a guest with the kernel and the image that the lab was created from. Raises LabError without them."""
        kernel, image = (Path(origin.read_text()) for origin in (self.folder / "kernel", guest.image))
        for origin in (kernel, image):
            if not origin.exists():
                raise LabError(f"{origin}: this lab was created from it; run `python -m lab down`, then `up`")
        guest.start(kernel, image, memory_of(guest.machine, bool(self.logstash)))


@contextmanager
def build_artifacts(
    releases: Iterable[int], progress: Callable[[str], None], logstash: str | None = None
) -> Iterator[Artifacts]:
    """Build in the cache what guests of these ELs need and is missing there, with Elastic's own Logstash if one is asked for.

    The cache is locked until the block ends. Raises LabError.
    """
    with locked_cache() as cache:
        needed = sorted(set(releases))
        create_keys(cache)
        with ThreadPoolExecutor() as pool:  # each of these takes a minute or two, by itself
            elastic = (
                pool.submit(build_logstash, cache, logstash, progress)
                if logstash
                else pool.submit(build_elastic, cache, progress)
            )
            kernel = pool.submit(fetch_kernel, cache, progress)
            suites = dict.fromkeys(SUITES[el] for el in needed)
            python = [pool.submit(fetch_python, cache, progress)] if {*suites} - {PYTHON_SUITE} else []
            debian = {suite: pool.submit(fetch_debian, cache, suite, progress) for suite in suites}

            def image(el: int) -> Path:
                for part in (debian[SUITES[el]], *python):
                    part.result()
                return build_image(cache, el, modules_of(kernel.result()), progress)

            def repository(el: int) -> Path:
                debian[SUITES[el]].result()
                return build_repository(cache, el, progress)

            # What waits comes after what it waits for: the pool begins them in this order.
            images = {el: pool.submit(image, el) for el in needed}
            # One after the other, as they are signed with one key, whose agent ends with each.
            repositories = pool.submit(lambda: {el: repository(el) for el in needed})
        yield Artifacts(
            kernel.result(),
            {el: part.result() for el, part in images.items()},
            repositories.result(),
            elastic.result(),
            version_of(logstash) if logstash else None,
        )


def memory_of(machine: Machine, real: bool) -> int:
    """The memory of a guest in MiB; `real` is whether the nodes run Elastic's own Logstash."""
    return LOGSTASH_MEMORY if real and machine.runs_logstash else GUEST_MEMORY


def check_machine(memory: int) -> None:
    """Check that this machine can run a lab whose guests need ``memory`` MiB. Raises LabError."""
    if os.geteuid() != 0:
        raise LabError("the lab creates network namespaces and disk images; run it as root")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise LabError(f"{', '.join(missing)}: not found; run `make packages`")
    if not os.access("/dev/net/tun", os.W_OK):
        raise LabError("/dev/net/tun cannot be opened; load its module with `modprobe tun`")
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) // 1024
    if available < memory:
        raise LabError(
            f"memory: the guests may use {memory} MiB, but only {available} MiB are free; use fewer nodes"
        )
