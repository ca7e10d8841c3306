"""systemd's units, and how one is started with its new configuration or put back on its old one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.record import RECORD, STATE
from facts.services import GOOD, Services, UnitState
from operations.files import ORIGINALS, TextFile, waiting


@dataclass(frozen=True)
class Update:
    """Another version of a unit's package: shell commands that install it, and the one that was there again."""

    install: str
    back: str


def no_update() -> None:
    """Packages are left alone, as a rule."""


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
    stop_first: bool = False
    """Whether it must stop before its files change, because it undoes by them what it did."""
    idle: str = ""
    """A shell command that succeeds while nothing waits for the service; with one, the node is drained first."""
    then: str = ""
    """A shell command to run once the service is up with its new files."""
    update: Callable[[], Update | None] = no_update
    """Inside an operation: what is to become of the unit's package on its host."""


def reads(unit: Unit, files: Sequence[TextFile]) -> list[str]:
    """The SHA-256 and the path of each of its files."""
    return [f"{file.sha256}  {file.path}" for file in files if file.read_by == unit.name]


def marker(unit: Unit, files: Sequence[TextFile], package: str) -> list[str]:
    """What a unit has read when it comes up: its package, and each of its files."""
    return [package, *reads(unit, files)]


def due(unit: Unit, files: Sequence[TextFile], present: UnitState) -> bool:
    """Whether the unit must be started or made to read its files."""
    mine = {file.path: file.sha256 for file in files if file.read_by == unit.name}
    service = present["service"]
    return not (
        service["active"]
        and service["enabled"]
        and not service["stale"]
        and present["files"] == mine
        and present["marker"] == marker(unit, files, present["package"])
    )


# It finishes by itself, one way or the other, also when ssh is cut meanwhile.
_ACTIVATE = """\
set -u
umask 077
trap '' HUP PIPE
marker=$(cat)
meant={meant}
gone={gone}
good={good}
[ -d "$good" ] || mv -T "$good.new" "$good" 2>/dev/null || mkdir -p "$good"
seconds() {{ cut -d. -f1 /proc/uptime; }}
put() {{ # a copy of $1 in the place of $2, in one step
    mkdir -p "${{2%/*}}"
    cp -p "$1" "$2.new" && mv -fT "$2.new" "$2"
}}
restore() {{ # $1 as it was before the deploy's first one
    if [ -f "{originals}$1" ]; then put "{originals}$1" "$1"
    elif grep -qsxF "file $1" {record}; then rm -f "$1"
    fi
}}
known() {{ # to SELinux, and to systemd if there is something for it
    ! command -v restorecon >/dev/null || restorecon -i $meant $gone
    {reload}
}}
up() {{ # systemctl $1, then wait for the probe $2; `said` tells why not
    end=$(($(seconds) + {bound}))
    said=$(timeout {bound} systemctl $1 {name} 2>&1) || return 1
    until said=$(eval "$2" 2>&1); do
        [ $(seconds) -lt $end ] || return 1
        sleep 1
    done
}}

renew() {{ # the new package, the new files, and the service with them
    why="can't be updated"
    said=$({{ {install}; }} 2>&1) || return 1
    for file in $meant; do
        staged=${{file%/*}}/.${{file##*/}}.staged
        [ ! -f "$staged" ] || mv -fT "$staged" "$file"
    done
    for file in $gone; do restore "$file"; done
    known
    why='does not come up within {bound} s'
    up {verb} {probe}
}}

was=$(systemctl is-active {name})
package=$(rpm -q {name})
if [ -n {idle} ]; then
    end=$(($(seconds) + 5))
    until eval {idle} || [ $(seconds) -ge $end ]; do sleep 0.2; done
    sleep 1 # what the service has read, and not yet passed on, can't be seen
fi
[ {stop_first} = 0 ] || timeout {bound} systemctl stop {name}
if renew; then
    {then}
    systemctl -q is-enabled {name} || systemctl -q enable {name}
    rm -rf "$good.new" "$good.old"
    for file in $meant; do put "$file" "$good.new$file"; done
    mv -T "$good" "$good.old"
    mv -T "$good.new" "$good"
    rm -rf "$good.old"
    {{ LC_ALL=C rpm -q {name}; printf '%s\\n' "$marker"; }} >{state}/{name}.sha256
    exit 0
fi
exec >&2
echo "{name} $why: $said"
journalctl --no-pager --output=cat --lines=10 --unit={name}
test ! -f {log} || tail --lines=10 {log}
[ {stop_first} = 0 ] || timeout {bound} systemctl stop {name}
if [ "$(rpm -q {name})" != "$package" ]; then
    said=$({{ {back}; }} 2>&1) && echo "{name}: its old package is back" ||
        echo "{name}: its old package can't be installed again: $said"
fi
for file in $meant $gone; do
    if [ -f "$good$file" ]; then put "$good$file" "$file"; else restore "$file"; fi
done
known
if [ "$was" != active ]; then
    systemctl stop {name}
    echo "{name}: its old files are back; it did not run before, and is stopped"
elif up {verb} 'systemctl is-active {name}'; then
    echo "{name}: its old files are back, and it runs with them"
else
    echo "{name}: its old files are back, and it does not come up with them either: $said"
fi
exit 1
"""


def activation(
    unit: Unit, files: Sequence[TextFile], present: UnitState, update: Update | None = None
) -> str:
    """The shell script that updates a unit's package, puts its staged files in place and makes it read them.

    What it `reads` comes over standard input. When the unit does not come up in time, what it last ran with
    is put back, and the script fails with the reason, the last lines of the journal and of the unit's log.
    """
    mine = [file.path for file in files if file.read_by == unit.name]
    gone = [path for path in present["good"] if path not in mine]
    changed = [
        file.path for file in files if file.path in mine and present["files"].get(file.path) != file.sha256
    ]
    own = any(path.startswith("/etc/systemd/") for path in changed + gone)
    return _ACTIVATE.format(
        name=unit.name,
        meant=shlex.quote(" ".join(mine)),
        gone=shlex.quote(" ".join(gone)),
        reload="systemctl daemon-reload" if own or update or present["service"]["stale"] else "",
        good=f"{GOOD}/{unit.name}",
        originals=ORIGINALS,
        record=RECORD,
        state=STATE,
        verb=unit.verb,
        probe=shlex.quote(unit.probe),
        idle=shlex.quote(unit.idle),
        then=unit.then,
        bound=unit.bound,
        log=unit.log,
        stop_first=int(unit.stop_first or update is not None),
        install=update.install if update else ":",
        back=update.back if update else ":",
    )


@operation()
def absent(unit: str, file: str) -> Generator[StringCommand]:
    """A unit of ours that is no longer meant: stopped, disabled, and its file removed."""
    state = host.get_fact(Services, units=[unit]).get(unit)
    if state is None or not (state["active"] or state["enabled"]):
        host.noop(f"there is no {unit}")
        return
    yield StringCommand(
        f"systemctl disable --now {unit}; rm -rf {file} {waiting(file)} "
        f"{GOOD}/{unit} {STATE}/{unit}.sha256; systemctl daemon-reload"
    )
