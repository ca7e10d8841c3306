"""All facts of a host in one round trip, kept until the first command that may change the host.

Each command costs a round trip or two, a login shell and sudo; a deploy that changes nothing would spend most of its
time on them. Operations go on asking `host.get_fact`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from gevent.local import local
from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api import FactBase, Host, State
from pyinfra.api.state import StateStage
from pyinfra.connectors.util import CommandOutput, OutputLine

from facts.batch import BatchFacts

Request = tuple[type[FactBase[Any]], dict[str, Any]]
"""A fact, and its arguments."""

_greenlet = local()


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


def install(host: Host, requests: list[Request]) -> None:
    """Let `host.get_fact` answer these requests from one round trip, made when the first of them is asked for.

    After the first command on the host that is not a fact's, whoever runs it, each fact is read by itself again. What
    was read while the run was prepared is read anew when it is executed.
    """
    host = host.state.inventory.get_host(host.name)  # itself, where pyinfra's current host is given
    snapshot = Snapshot(host, requests)
    vars(host).update(
        get_fact=snapshot.get_fact,
        run_shell_command=snapshot.run_shell_command,
        put_file=snapshot.put_file,
    )


class Snapshot:
    """The facts of one host at one time."""

    def __init__(self, host: Host, requests: list[Request]) -> None:
        self._host = host
        self._requests = {f"fact{number}": request for number, request in enumerate(requests)}
        self._names = {_key(*request): name for name, request in self._requests.items()}
        self._get_fact = host.get_fact
        self._run_shell_command = host.run_shell_command
        self._put_file = host.put_file
        self._values: dict[str, Any] | None = None
        self._stage: StateStage | None = None
        self._changed = False

    def get_fact(self, fact: Any, *args: Any, **kwargs: Any) -> Any:
        """As pyinfra's `Host.get_fact`."""
        key = _key(fact, kwargs)
        with reading():
            if self._changed or args or key not in self._names:
                return self._get_fact(fact, *args, **kwargs)
            if self._stage != self._host.state.current_stage:
                self._stage = self._host.state.current_stage
                self._values = self._get_fact(BatchFacts, facts=self._requests)
            if self._values is None:  # the command failed, and pyinfra has said so
                return self._get_fact(fact, **kwargs)
            return self._values[self._names[key]]

    def run_shell_command(self, *args: Any, **kwargs: Any) -> Any:
        """As pyinfra's `Host.run_shell_command`."""
        if not _reads():
            if refusal := refused(self._host.state):
                return False, CommandOutput([OutputLine("stderr", refusal)])
            self._changed = True
        return self._run_shell_command(*args, **kwargs)

    def put_file(self, *args: Any, **kwargs: Any) -> Any:
        """As pyinfra's `Host.put_file`."""
        if refusal := refused(self._host.state):
            logger.error(f"{self._host.print_prefix}{refusal}")
            return False
        return self._put_file(*args, **kwargs)


def _key(fact: Any, arguments: dict[str, Any]) -> str:
    return f"{fact.__module__}.{fact.__qualname__} {sorted(arguments.items(), key=lambda item: item[0])!r}"
