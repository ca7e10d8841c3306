"""systemd's units, and the script that starts one with its new files, or else with its old ones again."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import StringCommand, operation

from desired.paths import LAST_GOOD, ORIGINALS, RECORD, fingerprint, staged
from desired.textfile import TextFile, read_by
from desired.unit import Unit
from facts.record import Record
from facts.services import UnitState


@dataclass(frozen=True)
class PackageChange:
    """Another version of a unit's package: shell commands that install it, and the present one again."""

    install: str
    revert: str


# It runs to its end, good or bad, also when the ssh connection breaks meanwhile.
_ACTIVATE = """\
set -u
umask 077
trap '' HUP PIPE
read_files=$(cat)
desired={desired}
gone={gone}
good={good}
[ -d "$good" ] || mv -T "$good.new" "$good" 2>/dev/null || mkdir -p "$good"
seconds() {{ cut -d. -f1 /proc/uptime; }}
put() {{ # a copy of $1 at $2, in one step
    mkdir -p "${{2%/*}}"
    cp -p "$1" "$2.new" && mv -fT "$2.new" "$2"
}}
restore() {{ # the original of $1; without one, no file that the deploy has put there
    if [ -f "{originals}$1" ]; then put "{originals}$1" "$1"
    elif grep -qsxF "file $1" {record}; then rm -f "$1"
    fi
}}
label_and_reload() {{ # SELinux's labels of the files, and systemd's units if some of the files are its own
    ! command -v restorecon >/dev/null || restorecon -i $desired $gone
    {reload}
}}
up() {{ # systemctl $1 once that may be, then wait for the probe $2; on failure, `output` has the reason
    end=$(($(seconds) + {bound}))
    until eval {reloadable} || [ $(seconds) -ge $end ]; do sleep 1; done
    end=$(($(seconds) + {bound}))
    output=$(timeout {bound} systemctl $1 {name} 2>&1) || return 1
    until output=$(eval "$2" 2>&1); do
        [ $(seconds) -lt $end ] || return 1
        sleep 1
    done
}}

update() {{ # the package, the files and the service; on failure, `why` and `output` have the reason
    why="can't be updated"
    output=$({{ {install}; }} 2>&1) || return 1
    for file in $desired; do
        staged=${{file%/*}}/.${{file##*/}}.staged
        [ ! -f "$staged" ] || mv -fT "$staged" "$file"
    done
    for file in $gone; do restore "$file"; done
    # systemd reads all of its units anew for each, which takes a small machine a second: once for both.
    if [ {reloads} = 1 ] && ! systemctl -q is-enabled {name}; then
        systemctl -q enable --no-reload {name} && enabled=1
    fi
    label_and_reload
    why='does not come up within {bound} s'
    up {verb} {probe}
}}

was=$(systemctl is-active {name})
package=$(rpm -q {name})
enabled=0
if [ -n {idle} ]; then
    end=$(($(seconds) + 5))
    until eval {idle} || [ $(seconds) -ge $end ]; do sleep 0.2; done
    sleep 1 # events that the service has read and not yet passed on can't be seen
fi
[ {stop_first} = 0 ] || timeout {bound} systemctl stop {name}
if update; then
    {then}
    [ $enabled = 1 ] || systemctl -q is-enabled {name} || systemctl -q enable {name}
    rm -rf "$good.new" "$good.old"
    for file in $desired; do put "$file" "$good.new$file"; done
    mv -T "$good" "$good.old"
    mv -T "$good.new" "$good"
    rm -rf "$good.old"
    {{ LC_ALL=C rpm -q {name}; printf '%s\\n' "$read_files"; }} >{fingerprint}
    exit 0
fi
exec >&2
echo "{name} $why: $output"
journalctl --no-pager --output=cat --lines=10 --unit={name}
test ! -f {log} || tail --lines=10 {log}
[ {stop_first} = 0 ] || timeout {bound} systemctl stop {name}
if [ "$(rpm -q {name})" != "$package" ]; then
    output=$({{ {revert}; }} 2>&1) && echo "{name}: its old package is back" ||
        echo "{name}: its old package can't be installed again: $output"
fi
[ $enabled = 0 ] || systemctl -q disable --no-reload {name}
for file in $desired $gone; do
    if [ -f "$good$file" ]; then put "$good$file" "$file"; else restore "$file"; fi
done
label_and_reload
if [ "$was" != active ]; then
    systemctl stop {name}
    echo "{name}: its old files are back; it did not run before, and is stopped"
elif up {verb} 'systemctl is-active {name}'; then
    echo "{name}: its old files are back, and it runs with them"
else
    echo "{name}: its old files are back, and it does not come up with them either: $output"
fi
exit 1
"""


def activation_script(
    unit: Unit, files: Sequence[TextFile], present: UnitState, change: PackageChange | None = None
) -> str:
    """The shell script that changes a unit's package, puts its staged files in place and makes it read them.

    The lines of `desired.unit.reads` come on standard input. When the unit does not come up in time, the
    package and the files that it last ran with are put back, and the script fails with the reason, the last
    lines of the journal and those of the unit's log.
    """
    desired = {file.path: file.sha256 for file in read_by(files, unit.name)}
    gone = [path for path in present["good"] if path not in desired]
    changed = [path for path, sha256 in desired.items() if present["files"].get(path) != sha256]
    unit_changed = any(path.startswith("/etc/systemd/") for path in changed + gone)
    reloads = bool(unit_changed or change or present["service"]["stale"])
    return _ACTIVATE.format(
        name=unit.name,
        desired=shlex.quote(" ".join(desired)),
        gone=shlex.quote(" ".join(gone)),
        reloads=int(reloads),
        reload="systemctl daemon-reload" if reloads else "",
        good=f"{LAST_GOOD}/{unit.name}",
        originals=ORIGINALS,
        record=RECORD,
        fingerprint=fingerprint(unit.name),
        verb=unit.verb,
        probe=shlex.quote(unit.probe),
        reloadable=shlex.quote(unit.reloadable),
        idle=shlex.quote(unit.idle),
        then=unit.then,
        bound=unit.bound,
        log=unit.log,
        stop_first=int(unit.stop_first or change is not None),
        install=change.install if change else ":",
        revert=change.revert if change else ":",
    )


def activation_bound(unit: Unit) -> int:
    """Seconds that the waits of `activation_script` may take: it stops and starts the unit, in some cases when that may be
    reloaded, and, when the unit does not come up, does all this once more."""
    return (4 if unit.reloadable == "true" else 6) * unit.bound


@operation()
def absent(units: list[str]) -> Generator[StringCommand]:
    """
    Stop and disable units of the deploy that this cluster does not need, and remove their files. The record, which
    has the files, is pruned after that.

    + units: the units' names
    """
    recorded = host.get_fact(Record, path=RECORD).get("file", [])
    present = {unit: file for unit in units if (file := f"/etc/systemd/system/{unit}.service") in recorded}
    for unit, file in present.items():
        yield StringCommand(
            f"systemctl disable --now {unit}; rm -rf {file} {staged(file)} "
            f"{LAST_GOOD}/{unit} {fingerprint(unit)}; systemctl daemon-reload"
        )
    if not present:
        host.noop("no unit of an earlier deploy is left")
