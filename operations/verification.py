"""The recipe's last step (12): the cluster is checked as verify.py checks it."""

from __future__ import annotations

from collections.abc import Generator
from weakref import WeakKeyDictionary

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, State, operation
from rich.console import Console
from rich.text import Text

from cluster import Cluster, cluster_name, cluster_prefix
from remote.commands import log_error
from remote.session import members_in_run
from verification.finding import several
from verification.inspection import inspect
from verification.report import Report, Status
from verification.show import show

_come: WeakKeyDictionary[State, set[str]] = WeakKeyDictionary()
"""By run: the nodes that are done but for their verification."""


@operation()
def verified(cluster: Cluster) -> Generator[FunctionCommand]:
    """The cluster whole, as verify.py sees it: its table is printed, and the run fails where something is wrong.

    It is called for every node; the last node of the run that comes here looks at all nodes of the run. With `--serial`
    and `--no-wait` a node comes here before others have begun. Nodes outside `--limit` are left out of the verdict. Nothing is looked at while the run is prepared, nor
    when a node has failed in it.
    """
    state = host.state
    in_run = members_in_run(state, cluster)
    left_out = [name for name in cluster.node_names if name not in {member.name for member in in_run}]
    failed = [member.name for member in in_run if member in state.failed_hosts]
    if not state.is_executing:
        names = ", ".join(member.name for member in in_run)
        host.noop(f"{names}: to be verified at the end of the run, as verify.py does it")
    elif not _is_last(state, host, in_run):
        host.noop("another node of this run verifies the cluster")
    elif failed:
        logger.warning(
            f"{host.print_prefix}the cluster is not verified, because {', '.join(failed)} has failed; "
            "fix that and run the deploy again"
        )
    elif reason := _verify(state, host, cluster, left_out):
        yield FunctionCommand(_fail, (reason,), {})
    else:
        host.noop("the cluster is whole")


def _is_last(state: State, host: Host, in_run: list[Host]) -> bool:
    """Whether all other nodes of the run have come here, or have failed."""
    come = _come.setdefault(state, set())
    come.add(host.name)
    return all(member.name in come for member in in_run if member in state.active_hosts)


def _verify(state: State, host: Host, cluster: Cluster, left_out: list[str]) -> str:
    """Print the table, after the cluster's name where there are several; why it is not whole, or nothing where it is."""
    try:
        report = inspect(state, cluster, {}, left_out)
        # Where pyinfra's own lines go: its standard output may be a JSON document.
        console = Console(stderr=True, highlight=False)
        if cluster_prefix(host):
            console.print(Text(cluster_name(host), "bold"))
        show(console, report, None)
    except Exception as error:  # pyinfra would end without results
        return f"the cluster can't be verified: {type(error).__name__}: {error}"
    return "" if report.ok else f"the cluster is not whole: {_problems(report)}; verify.py looks again"


def _problems(report: Report) -> str:
    return several(
        [
            f"{problem.node or 'cluster'}: {problem.what}"
            for problem in report.problems
            if problem.status is not Status.WARNING
        ]
        or ["see the table"]
    )


def _fail(state: State, host: Host, reason: str) -> bool:
    log_error(host, reason)
    return False
