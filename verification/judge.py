"""What is right and what is wrong, from what was seen on the nodes. Pure: it looks at nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from cluster import Cluster, Input, Node
from facts.firewalld import RichRulesState
from facts.health import HealthState
from facts.ipvs import VirtualServerState
from facts.selinux import BooleanState
from facts.services import ServiceState
from facts.sysctl import CONF, SysctlState
from operations import firewalld, sysctl
from operations.selinux import BOOLEAN

UNITS = ("logstash", "keepalived", "firewalld")

_DEPLOY = "run the deploy again"


class Status(StrEnum):
    """Of a cell or a problem. The verdict is good with `ok` and `warning` only."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Observation:
    """What was seen on one node. None is what could not be read."""

    unreachable: str | None = None
    """Why nothing could be read at all."""
    services: dict[str, ServiceState] | None = None
    sysctl: SysctlState | None = None
    selinux: BooleanState | None = None
    firewall: RichRulesState | None = None
    health: HealthState | None = None
    virtual_servers: list[VirtualServerState] | None = None
    interfaces: list[str] | None = None
    """Those that carry the VIP."""


@dataclass(frozen=True)
class Cell:
    """One check on one node, in a word or two."""

    status: Status
    text: str


@dataclass(frozen=True)
class Row:
    """One check on each node, by name. `input` is the input's id where the check is of one."""

    check: str
    input: str | None
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Problem:
    """What is wrong and what to do, in words. `node` is None where it is the whole cluster's."""

    status: Status
    check: str
    node: str | None
    what: str
    do: str


@dataclass(frozen=True)
class Report:
    """The verdict on a cluster, from the ground up: causes come before what follows from them."""

    vip: str
    nodes: tuple[str, ...]
    holders: tuple[str, ...]
    """The nodes that hold the VIP: one, when all is well."""
    pool: dict[str, tuple[str, ...]]
    """By input id: the nodes that the VIP's holder spreads events over."""
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and nothing could not be read."""
        cells = [cell.status for row in self.rows for cell in row.cells.values()]
        return {*cells, *(problem.status for problem in self.problems)} <= {Status.OK, Status.WARNING}

    @property
    def may_settle(self) -> bool:
        """Whether all that is wrong may be over in a moment: a slow answer, keepalived following a change."""
        wrong = {problem.check for problem in self.problems if problem.status is not Status.WARNING}
        return bool(wrong) and wrong <= {"health", "ipvs", "vip"}


@dataclass(frozen=True)
class _Finding:
    """A cell, and its problem's words where there is one to tell."""

    status: Status
    text: str
    what: str = ""
    do: str = ""


Observations = dict[str, Observation]
_Judged = tuple[Row, list[Problem]]


def judge(cluster: Cluster, observations: Observations) -> Report:
    """The report on what was seen on each of the cluster's nodes, by name."""
    holders = tuple(name for name, seen in observations.items() if seen.interfaces)
    director = observations[holders[0]] if len(holders) == 1 else Observation()
    pool = {input.id: _pool(cluster, input, director) for input in cluster.inputs}
    judged = [
        _ssh(cluster, observations),
        *(_service(cluster, observations, unit) for unit in UNITS),
        _sysctl(cluster, observations),
        _selinux(cluster, observations),
        _firewall(cluster, observations),
        *(_health(cluster, observations, input) for input in cluster.inputs),
        *(_ipvs(cluster, observations, input) for input in cluster.inputs),
        _vip(cluster, observations, holders),
    ]
    problems = [problem for _, found in judged for problem in found]
    problems += _no_script(observations) + _strangers(cluster, observations)
    problems += [
        Problem(
            Status.WRONG,
            "ipvs",
            holders[0],
            f"nobody takes {input}: all its events are lost",
            "mend what is above",
        )
        for input, nodes in pool.items()
        if len(holders) == 1 and not nodes
    ]
    return Report(
        vip=str(cluster.vip),
        nodes=tuple(node.name for node in cluster.nodes),
        holders=holders,
        pool=pool,
        rows=tuple(row for row, _ in judged),
        problems=tuple(problems),
    )


