"""What the nodes' health services need to understand each other."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host, state
from pyinfra.api import OperationError, StringCommand, operation

from cluster import Cluster
from desired.health import KEY, PEERS
from desired.paths import STATE
from facts.channel import HeardPeers
from facts.files import Files
from remote.channel_key import agreed_key
from remote.commands import CommandFailed

# The key comes over standard input, so that it is in no log and in no list of processes.
_PUT = """\
set -eu
umask 077
( umask 022; mkdir -p {folder} )
new=$(mktemp {folder}/.key.XXXXXX)
trap 'rm -f "$new"' EXIT
head -c {size} >"$new"
echo "{sha256}  $new" | sha256sum --check --status || {{ echo {path}: the upload was interrupted >&2; exit 1; }}
chmod 400 "$new"
chown {user} "$new"
mv -fT "$new" {path}
"""


@operation()
def key(cluster: Cluster, user: str) -> Generator[StringCommand]:
    """
    Give the health service the key that those of the other nodes have; a new one where no node has one.

    A service that hears all others has the same one. Only where it does not, all nodes are asked for theirs.

    + user: as whom the service runs, which alone may read the key
    """
    present = host.get_fact(Files, paths=[KEY]).get(KEY)
    if present and (present["mode"], present["user"]) == ("400", user):
        heard = host.get_fact(HeardPeers, path=PEERS)
        if all(heard.get(str(peer.address)) for peer in cluster.peers(cluster.node(host.name))):
            host.noop("it hears the other nodes' services, so it has their key")
            return
    agreed = agreed_key(state, cluster)
    if present and (present["mode"], present["user"], present["sha256"]) == ("400", user, agreed.sha256):
        host.noop("it has the other nodes' key")
        return
    if not state.is_executing:
        yield StringCommand("true")  # the key itself is read when the run is executed
        return
    try:
        content = agreed.read()
    except CommandFailed as failure:
        raise OperationError(f"the key can't be read from another node: {failure}") from None
    yield StringCommand(
        _PUT.format(
            folder=STATE,
            path=shlex.quote(KEY),
            size=len(content.encode()),
            sha256=agreed.sha256,
            user=user,
        ),
        _stdin=content,
    )
