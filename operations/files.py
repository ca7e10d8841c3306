"""Files whose whole content is the deploy's: checked by their own program first, then put in place in one step.

What a service reads waits beside its final path as `.NAME.staged`, until the service is to start with it
(`operations.services`): a run that ends before leaves the old configuration, on disk too.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Generator, Iterable

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.operations.util.files import generate_color_diff

from desired.paths import ORIGINALS, RECORD
from desired.textfile import TextFile
from facts.files import Files, FileState, FileText, mask
from facts.record import Record
from operations.record import add_entry, remove_entry

# The size is given, since a connection that breaks looks like the end of the file, and pyinfra adds a newline to what it
# sends.
_PUT = """\
set -eu
umask 022
mkdir -p {folder}
work=$(mktemp -d)
new=$(mktemp {folder}/.{base}.XXXXXX)
trap 'rm -rf "$work" "$new"' EXIT
trap 'exit 1' HUP INT TERM
head -c {size} >"$new"
echo "{sha256}  $new" | sha256sum --check --status || {{ echo {path}: the upload was interrupted >&2; exit 1; }}
chown root:root "$new"
chmod {mode} "$new"
{check}
if [ -f {path} ] && ! grep -qsxF {entry} {record}; then
    ( umask 077; mkdir -p {originals}{folder}; cp -p {path} {originals}{path} )
fi
{add_entry}
mv -fT "$new" {target}
{label}
{then}
"""


@operation()
def put(files: list[TextFile]) -> Generator[StringCommand]:
    """These files in their places, each in one step, so that no program ever reads a part of one.

    With `--diff`, the difference is shown, without passwords; the content goes over standard input
    and so into no log and no list of processes.
    """
    paths = [path for file in files for path in ((file.path, file.staged) if file.read_by else (file.path,))]
    present = host.get_fact(Files, paths=paths)
    differing = [file for file in files if present.get(file.path) != file.state]
    if state.config.DIFF:  # of all files at once: a dry run looks no further than the first command
        for file in differing:
            _show_difference(file, present.get(file.path))
    uploads = [file for file in differing if not file.read_by or present.get(file.staged) != file.state]
    # An earlier run was interrupted, and the configuration has been turned back since.
    leftovers = [file.staged for file in files if file not in differing and present.get(file.staged)]
    if leftovers:
        yield StringCommand(f"rm -f {shlex.join(leftovers)}")
    for file in uploads:
        yield _upload(file)
    if not leftovers and not uploads:
        host.noop(f"{', '.join(file.path for file in files)}: as it should be, or waiting for its service")


def _upload(file: TextFile) -> StringCommand:
    target = file.staged if file.read_by else file.path
    return StringCommand(
        _PUT.format(
            folder=shlex.quote(posixpath.dirname(file.path)),
            base=shlex.quote(posixpath.basename(file.path)),
            path=shlex.quote(file.path),
            target=shlex.quote(target),
            size=len(file.content.encode()),
            sha256=file.sha256,
            mode=file.mode,
            check=file.check,
            entry=shlex.quote(f"file {file.path}"),
            record=RECORD,
            originals=ORIGINALS,
            add_entry=add_entry("file", file.path),
            # A staged file is labelled once it is in its place.
            label=":"
            if file.read_by
            else f"! command -v restorecon >/dev/null || restorecon {shlex.quote(target)}",
            then=":" if file.read_by else file.then,
        ),
        _stdin=file.content,
    )


def _show_difference(file: TextFile, present: FileState | None) -> None:
    host.log(f"Will {'modify' if present else 'create'} {file.path}")
    if present:
        desired = file.state
        for key in ("mode", "user", "group"):
            if present[key] != desired[key]:
                logger.info(f"  {key} {present[key]} becomes {desired[key]}")
    if file.secret:
        logger.info("  its content is secret")
        return
    old = [f"{line}\n" for line in host.get_fact(FileText, path=file.path)] if present else []
    new = mask(file.content).splitlines(keepends=True)
    for line in generate_color_diff(old, new):
        logger.info(f"  {line}")
    if present and old == new and present["sha256"] != file.sha256:
        logger.info("  only what is not shown differs: a password, or the end of the last line")


_PRUNE = """\
for file in {files}; do
    rm -f "${{file%/*}}/.${{file##*/}}.staged"
    if [ -f "{originals}$file" ]; then cp -p "{originals}$file" "$file"; else rm -f "$file"; fi
    ! command -v restorecon >/dev/null || [ ! -f "$file" ] || restorecon "$file"
    rpm -qf "${{file%/*}}" >/dev/null 2>&1 || rmdir "${{file%/*}}" 2>/dev/null || true
done
systemctl daemon-reload
"""


def removal(paths: Iterable[str]) -> StringCommand:
    """Take away files that the record has, and put back what stood in their places before."""
    return StringCommand(_PRUNE.format(files=shlex.join(paths), originals=ORIGINALS))


@operation()
def pruned(files: list[TextFile]) -> Generator[StringCommand]:
    """No file of an earlier deploy but `files`: by the record, and with what stood in its place before put back."""
    recorded = host.get_fact(Record, path=RECORD).get("file", [])
    gone = [path for path in recorded if path not in {file.path for file in files}]
    if not gone:
        host.noop("no file of an earlier deploy is left")
        return
    if state.config.DIFF:
        for path in gone:
            host.log(f"Will remove {path}, of an earlier deploy")
    yield removal(gone)
    yield StringCommand(" && ".join(remove_entry("file", path) for path in gone))