def _each(
    cluster: Cluster,
    observations: Observations,
    check: str,
    look: Callable[[Node, Observation], _Finding],
    input: Input | None = None,
) -> _Judged:
    """A check that needs one node's observation only; on a node that was not reached all is unknown."""
    cells: dict[str, Cell] = {}
    problems: list[Problem] = []
    for node in cluster.nodes:
        seen = observations[node.name]
        found = _Finding(Status.UNKNOWN, "?") if seen.unreachable and check != "ssh" else look(node, seen)
        cells[node.name] = Cell(found.status, found.text)
        if found.what:
            problems.append(Problem(found.status, check, node.name, found.what, found.do))
    return Row(check, input.id if input else None, cells), problems


def _unread(what: str, command: str) -> _Finding:
    return _Finding(Status.UNKNOWN, "?", f"{what} could not be read", f"look by hand: `{command}`")


def _ssh(cluster: Cluster, observations: Observations) -> _Judged:
    def look(_: Node, seen: Observation) -> _Finding:
        if seen.unreachable is None:
            return _Finding(Status.OK, "reached")
        return _Finding(
            Status.WRONG,
            "no",
            f"can't be looked at: {seen.unreachable}",
            "is it up, and does `ssh` with sudo work from here?",
        )

    return _each(cluster, observations, "ssh", look)


def _service(cluster: Cluster, observations: Observations, unit: str) -> _Judged:
    def look(_: Node, seen: Observation) -> _Finding:
        state = seen.services.get(unit) if seen.services else None
        if state is None:
            return _unread(f"the state of {unit}", f"systemctl status {unit}")
        if not state["active"]:
            what = "does not run" if state["enabled"] else "does not run, and would not start at boot"
            verb = "start" if state["enabled"] else "enable --now"
            do = f"`systemctl {verb} {unit}`; why it stopped: `journalctl -u {unit}`"
            return _Finding(Status.WRONG, "stopped", f"{unit} {what}", do)
        if not state["enabled"]:
            return _Finding(
                Status.WRONG,
                "disabled",
                f"{unit} runs, but would not start at boot",
                f"`systemctl enable {unit}`",
            )
        return _Finding(Status.OK, "running")

    return _each(cluster, observations, unit, look)


def _sysctl(cluster: Cluster, observations: Observations) -> _Judged:
    meant = sysctl.SETTINGS

    def look(_: Node, seen: Observation) -> _Finding:
        if not seen.sysctl or not seen.sysctl["runtime"]:
            return _unread("kernel settings", f"sysctl {' '.join(meant)}")
        runtime, conf = seen.sysctl["runtime"], seen.sysctl["conf"]
        faults = [
            f"{key} is {runtime.get(key, 'missing')}, not {value}"
            for key, value in meant.items()
            if runtime.get(key) != value
        ]
        faults += [
            f"{CONF} sets {key} to {conf[key]}, which wins at the next boot"
            for key, value in meant.items()
            if conf.get(key, value) != value
        ]
        if faults:
            return _Finding(Status.WRONG, "differ", "; ".join(faults), _DEPLOY)
        return _Finding(Status.OK, "as meant")

    return _each(cluster, observations, "sysctl", look)


def _selinux(cluster: Cluster, observations: Observations) -> _Judged:
    def look(_: Node, seen: Observation) -> _Finding:
        state = seen.selinux
        if state is None:
            return _unread("SELinux's state", f"getenforce; getsebool {BOOLEAN}")
        mode = state["mode"].lower()
        if mode == "disabled":
            return _Finding(Status.OK, mode)
        if state["active"] is None:
            return _Finding(
                Status.WRONG,
                mode,
                f"SELinux's policy has no boolean {BOOLEAN}: keepalived's checks may be denied the network",
                "install the distribution's policy, selinux-policy-targeted",
            )
        if not state["active"] or not state["persistent"]:
            when = "at the next boot" if state["active"] else "now"
            what = (
                f"SELinux is {mode} and {BOOLEAN} is off {when}: keepalived's checks are denied the network"
            )
            return _Finding(Status.WRONG, mode, what, f"`setsebool -P {BOOLEAN} on`")
        return _Finding(Status.OK, mode)

    return _each(cluster, observations, "selinux", look)


def _firewall(cluster: Cluster, observations: Observations) -> _Judged:
    def look(node: Node, seen: Observation) -> _Finding:
        meant = firewalld.rules(cluster, node)
        if seen.firewall is None:
            if not _runs(seen, "firewalld"):  # told already
                return _Finding(Status.WRONG, "none")
            return _unread("the firewall's rules", "firewall-cmd --list-rich-rules")
        now = [rule for rule in meant if rule not in seen.firewall["runtime"]]
        later = [rule for rule in meant if rule not in seen.firewall["permanent"]]
        there = sum(rule not in now and rule not in later for rule in meant)
        text = f"{there} of {len(meant)}"
        if there == len(meant):
            return _Finding(Status.OK, text)
        when = "now and after a reload" if now == later else "now" if now else "after a reload"
        missing = list(dict.fromkeys(now + later))
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = f"zone {seen.firewall['zone']} lacks, {when}: {missing[0]}{more}"
        return _Finding(Status.WRONG, text, what, _DEPLOY)

    return _each(cluster, observations, "firewall", look)


