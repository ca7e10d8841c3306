"""systemd's units: enabled, running, and running with what they are meant to read."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts import services as facts
from operations.files import TextFile


@dataclass(frozen=True)
class Unit:
    """A service, and how to tell that it works."""

    name: str
    """systemd's name, and the package's."""
    probe: str
    """A shell command that succeeds once the service does its work."""
    verb: str = "restart"
    """systemctl's word to make it read its files: `restart` or `reload-or-restart`."""
    bound: int = 30
    """Seconds until `probe` must have succeeded."""
    log: str = "/dev/null"
    """The service's own log file."""


_ACTIVATE = """\
set -u
seconds() {{ cut -d. -f1 /proc/uptime; }}
fail() {{
    printf '{name} %s\\n' "$1" >&2
    journalctl --no-pager --output=cat --lines=10 --unit={name} >&2
    test ! -f {log} || tail --lines=10 {log} >&2
    exit 1
}}
end=$(($(seconds) + {bound}))
timeout {bound} systemctl {verb} {name} || fail "could not {verb}"
until said=$({{
{probe}
}} 2>&1); do
    [ $(seconds) -lt $end ] || fail "is not up after {bound} s: $said"
    sleep 1
done
mkdir -p {markers} && cat >{markers}/{name}.sha256
"""


@operation()
def up(unit: Unit, files: list[TextFile]) -> Generator[StringCommand]:
    """This unit enabled and running, started anew when what it reads has changed (the recipe's step 11).

    `files` are all that the deploy writes; the unit's own are those that say so. What it had read when
    it last came up, and its package, are noted on the machine: so a run that broke off before the
    restart is taken up by the next, and a dry run looks ahead. When the unit does not come up in time
    the operation fails, with the last lines of the journal and of the unit's log.
    """
    sums = {file.path: file.sha256 for file in files if file.read_by == unit.name}
    present = host.get_fact(facts.Unit, unit=unit.name, files=list(sums))
    service = present["service"]
    marker = [present["package"], *(f"{sums[path]}  {path}" for path in sums)]
    current = service["active"] and present["marker"] == marker and present["files"] == sums

    if service["stale"]:
        yield StringCommand("systemctl daemon-reload")
    if not service["enabled"]:
        yield StringCommand(f"systemctl enable {unit.name}")
    if not current:
        script = _ACTIVATE.format(**vars(unit), markers=facts.MARKERS)
        yield StringCommand(script, _stdin="\n".join(marker))
    elif service["enabled"] and not service["stale"]:
        host.noop(f"{unit.name} is up, with what it is meant to read")
