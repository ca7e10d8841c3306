"""What can break a sender's way, one thing for each step, and how it is mended. docs/why.md has a row for each."""

from __future__ import annotations

from dataclasses import dataclass

MASTER, BACKUP, SENDER, STRANGER = "the MASTER", "the BACKUP", "sender", "stash3"
BOTH = (MASTER, BACKUP)
"""Where a node that fails alone is out of the pool at once, and the other one takes all events."""

VIP, SOURCE, PORT = "10.77.0.10", "10.77.0.101", 5514
SERVER = f"-u {VIP}:{PORT}"
EVENTS = "/var/log/logstash/events.json"
RICH = f'rule family="ipv4" source address="{SOURCE}" port port="{PORT}" protocol="udp" drop'
RP_FILTER = "/proc/sys/net/ipv4/conf/eth0/rp_filter"
REAL = "-s wrr -o; " + "; ".join(
    f"ipvsadm -a {SERVER} -r {address}:{PORT} -m -w 100" for address in ("10.77.0.11", "10.77.0.12")
)
BURST = (
    "import socket; s = socket.socket(type=socket.SOCK_DGRAM); "
    f"[s.sendto(b'x' * 200, ('{VIP}', {PORT})) for _ in range(40000)]"
)
TAKER = (
    "import socket; s = socket.socket(type=socket.SOCK_DGRAM); "
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('$address', 5514)); "
    "[s.recv(99) for _ in iter(int, 1)]"
)


@dataclass(frozen=True)
class Fault:
    """Something that keeps a sender's events from the end of their way."""

    what: str
    """In words, for docs/why.md."""
    step: str
    """The step that must be named, a key of `verification.why.way.STEPS`."""
    seen: str
    """Words of what `verify.py why` reports of it."""
    mend: str
    """Words of what it says is to be done."""
    where: tuple[str, ...] = (MASTER,)
    do: str = ""
    undo: str = ""
    settles: bool = False
    """Whether the cluster is whole with it, until events come, and must be waited for first."""
    sends: int | None = PORT
    """The port that the sender sends to meanwhile; None where it sends nothing."""
    heals: bool = False
    """Whether the cluster must be waited for afterwards."""
    sender: str = SOURCE
    burst: bool = False
    """Whether the sender fills the input's buffer first."""
    long: bool = False


