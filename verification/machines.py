"""What is right and what is wrong on each machine by itself. Pure: it reads nothing."""

from __future__ import annotations

import posixpath

from cluster import API_PORT, Cluster, Node
from desired import firewalld, health, sysctl
from desired.textfile import TextFile
from desired.unit import fingerprint
from desired.units import unit_names
from facts.firewalld import RulesState
from facts.sysctl import Line
from verification.finding import DEPLOY, Finding, Judged, Observations, row_of, runs, several, unread
from verification.observe import Observation, unit_files
from verification.report import Status

HEARTBEAT_LIMIT = 10
"""Seconds without a heartbeat of the health service, which has one a second, after which it counts as stale."""
CLOCK_LEEWAY = 5
"""Seconds that a heartbeat may be in the future: the machine's clock may just have been set."""

_DRY = "`pyinfra inventory.py deploy.py --dry --diff` shows it"


def ssh(cluster: Cluster, observations: Observations) -> Judged:
    """Whether the machine could be looked at."""

    def judge_node(_: Node, seen: Observation) -> Finding:
        if seen.unreachable is None:
            return Finding(Status.OK, "reached")
        return Finding(
            Status.WRONG,
            "no",
            f"can't be looked at: {seen.unreachable}",
            "is it up, and does `ssh` with sudo work from here?",
        )

    return row_of(cluster, observations, "ssh", judge_node)


def services(cluster: Cluster, observations: Observations) -> list[Judged]:
    """Whether each service runs, does its work, starts at boot, and has read the files that it should have."""
    files = {
        node.name: unit_files(cluster, node, seen.el)
        for node in cluster.nodes
        if (seen := observations[node.name]).el
    }
    return [_service(cluster, observations, unit, files) for unit in unit_names(cluster)]


def _service(
    cluster: Cluster, observations: Observations, unit: str, files: dict[str, dict[str, list[TextFile]]]
) -> Judged:
    def judge_node(node: Node, seen: Observation) -> Finding:
        state = seen.services.get(unit) if seen.services else None
        if state is None:
            return unread(f"the state of {unit}", f"systemctl status {unit}")
        if not state["active"]:
            what = "does not run" if state["enabled"] else "does not run, and would not start at boot"
            verb = "start" if state["enabled"] else "enable --now"
            do = f"`systemctl {verb} {unit}`; why it stopped: `journalctl -u {unit}`"
            return Finding(Status.WRONG, "stopped", f"{unit} {what}", do)
        if unit == health.UNIT and (stale := _stale(seen.heartbeat)):
            return stale
        if not state["enabled"]:
            what = f"{unit} runs, but would not start at boot"
            return Finding(Status.WRONG, "disabled", what, f"`systemctl enable {unit}`")
        found = _files(files.get(node.name, {}).get(unit), seen, unit)
        if not found and unit == health.UNIT:
            found = _unheard(cluster, node, observations)
        return found or Finding(Status.OK, "running")

    return row_of(cluster, observations, unit, judge_node)


def _stale(heartbeat: int | None) -> Finding | None:
    """What is wrong with the health service's heartbeat: it runs, but may be frozen."""
    do = f"`systemctl restart {health.UNIT}`"
    if heartbeat is None:
        why = f"{health.REASONS} is missing"
        do = f"`systemd-tmpfiles --create {health.TMPFILES}`, then {do}"
    elif heartbeat > HEARTBEAT_LIMIT:
        why = f"it last renewed its verdicts {heartbeat} s ago"
    elif heartbeat < -CLOCK_LEEWAY:
        why = f"it last renewed its verdicts before the clock was set back, {-heartbeat} s in the future"
    else:
        return None
    what = f"{health.UNIT} runs, but {why}: keepalived goes by old verdicts"
    return Finding(Status.WRONG, "stale", what, do)


def _unheard(cluster: Cluster, node: Node, observations: Observations) -> Finding | None:
    """The nodes whose health services run, but which this one does not hear."""
    heard = observations[node.name].peers or {}
    silent = [
        peer.name
        for peer in cluster.peers(node)
        if heard.get(str(peer.address)) is False and runs(observations[peer.name], health.UNIT)
    ]
    if not silent:
        return None
    what = f"{health.UNIT} hears nothing from {several(silent)}, and finds out later what happens there"
    do = (
        f"{DEPLOY}, which gives all nodes the same key; and let UDP port {API_PORT} through between the nodes"
    )
    return Finding(Status.WARNING, "unheard", what, do)


def _files(desired: list[TextFile] | None, seen: Observation, unit: str) -> Finding | None:
    """What is wrong with the files that a running unit reads, if it reads any of the deploy's.

    The fingerprint says what it had read when the deploy last saw it come up (`desired.unit`).
    """
    state = seen.units.get(unit) if seen.units else None
    if not desired or not state:
        return None
    known = {path: sha256 for sha256, path in (line.split("  ", 1) for line in state["fingerprint"][1:])}
    paths = [file.path for file in desired if file.path in known]
    changed = [path for path in paths if state["files"].get(path) != known[path]]
    if changed:
        what = f"{unit} has not read {several(changed)}, which changed after it came up"
        return Finding(Status.WRONG, "changed", what, f"{_DRY}; {DEPLOY} to turn it back")
    if any(file.staged in state["files"] for file in desired):
        waits = several([file.path for file in desired if file.staged in state["files"]])
        what = f"a deploy was interrupted: new content for {waits} waits for {unit}"
        return Finding(Status.WARNING, "waits", what, DEPLOY)
    if state["fingerprint"] != fingerprint(unit, desired, state["package"]):
        what = f"{unit} runs, but not with {_differs(desired, known, unit)}"
        return Finding(Status.WARNING, "differs", what, f"{_DRY}; {DEPLOY}")
    return None


