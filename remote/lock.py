"""One run at a time: the lock that a run takes on all nodes, or on a clone, before its first change.

It is a file in /run that names the run, and the process on the node that serves its ssh session. So a lock is over when that
process is, however the run ended, and nobody has to release it.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api import Host, State

from cluster import Cluster, ClusterError
from desired.maintenance import date_of
from desired.paths import LOCK_FOLDER
from desired.requirements import require_root
from remote.commands import CommandFailed, run
from remote.drain import connected_directors
from remote.machine import read_machine
from remote.operator import operator
from remote.snapshot import before_first_change, reading
from remote.together import for_each

# Builtins of the shell, but for flock(1). The fields of /proc/PID/stat are in proc(5); the process's name, in parentheses,
# may have any characters.
_TAKE = """\
set -u
umask 022
lock={folder}/lock mine={mine} token={token}
mkdir -p {folder}
exec 9>>{folder}/guard
flock -w 10 9 || {{ echo "another run takes the lock at this moment" >&2; exit 1; }}
look() {{ # at the process $1: its `name`, `parent` and `start`
    stat=
    {{ IFS= read -r stat </proc/$1/stat; }} 2>/dev/null || return 1
    name=${{stat#*(}} name=${{name%)*}}
    set -- ${{stat##*) }}
    shift; parent=$1
    shift 18; start=$1
}}
session=$$
while look $session; do
    case $name in sshd* | dropbear*) break ;; esac
    [ "$parent" -gt 1 ] || break
    session=$parent
done
if [ -s $lock ]; then
    {{ read -r process began; IFS= read -r who; }} <$lock
    case $who in
    *$token*) ;;
    *)
        serves=$(look "$process" && echo "$start") || serves=
        if [ -n "$serves" ] && [ "$serves" = "$began" ]; then echo "held $process $who"; exit 0; fi
        echo "stale $process $who"
        ;;
    esac
fi
look $session
printf '%s\\n' "$session $start" "$mine" >$lock
echo taken
"""


@dataclass(frozen=True)
class Holder:
    """A run that has, or had, the lock on a node."""

    by: str
    pid: int
    since: int
    command: str
    session: int
    """The process on the node that serves its ssh session."""

    def __str__(self) -> str:
        return f"{self.by} ({self.command}, process {self.pid} there) has had it since {date_of(self.since)}"


@dataclass(frozen=True)
class _Run:
    """This run, as the lock names it."""

    token: str
    line: str
    clusters: dict[tuple[str, ...], Cluster] = field(default_factory=dict)
    """Those whose nodes it takes the lock on."""
    machines: list[Host] = field(default_factory=list)
    """Others that it takes the lock on."""

    def hosts(self, state: State) -> list[Host]:
        """All that can be reached, in the same order in each run, so that of two that begin at the same time one gets all."""
        found = [host for each in self.clusters.values() for host in connected_directors(state, each)]
        return sorted([*found, *self.machines], key=lambda host: host.name)


_runs: WeakKeyDictionary[State, _Run] = WeakKeyDictionary()
_arming = RLock()


def arm(state: State, cluster: Cluster, only: Host | None = None) -> None:
    """Have this run take the lock on all nodes of this cluster that can be reached, and of each other one that this is called for,
    before it changes anything on any of them.

    Raises `ClusterError` where the user can't be root on one of them, which may be outside the run's limit: what is read there
    would look as if that node were gone.

    + only: take it on this machine alone
    """
    if state not in _runs:
        token = secrets.token_hex(8)
        command = named(sys.argv)
        note = {"by": operator(), "pid": os.getpid(), "since": int(time.time()), "command": command}
        _runs[state] = _Run(token, json.dumps({**note, "token": token}, sort_keys=True))
        before_first_change(state, lambda: _take_all(state))
    if only:
        _runs[state].machines.append(only)
        return
    with _arming:  # the other nodes of the cluster wait while the first one looks
        if cluster.node_names not in _runs[state].clusters:
            _require_root(connected_directors(state, cluster), cluster)
            _runs[state].clusters[cluster.node_names] = cluster


def named(command_line: list[str]) -> str:
    """What a command line runs, without its options: `inventory.py deploy.py`, or its first words where it names no file."""
    program, *words = command_line
    files = [word for word in words if word.endswith(".py")]
    return " ".join(Path(word).name for word in files or words[:2] or [program])


def _require_root(directors: list[Host], cluster: Cluster) -> None:
    for director, machine in zip(directors, for_each(read_machine, directors), strict=True):
        if machine["root"]:  # it has answered
            require_root(cluster.node(director.name), machine)


def take(state: State, cluster: Cluster) -> None:
    """Take the lock on all nodes that can be reached, now. Raises `ClusterError` where another run has it."""
    arm(state, cluster)
    if refusal := _take_all(state):
        raise ClusterError(refusal)


def take_again(state: State, host: Host) -> None:
    """Take the lock on a machine that has been connected to again, where this run has one. Raises `CommandFailed`."""
    if state in _runs and (refusal := _take(host, _runs[state])):
        raise CommandFailed([refusal])


def _take_all(state: State) -> str:
    """Why this run may change nothing; nothing where it has the lock."""
    taken: list[Host] = []
    for host in _runs[state].hosts(state):
        try:
            refusal = _take(host, _runs[state])
        except CommandFailed as failure:
            refusal = f"the lock on {host.name} can't be taken: {failure}"
        if refusal:
            for other in taken:
                run(other, f"rm -f {LOCK_FOLDER}/lock")
            return refusal
        taken.append(host)
    return ""


def _take(host: Host, own: _Run) -> str:
    take = _TAKE.format(folder=LOCK_FOLDER, mine=shlex.quote(own.line), token=shlex.quote(own.token))
    with reading():  # what is known of the host stays true
        lines = run(host, take)
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "held":
            holder = parse(rest)
            return (
                f"another run changes {host.name}: {holder}; wait until it ends. Where it hangs, "
                f"`kill {holder.session}` on {host.name} ends its session, and with it the lock"
            )
        if word == "stale":
            logger.warning(f"{host.name}: the lock of a run that is over is taken; {parse(rest)}")
    return ""


def parse(text: str) -> Holder:
    """What a node says of a lock: the session's process, and the line of the run that took it."""
    session, _, line = text.partition(" ")
    try:
        found: Any = json.loads(line)
    except ValueError:  # the disk was full, or somebody has written it by hand
        found = {}
    found = found if isinstance(found, dict) else {}
    return Holder(
        by=str(found.get("by", "an unknown operator")),
        pid=int(found.get("pid", 0)),
        since=int(found.get("since", 0)),
        command=str(found.get("command", "unknown")),
        session=int(session) if session.isdigit() else 0,
    )
