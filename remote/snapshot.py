"""All facts of a host in one round trip, kept until a command may change them.

Each command costs a round trip or two, a login shell and sudo; a deploy would spend most of its time on them. Operations go
on asking `host.get_fact`, and say by `Change` what their commands may change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from gevent.local import local
from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api import FactBase, Host, State, StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.state import StateStage
from pyinfra.connectors.util import CommandOutput, OutputLine

from facts.batch import BatchFacts

Request = tuple[type[FactBase[Any]], dict[str, Any]]
"""A fact, and its arguments."""

_greenlet = local()


class Change(StringCommand):
    """A command that changes nothing but what these facts tell. Any other command may change anything."""

    def __init__(self, command: str, touches: Collection[type[FactBase[Any]]], _stdin: str = "") -> None:
        arguments: ConnectorArguments = {"_stdin": _stdin} if _stdin else {}
        super().__init__(command, **arguments)
        self.touches = touches


@contextmanager
def reading() -> Iterator[None]:
    """Meanwhile, the commands of this greenlet only read: they end no host's snapshot."""
    before, _greenlet.reads = _reads(), True
    try:
        yield
    finally:
        _greenlet.reads = before


def _reads() -> bool:
    return getattr(_greenlet, "reads", False)


_prepare: WeakKeyDictionary[State, Callable[[], str]] = WeakKeyDictionary()
"""By run: what has to be done before its first change."""
_refusals: WeakKeyDictionary[State, str] = WeakKeyDictionary()
_unchanged: WeakSet[State] = WeakSet()
"""The runs that keep what they read, and have given no command yet that may have changed a host."""
_snapshots: WeakKeyDictionary[Host, Snapshot] = WeakKeyDictionary()
_lock = RLock()


def before_first_change(state: State, prepare: Callable[[], str]) -> None:
    """Have this called before the run's first command that may change a host. It returns why nothing may be changed, or
    nothing."""
    _prepare[state] = prepare


def refused(state: State) -> str:
    """Why this run may change nothing; nothing where it may. Called before each change."""
    if not state.is_executing:  # what is run while a run is prepared only reads
        return ""
    with _lock:  # the others wait while the first one prepares
        if prepare := _prepare.pop(state, None):
            refusal = prepare()
            if refusal:
                _refusals[state] = refusal
        return _refusals.get(state, "")


def install(host: Host, requests: list[Request], remembered: Iterable[Request] = ()) -> None:
    """Let `host.get_fact` answer these requests from one round trip, made when the first of them is asked for.

    A command on the host, whoever runs it, ends what it may have changed: all, but for a `Change`. A fact of that is read
    by itself when it is asked for again. What was read while the run was prepared is read anew when it is executed; then
    with what is to be `remembered`, which any change ends.
    """
    host = host.state.inventory.get_host(host.name)  # itself, where pyinfra's current host is given
    snapshot = _snapshots[host] = Snapshot(host, requests, remembered)
    _unchanged.add(host.state)
    vars(host).update(
        get_fact=snapshot.get_fact,
        run_shell_command=snapshot.run_shell_command,
        put_file=snapshot.put_file,
    )


def remembers(state: State) -> bool:
    """Whether this run keeps what it reads, and has given no command that may have changed a host."""
    return state in _unchanged


def remembered(host: Host, requests: Mapping[str, Request]) -> dict[str, Any]:
    """The values of those requests that came with all facts of the host, by the caller's names."""
    snapshot = _snapshots.get(host)
    return snapshot.remembered(requests) if snapshot else {}


class Snapshot:
    """The facts of one host at one time."""

    def __init__(self, host: Host, requests: Iterable[Request], remembered: Iterable[Request]) -> None:
        asked = {_key(*request): request for request in requests}
        every = asked | {_key(*request): request for request in remembered}
        self._names = {key: f"fact{number}" for number, key in enumerate(every)}
        self._asked = {self._names[key]: request for key, request in asked.items()}
        self._every = {self._names[key]: request for key, request in every.items()}
        self._host = host
        self._get_fact = host.get_fact
        self._run_shell_command = host.run_shell_command
        self._put_file = host.put_file
        self._values: dict[str, Any] = {}
        self._stage: StateStage | None = None

    def get_fact(self, fact: Any, *args: Any, **kwargs: Any) -> Any:
        """As pyinfra's `Host.get_fact`."""
        name = self._names.get(_key(fact, kwargs))
        with reading():
            if args or name not in self._asked:
                return self._get_fact(fact, *args, **kwargs)
            state = self._host.state
            if self._stage != state.current_stage:
                self._stage = state.current_stage
                facts = self._every if state.is_executing else self._asked
                # None: the command failed, and pyinfra has said so.
                values: dict[str, Any] | None = self._get_fact(BatchFacts, facts=facts)
                self._values = values or {}
            if name not in self._values:
                self._values[name] = self._get_fact(fact, **kwargs)
            return self._values[name]

    def remembered(self, requests: Mapping[str, Request]) -> dict[str, Any]:
        """Those of the values that are here, by the caller's names."""
        names = {each: self._names.get(_key(*request)) for each, request in requests.items()}
        return {each: self._values[name] for each, name in names.items() if name in self._values}

    def run_shell_command(self, command: Any, *args: Any, **kwargs: Any) -> Any:
        """As pyinfra's `Host.run_shell_command`."""
        if not _reads():
            if refusal := refused(self._host.state):
                return False, CommandOutput([OutputLine("stderr", refusal)])
            self._change(command.touches if isinstance(command, Change) else None)
        return self._run_shell_command(command, *args, **kwargs)

    def put_file(self, *args: Any, **kwargs: Any) -> Any:
        """As pyinfra's `Host.put_file`."""
        if refusal := refused(self._host.state):
            logger.error(f"{self._host.print_prefix}{refusal}")
            return False
        self._change(None)
        return self._put_file(*args, **kwargs)

    def _change(self, touches: Collection[type[FactBase[Any]]] | None) -> None:
        _unchanged.discard(self._host.state)
        kept = self._asked if touches is not None else {}
        self._values = {
            name: value
            for name, value in self._values.items()
            if name in kept and kept[name][0] not in (touches or ())
        }


def _key(fact: Any, arguments: dict[str, Any]) -> str:
    return f"{fact.__module__}.{fact.__qualname__} {sorted(arguments.items(), key=lambda item: item[0])!r}"
