"""What can be broken on a whole cluster, what tells of it, and how it is mended. docs/verify.md has a row for each."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

MASTER, BACKUP = "MASTER", "BACKUP"


@dataclass(frozen=True)
class Broken:
    """One thing that is broken by a shell script on a node."""

    what: str
    """In words, for docs/verify.md."""
    do: str
    says: str
    """Words of the problem that verify.py reports, or the step that `--drift` lists."""
    mend: str
    """Words of what it says is to be done, a command in backquotes; nothing with `--drift`, which means a deploy."""
    check: str = ""
    """The row of verify.py's table that tells of it. Without one it has consequences in others, and is broken alone."""
    undo: str = ""
    """The script that mends it. Without one that is the command in `mend`."""
    role: str = ""
    """Of the node where it is done; otherwise that is any."""
    about: str = ""
    """The node that the report names, where it is another one."""
    long: bool = False

    @property
    def way_back(self) -> str:
        """The script that mends it."""
        return self.undo or self.mend.strip("`")


SENDER_RULE = 'rule family="ipv4" source address="10.77.0.101" destination address="10.77.0.10" port port="5514" protocol="udp" accept'
SERVER = "-u 10.77.0.10:5514"
APPENDED = "# by hand"


def append(path: str, text: str = APPENDED) -> tuple[str, str]:
    """Adds a line at the end of a file, which keeps its owner, mode and label; and the way back."""
    reload = "; systemctl daemon-reload" if "/systemd/" in path else ""  # systemd goes by the file's time
    return f"echo '{text}' >>{path}", f"truncate -s -{len(text) + 1} {path}{reload}"


def away(path: str) -> tuple[str, str]:
    """Moves a file away; and the way back."""
    kept = f"/root/{posixpath.basename(path)}"
    return f"mv {path} {kept}", f"mv {kept} {path}"


def file(what: str, change: tuple[str, str], says: str, mend: str = "", check: str = "") -> Broken:
    """A file that was changed."""
    do, undo = change
    return Broken(what, do=do, says=says, mend=mend, check=check, undo=undo)


def changed(unit: str, path: str, what: str, change: tuple[str, str] | None = None) -> Broken:
    """A file that a unit has read otherwise."""
    return file(
        what,
        change or append(path),
        f"{unit} has not read {path}",
        "run the deploy again to turn it back",
        check=unit,
    )


def stopped(unit: str, role: str = "", long: bool = False) -> Broken:
    return Broken(
        f"`{unit}` is stopped",
        do=f"systemctl stop {unit}",
        says=f"{unit} does not run",
        mend=f"`systemctl start {unit}`",
        role=role,
        long=long,
    )


def disabled(unit: str, long: bool = False) -> Broken:
    return Broken(
        f"`{unit}` is disabled",
        do=f"systemctl disable {unit}",
        says=f"{unit} runs, but would not start at boot",
        mend=f"`systemctl enable {unit}`",
        check=unit,
        long=long,
    )


def masked(unit: str, long: bool = False) -> Broken:
    return Broken(
        f"`{unit}` is masked",
        do=f"systemctl mask {unit}",
        says=f"{unit} runs, but is masked, and would not start at boot",
        mend=f"`systemctl unmask {unit} && systemctl enable {unit}`",
        check=unit,
        long=long,
    )


def frozen(
    unit: str, role: str = "", by: str = "kill -s STOP", mend: str = "kill -s CONT", long: bool = False
) -> Broken:
    return Broken(
        f"`{unit}` is frozen by `systemctl {by}`",
        do=f"systemctl {by} {unit}",
        says=f"{unit} runs, but a process of it is stopped",
        mend=f"`systemctl {mend} {unit}`",
        role=role,
        long=long,
    )


