"""Files whose whole content is ours: checked by their own program first, then put in place in one step.

What a service reads waits beside its place as `.NAME.staged`, until the service is to start with it
(`operations.services`): a run that ends before leaves the old configuration, on disk too.
"""

from __future__ import annotations

import hashlib
import posixpath
import shlex
from collections.abc import Generator
from dataclasses import dataclass

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.operations.util.files import generate_color_diff

from facts.files import Files, FileState, Text, mask
from facts.record import RECORD, STATE
from operations.record import note

ORIGINALS = f"{STATE}/original"
"""What stood in a file's place before the deploy's first one, under the file's path."""


def waiting(path: str) -> str:
    """Where a file waits for the service that is to read it."""
    folder, base = posixpath.split(path)
    return f"{folder}/.{base}.staged"


@dataclass(frozen=True)
class TextFile:
    """A file of root's, as it is meant to be."""

    path: str
    content: str
    mode: str = "644"
    check: str = ":"
    """A shell command that must succeed first. `$new` is the new file, `$work` an empty folder."""
    read_by: str = ""
    """The unit that must start anew (`activation.roll`) to read it; until then it is staged."""
    then: str = ":"
    """A shell command to run as soon as the file is in place."""
    secret: bool = False
    """Whether its content is shown to nobody."""

    @property
    def sha256(self) -> str:
        """Of the content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @property
    def staged(self) -> str:
        """Where it waits for its unit."""
        return waiting(self.path)

    @property
    def wanted(self) -> FileState:
        """The state it is to have."""
        return FileState(mode=self.mode, user="root", group="root", sha256=self.sha256)


# All of the content has to be there: a connection that broke looks like the end of the file. And no more than that:
# pyinfra ends what it sends with a newline.
_PUT = """\
set -eu
umask 022
mkdir -p {folder}
work=$(mktemp -d)
new=$(mktemp {folder}/.{base}.XXXXXX)
trap 'rm -rf "$work" "$new"' EXIT
trap 'exit 1' HUP INT TERM
head -c {size} >"$new"
echo "{sha256}  $new" | sha256sum --check --status || {{ echo {path}: the upload broke off >&2; exit 1; }}
chown root:root "$new"
chmod {mode} "$new"
{check}
if [ -f {path} ] && ! grep -qsxF {noted} {record}; then
    ( umask 077; mkdir -p {originals}{folder}; cp -p {path} {originals}{path} )
fi
{note}
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
    differing = [file for file in files if present.get(file.path) != file.wanted]
    if state.config.DIFF:  # of all files at once: a dry run looks no further than the first command
        for file in differing:
            _show_difference(file, present.get(file.path))
    uploads = [file for file in differing if not file.read_by or present.get(file.staged) != file.wanted]
    # An earlier run was broken off, and the configuration has been turned back since.
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
            noted=shlex.quote(f"file {file.path}"),
            record=RECORD,
            originals=ORIGINALS,
            note=note("file", file.path),
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
        wanted = file.wanted
        for key in ("mode", "user", "group"):
            if present[key] != wanted[key]:
                logger.info(f"  {key} {present[key]} becomes {wanted[key]}")
    if file.secret:
        logger.info("  its content is secret")
        return
    old = [f"{line}\n" for line in host.get_fact(Text, path=file.path)] if present else []
    new = mask(file.content).splitlines(keepends=True)
    for line in generate_color_diff(old, new):
        logger.info(f"  {line}")
    if present and old == new and present["sha256"] != file.sha256:
        logger.info("  only what is not shown differs: a password, or the end of the last line")