def _health(cluster: Cluster, observations: Observations, input: Input) -> _Judged:
    """Each node asks each node. A problem is told once for the node that is down, whoever saw it."""

    def look(_: Node, seen: Observation) -> _Finding:
        if seen.health is None:
            return _unread(f"the health of {input.id}", "the health script, as its user")
        if seen.health["missing"]:
            return _Finding(Status.WRONG, "no script")
        up = sum(_up(seen, node, input) is True for node in cluster.nodes)
        status = Status.OK if up == len(cluster.nodes) else Status.WRONG
        return _Finding(status, f"{up} of {len(cluster.nodes)}")

    row, problems = _each(cluster, observations, "health", look, input)
    for node in cluster.nodes:
        said = {name: message for name, seen in observations.items() if (message := _down(seen, node, input))}
        if not said:
            continue
        asked = [name for name, seen in observations.items() if _up(seen, node, input) is not None]
        if len(said) == len(asked):
            seen_from, do = "", _mend_input(observations[node.name])
        else:
            seen_from = f", as {_words(said)} {'see' if len(said) > 1 else 'sees'} it"
            do = f"can {_words(said)} reach {node.address}:9600? Others can: look at {node.name}'s firewall"
        what = f"{input.id} is down{seen_from}: {next(iter(said.values()))}"
        problems.append(Problem(Status.WRONG, "health", node.name, what, do))
    return row, problems


def _mend_input(seen: Observation) -> str:
    if seen.unreachable is not None:
        return "get that machine back, as above"
    if not _runs(seen, "logstash"):
        return "start Logstash, as above"
    return "look into /var/log/logstash/logstash-plain.log there"


def _no_script(observations: Observations) -> list[Problem]:
    return [
        Problem(
            Status.WRONG,
            "health",
            name,
            f"{seen.health['missing']} is missing: without a check, keepalived keeps a real server for ever",
            _DEPLOY,
        )
        for name, seen in observations.items()
        if seen.health and seen.health["missing"]
    ]


def _ipvs(cluster: Cluster, observations: Observations, input: Input) -> _Judged:
    """The virtual server as the recipe's step 12 shows it: `rr ops`, each node `Masq` with weight 1."""

    def look(_: Node, seen: Observation) -> _Finding:
        server = _virtual_server(cluster, input, seen)
        if server is None:
            if not _runs(seen, "keepalived"):  # told already
                return _Finding(Status.WRONG, "none")
            what = (
                "there is no IPVS: ip_vs is not loaded, or ipvsadm not installed"
                if seen.virtual_servers is None
                else f"IPVS has no virtual server UDP {cluster.vip}:{input.port}"
            )
            return _Finding(Status.WRONG, "none", what, f"{_DEPLOY}, then `journalctl -u keepalived`")
        there = {real["address"]: real for real in server["real_servers"]}
        meant = {f"{node.address}:{input.port}": node for node in cluster.nodes}
        faults = []
        if server["scheduler"] != "rr":
            faults.append(f"its scheduler is {server['scheduler']}, not rr")
        if server["flags"] != ["ops"]:
            faults.append(f"its flags are {' '.join(server['flags']) or 'none'}, not ops")
        for address, real in there.items():
            if address not in meant:
                faults.append(f"{address} is a real server, but none of the cluster's")
            elif (real["forward"], real["weight"]) != ("Masq", 1):
                faults.append(f"{address} is {real['forward']} with weight {real['weight']}, not Masq with 1")
        late = []
        for address, node in meant.items():
            up = _up(seen, node, input)
            if address not in there and up is not False:
                late.append(f"{node.name} is not in the pool" + (", though its check passes" if up else ""))
            elif address in there and up is False:
                late.append(f"{node.name} is in the pool, though its check fails")
        status = Status.OK if not faults and set(there) == set(meant) and not late else Status.WRONG
        good = sum(
            (real["forward"], real["weight"]) == ("Masq", 1)
            for real in there.values()
            if real["address"] in meant
        )
        text = f"{good} of {len(meant)}"
        if faults:
            return _Finding(status, text, f"{input.id} in IPVS: {'; '.join(faults + late)}", _DEPLOY)
        if late:
            do = "verify again in 10 s; if it stays: `journalctl -u keepalived` names scripts it won't run"
            return _Finding(status, text, f"{input.id} in IPVS: {'; '.join(late)}", do)
        return _Finding(status, text)

    return _each(cluster, observations, "ipvs", look, input)


