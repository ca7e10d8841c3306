"""What the deploy has put on a machine is taken away again, and nothing else.

Each operation reads the record that the deploy has kept. A run that is broken off is finished by the next.
What Logstash wrote, in its logs and its queue, stays.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.ipvs import DRAINED
from facts.record import STATE, Record
from facts.sysctl import CONF
from operations import firewalld, health
from operations.files import ORIGINALS

NOTHING = "nothing of it was put here by the deploy"

_FILES = """\
for file in {files}; do
    rm -f "${{file%/*}}/.${{file##*/}}.staged"
    if [ -f "{originals}$file" ]; then cp -p "{originals}$file" "$file"; else rm -f "$file"; fi
    ! command -v restorecon >/dev/null || [ ! -f "$file" ] || restorecon "$file"
    rpm -qf "${{file%/*}}" >/dev/null 2>&1 || rmdir "${{file%/*}}" 2>/dev/null || true
done
systemctl daemon-reload
"""

# A line at a time, and only where it is still the comment that the deploy made of it.
_UNCOMMENT = """\
awk -v line={line} '$0 == "# " line {{ $0 = line }} {{ print }}' {conf} >{conf}.new &&
cat {conf}.new >{conf} && rm -f {conf}.new
"""


@operation()
def rules() -> Generator[StringCommand]:
    """The deploy's rules gone from firewalld, in force and kept."""
    record = host.get_fact(Record)
    rich, direct = record.get("rich", []), record.get("direct", [])
    if not rich and not direct:
        host.noop(NOTHING)
    yield from firewalld.removal(rich, direct)


@operation()
def files() -> Generator[StringCommand]:
    """The deploy's files gone, what stood in their places back, and its comments in sysctl.conf lines again.

    The running kernel keeps its settings until it boots.
    """
    record = host.get_fact(Record)
    paths, lines = record.get("file", []), record.get("stig", [])
    if not paths and not lines:
        host.noop(NOTHING)
    if paths:
        yield StringCommand(_FILES.format(files=shlex.join(paths), originals=ORIGINALS))
    for line in lines:
        yield StringCommand(_UNCOMMENT.format(line=shlex.quote(line), conf=CONF))


@operation()
def users() -> Generator[StringCommand]:
    """The users that the deploy made gone."""
    users = host.get_fact(Record).get("user", [])
    if not users:
        host.noop(NOTHING)
    for user in users:
        yield StringCommand(f"! id {user} >/dev/null 2>&1 || userdel {user}")


@operation()
def packages(manager: str) -> Generator[StringCommand]:
    """The packages that the deploy installed removed, and its key taken out of the rpm database."""
    record = host.get_fact(Record)
    names, keys = record.get("package", []), record.get("key", [])
    if not names and not keys:
        host.noop(NOTHING)
    if names:
        yield StringCommand(f"{manager} --assumeyes remove {shlex.join(names)}")
    for key in keys:
        yield StringCommand(f"! rpm -q {key} >/dev/null || rpm -e {key}")


@operation()
def record() -> Generator[StringCommand]:
    """The record itself gone, and all else that the deploy kept for its next run."""
    if not host.get_fact(Record):
        host.noop("there is no record")
        return
    yield StringCommand(f"rm -rf {STATE} {DRAINED} {health.FOLDER}")