def _differs(desired: list[TextFile], known: dict[str, str], unit: str) -> str:
    """In what a unit's fingerprint differs from the desired one, in words."""
    other = [file.path for file in desired if known.get(file.path) != file.sha256]
    gone = sorted(set(known) - {file.path for file in desired})
    if other or gone:
        names = several([posixpath.basename(path) for path in other + gone])
        return f"the {names} that inventory.py means"
    return f"the {unit} that is installed now"


def kernel(cluster: Cluster, observations: Observations) -> Judged:
    """Kernel settings, now and at the next boot."""
    desired = sysctl.kernel_settings(cluster)

    def judge_node(_: Node, seen: Observation) -> Finding:
        if not seen.sysctl or not seen.sysctl["runtime"]:
            return unread("kernel settings", f"sysctl {' '.join(desired)}")
        runtime = seen.sysctl["runtime"]
        conf, others = sysctl.conflicting(desired, seen.sysctl["lines"], sysctl.FILE)
        faults = [
            f"{key} is {runtime.get(key) or 'missing'}, not {value}"
            for key, value in sysctl.differing(desired, runtime).items()
        ]
        faults += [f"{line['path']} {_sets(line)}, which wins at the next boot" for line in conf + others]
        if not faults:
            return Finding(Status.OK, "as desired")
        named = ", ".join(dict.fromkeys(line["path"] for line in others))
        do = f"take the line out of {named}, and {DEPLOY}" if others else DEPLOY
        return Finding(Status.WRONG, "differ", "; ".join(faults), do)

    return row_of(cluster, observations, "sysctl", judge_node)


def _sets(line: Line) -> str:
    """What a line of a sysctl.d file does, in words."""
    return f"sets {line['key']} to {line['value']}" if line["value"] else f"leaves {line['key']} unset"


def selinux(cluster: Cluster, observations: Observations) -> Judged:
    """Whether keepalived was denied anything; permissive counts as enforcing, which it may be tomorrow."""

    def judge_node(_: Node, seen: Observation) -> Finding:
        if seen.selinux is None:
            return unread("SELinux's state", "getenforce; ausearch -m avc -c keepalived")
        mode, denied = seen.selinux["mode"].lower(), seen.selinux["denied"]
        if not denied:
            return Finding(Status.OK, mode)
        what = f"SELinux is {mode} and denies keepalived what it needs: {several(denied)}"
        do = (
            "`restorecon -Rv /etc/keepalived /run/keepalived-health`, then `systemctl restart keepalived`; "
            "if it comes back: `ausearch -m avc -c keepalived`"
        )
        return Finding(Status.WRONG, mode, what, do)

    return row_of(cluster, observations, "selinux", judge_node)


def firewall(cluster: Cluster, observations: Observations) -> Judged:
    """The rules in force and those of the next start; with `firewall="none"` they are the user's."""

    def judge_node(node: Node, seen: Observation) -> Finding:
        if cluster.firewall == "none":
            return Finding(Status.OK, "yours")
        if seen.firewall is None:
            if not runs(seen, "firewalld"):  # already reported
                return Finding(Status.WRONG, "none")
            return unread("the firewall's rules", "firewall-cmd --list-rich-rules")
        desired = firewalld.desired_rules(cluster, node)
        lack = firewalld.missing(desired, seen.firewall)
        missing = list(dict.fromkeys(lack["runtime"] + lack["permanent"]))
        text = f"{len(desired) - len(missing)} of {len(desired)}"
        zone = seen.firewall["zone"]
        if missing:
            now, later = lack["runtime"], lack["permanent"]
            when = "now and after a reload" if now == later else "now" if now else "after a reload"
            return Finding(Status.WRONG, text, f"zone {zone} lacks, {when}: {several(missing)}", DEPLOY)
        others = firewalld.unmanaged(desired, seen.firewall, seen.record or {})
        old = [rule for rule in _present(seen.firewall) if rule not in desired and rule not in others]
        if old:
            what = f"zone {zone} still has, from an earlier deploy: {several(old)}"
            return Finding(Status.WRONG, text, what, DEPLOY)
        # firewalld looks at what denies before it looks at what accepts (firewalld.richlanguage(5)).
        deny = [rule for rule in others if {"drop", "reject", "DROP", "REJECT"} & set(rule.split())]
        if deny:
            what = f"others' rules in zone {zone} may keep events out: {several(deny)}"
            return Finding(Status.WARNING, text, what, "leave it, if somebody means it")
        return Finding(Status.OK, text)

    return row_of(cluster, observations, "firewall", judge_node)


def _present(state: RulesState) -> list[str]:
    return list(dict.fromkeys(state["permanent"] + state["runtime"]))