def _strangers(cluster: Cluster, observations: Observations) -> list[Problem]:
    """Virtual servers that are none of the inputs': wrong at the VIP, none of our business elsewhere."""
    meant = {("UDP", f"{cluster.vip}:{input.port}") for input in cluster.inputs}
    problems = []
    for name, seen in observations.items():
        for server in seen.virtual_servers or []:
            key = (server["protocol"], server["address"])
            if key in meant:
                continue
            at_vip = server["address"].startswith(f"{cluster.vip}:")
            problems.append(
                Problem(
                    Status.WRONG if at_vip else Status.WARNING,
                    "ipvs",
                    name,
                    f"IPVS has a virtual server that is none of the inputs': {' '.join(key)}",
                    _DEPLOY if at_vip else "leave it, if somebody means it",
                )
            )
    return problems


def _vip(cluster: Cluster, observations: Observations, holders: tuple[str, ...]) -> _Judged:
    def look(_: Node, seen: Observation) -> _Finding:
        if seen.interfaces is None:
            return _unread("the addresses", "ip addr")
        if not seen.interfaces:
            return _Finding(Status.OK, "-")
        if seen.interfaces != [cluster.interface]:
            what = f"holds the VIP on {_words(seen.interfaces)}, not on {cluster.interface} alone"
            return _Finding(
                Status.WRONG, "elsewhere", what, "take it away there: `ip addr del`; keepalived adds it"
            )
        return _Finding(Status.OK if len(holders) == 1 else Status.WRONG, "holds it")

    row, problems = _each(cluster, observations, "vip", look)
    if len(holders) > 1:
        what = f"{_words(holders)} all hold {cluster.vip}: whom an event reaches is chance (split brain)"
        do = (
            "let VRRP (IP protocol 112) pass between them, with one virtual_router_id and password: "
            f"{_DEPLOY}, then `tcpdump -ni {cluster.interface} ip proto 112`"
        )
        problems.append(Problem(Status.WRONG, "vip", None, what, do))
    if not holders:
        reached = all(seen.unreachable is None for seen in observations.values())
        who = "no node" if reached else "no node that could be looked at"
        do = "start keepalived on the nodes; its last words: `journalctl -u keepalived`"
        problems.append(
            Problem(Status.WRONG, "vip", None, f"{who} holds {cluster.vip}: all events are lost", do)
        )
    return row, problems


def _pool(cluster: Cluster, input: Input, director: Observation) -> tuple[str, ...]:
    server = _virtual_server(cluster, input, director)
    reals = server["real_servers"] if server else []
    taking = {real["address"] for real in reals if real["weight"] > 0}
    return tuple(node.name for node in cluster.nodes if f"{node.address}:{input.port}" in taking)


def _virtual_server(cluster: Cluster, input: Input, seen: Observation) -> VirtualServerState | None:
    key = ("UDP", f"{cluster.vip}:{input.port}")
    return next(
        (each for each in seen.virtual_servers or [] if (each["protocol"], each["address"]) == key), None
    )


def _down(seen: Observation, node: Node, input: Input) -> str | None:
    """Why this observer's check of an input on `node` fails; None where it passes, or was not made."""
    for check in seen.health["checks"] if seen.health else []:
        if (check["address"], check["input"]) == (str(node.address), input.id) and check["status"] != 0:
            reason = check["message"].partition(" is down: ")[2] or check["message"]
            return reason or f"the script ended with status {check['status']}"
    return None


def _up(seen: Observation, node: Node, input: Input) -> bool | None:
    """Whether this observer's check of an input on `node` passes; None where it was not made."""
    made = seen.health["checks"] if seen.health else []
    if (str(node.address), input.id) not in {(check["address"], check["input"]) for check in made}:
        return None
    return _down(seen, node, input) is None


def _runs(seen: Observation, unit: str) -> bool:
    return bool(seen.services and unit in seen.services and seen.services[unit]["active"])


def _words(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
