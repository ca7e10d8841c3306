"""What is right and what is wrong on each machine by itself. Pure: it reads nothing."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from cluster import API_PORT, Cluster, Node
from desired import firewalld, health, keepalived, logstash, nftables, reload, sysctl
from desired.requirements import sudo_advice
from desired.textfile import TextFile
from desired.unit import fingerprint
from desired.units import FIREWALLD, unit_names
from facts.sysctl import Line
from verification import packets
from verification.finding import (
    DEPLOY,
    Finding,
    Judged,
    Observations,
    condition,
    row_of,
    runs,
    several,
    unread,
    words,
)
from verification.observe import Observation, unit_files
from verification.report import Status

HEARTBEAT_LIMIT = 10
"""Seconds without a heartbeat of the health service, which has one a second, after which it counts as stale."""
CLOCK_LEEWAY = 5
"""Seconds that a heartbeat may be in the future: the machine's clock may just have been set."""

_DRY = "`pyinfra inventory.py deploy.py --dry --diff` shows it"


def ssh(cluster: Cluster, observations: Observations) -> Judged:
    """Whether the machine could be looked at."""

    def judge_node(node: Node, seen: Observation) -> Finding:
        if seen.unreachable is None:
            return Finding(Status.OK, "reached")
        return Finding(
            Status.WRONG,
            "no",
            f"can't be looked at: {seen.unreachable}",
            sudo_advice(node.name, seen.no_sudo)
            if seen.no_sudo
            else "is it up, and does `ssh` with sudo work from here?",
        )

    return row_of(cluster, observations, "ssh", judge_node)


def services(cluster: Cluster, observations: Observations) -> list[Judged]:
    """Whether each service runs, does its work, starts at boot, and has read the files that it should have."""
    files = {
        node.name: unit_files(cluster, node, seen.el, seen.own_table)
        for node in cluster.nodes
        if (seen := observations[node.name]).el
    }
    some_table = any(seen.own_table for seen in observations.values())
    return [_service(cluster, observations, unit, files) for unit in unit_names(cluster, some_table)]


def _service(
    cluster: Cluster, observations: Observations, unit: str, files: dict[str, dict[str, list[TextFile]]]
) -> Judged:
    def judge_node(node: Node, seen: Observation) -> Finding:
        if unit == nftables.UNIT and not seen.own_table:
            return Finding(Status.OK, "not needed")
        state = seen.services.get(unit) if seen.services else None
        if state is None:
            return unread(f"the state of {unit}", f"systemctl status {unit}")
        masked = condition(seen, unit)["masked"]
        unmask = f"systemctl unmask {unit} && " if masked else ""
        if not state["active"]:
            what = "does not run" if state["enabled"] else "does not run, and would not start at boot"
            verb = "start" if state["enabled"] else "enable --now"
            do = f"`{unmask}systemctl {verb} {unit}`; why it stopped: `journalctl -u {unit}`"
            return Finding(Status.WRONG, "stopped", f"{unit} {what}", do)
        if condition(seen, unit)["frozen"]:
            what = f"{unit} runs, but a process of it is stopped, and does nothing"
            do = f"`systemctl kill -s CONT {unit}`, or `systemctl thaw {unit}` after a `systemctl freeze`"
            return Finding(Status.WRONG, "frozen", what, do)
        if unit == health.UNIT and (stale := _stale(seen.heartbeat)):
            return stale
        if unit == keepalived.UNIT and (deaf := _deaf(cluster, node, seen)):
            return deaf
        if not state["enabled"]:
            what = f"{unit} runs, but {'is masked, and ' if masked else ''}would not start at boot"
            return Finding(Status.WRONG, "disabled", what, f"`{unmask}systemctl enable {unit}`")
        found = _files(files.get(node.name, {}).get(unit), seen, unit)
        if not found and unit == logstash.UNIT and cluster.existing != "adopt":
            found = _joined(files.get(node.name, {}).get(unit), seen)
        if not found and unit == health.UNIT:
            found = _unheard(cluster, node, observations)
        found = found or _overridden(seen, unit)
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


def _deaf(cluster: Cluster, node: Node, seen: Observation) -> Finding | None:
    """What is wrong with the sockets of a keepalived that runs: without them it never becomes MASTER."""
    if seen.advert_sockets is None:
        return None
    missing = [f"IPv{version}" for version in cluster.families if version not in seen.advert_sockets]
    if not missing:
        return None
    what = (
        f"keepalived has no socket for adverts of {words(missing)}, and can't take the VIP: "
        f"{_interfaces(cluster, node)} was made anew, or had no address when keepalived started"
    )
    do = f"`systemctl {reload.verb(seen.el or 0)} keepalived`; the health service should do that: `systemctl status {reload.UNIT}.path`"
    return Finding(Status.WRONG, "deaf", what, do)


def _interfaces(cluster: Cluster, node: Node) -> str:
    """The interfaces that adverts go through."""
    return " or ".join(dict.fromkeys(cluster.vrrp_interface(vip, node) for vip in cluster.vips))


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


def _joined(desired: list[TextFile] | None, seen: Observation) -> Finding | None:
    """The files of others that Logstash reads into its pipelines."""
    ours = {file.path for file in desired or []}
    others = [path for path in seen.pipeline_files or [] if path not in ours]
    if not desired or not others:
        return None
    what = f"{several(others)} is not the deploy's, and Logstash's next start makes it a part of the pipeline"
    do = (
        "move it out of that folder; where the pipeline needs it, name it in `pipelines` in inventory.py, "
        f"or set existing='adopt', and {DEPLOY}"
    )
    return Finding(Status.WARNING, "joined", what, do)