BROKEN = (
    # Units
    stopped("keepalived", role=BACKUP),
    stopped("logstash"),
    stopped("logstash-ha-health"),
    stopped("logstash-ha-leave", long=True),
    stopped("firewalld", long=True),
    disabled("keepalived", long=True),
    disabled("logstash"),
    disabled("logstash-ha-health"),
    disabled("logstash-ha-leave", long=True),
    disabled("firewalld", long=True),
    masked("keepalived"),
    masked("firewalld", long=True),
    frozen("keepalived", role=BACKUP),
    frozen("logstash"),
    frozen("logstash-ha-health"),
    frozen("keepalived", role=BACKUP, by="freeze", mend="thaw", long=True),
    Broken(
        "a drop-in of others changes keepalived's unit",
        do="printf '[Service]\\nNice=5\\n' >/etc/systemd/system/keepalived.service.d/theirs.conf; systemctl daemon-reload",
        says="/etc/systemd/system/keepalived.service.d/theirs.conf is not the deploy's, and changes how keepalived runs",
        mend="`systemctl daemon-reload && systemctl restart keepalived`",
        check="keepalived",
        undo="rm /etc/systemd/system/keepalived.service.d/theirs.conf; systemctl daemon-reload",
    ),
    # Files
    changed("keepalived", "/etc/keepalived/keepalived.conf", "keepalived.conf is edited, and not loaded"),
    changed(
        "logstash",
        "/etc/logstash/logstash.yml",
        "logstash.yml puts the API elsewhere, and is not loaded",
        append("/etc/logstash/logstash.yml", "http.host: 0.0.0.0"),
    ),
    changed("logstash", "/etc/logstash/conf.d/logstash-ha.conf", "the deploy's pipeline file is edited"),
    changed(
        "logstash",
        "/etc/logstash/conf.d/logstash-ha.conf",
        "the deploy's pipeline file is gone",
        away("/etc/logstash/conf.d/logstash-ha.conf"),
    ),
    changed("logstash-ha-health", "/etc/keepalived/check_logstash_input.py", "the health script is edited"),
    changed(
        "logstash-ha-leave",
        "/etc/systemd/system/logstash-ha-leave.service",
        "the unit file of `logstash-ha-leave` is edited",
    ),
    Broken(
        "a pipeline file of others, which Logstash's next start joins",
        do="echo 'filter { }' >/etc/logstash/conf.d/theirs.conf",
        says="/etc/logstash/conf.d/theirs.conf is not the deploy's, and Logstash's next start makes it a part of the pipeline",
        mend="move it out of that folder",
        check="logstash",
        undo="rm /etc/logstash/conf.d/theirs.conf",
    ),
    Broken(
        "a deploy was interrupted, and a file waits",
        do="cp -p /etc/keepalived/keepalived.conf /etc/keepalived/.keepalived.conf.staged",
        says="new content for /etc/keepalived/keepalived.conf waits for keepalived",
        mend="run the deploy again",
        check="keepalived",
        undo="rm /etc/keepalived/.keepalived.conf.staged",
    ),
    file(
        "what keepalived has read is not known",
        away("/var/lib/logstash-ha/keepalived.sha256"),
        "keepalived runs, but not with the keepalived.conf",
        "run the deploy again",
        check="keepalived",
    ),
    # Firewall
    Broken(
        "a rule is gone from the running firewall",
        do=f"firewall-cmd --zone=public --remove-rich-rule='{SENDER_RULE}'",
        says=f"zone public lacks, now: {SENDER_RULE}",
        mend="run the deploy again",
        check="firewall",
        undo=f"firewall-cmd --zone=public --add-rich-rule='{SENDER_RULE}'",
    ),
    Broken(
        "a rule is gone from the permanent firewall",
        do=f"firewall-cmd --permanent --zone=public --remove-rich-rule='{SENDER_RULE}'",
        says=f"zone public lacks, after a reload: {SENDER_RULE}",
        mend="run the deploy again",
        check="firewall",
        undo=f"firewall-cmd --permanent --zone=public --add-rich-rule='{SENDER_RULE}'",
        long=True,
    ),
    Broken(
        "the interface is in another zone",
        do="firewall-cmd --zone=trusted --change-interface=eth0",
        says="zone trusted lacks, now",
        mend="run the deploy again",
        check="firewall",
        undo="firewall-cmd --zone=public --change-interface=eth0",
    ),
    Broken(
        "a rich rule of others denies an input's port",
        do="""firewall-cmd --zone=public --add-rich-rule='rule family="ipv4" port port="5514" protocol="udp" drop'""",
        says='a rule of others keeps out what this node needs: rule family="ipv4" port port="5514" protocol="udp" drop',
        mend="""`firewall-cmd --zone=public --remove-rich-rule='rule family="ipv4" port port="5514" protocol="udp" drop'`""",
        check="firewall",
    ),
    Broken(
        "a rich rule of others denies a sender",
        do="""firewall-cmd --permanent --zone=public --add-rich-rule='rule family="ipv4" source address="10.77.0.101" reject'""",
        says='others\' rules in zone public may keep events out: rule family="ipv4" source address="10.77.0.101" reject',
        mend="""`firewall-cmd --permanent --zone=public --remove-rich-rule='rule family="ipv4" source address="10.77.0.101" reject'`""",
        check="firewall",
    ),
    Broken(
        "a direct rule of others denies an input's port",
        do="firewall-cmd --direct --add-rule ipv4 filter INPUT 0 -p udp --dport 5514 -j DROP",
        says="a rule of others keeps out what this node needs: ipv4 filter INPUT 0 -p udp --dport 5514 -j DROP",
        mend="`firewall-cmd --direct --remove-rule ipv4 filter INPUT 0 -p udp --dport 5514 -j DROP`",
        check="firewall",
        long=True,
    ),
    Broken(
        "iptables drops an input's port before firewalld's chains",
        do="iptables -I INPUT -p udp --dport 5514 -j DROP",
        says="a rule of others keeps out what this node needs: iptables -t filter -A INPUT -p udp -m udp --dport 5514 -j DROP",
        mend="`iptables -t filter -D INPUT -p udp -m udp --dport 5514 -j DROP`",
        check="firewall",
    ),
    Broken(
        "iptables diverts an input's port",
        do="iptables -t nat -I PREROUTING -p udp --dport 5514 -j REDIRECT --to-ports 9999",
        says="a rule of others keeps out what this node needs: iptables -t nat -A PREROUTING -p udp",
        mend="`iptables -t nat -D PREROUTING -p udp -m udp --dport 5514 -j REDIRECT --to-ports 9999`",
        check="firewall",
    ),
    Broken(
        "the zone opens the API's port to everyone",
        do="firewall-cmd --zone=public --add-port=9600/tcp",
        says="everyone can reach Logstash's API, port 9600, by a rule of others: port 9600/tcp in zone public",
        mend="`firewall-cmd --zone=public --remove-port=9600/tcp`",
        check="firewall",
    ),
    Broken(
        "the zone opens the API's port to everyone after a reload",
        do="firewall-cmd --permanent --zone=public --add-port=9000-9999/tcp",
        says="everyone can reach Logstash's API, port 9600, by a rule of others: port 9000-9999/tcp in zone public",
        mend="`firewall-cmd --permanent --zone=public --remove-port=9000-9999/tcp`",
        check="firewall",
        long=True,
    ),
    Broken(
        "a rich rule of others opens the API's port to everyone",
        do="""firewall-cmd --zone=public --add-rich-rule='rule family="ipv4" port port="9600" protocol="tcp" accept'""",
        says="everyone can reach Logstash's API, port 9600, by a rule of others: rule family",
        mend="""`firewall-cmd --zone=public --remove-rich-rule='rule family="ipv4" port port="9600" protocol="tcp" accept'`""",
        check="firewall",
        long=True,
    ),
    # Kernel and SELinux
    Broken(
        "a kernel setting has another value",
        do="sysctl -q -w net.ipv4.ip_nonlocal_bind=0",
        says="net.ipv4.ip_nonlocal_bind is 0, not 1",
        mend="run the deploy again",
        check="sysctl",
        undo="sysctl -q -w net.ipv4.ip_nonlocal_bind=1",
    ),
    Broken(
        "a file of others sets a kernel setting otherwise at the next boot",
        do="echo net.ipv4.ip_forward=0 >/etc/sysctl.d/99-stig.conf",
        says="/etc/sysctl.d/99-stig.conf sets net.ipv4.ip_forward to 0, which wins at the next boot",
        mend="take the line out of /etc/sysctl.d/99-stig.conf",
        check="sysctl",
        undo="rm /etc/sysctl.d/99-stig.conf",
    ),
    file(
        "/etc/sysctl.conf sets a kernel setting otherwise at the next boot",
        append("/etc/sysctl.conf", "net.ipv4.ip_forward = 0"),
        "/etc/sysctl.conf sets net.ipv4.ip_forward to 0, which wins at the next boot",
        "run the deploy again",
        check="sysctl",
    ),
    Broken(
        "SELinux is permissive until the next boot",
        do="setenforce 0",
        says="SELinux is permissive now, and enforcing after the next boot",
        mend="`setenforce 1`",
        check="selinux",
    ),
    Broken(
        "SELinux is permissive after the next boot",
        do="sed -i s/^SELINUX=.*/SELINUX=permissive/ /etc/selinux/config",
        says="SELinux is enforcing now, and permissive after the next boot",
        mend="`sed -i s/^SELINUX=.*/SELINUX=enforcing/ /etc/selinux/config`",
        check="selinux",
    ),
    Broken(
        "SELinux is disabled after the next boot",
        do="sed -i s/^SELINUX=.*/SELINUX=disabled/ /etc/selinux/config",
        says="SELinux is enforcing now, and disabled after the next boot",
        mend="`sed -i s/^SELINUX=.*/SELINUX=enforcing/ /etc/selinux/config`",
        check="selinux",
        long=True,
    ),
    # IPVS
    Broken(
        "a real server was removed by hand",
        do=f"ipvsadm -d {SERVER} -r 10.77.0.12:5514",
        says="stash2 is not in the pool, though its check passes",
        mend="`systemctl restart keepalived`",
        check="ipvs",
        undo=f"ipvsadm -a {SERVER} -r 10.77.0.12:5514 -m -w 100",
    ),
    Broken(
        "a real server of others was added by hand",
        do=f"ipvsadm -a {SERVER} -r 10.77.0.99:5514 -m -w 100",
        says="10.77.0.99:5514 is a real server, but none of the cluster's",
        mend="`systemctl restart keepalived`",
        check="ipvs",
        undo=f"ipvsadm -d {SERVER} -r 10.77.0.99:5514",
        long=True,
    ),
    Broken(
        "a weight was changed by hand",
        do=f"ipvsadm -e {SERVER} -r 10.77.0.11:5514 -m -w 7",
        says="10.77.0.11:5514 is Masq with weight 7, not Masq with 1",
        mend="`systemctl restart keepalived`",
        check="ipvs",
        undo=f"ipvsadm -e {SERVER} -r 10.77.0.11:5514 -m -w 100",
    ),
    Broken(
        "the way of forwarding was changed by hand",
        do=f"ipvsadm -e {SERVER} -r 10.77.0.12:5514 -g -w 100",
        says="10.77.0.12:5514 is Route with weight 100, not Masq with 100",
        mend="`systemctl restart keepalived`",
        check="ipvs",
        undo=f"ipvsadm -e {SERVER} -r 10.77.0.12:5514 -m -w 100",
        long=True,
    ),
    Broken(
        "the scheduler was changed by hand",
        do=f"ipvsadm -E {SERVER} -s rr -o",
        says="its scheduler is rr, not wrr",
        mend="`systemctl restart keepalived`",
        check="ipvs",
        undo=f"ipvsadm -E {SERVER} -s wrr -o",
    ),
    Broken(
        "one-packet scheduling was turned off by hand",
        do=f"ipvsadm -E {SERVER} -s wrr",
        says="its flags are none, not ops",
        mend="`systemctl restart keepalived`",
        check="ipvs",
        undo=f"ipvsadm -E {SERVER} -s wrr -o",
    ),
    Broken(
        "a virtual server was removed by hand",
        do=f"ipvsadm -D {SERVER}",
        says="IPVS has no virtual server UDP 10.77.0.10:5514",
        mend="`systemctl restart keepalived`",
        check="ipvs",
        role=BACKUP,
    ),
    Broken(
        "a virtual server of others is at the VIP",
        do="ipvsadm -A -u 10.77.0.10:5999 -s rr",
        says="IPVS has a virtual server that is none of the inputs': UDP 10.77.0.10:5999",
        mend="`ipvsadm -D -u 10.77.0.10:5999`",
        check="ipvs",
    ),
    # VIP, drain flags and verdicts
    Broken(
        "two nodes hold the VIP",
        do="ip addr add 10.77.0.10/32 dev eth0",
        says="all hold 10.77.0.10: whom an event reaches is chance (split brain)",
        mend="`ip addr del 10.77.0.10/32 dev eth0`",
        role=BACKUP,
    ),
    Broken(
        "the VIP is on the loopback interface, without direct routing",
        do="ip addr add 10.77.0.10/32 dev lo",
        says="has 10.77.0.10 on lo, and answers for it though it may not hold it",
        mend="`ip addr del 10.77.0.10/32 dev lo`",
        check="vip",
        role=BACKUP,
    ),
    Broken(
        "a verdict says otherwise than the health service",
        do="echo 1 >/run/keepalived-health/10.77.0.12/udp-5514",
        says="/run/keepalived-health/10.77.0.12/udp-5514 says otherwise than the health service",
        mend="`systemctl restart logstash-ha-health`",
    ),
    Broken(
        "a drain flag was left behind",
        do="mkdir -p /etc/keepalived/drained; touch /etc/keepalived/drained/10.77.0.12",
        says="is drained, to be restarted or stopped: it gets no events",
        mend="`rm /etc/keepalived/drained/10.77.0.12`",
        about="stash2",
    ),
)
"""What `verify.py` tells."""

