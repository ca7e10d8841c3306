"""The drills: what is done to a node, what is expected of the cluster, and how it is undone.

A drill runs on the node itself, as a transient unit of systemd (systemd-run(1)) that ends and undoes it by itself,
also when nobody is there any more to see it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from cluster import Cluster, ClusterError, Node
from desired.health_script import PYTHON

UNIT = "logstash-ha-drill"

# A link that goes down takes its routes along, and IPv6 addresses; not everywhere somebody brings them back.
_DOWN = (
    "kept=$(sysctl -n net.ipv6.conf.{interface}.keep_addr_on_down); "
    "sysctl -e -q -w net.ipv6.conf.{interface}.keep_addr_on_down=1; "
    "ip route save dev {interface} >/run/logstash-ha-drill; ip link set {interface} down"
)
_UP = (
    "ip link set {interface} up; ip route restore </run/logstash-ha-drill; rm -f /run/logstash-ha-drill; "
    "sysctl -e -q -w net.ipv6.conf.{interface}.keep_addr_on_down=$kept"
)

# What is made of programs alone goes with its connection, and comes back as another interface.
_VIRTUAL = (
    "case $(readlink -f /sys/class/net/{interface}) in */virtual/*) ;; *) echo 'its {interface} is not a VLAN, bond or bridge: "
    'only its driver could make it anew\' >&2; exit 1 ;; esac; [ -n "$(nmcli -g GENERAL.CON-UUID device show {interface})" ] || '
    "{ echo 'NetworkManager does not manage its {interface}' >&2; exit 1; }"
)


@dataclass(frozen=True)
class Drill:
    """One failure. The texts stand after the node's name; the commands are for sh, with `{interface}` and the like
    filled in."""

    name: str
    what: str
    """What happens to the node."""
    expect: str
    """What the cluster is to do."""
    do: str
    undo: str = ""
    needs: str = ""
    """Succeeds on a node where the drill can be done, and otherwise says why it can't be."""
    lasts: int = 0
    """Seconds until it is undone; 0 for what is over at once."""
    sees: str = ""
    """The reason (a word of the health script's `REASONS`) that verify.py is to report meanwhile; `lasts` must give it 30 s."""
    until_seen: bool = False
    """Whether it ends as soon as verify.py has reported that. Logstash starts before, so `start_timeout` is added to `lasts`."""
    lossless: bool = False
    """Whether not one event may be lost."""
    settles: int = 0
    """Seconds after which no event may be lost any more, less than `lasts` where it is undone; 0 where it is not asked."""


