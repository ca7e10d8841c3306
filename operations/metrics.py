"""The folder where the health service writes metrics for node_exporter."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from desired.health import metrics_file
from desired.paths import RECORD
from facts.record import Record
from operations.record import add_entry

LOOK = """\
set -eu
[ -d {folder} ] || {{ echo 'metrics: there is no folder {folder}: install node_exporter with its textfile collector, or make it' >&2; exit 1; }}
runuser -u {user} -- test -w {folder} ||
    {{ echo 'metrics: the health service can not write into {folder}: setfacl -m u:{user}:rwx {folder}' >&2; exit 1; }}
{add_entry}
"""
"""A shell script that records the file where the folder is usable, and otherwise says what is wrong with it."""


@operation()
def writable(cluster: Cluster, user: str) -> Generator[StringCommand]:
    """
    See that the folder is there, and that the health service may write into it; record the file that it writes there, so that
    it is removed when no metrics are desired any more.

    + user: as whom the service runs
    """
    file = metrics_file(cluster)
    if file is None or file in host.get_fact(Record, path=RECORD).get("file", []):
        host.noop("no metrics are written, or the folder has them already")
        return
    yield StringCommand(
        LOOK.format(folder=shlex.quote(str(cluster.metrics)), user=user, add_entry=add_entry("file", file))
    )
