"""Logstash's own check of its files (the recipe's step 4)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator
from dataclasses import replace

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import OWN_PIPELINE_FILE
from desired.compared import compared_paths, unit_states
from desired.logstash import DROP_IN, ENVIRONMENT, HOME, TLS, UNIT
from desired.paths import ORIGINALS, RECORD
from desired.textfile import TextFile, read_by
from facts.files import Files
from facts.services import UnitStates
from operations.services import PackageChange
from remote.snapshot import Change

FindChange = Callable[[], PackageChange | None]
"""A function that an operation calls: it returns the change of Logstash's package on its host, or None."""


# An EnvironmentFile as systemd reads it (systemd.exec(5)), as commands for a shell, which would read it otherwise: a value
# may have spaces without quotes, and nothing in it is expanded. A quoted value must be in one line.
_EXPORTS = r"""
{
    text = text $0
    if (match(text, /\\+$/) && RLENGTH % 2) { text = substr(text, 1, length(text) - 1); next }
    line = text
    text = ""
    sub(/^[ \t]+/, "", line)
    start = index(line, "=") + 1
    name = substr(line, 1, start - 2)
    sub(/[ \t]+$/, "", name)
    if (name !~ /^[A-Za-z_][A-Za-z0-9_]*$/) next
    value = ""
    state = "before"
    kept = 0
    for (i = start; i <= length(line); i++) {
        c = substr(line, i, 1)
        if (state == "quoted") {
            if (c == quote) { state = "before"; kept = length(value) }
            else if (c == "\\" && quote == "\"" && index("\"\\`$", substr(line, i + 1, 1))) value = value substr(line, ++i, 1)
            else value = value c
        }
        else if (c == "\\") { value = value substr(line, ++i, 1); state = "value"; kept = length(value) }
        else if (state == "before" && (c == "\"" || c == "\047")) { quote = c; state = "quoted" }
        else if (c != " " && c != "\t") { value = value c; state = "value"; kept = length(value) }
        else if (state == "value") value = value c
    }
    value = substr(value, 1, kept)
    gsub(/\047/, "\047\"\047\"\047", value)
    printf "export %s=\047%s\047\n", name, value
}
"""

# Logstash tests a copy of all that it will read: the files in place, the staged ones over them, and none that
# an earlier deploy has put there and this one does not write. It runs as its own user, which 9.x demands, and
# with folders of its own, so that the running Logstash is not touched. It has its service's environment: the unit's,
# then that of the files which the unit reads, where a keystore's password may be, and last our own. The reason for a
# refusal is on the console, in the log, or in both; that of a setting is on the console only, and the log says `exit`.
_TEST = """\
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R {home} "$work/settings"
for file in {obsolete}; do
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
sed -i "s#\"{tls}/#\"$work/settings/{tls_name}/#" "$work/settings/logstash.yml"
find "$work/settings" -name {own_file} -exec sed -i "s#\"{tls}/#\"$work/settings/{tls_name}/#" {{}} +
environment=$({{
    set +e # a file that is missing is none to read
    systemctl cat {unit} | sed -n 's/^Environment=//p' | xargs -r -n 1 printf '%s\\n'
    systemctl show -p EnvironmentFiles {unit} | sed -n 's/^EnvironmentFiles*=\\(.*\\) (ignore_errors=.*/\\1/p' |
        while read -r file; do [ "$file" = {environment} ] || {{ cat "$file"; echo; }}; done
    cat "$work/settings/{environment_name}"
}} 2>/dev/null | awk {exports})
chown -R logstash: "$work"
set -- "$(command -v runuser)" -u logstash -- /usr/share/logstash/bin/logstash --config.test_and_exit \
    --path.settings "$work/settings" --path.data "$work/data" --path.logs "$work/logs"
output=$(eval "$environment"; "$@" 2>&1) || {{
    errors=$({{ printf '%s\\n' "$output"; cat "$work"/logs/*.log; }} 2>/dev/null |
        grep -E '\\[(ERROR|FATAL)|^[^[].*(invalid|ERROR)' | grep -v '(SystemExit) exit' | sort -u)
    printf 'Logstash refuses it: %s\\n' "${{errors:-$output}}" >&2
    exit 1
}}
"""


@operation()
def accepted(
    files: list[TextFile], units: list[str], find_change: FindChange = lambda: None
) -> Generator[StringCommand]:
    """
    Have Logstash test its staged files together with all else that it will read (`logstash -t`).

    A file that Logstash refuses is never put in place. Where Logstash itself is to change to another version,
    the new version tests the files as soon as it is installed (`tested_change`).

    + files: all files that the deploy writes
    + units: the names of all units that it starts
    + find_change: returns the change of Logstash's package on this host, or None
    """
    if find_change():
        host.noop("its new version tests them when it is installed")
        return
    test = _test(files, units)
    if test is None:
        host.noop("nothing new is staged for Logstash")
        return
    yield Change(test, touches=[])


def _test(files: list[TextFile], units: list[str]) -> str | None:
    """The shell command by which Logstash tests its staged files; None where nothing is new."""
    own = [file for file in read_by(files, UNIT) if file.path.startswith(f"{HOME}/")]
    present = host.get_fact(Files, paths=compared_paths(files))
    last_good = host.get_fact(UnitStates, **unit_states(units, files))[UNIT]["good"]
    obsolete = sorted(set(last_good) - {file.path for file in own} - {DROP_IN})
    if not obsolete and not any(present.get(file.staged) for file in own):
        return None
    return _TEST.format(
        home=HOME,
        unit=UNIT,
        own_file=OWN_PIPELINE_FILE,
        tls=TLS,
        tls_name=TLS.removeprefix(f"{HOME}/"),
        environment=ENVIRONMENT,
        environment_name=ENVIRONMENT.removeprefix(f"{HOME}/"),
        exports=shlex.quote(_EXPORTS),
        desired=shlex.join(file.path for file in own),
        obsolete=shlex.join(obsolete),
        originals=ORIGINALS,
        record=RECORD,
    )


def tested_change(files: list[TextFile], units: list[str], find: FindChange) -> PackageChange | None:
    """The change that `find` returns, with a test of the files by the new version; for use in an operation."""
    change = find()
    test = _test(files, units) if change else None
    if change is None or test is None:
        return change
    return replace(change, install=f"{change.install} && sh -c {shlex.quote(test)}")
