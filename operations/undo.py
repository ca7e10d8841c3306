"""Everything that the deploy has put on a machine is removed again, and nothing else.

Each operation reads the record. An interrupted run is finished by the next one. What Logstash has written, in
its logs and its queue, stays.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from desired.paths import RECORD
from facts.record import Record
from facts.sysctl import CONF
from operations import files as deployed
from operations import firewalld, nftables

NOTHING = "the deploy has put nothing of it here"

# One line at a time, and only where it is still the comment that the deploy made of it.
_UNCOMMENT = """\
awk -v line={line} '$0 == "# " line {{ $0 = line }} {{ print }}' {conf} >{conf}.new &&
cat {conf}.new >{conf} && rm -f {conf}.new
"""


@operation()
def rules() -> Generator[StringCommand]:
    """
    Remove the deploy's rules from firewalld's permanent and runtime configurations, its permanent ipsets, and the
    deploy's nftables tables.
    """
    record = host.get_fact(Record, path=RECORD)
    rich, direct, sets, tables = (record.get(kind, []) for kind in ("rich", "direct", "ipset", "table"))
    if not rich and not direct and not sets and not tables:
        host.noop(NOTHING)
    yield from firewalld.removal(rich, direct, sets)
    yield from nftables.removal(tables)


@operation()
def files() -> Generator[StringCommand]:
    """
    Remove the deploy's files, put back the originals, and make its comments in /etc/sysctl.conf lines again.

    The running kernel keeps its settings until the next boot.
    """
    record = host.get_fact(Record, path=RECORD)
    paths, lines = record.get("file", []), record.get("stig", [])
    if not paths and not lines:
        host.noop(NOTHING)
    if paths:
        yield deployed.removal(paths)
    for line in lines:
        yield StringCommand(_UNCOMMENT.format(line=shlex.quote(line), conf=CONF))


@operation()
def users() -> Generator[StringCommand]:
    """
    Remove the users that the deploy has made.
    """
    users = host.get_fact(Record, path=RECORD).get("user", [])
    if not users:
        host.noop(NOTHING)
    for user in users:
        yield StringCommand(f"! id {user} >/dev/null 2>&1 || userdel {user}")


@operation()
def packages(manager: str) -> Generator[StringCommand]:
    """
    Remove the packages that the deploy has installed, and the key from the rpm database.

    + manager: the package manager, `dnf` or `yum`
    """
    record = host.get_fact(Record, path=RECORD)
    names, keys = record.get("package", []), record.get("key", [])
    if not names and not keys:
        host.noop(NOTHING)
    if names:
        yield StringCommand(f"{manager} --assumeyes remove {shlex.join(names)}")
    for key in keys:
        yield StringCommand(f"! rpm -q {key} >/dev/null || rpm -e {key}")
