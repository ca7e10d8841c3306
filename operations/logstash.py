"""Logstash's own check of its files (the recipe's step 4)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator
from dataclasses import replace

from pyinfra import host
from pyinfra.api import StringCommand, operation

from desired.logstash import DROP_IN, HOME, UNIT
from desired.paths import LAST_GOOD, ORIGINALS, RECORD, STATE
from desired.textfile import TextFile, read_by
from facts.services import UnitStates
from operations.services import PackageChange

FindChange = Callable[[], PackageChange | None]
"""Inside an operation: what is to become of Logstash's package on the host."""


# All that Logstash will read, as a copy: what is there, what is staged over it, and nothing that an earlier run
# has put there and is no longer meant. As its own user, which 9.x demands, and with folders of its own, so that
# the running one is not touched. The reason of a refusal is on the console, in the log, or in both.
_TEST = """\
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R {home} "$work/settings"
for file in {gone}; do
    copy=$work/settings${{file#{home}}}
    if [ -f "{originals}$file" ]; then
        cp "{originals}$file" "$copy"
    elif grep -qsxF "file $file" {record}; then
        rm -f "$copy"
    fi
done
for file in {desired}; do
    staged=${{file%/*}}/.${{file##*/}}.staged
    [ ! -f "$staged" ] || cp "$staged" "$work/settings${{file#{home}}}"
done
sed -i "s#{home}/#$work/settings/#" "$work/settings/pipelines.yml"
if [ -f "$work/settings/logstash-ha.env" ]; then set -a; . "$work/settings/logstash-ha.env"; set +a; fi
chown -R logstash: "$work"
said=$(runuser -u logstash -- /usr/share/logstash/bin/logstash --config.test_and_exit \
    --path.settings "$work/settings" --path.data "$work/data" --path.logs "$work/logs" 2>&1) || {{
    errors=$({{ printf '%s\\n' "$said"; cat "$work"/logs/*.log; }} 2>/dev/null | grep -E '\\[(ERROR|FATAL)' | sort -u)
    printf 'Logstash refuses it: %s\\n' "${{errors:-$said}}" >&2
    exit 1
}}
"""


@operation()
def accepted(files: list[TextFile], find_change: FindChange = lambda: None) -> Generator[StringCommand]:
    """What waits for Logstash is tested by Logstash itself (`logstash -t`), as a whole.

    `files` are all that the deploy writes. A file that Logstash refuses is never put in its place. Where it is
    to have another version by then (`find_change`), that one tests them, as soon as it is installed.
    """
    if find_change():
        host.noop("its new version is asked, when it is installed")
        return
    test = _test(files)
    if test is None:
        host.noop("nothing new waits for Logstash")
        return
    yield StringCommand(test)


def _test(files: list[TextFile]) -> str | None:
    """The shell command by which Logstash tests what waits for it; None where nothing does."""
    mine = [file for file in read_by(files, UNIT) if file.path.startswith(f"{HOME}/")]
    staged = {UNIT: [file.staged for file in mine]}
    present = host.get_fact(UnitStates, units=staged, fingerprints=STATE, good=LAST_GOOD).get(UNIT)
    gone = sorted(set(present["good"] if present else []) - {file.path for file in mine} - {DROP_IN})
    if present and not present["files"] and not gone:
        return None
    return _TEST.format(
        home=HOME,
        desired=shlex.join(file.path for file in mine),
        gone=shlex.join(gone),
        originals=ORIGINALS,
        record=RECORD,
    )


def tested_change(files: list[TextFile], find: FindChange) -> PackageChange | None:
    """A change of Logstash's package that includes the test of the files by the new version. Inside an operation."""
    change = find()
    test = _test(files) if change else None
    if change is None or test is None:
        return change
    return replace(change, install=f"{change.install} && sh -c {shlex.quote(test)}")
