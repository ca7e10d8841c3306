"""Logstash's files, and how Logstash itself checks them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator
from dataclasses import replace

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import OWN_PIPELINE_FILE, Cluster, Input, Node
from facts.record import RECORD
from facts.services import Units
from operations.files import ORIGINALS, TextFile
from operations.services import Unit, Update, no_update

HOME = "/etc/logstash"
SETTINGS = f"{HOME}/logstash.yml"
PIPELINES = f"{HOME}/pipelines.yml"
ENVIRONMENT = f"{HOME}/logstash-ha.env"
DROP_IN = "/etc/systemd/system/logstash.service.d/logstash-ha.conf"
UNIT = "logstash"


def folder(pipeline: str) -> str:
    """Where a pipeline's files are: those of `main` where the package has them (the recipe's step 4)."""
    return f"{HOME}/conf.d" if pipeline == "main" else f"{HOME}/pipelines.d/{pipeline}"


def own_file(pipeline: str) -> str:
    """The deploy's own file in a pipeline."""
    return f"{folder(pipeline)}/{OWN_PIPELINE_FILE}"


def events(pipeline: str) -> str:
    """The sample output of a pipeline that has no files of the user's: one JSON object a line."""
    return f"/var/log/logstash/events{'' if pipeline == 'main' else '-' + pipeline}.json"


def listen(cluster: Cluster, node: Node, input: Input) -> str:
    """Where an input listens: at the node's own address, or at all of them.

    With direct routing events come to the VIP itself, and with two families to two addresses.
    """
    if len(cluster.families) == 1 and input.forwarding != "dr":
        return str(node.address)
    return "0.0.0.0" if cluster.families == (4,) else "::"


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
for file in {meant}; do
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
def accepted(
    files: list[TextFile], update: Callable[[], Update | None] = no_update
) -> Generator[StringCommand]:
    """What waits for Logstash is tested by Logstash itself (`logstash -t`), as a whole.

    `files` are all that the deploy writes. A file that Logstash refuses is never put in its place. Where it is
    to be another version by then (`update`), that one tests them, as soon as it is installed.
    """
    if update():
        host.noop("its new version is asked, when it is installed")
        return
    test = _test(files)
    if test is None:
        host.noop("nothing new waits for Logstash")
        return
    yield StringCommand(test)


def _test(files: list[TextFile]) -> str | None:
    """The shell command by which Logstash tests what waits for it; None where nothing does."""
    mine = [file for file in files if file.read_by == UNIT and file.path.startswith(f"{HOME}/")]
    present = host.get_fact(Units, units={UNIT: [file.staged for file in mine]}).get(UNIT)
    gone = sorted(set(present["good"] if present else []) - {file.path for file in mine} - {DROP_IN})
    if present and not present["files"] and not gone:
        return None
    return _TEST.format(
        home=HOME,
        meant=shlex.join(file.path for file in mine),
        gone=shlex.join(gone),
        originals=ORIGINALS,
        record=RECORD,
    )


def unit(
    cluster: Cluster, listed: str, files: list[TextFile], update: Callable[[], Update | None] = no_update
) -> Unit:
    """Logstash's service; a Java program, it takes tens of seconds to start.

    `listed` succeeds once its API lists every input. It lists an input also when its port is taken, so the
    sockets are looked at, too. `update` tells what is to become of its package.
    """

    def tested() -> Update | None:
        due = update()
        test = _test(files) if due else None
        return replace(due, install=f"{due.install} && sh -c {shlex.quote(test)}") if due and test else due

    udp, tcp = (
        [input.target_port for input in cluster.inputs if protocol in input.protocols]
        for protocol in ("udp", "tcp")
    )
    bound = [
        f"sockets=$(ss -nl{option}p | grep -F pid=$(systemctl show -p MainPID logstash | cut -d = -f 2),)"
        + "".join(
            f" && {{ echo \"$sockets\" | grep -q ':{port} ' || {{ echo port {port} is not bound; false; }}; }}"
            for port in ports
        )
        for option, ports in (("u", udp), ("t", tcp))
        if ports
    ]
    return Unit(
        UNIT,
        probe=" &&\n".join([listed, *bound]),
        bound=180,
        log="/var/log/logstash/logstash-plain.log",
        idle=f"! ss -nlu | awk '$2 > 0 && $4 ~ /:({'|'.join(map(str, udp)) or '-'})$/ {{ found = 1 }} END {{ exit !found }}'",
        update=tested,
    )


def pipelines(files: list[TextFile]) -> list[TextFile]:
    """Of all files, those that Logstash reads beside its logstash.yml."""
    return [file for file in files if file.read_by == UNIT and file.path != SETTINGS]