DRILLS = (
    Drill(
        "logstash-killed",
        "has its Logstash killed",
        "The others take its events until systemd has started it again.",
        do="systemctl kill -s KILL logstash",
    ),
    Drill(
        "logstash-restarted",
        "has its Logstash restarted, by hand",
        "It leaves the pools before it stops. No event is lost.",
        do="systemctl restart logstash",
        lossless=True,
    ),
    Drill(
        "logstash-hung",
        "has its Logstash stopped like a JVM that collects garbage for 30 s",
        "The others take its events, and it takes some again afterwards.",
        do="systemctl kill -s STOP logstash",
        undo="systemctl kill -s CONT logstash",
        lasts=30,
        sees="hung",
    ),
    Drill(
        "logstash-slow",
        "has its Logstash stand still for four fifths of the time, like a JVM that is short of memory, for 20 s",
        "It answers late, but it answers: it stays in the pools, and its socket holds what waits. No event is lost.",
        # It ends with a CONT, whenever it is told to end. A shell can miss that while it begins, so it is told until it has ended.
        do='(trap over=1 TERM; while [ -z "$over" ]; do systemctl kill -s STOP logstash; sleep 0.4; '
        "systemctl kill -s CONT logstash; sleep 0.1; done) & slow=$!",
        undo="while kill $slow 2>/dev/null; do sleep 0.1; done; systemctl kill -s CONT logstash",
        lasts=20,
        lossless=True,
    ),
    Drill(
        "disk-full",
        "has no room left for Logstash's files, for 30 s",
        "Where its pipeline ends for that, the others take its events; where it goes on, they arrive.",
        # What root alone may use stays free.
        do="fallocate -l $(df --output=avail -k /var/log/logstash | tail -n 1)K /var/log/logstash/.drill",
        undo="rm -f /var/log/logstash/.drill",
        lasts=30,
    ),
    Drill(
        "keepalived-killed",
        "has all of keepalived's processes killed",
        "It still spreads events until another node holds the VIP. No event is lost.",
        # Stopped first, so that all end at one moment: they mind each other's end, and could be killed in the midst of it.
        # By systemd, which would wake the others to end in good order as soon as the first one is gone.
        do="systemctl kill -s STOP keepalived; systemctl kill -s KILL keepalived",
        lossless=True,
    ),
    Drill(
        "keepalived-parent-killed",
        "has keepalived's first process killed",
        "The others give the VIP up, and another node takes it: what comes in these milliseconds may be lost, and nothing "
        "after 5 s, when systemd has started keepalived again.",
        do='kill -KILL "$(systemctl show -p MainPID keepalived | cut -d = -f 2)"',
        settles=5,
    ),
    Drill(
        "keepalived-checker-killed",
        "has keepalived's process for IPVS killed",
        "keepalived starts it again. No event is lost.",
        do='pkill -KILL -o -P "$(systemctl show -p MainPID keepalived | cut -d = -f 2)"',
        lossless=True,
    ),
    Drill(
        "keepalived-vrrp-killed",
        "has keepalived's process for VRRP killed",
        "keepalived starts it again. No event is lost.",
        do='pkill -KILL -n -P "$(systemctl show -p MainPID keepalived | cut -d = -f 2)"',
        lossless=True,
    ),
    Drill(
        "keepalived-stopped",
        "has keepalived stopped in good order for 10 s",
        "Another node holds the VIP at once. No event is lost.",
        do="systemctl stop keepalived",
        undo="systemctl start keepalived",
        lasts=10,
        lossless=True,
    ),
    Drill(
        "link-down",
        "has its link down for 10 s",
        "Another node holds the VIP after three adverts, and its Logstash is out of the pool within two seconds. Its "
        "return loses no event.",
        do=_DOWN,
        undo=_UP,
        lasts=10,
        settles=5,
    ),
    Drill(
        "interface-made-anew",
        "has its interface removed and made anew after 10 s: a VLAN, bond or bridge of NetworkManager's",
        "As link-down. keepalived is reloaded when the new interface has been there for 3 s, and the node can hold the VIP again.",
        needs=_VIRTUAL,
        do="connection=$(nmcli -g GENERAL.CON-UUID device show {interface}); "
        'nmcli --wait 30 connection down "$connection"',
        undo='nmcli --wait 60 connection up "$connection"',
        lasts=10,
        settles=5,
    ),
    Drill(
        "rebooted",
        "is rebooted in good order",
        "Another node holds the VIP, and its Logstash leaves the pools before it stops. No event is lost.",
        do="systemctl reboot",
        lasts=60,
        lossless=True,
    ),
    Drill(
        "firewalld-reloaded",
        "has its firewall reloaded",
        "firewalld lets nothing in until it has put its rules back: that much is lost, and the VIP may move.",
        do="firewall-cmd --reload",
    ),
    Drill(
        "firewalld-restarted",
        "has its firewall restarted",
        "What firewalld does not let in while it starts is lost, and nothing else.",
        do="systemctl restart firewalld",
    ),
    Drill(
        "networkmanager-restarted",
        "has NetworkManager restarted",
        "The VIP stays where it is. No event is lost.",
        do="systemctl restart NetworkManager",
        lossless=True,
    ),
    Drill(
        "clock-stepped",
        "has its clock set forward by an hour for 20 s",
        "Nothing in the cluster goes by the clock on the wall. No event is lost.",
        # Back by the time that has passed: somebody may have set the clock right meanwhile.
        do="was=$(date +%s); up=$(cut -d . -f 1 /proc/uptime); date -s '+1 hour'",
        undo='date -s "@$((was + $(cut -d . -f 1 /proc/uptime) - up))"',
        lasts=20,
        lossless=True,
    ),
    Drill(
        "port-stolen",
        "has its input's port taken by another program, as Logstash starts, until verify.py reports it",
        "Its Logstash lists the input and gets nothing; the others take its events.",
        do="systemctl stop logstash; {python} -c {thief} & thief=$!; "
        "while kill -0 $thief && ! ss -nlu | grep -q ':{port} '; do sleep 0.1; done; systemctl start logstash",
        undo="kill $thief",
        lasts=60,
        sees="bind_failed",
        until_seen=True,
    ),
)
"""In the order of `verify.py drill`'s list."""


def find(name: str) -> Drill:
    """The drill of this name. Raises `ClusterError`."""
    for drill in DRILLS:
        if drill.name == name:
            return drill
    raise ClusterError(f"drill: {name!r} is none; choose from {', '.join(drill.name for drill in DRILLS)}")


def duration(drill: Drill, cluster: Cluster) -> int:
    """Seconds after which a drill on this cluster is undone at the latest."""
    return drill.lasts + (cluster.start_timeout if drill.until_seen else 0)


def script(drill: Drill, cluster: Cluster, node: Node, el: int) -> str:
    """The command that starts the drill on a node, and comes back at once."""
    text = f"trap {shlex.quote(drill.undo or ':')} EXIT; trap 'exit 0' HUP INT TERM; {drill.do}; sleep {duration(drill, cluster)} & wait $!"
    text = _filled(text, cluster, node, el)
    # mixed: the signal that stops the unit goes to the shell alone, and not to the programs that its trap starts as well
    # (systemd.kill(5)); else what undoes the drill can be ended by it.
    return (
        f"systemctl reset-failed {UNIT} 2>/dev/null; "
        f"systemd-run --unit={UNIT} --property=KillMode=mixed /bin/sh -c {shlex.quote(text)}"
    )


def needs(drill: Drill, cluster: Cluster, node: Node, el: int) -> str:
    """The command that succeeds on a node where the drill can be done; otherwise it says why not."""
    return _filled(drill.needs, cluster, node, el)


def _filled(text: str, cluster: Cluster, node: Node, el: int) -> str:
    input = next(server for server in cluster.virtual_servers if server.protocol == "UDP").input
    thief = (
        "import signal, socket; s = socket.socket(type=socket.SOCK_DGRAM); "
        f"s.bind(({str(node.address)!r}, {input.target_port})); signal.pause()"
    )
    values = {
        "{interface}": cluster.interface_of(node),
        "{python}": PYTHON[el],
        "{thief}": shlex.quote(thief),
        "{port}": str(input.target_port),
    }
    for place, value in values.items():
        text = text.replace(place, value)
    return text


STOP = f"systemctl stop {UNIT} 2>/dev/null || true"
"""Ends a drill, and undoes what it did."""