DRIFT = (
    Broken(
        "gpgcheck is off for Elastic's repository",
        do="sed -i s/gpgcheck=1/gpgcheck=0/ /etc/yum.repos.d/logstash.repo",
        says="2. Elastic's repository",
        mend="",
        undo="sed -i s/gpgcheck=0/gpgcheck=1/ /etc/yum.repos.d/logstash.repo",
    ),
    Broken(
        "Elastic's key is not rpm's any more",
        do="rpm -e $(rpm -q gpg-pubkey)",
        says="2. Elastic's GPG key",
        mend="",
        undo="rpm --import /etc/pki/rpm-gpg/RPM-GPG-KEY-elasticsearch",
    ),
    file(
        "the file is gone that sets kernel settings at boot",
        away("/etc/sysctl.d/90-logstash-ha.conf"),
        "6. sysctl: own files",
    ),
    Broken(
        "keepalived.conf, which may hold a password, can be read by all",
        do="chmod 644 /etc/keepalived/keepalived.conf",
        says="7. keepalived.conf",
        mend="",
        undo="chmod 600 /etc/keepalived/keepalived.conf",
    ),
    file(
        "the health services' verdicts are not made at the next boot",
        append("/etc/tmpfiles.d/logstash-ha-health.conf"),
        "8. Health script and service",
    ),
    file(
        "keepalived does not start again when it dies",
        append("/etc/systemd/system/keepalived.service.d/restart.conf"),
        "11. keepalived starts again when it dies",
    ),
)
"""What `verify.py --drift` lists, by the deploy's step: nothing works worse yet, and a deploy mends each."""
