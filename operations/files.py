"""Files whose whole content is ours: checked by their own program first, then put in place in one step."""

from __future__ import annotations

import hashlib
import posixpath
import shlex
from collections.abc import Generator
from dataclasses import dataclass

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.operations.util.files import generate_color_diff

from facts.files import File, FileState, Text, mask
from facts.services import MARKERS


@dataclass(frozen=True)
class TextFile:
    """A file of root's, as it is meant to be."""

    path: str
    content: str
    mode: str = "644"
    check: str = ":"
    """A shell command that must succeed first. `$new` is the new file, `$work` an empty folder."""
    read_by: str = ""
    """The unit that must start anew (`services.up`) to read it."""
    then: str = ":"
    """A shell command to run as soon as the file is in place."""

    @property
    def sha256(self) -> str:
        """Of the content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()


# All of the content has to be there: a connection that broke looks like the end of the file to `cat`.
_PUT = """\
set -eu
umask 022
mkdir -p {folder}
work=$(mktemp -d)
new=$(mktemp {folder}/.{base}.XXXXXX)
trap 'rm -rf "$work" "$new"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$new"
echo "{sha256}  $new" | sha256sum --check --status || {{ echo {path}: the upload broke off >&2; exit 1; }}
chown root:root "$new"
chmod {mode} "$new"
{check}
{forget}
mv -fT "$new" {path}
! command -v restorecon >/dev/null || restorecon {path}
{then}
"""


@operation()
def put(file: TextFile) -> Generator[StringCommand]:
    """This file in its place, in one step, so that no program ever reads a part of it.

    With `--diff`, the difference is shown, without passwords; the content goes over standard input
    and so into no log and no list of processes.
    """
    present = host.get_fact(File, path=file.path)
    wanted = FileState(mode=file.mode, user="root", group="root", sha256=file.sha256)
    if present == wanted:
        host.noop(f"{file.path} is as it should be")
        return
    if state.config.DIFF:
        _show_difference(file, present, wanted)
    yield StringCommand(
        _PUT.format(
            folder=shlex.quote(posixpath.dirname(file.path)),
            base=shlex.quote(posixpath.basename(file.path)),
            path=shlex.quote(file.path),
            sha256=file.sha256,
            mode=file.mode,
            check=file.check,
            forget=f"rm -f {MARKERS}/{file.read_by}.sha256" if file.read_by else ":",
            then=file.then,
        ),
        _stdin=file.content,
    )


def _show_difference(file: TextFile, present: FileState | None, wanted: FileState) -> None:
    host.log(f"Will {'modify' if present else 'create'} {file.path}")
    if present:
        for key in ("mode", "user", "group"):
            if present[key] != wanted[key]:
                logger.info(f"  {key} {present[key]} becomes {wanted[key]}")
    old = [f"{line}\n" for line in host.get_fact(Text, path=file.path)] if present else []
    new = mask(file.content).splitlines(keepends=True)
    for line in generate_color_diff(old, new):
        logger.info(f"  {line}")
    if present and old == new and present["sha256"] != wanted["sha256"]:
        logger.info("  only what is not shown differs: a password, or the end of the last line")
