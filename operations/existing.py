"""What a node had before its first deploy, and the inventory adopts (step 7)."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster
from desired.conflicts import others_arguments
from desired.existing import takes_keepalived
from desired.keepalived import ADOPTED, CONF
from facts.others import Others
from operations.record import add_entry

# global_defs stays behind: keepalived has one set of them, which is the deploy's. The blocks are copied on the machine,
# since there are passwords in them.
_ADOPT = """\
set -eu
umask 077
new=$(mktemp {adopted}.XXXXXX)
trap 'rm -f "$new"' EXIT
echo '# The blocks that were in keepalived.conf before the first deploy. They are yours to change.' >"$new"
[ ! -f {source} ] || awk '
    !inside && $1 ~ /^global_defs/ {{ inside = 1; depth = 0; opened = 0 }}
    inside {{
        text = $0
        sub(/[!#].*/, "", text)
        more = gsub(/{{/, "", text)
        opened += more
        depth += more - gsub(/}}/, "", text)
        if (opened && !depth) inside = 0
        next
    }}
    {{ print }}' {source} >>"$new"
{add_entry}
mv -fT "$new" {adopted}
! command -v restorecon >/dev/null || restorecon {adopted}
"""


@operation()
def adopted(cluster: Cluster) -> Generator[StringCommand]:
    """
    Copy the blocks of others in keepalived.conf into a file that the deploy's own includes, once, where the inventory adopts
    them. keepalived tests both together.

    + cluster: the cluster, whose `existing` says whether they are adopted
    """
    if cluster.existing != "adopt":
        host.noop("nothing is adopted")
        return
    others = host.get_fact(Others, **others_arguments(cluster, cluster.node(host.name)))
    if others.adopted is not None:
        host.noop(f"{ADOPTED} is there")
        return
    source = CONF if takes_keepalived(others) else "/dev/null"
    yield StringCommand(
        _ADOPT.format(
            adopted=shlex.quote(ADOPTED), source=shlex.quote(source), add_entry=add_entry("file", ADOPTED)
        )
    )
