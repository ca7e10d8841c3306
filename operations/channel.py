"""What the nodes' health services need to understand each other."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, state
from pyinfra.api import FunctionCommand, Host, State, operation

from cluster import Cluster
from desired.compared import compared_paths
from desired.health import KEY, PEERS
from desired.paths import STATE
from desired.textfile import TextFile
from facts.channel import HeardPeers
from facts.files import Files
from remote.channel_key import ChannelKey, agreed_key
from remote.commands import CommandFailed, log_error, succeeds

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
def key(cluster: Cluster, files: list[TextFile], user: str) -> Generator[FunctionCommand]:
    """
    Give the health service the key that those of the other nodes have; a new one where no node has one.

    A service that hears all others has the same one. Only where it does not, all nodes are asked for theirs.

    + files: all files that the deploy writes, which are read together with the key
    + user: as whom the service runs, which alone may read the key
    """
    present = host.get_fact(Files, paths=compared_paths(files)).get(KEY)
    if present and (present["mode"], present["user"]) == ("400", user):
        heard = host.get_fact(HeardPeers, path=PEERS)
        if all(heard.get(str(peer.address)) for peer in cluster.peers(cluster.node(host.name))):
            host.noop("it hears the other nodes' services, so it has their key")
            return
    agreed = agreed_key(state, cluster)
    if present and (present["mode"], present["user"], present["sha256"]) == ("400", user, agreed.sha256):
        host.noop("it has the other nodes' key")
        return
    yield FunctionCommand(_put, (agreed, user), {})


def _put(state: State, host: Host, agreed: ChannelKey, user: str) -> bool:
    try:
        content = agreed.read()
    except CommandFailed as failure:
        holder = agreed.holder.name if agreed.holder else "this machine"
        log_error(host, f"the key can't be read from {holder}: {failure}; run the deploy again")
        return False
    size = len(content.encode())
    put = _PUT.format(folder=STATE, path=KEY, size=size, sha256=agreed.sha256, user=user)
    return succeeds(host, put, stdin=content)