def _overridden(seen: Observation, unit: str) -> Finding | None:
    """The files of others that change a unit of the deploy's, or keepalived's."""
    if unit in (logstash.UNIT, FIREWALLD):  # these have settings that are their owner's
        return None
    others = [path for path in condition(seen, unit)["drop_ins"] if path != keepalived.DROP_IN]
    if not others:
        return None
    what = f"{several(others)} is not the deploy's, and changes how {unit} runs"
    do = (
        "leave it, if somebody means it; otherwise remove it, then "
        f"`systemctl daemon-reload && systemctl restart {unit}`"
    )
    return Finding(Status.WARNING, "overridden", what, do)


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

    def judge_node(node: Node, seen: Observation) -> Finding:
        desired = sysctl.kernel_settings(cluster, node)
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
        boot = seen.selinux["boot"]
        if not denied and "disabled" != mode != (boot or mode):
            what = f"SELinux is {mode} now, and {boot} after the next boot"
            do = (
                f"`sed -i s/^SELINUX=.*/SELINUX={mode}/ /etc/selinux/config`"
                if mode == "enforcing"
                else "`setenforce 1`, then verify again"
            )
            return Finding(Status.WARNING, mode, what, do)
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
        if seen.firewall["state"] == "FAILED":
            what = "firewalld could not load its configuration, and has fallen back to its stock rules; keepalived waits"
            do = (
                "`journalctl -u firewalld` names what it can't load; take that out of the permanent configuration "
                "(`firewall-offline-cmd`), then `systemctl restart firewalld`"
            )
            return Finding(Status.WRONG, "failed", what, do)
        if seen.own_table and seen.table is None:
            return unread("the table of our own", f"nft list table ip {nftables.TABLE}")
        present, record = seen.firewall, seen.record or {}
        if denied := firewalld.denied_sources(cluster, present):
            what = "; ".join(one.what for one in denied[:3])
            return Finding(Status.WRONG, "denied", what, denied[0].do)
        placed = firewalld.placed_rules(cluster, node, present, seen.own_table)
        translating = nftables.rules(cluster, node) if seen.own_table else []
        untranslated = nftables.missing(translating, seen.table or [])
        lacking = firewalld.missing(placed, present)
        zones = {
            zone: {name: lack.get(zone, []) for name, lack in lacking.items()}
            for zone in placed
            if any(zone in lack for lack in lacking.values())
        }
        count = sum(map(len, placed.values())) + len(translating)
        missing = sum(len({*lack["runtime"], *lack["permanent"]}) for lack in zones.values())
        text = f"{count - missing - len(untranslated)} of {count}"
        zone = present["zone"]
        if untranslated:
            what = f"nftables' table {nftables.TABLE} lacks: {several(untranslated)}"
            return Finding(Status.WRONG, text, what, f"`systemctl restart {nftables.UNIT}`, or {DEPLOY}")
        if zones:
            what = "; ".join(_lacks(f"zone {name}", lack) for name, lack in zones.items())
            return Finding(Status.WRONG, text, what, DEPLOY)
        changes = firewalld.set_changes(cluster, present)
        if wrong := [fault for name, each in changes.items() if (fault := _set_fault(f"ipset {name}", each))]:
            return Finding(Status.WRONG, text, "; ".join(wrong), DEPLOY)
        if extra := nftables.extra(translating, seen.table or []):
            what = f"nftables' table {nftables.TABLE} still has, from an earlier deploy: {several(extra)}"
            return Finding(Status.WRONG, text, what, DEPLOY)
        if seen.chains is None:
            return unread("the rules of iptables", "iptables-save")
        others = firewalld.unmanaged(placed, present, record)
        old = firewalld.obsolete(placed, present, record)
        if old:
            what = "; ".join(
                f"zone {name} still has, from an earlier deploy: {several(rules)}"
                for name, rules in old.items()
            )
            return Finding(Status.WRONG, text, what, DEPLOY)
        if found := packets.decide(cluster, node, seen, others):
            return replace(found, text=text)
        # firewalld looks at what denies before it looks at what accepts (firewalld.richlanguage(5)).
        deny = [rule for rule in others[zone] if {"drop", "reject", "DROP", "REJECT"} & set(rule.split())]
        if deny:
            what = f"others' rules in zone {zone} may keep events out: {several(deny)}"
            remove = packets.removal(deny[0], present, zone)
            return Finding(Status.WARNING, text, what, f"leave it, if somebody means it; otherwise {remove}")
        return Finding(Status.OK, text)

    return row_of(cluster, observations, "firewall", judge_node)


def _lacks(place: str, lack: dict[str, list[str]]) -> str:
    """What a zone or an ipset lacks, and in which configuration."""
    now, later = lack["runtime"], lack["permanent"]
    when = "now and after a reload" if now == later else "now" if now else "after a reload"
    return f"{place} lacks, {when}: {several(list(dict.fromkeys(now + later)))}"


def _set_fault(place: str, changes: dict[str, firewalld.SetChange | None]) -> str | None:
    """What is wrong with an ipset, in words."""
    if None in changes.values():
        where = "now" if changes["runtime"] is None else "after a reload"
        return f"firewalld has no {place} {where}"
    found = {name: change for name, change in changes.items() if change is not None}
    lack = {name: change.missing for name, change in found.items()}
    if any(lack.values()):
        return _lacks(place, lack)
    extra = list(dict.fromkeys(entry for change in found.values() for entry in change.extra))
    return f"{place} still has {several(extra)}" if extra else None
