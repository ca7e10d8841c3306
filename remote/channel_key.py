"""The key by which the health services of all nodes know each other's messages: it is on the nodes alone."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, defaultdict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from gevent.lock import RLock
from pyinfra.api import Host, State
from pyinfra.api.state import StateStage

from cluster import Cluster
from desired.health import KEY
from facts.files import Files
from remote.commands import CommandFailed, read, run
from remote.drain import connected_directors
from remote.together import for_each

_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class ChannelKey:
    """The cluster's key: its SHA-256, and one node that has it; None where it is a new one."""

    sha256: str
    holder: Host | None
    _new: str = ""

    def read(self) -> str:
        """The key itself. Raises `CommandFailed`."""
        if self.holder is None:
            return self._new
        key = "".join(f"{line}\n" for line in run(self.holder, f"cat {KEY}"))
        if hashlib.sha256(key.encode()).hexdigest() != self.sha256:
            raise CommandFailed([f"{KEY} on {self.holder.name} has just changed"])
        return key


_agreed: WeakKeyDictionary[State, dict[tuple[StateStage | None, tuple[str, ...]], ChannelKey]] = (
    WeakKeyDictionary()
)
_new: dict[tuple[str, ...], str] = defaultdict(lambda: f"{secrets.token_hex(32)}\n")
"""By cluster: the key that it gets where it has none."""
_lock = RLock()


def agreed_key(state: State, cluster: Cluster) -> ChannelKey:
    """The key that most of the cluster's nodes have, those that this run is not limited to among them; a new one where
    none has one. It is looked for once a stage of the run."""
    with _lock:
        agreed = _agreed.setdefault(state, {})
        key = state.current_stage, cluster.node_names
        if key not in agreed:
            agreed[key] = _find(state, cluster)
        return agreed[key]


def _find(state: State, cluster: Cluster) -> ChannelKey:
    members = connected_directors(state, cluster)
    present = for_each(lambda member: (read(member, Files, paths=[KEY]) or {}).get(KEY), members)
    keys = [file["sha256"] if file and file["sha256"] != _EMPTY else None for file in present]
    counted = Counter(key for key in keys if key)
    if not counted:
        new = _new[cluster.node_names]
        return ChannelKey(hashlib.sha256(new.encode()).hexdigest(), None, new)
    most = max(counted, key=lambda key: (counted[key], -keys.index(key)))
    return ChannelKey(most, members[keys.index(most)])
