"""Files whose whole content the deploy writes: checked by their own programs, then put in place in one step.

A file that a service reads is staged: it waits beside its final path as `.NAME.staged` until the service
restarts (`operations.services`). A run that ends before that leaves the old configuration on disk, too.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Generator, Iterable

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.operations.util.files import generate_color_diff

from desired.compared import compared_paths
from desired.paths import ORIGINALS, RECORD
from desired.textfile import TextFile, of_step
from facts.channel import HeardPeers
from facts.files import Files, FileState, FileText, mask_file
from facts.others import Others
from facts.record import Record
from facts.services import UnitStates
from facts.sysctl import Sysctl
from operations.record import add_entry, remove_entry
from remote.snapshot import Change

_TOUCHED = (Files, HeardPeers, Others, Record, Sysctl, UnitStates)
"""The facts that read files, or what the commands of `TextFile.then` make."""

# A subshell for each file: all of a step in one command, since each command costs far more than that. `head` gets the
# size and reads no further. A connection that breaks looks like the end of the file, so the sum is checked.
_PUT = """\
(
mkdir -p {folder}
work=$(mktemp -d)
new=$(mktemp {folder}/.{base}.XXXXXX)
trap 'rm -rf "$work" "$new"' EXIT
trap 'exit 1' HUP INT TERM
head -c {size}{decode} >"$new"
echo "{sha256}  $new" | sha256sum --check --status || {{ echo {path}: the upload was interrupted >&2; exit 1; }}
chown {owner}:{owner} "$new"
chmod {mode} "$new"
{{
{check}
}} </dev/null
if [ -f {path} ] && ! grep -qsxF {entry} {record}; then
    ( umask 077; mkdir -p {originals}{folder}; cp -p {path} {originals}{path} )
fi
{add_entry}
{keep}
mv -fT "$new" {target}
{label}
{{
{then}
}} </dev/null
)
"""


@operation()
def put(files: list[TextFile], step: int = 0) -> Generator[StringCommand]:
    """
    Put files in place, or stage those that a unit reads, in one step: no program ever reads a part of one.

    With `--diff`, the differences are shown, without passwords. The content is sent over standard input, so
    that it is in no log and in no list of processes.

    + files: all files that the deploy writes, as they should be
    + step: the step whose files are put now
    """
    present = host.get_fact(Files, paths=compared_paths(files))
    files = of_step(files, step)
    differing = [file for file in files if present.get(file.path) != file.state]
    if state.config.DIFF:  # for all files, before the first command: a dry run goes no further
        for file in differing:
            _show_difference(file, present.get(file.path))
    uploads = [file for file in differing if not file.read_by or present.get(file.staged) != file.state]
    # Staged by an interrupted run; since then the configuration has been changed back.
    leftovers = [file.staged for file in files if file not in differing and present.get(file.staged)]
    if leftovers:
        yield Change(f"rm -f {shlex.join(leftovers)}", touches=_TOUCHED)
    if uploads:
        script = "".join(["set -eu\numask 022\n", *map(_put, uploads)])
        yield Change(script, touches=_TOUCHED, _stdin="".join(file.content for file in uploads))
    if not leftovers and not uploads:
        host.noop(f"{', '.join(file.path for file in files)}: as it should be, or waiting for its service")


def _put(file: TextFile) -> str:
    """The shell commands for one file, whose content comes next on standard input."""
    target = file.staged if file.read_by else file.path
    return _PUT.format(
        folder=shlex.quote(posixpath.dirname(file.path)),
        base=shlex.quote(posixpath.basename(file.path)),
        path=shlex.quote(file.path),
        target=shlex.quote(target),
        size=len(file.content.encode()),
        decode=" | base64 -d" if file.in_base64 else "",
        sha256=file.sha256,
        owner=file.owner,
        mode=file.mode,
        check=file.check,
        entry=shlex.quote(f"file {file.path}"),
        record=RECORD,
        originals=ORIGINALS,
        add_entry=add_entry("file", file.path),
        keep=_keep(file),
        # A staged file gets its SELinux label once it is in place.
        label=":"
        if file.read_by
        else f"! command -v restorecon >/dev/null || restorecon {shlex.quote(target)}",
        then=":" if file.read_by else file.then,
    )


def _keep(file: TextFile) -> str:
    """The command that keeps a file as it was. The record has it, so that the end of the deploy removes it."""
    if not file.previous:
        return ":"
    path, previous = shlex.quote(file.path), shlex.quote(file.previous)
    return f"[ ! -f {path} ] || {{ {add_entry('file', file.previous)}; cp -p {path} {previous}; }}"


def _show_difference(file: TextFile, present: FileState | None) -> None:
    host.log(f"Will {'modify' if present else 'create'} {file.path}")
    if present:
        desired = file.state
        for key in ("mode", "user", "group"):
            if present[key] != desired[key]:
                logger.info(f"  {key} {present[key]} becomes {desired[key]}")
    if file.secret or (present and _was_secret(file, present)):
        logger.info("  its content is secret")
        return
    old = [f"{line}\n" for line in host.get_fact(FileText, path=file.path)] if present else []
    new = mask_file(file.content).splitlines(keepends=True)
    for line in generate_color_diff(old, new):
        logger.info(f"  {line}")
    if present and old == new and present["sha256"] != file.sha256:
        logger.info("  only what is not shown differs: a password, or the end of the last line")


def _was_secret(file: TextFile, present: FileState) -> bool:
    """Whether what is on the node may not be shown: not everybody there may read it, and its mode is not the one that this
    file has always had."""
    return not int(present["mode"], 8) & 0o004 and present["mode"] != file.mode


_PRUNE = """\
for file in {files}; do
    rm -f "${{file%/*}}/.${{file##*/}}.staged"
    if [ -f "{originals}$file" ]; then cp -p "{originals}$file" "$file"; else rm -f "$file"; fi
    ! command -v restorecon >/dev/null || [ ! -f "$file" ] || restorecon "$file"
    case $file in */etc/*) # elsewhere, as for metrics, it is a folder of others
        rpm -qf "${{file%/*}}" >/dev/null 2>&1 || rmdir "${{file%/*}}" 2>/dev/null || true ;;
    esac
done
systemctl daemon-reload
"""


def removal(paths: Iterable[str]) -> StringCommand:
    """The command that removes recorded files, or puts back their originals where there are any."""
    return StringCommand(_PRUNE.format(files=shlex.join(paths), originals=ORIGINALS))


@operation()
def pruned(files: list[TextFile], kept: list[str]) -> Generator[StringCommand]:
    """
    Remove recorded files that this deploy does not write, or put back their originals where there are any.

    + files: all files that this deploy writes
    + kept: the paths of recorded files that stay as they are
    """
    recorded = host.get_fact(Record, path=RECORD).get("file", [])
    written = {*(file.path for file in files), *kept}
    obsolete = [path for path in recorded if path not in written]
    if not obsolete:
        host.noop("no file of an earlier deploy is left")
        return
    if state.config.DIFF:
        for path in obsolete:
            host.log(f"Will remove {path}, of an earlier deploy")
    yield removal(obsolete)
    yield StringCommand(" && ".join(remove_entry("file", path) for path in obsolete))
