"""The two ways to run a verification: as a program of its own, and as a file that `pyinfra` runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pyinfra.api import Config, Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_state
from rich.console import Console

from cluster import ClusterError
from cluster.errors import listed
from desired.version import VERSION
from remote import session
from remote.connect import CONNECT_TIMEOUT, connect_hosts, connect_to_nodes, describe_failures
from remote.inventory import chosen_clusters, find_sender, load_cluster, load_clusters, load_inventory
from verification import activity, drift, monitor, page, watch
from verification.activity import Activity
from verification.commandline import GOOD, NOT_SEEN, WRONG, silence_libraries
from verification.delivery import check_size, deliver
from verification.exposed import find_exposed
from verification.inspection import PATIENCE, inspect
from verification.report import Delivery, Report
from verification.show import document, documents, failure, good, show_all

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def main(arguments: list[str]) -> int:
    """Verify as the command line says; the exit status."""
    options = _parse(arguments)
    silence_libraries()
    try:
        if options.drift:
            return _drift(options)
        if options.watch:
            watch.watch(options.inventory, options.cluster)
        found, unseen, goes_on = _verify(options)
    except PyinfraError as error:
        return _not_seen(options, str(error))
    except KeyboardInterrupt:
        return GOOD if options.watch else _not_seen(options, "interrupted")
    report, delivery = next(iter(found.values()))  # the only one, where the form can't show several
    if options.nagios:
        status, text = monitor.plugin(report, delivery)
        print(text)
        return status
    if options.prometheus:
        return _write(monitor.metrics(report, delivery), options.prometheus)
    if options.report:
        try:
            page.write(page.page(report, delivery, goes_on, datetime.now().astimezone()), options.report)
        except OSError as error:
            return _not_written("--report", options.report, error)
    elif options.json:
        several = len(found) + len(unseen) > 1
        print(json.dumps(documents(found, unseen) if several else document(report, delivery), indent=2))
    else:
        show_all(Console(highlight=False), found, unseen)
    if unseen:
        return NOT_SEEN
    return GOOD if all(good(*each) for each in found.values()) else WRONG


def _not_seen(options: argparse.Namespace, error: str) -> int:
    """Report that nothing could be looked at, in the chosen form; the exit status."""
    if options.nagios:
        status, text = monitor.plugin_failure(error)
        print(text)
        return status
    if options.json:
        print(json.dumps(failure(error)))
        return NOT_SEEN
    if options.prometheus:
        _write(monitor.metrics_failure(), options.prometheus)
    print(f"verify: {error}", file=sys.stderr)
    return NOT_SEEN


def _write(metrics: CollectorRegistry, file: Path) -> int:
    """Write the file with the metrics. The exit status is that of the writing, whatever the metrics say."""
    try:
        monitor.write(metrics, file)
    except OSError as error:
        return _not_written("--prometheus", file, error)
    return GOOD


def _not_written(option: str, file: Path, error: OSError) -> int:
    """Report why a file could not be written; the exit status."""
    print(f"verify: {option}: {file}: {error.strerror}; name a file in a folder of yours", file=sys.stderr)
    return NOT_SEEN


def verify_host(state: State, host: Host) -> None:
    """Verify under `pyinfra inventory.py verify.py`, which calls this for each host: the first one looks at all.

    Ends pyinfra with the verdict as the exit status, before pyinfra asks whether to go on: there is nothing to
    change. Raises `ClusterError` when there is, by another file of the same run.
    """
    if state.op_meta:
        raise ClusterError(
            "verify.py: what deploy.py is going to change is not changed yet; run verify.py by itself, after it"
        )
    first = next(member for member in state.inventory if member in state.activated_hosts)
    if host != first:
        return
    for member in state.activated_hosts:
        session.prepare(member)
    clusters = {
        name: cluster
        for name, cluster in chosen_clusters(state.inventory).items()
        if session.members_in_run(state, cluster)
    }
    found = {
        name: (inspect(state, cluster, {}, settling=PATIENCE), None) for name, cluster in clusters.items()
    }
    show_all(Console(highlight=False), found, {})
    sys.exit(GOOD if all(report.ok for report, _ in found.values()) else WRONG)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="verify.py",
        description="Check that the cluster is as inventory.py describes it, and say what is wrong and what to do.",
        epilog="Exit status: 0 all good, or no drift; 1 something is wrong, or drift; 2 could not look. "
        "With --nagios a plug-in's: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. With --prometheus 0 once it is written.",
    )
    parser.add_argument("--version", action="version", version=VERSION, help="print this project's version")
    parser.add_argument("--inventory", default="inventory.py", metavar="FILE", help="default: inventory.py")
    parser.add_argument(
        "--cluster", metavar="NAME", help="one of several clusters in the inventory (default: all)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    form.add_argument("--nagios", action="store_true", help="a plug-in's answer for Nagios and Icinga")
    form.add_argument(
        "--prometheus", type=Path, metavar="FILE", help="write metrics for node_exporter's textfile collector"
    )
    form.add_argument("--watch", action="store_true", help="a live view, until Ctrl-C")
    form.add_argument("--report", type=Path, metavar="FILE", help="write it as one HTML page, with a picture")
    parser.add_argument(
        "--send", type=int, metavar="N", help="send N events to each input at each VIP, too, and count them"
    )
    parser.add_argument(
        "--rate", type=float, default=100, help="events a second that --send sends (default: 100)"
    )
    parser.add_argument(
        "--from", dest="sender", metavar="HOST", help="who sends (default: the first of the group `senders`)"
    )
    parser.add_argument(
        "--drift", action="store_true", help="only list what a deploy would change, by pyinfra's dry run"
    )
    parser.add_argument(
        "--diff", action="store_true", help="with --drift: show the differences of files, too"
    )
    options = parser.parse_args(arguments)
    if options.drift and options.send is not None:
        parser.error("--drift and --send are different questions; ask one of them")
    if options.watch and options.send is not None:
        parser.error("--watch shows what others send; ask for one of --watch and --send")
    if options.drift and (options.nagios or options.prometheus or options.report or options.watch):
        parser.error("--drift answers in words or with --json")
    if options.diff and not options.drift:
        parser.error("--diff is for --drift")
    return options


def _drift(options: argparse.Namespace) -> int:
    """Report what a deploy would change; the exit status."""
    state = State()
    ctx_state.set(state)
    inventory = load_inventory(options.inventory)
    clusters = chosen_clusters(inventory, options.cluster)
    hosts = [inventory.get_host(name) for cluster in clusters.values() for name in cluster.node_names]
    config = Config(CONNECT_TIMEOUT=CONNECT_TIMEOUT, DIFF=options.diff)
    state.init(inventory, config, initial_limit=hosts)
    if reasons := connect_hosts(hosts):
        raise ClusterError(f"can't be reached by ssh: {describe_failures(reasons)}")
    found = drift.find_drift(state, hosts)
    if options.json:
        print(json.dumps(drift.document(found, options.diff), indent=2))
    else:
        print("\n".join(drift.lines(found, options.diff)))
    return GOOD if found.none else WRONG


class _Unseen(ClusterError):
    """A cluster could not be looked at."""


def _verify(
    options: argparse.Namespace,
) -> tuple[dict[str, tuple[Report, Delivery | None]], dict[str, str], Activity]:
    """By cluster: the report on it, and what arrived where events were sent; and why others could not be looked at. And what goes
    on, which only a page shows. Raises `ClusterError`, also where none could be looked at."""
    _, _, clusters = load_clusters(options.inventory, options.cluster)
    if len(clusters) > 1 and (form := _form_of_one(options)):
        raise ClusterError(f"{form}: shows one cluster; name one of {listed(clusters)} with --cluster")
    found, goes_on = {}, Activity({}, ())
    unseen: dict[str, str] = {}
    for name in clusters:
        try:
            report, delivery, goes_on = _verify_cluster(options, name)
        except _Unseen as error:
            unseen[name] = str(error)
        else:
            found[name] = report, delivery
    if not found:
        several = len(unseen) > 1
        raise ClusterError("; ".join(f"{name}: {why}" if several else why for name, why in unseen.items()))
    return found, unseen, goes_on


def _form_of_one(options: argparse.Namespace) -> str | None:
    """The option that asks for a form which has room for one cluster alone."""
    forms = {"--nagios": options.nagios, "--prometheus": options.prometheus, "--report": options.report}
    return next((name for name, chosen in forms.items() if chosen), None)


def _verify_cluster(options: argparse.Namespace, name: str) -> tuple[Report, Delivery | None, Activity]:
    state, inventory, cluster = load_cluster(options.inventory, name)
    sender = None
    if options.send is not None:
        check_size(options.send, options.rate, len(cluster.virtual_servers))
        sender = find_sender(inventory, cluster, options.sender)
    try:
        reasons = connect_to_nodes(state, inventory, cluster, sender)
    except ClusterError as error:
        raise _Unseen(str(error)) from None
    report = inspect(state, cluster, reasons, settling=PATIENCE)
    goes_on = activity.look(state, cluster) if options.report else Activity({}, ())
    if sender is None:
        return report, None, goes_on
    with Console(stderr=True).status(f"sending {options.send} events to each input at each VIP, and waiting"):
        delivery = deliver(state, cluster, report, sender, options.send, options.rate)
        problems = (*delivery.problems, *find_exposed(sender, cluster))
        return report, replace(delivery, problems=problems), goes_on
