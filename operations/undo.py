"""What the deploy has put on a machine is taken away again, and nothing else.

Each operation reads the record that the deploy has kept. An interrupted run is finished by the next one.
What Logstash wrote, in its logs and its queue, stays.
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
from operations import firewalld

NOTHING = "nothing of it was put here by the deploy"

# A line at a time, and only where it is still the comment that the deploy made of it.
_UNCOMMENT = """\
awk -v line={line} '$0 == "# " line {{ $0 = line }} {{ print }}' {conf} >{conf}.new &&
cat {conf}.new >{conf} && rm -f {conf}.new
"""


@operation()
def rules() -> Generator[StringCommand]:
    """The deploy's rules gone from firewalld, in force and kept."""
    record = host.get_fact(Record, path=RECORD)
    rich, direct = record.get("rich", []), record.get("direct", [])
    if not rich and not direct:
        host.noop(NOTHING)
    yield from firewalld.removal(rich, direct)


@operation()
def files() -> Generator[StringCommand]:
    """The deploy's files gone, what stood in their places back, and its comments in sysctl.conf lines again.

    The running kernel keeps its settings until it boots.
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
    """The users that the deploy made gone."""
    users = host.get_fact(Record, path=RECORD).get("user", [])
    if not users:
        host.noop(NOTHING)
    for user in users:
        yield StringCommand(f"! id {user} >/dev/null 2>&1 || userdel {user}")


@operation()
def packages(manager: str) -> Generator[StringCommand]:
    """The packages that the deploy installed removed, and its key taken out of the rpm database."""
    record = host.get_fact(Record, path=RECORD)
    names, keys = record.get("package", []), record.get("key", [])
    if not names and not keys:
        host.noop(NOTHING)
    if names:
        yield StringCommand(f"{manager} --assumeyes remove {shlex.join(names)}")
    for key in keys:
        yield StringCommand(f"! rpm -q {key} >/dev/null || rpm -e {key}")