FAULTS = (
    Fault(
        "the device is not in `senders`",
        "senders",
        "10.77.0.102 is not in `senders`",
        "add it to `senders` in inventory.py",
        where=(),
        sends=None,
        sender="10.77.0.102",
    ),
    Fault(
        "the device's address is a source of firewalld's zone `drop`",
        "firewall",
        f"{SOURCE} is bound to firewalld's zone drop by its source 10.77.0.96/28",
        "`firewall-cmd --zone=drop --remove-source=10.77.0.96/28`",
        do="firewall-cmd --zone=drop --add-source=10.77.0.96/28",
        undo="firewall-cmd --zone=drop --remove-source=10.77.0.96/28",
        long=True,
    ),
    Fault(
        "a rich rule of others denies the device",
        "firewall",
        f"firewalld's zone public has a rule that denies: {RICH}",
        f"`firewall-cmd --zone=public --remove-rich-rule='{RICH}'`",
        do=f"firewall-cmd --zone=public --add-rich-rule='{RICH}'",
        undo=f"firewall-cmd --zone=public --remove-rich-rule='{RICH}'",
        long=True,
    ),
    Fault(
        "a table of others in nftables denies it on the node that the event is sent on to",
        "firewall",
        f"a rule of others in nftables' table inet theirs, chain input: ip saddr {SOURCE} udp dport {PORT} drop",
        "`nft delete rule inet theirs input handle ",
        where=(BACKUP,),
        do="nft add table inet theirs; "
        "nft add chain inet theirs input '{ type filter hook input priority -5; policy accept; }'; "
        f"nft add rule inet theirs input ip saddr {SOURCE} udp dport {PORT} counter drop",
        undo="nft delete table inet theirs",
    ),
    Fault(
        "iptables denies it before firewalld's chains",
        "firewall",
        f"a rule of others: iptables -t filter -A INPUT -s {SOURCE}/32 -p udp -m udp --dport {PORT} -j DROP",
        f"`iptables -t filter -D INPUT -s {SOURCE}/32 -p udp -m udp --dport {PORT} -j DROP`",
        do=f"iptables -I INPUT -s {SOURCE} -p udp --dport {PORT} -j DROP",
        undo=f"iptables -D INPUT -s {SOURCE} -p udp --dport {PORT} -j DROP",
        long=True,
    ),
    Fault(
        "no node holds the VIP",
        "vip",
        f"no node holds {VIP}: all events are lost",
        "start keepalived on the nodes",
        where=BOTH,
        do="systemctl stop keepalived",
        undo="systemctl start keepalived",
        heals=True,
        long=True,
    ),
    Fault(
        "another machine has the VIP's address",
        "mac",
        f"52:54:00:4d:00:0d answers for {VIP}, too",
        "find that machine by its MAC address",
        where=(STRANGER,),
        do=f"ip addr add {VIP}/32 dev eth0",
        undo=f"ip addr del {VIP}/32 dev eth0; ip neigh flush dev eth0",
    ),
    Fault(
        "no route leads back to the device, and the reverse-path filter is on",
        "route",
        f"has no route to {SOURCE}, so its packets are dropped (rp_filter)",
        f"add a route to {SOURCE} through eth0",
        do=f"cat {RP_FILTER} >/root/rp_filter; ip route add unreachable {SOURCE}; echo 1 >{RP_FILTER}",
        undo=f"ip route del unreachable {SOURCE}; cat /root/rp_filter >{RP_FILTER}; rm /root/rp_filter",
    ),
    Fault(
        "the device sends nothing",
        "master",
        "none came to",
        f"is the device on, and does it send to UDP {VIP}:{PORT} just now?",
        where=(),
        sends=None,
    ),
    Fault(
        "the device sends to another port",
        "master",
        f"none came for UDP {VIP}:{PORT}, but",
        f"let the device send to UDP {VIP}:{PORT}",
        where=(),
        sends=514,
        long=True,
    ),
    Fault(
        "the device has a MAC address for the VIP that is nobody's any more",
        "master",
        "none came to",
        f"it or its router has an old MAC address for {VIP}",
        where=(SENDER,),
        do=f"ip neigh replace {VIP} lladdr 52:54:00:4d:00:99 dev eth0 nud permanent",
        undo=f"ip neigh del {VIP} dev eth0",
        long=True,
    ),
    Fault(
        "IPVS has lost the virtual server",
        "ipvs",
        f"IPVS has no virtual server UDP {VIP}:{PORT}",
        "`systemctl restart keepalived`",
        do=f"ipvsadm -D {SERVER}",
        undo=f"ipvsadm -A {SERVER} {REAL}",
    ),
    Fault(
        "what the MASTER sends on with the device's address does not get out to the other node",
        "real_server",
        "and none of the sender's left it",
        "a rule in a chain of OUTPUT or POSTROUTING drops them",
        do=f"tc qdisc add dev eth0 clsact && tc filter add dev eth0 egress protocol ip u32 match ip src {SOURCE}/32 action drop",
        undo="tc qdisc del dev eth0 clsact",
    ),
    Fault(
        "Logstash is stopped, and its socket's buffer is full",
        "socket",
        "whose buffer is full",
        "`systemctl kill -s CONT logstash`",
        where=BOTH,
        do="systemctl kill -s STOP logstash",
        undo="systemctl kill -s CONT logstash",
        heals=True,
        burst=True,
        long=True,
    ),
    Fault(
        "Logstash does not run",
        "socket",
        "nothing listens at UDP 10.77.0.1",
        "`systemctl start logstash`",
        where=BOTH,
        do="systemctl stop logstash",
        undo="systemctl start logstash",
        heals=True,
        long=True,
    ),
    Fault(
        "another program has taken the input's port",
        "input",
        "has made none",
        "/var/log/logstash/logstash-plain.log",
        where=BOTH,
        do=f'address=$(hostname -I | tr " " "\\n" | grep -m 1 "^10.77.0.1[123]$"); systemctl stop logstash; '
        f'systemd-run -q --unit=taker python3 -c "{TAKER}"; systemctl start logstash',
        undo="systemctl stop taker",
        heals=True,
        long=True,
    ),
    Fault(
        "the pipeline's output is blocked",
        "output",
        "are held up in the pipeline of",
        "get its output's destination back",
        where=(BACKUP,),
        # A file that is open stays so where another one is put in its place; a Logstash that starts opens the new one.
        do=f"mv {EVENTS} {EVENTS}.before; mkfifo -m 666 {EVENTS}; systemctl restart logstash",
        settles=True,
        undo=f"timeout 20 cat {EVENTS} >/dev/null & sleep 0.1; rm {EVENTS}; mv {EVENTS}.before {EVENTS}; "
        "systemctl restart logstash; wait",
        heals=True,
    ),
)
"""In the order of the steps."""
