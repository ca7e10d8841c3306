"""keepalived's files, and how they are checked."""

from __future__ import annotations

from cluster import Cluster, Node
from facts.ipvs import DRAINED
from operations.services import Unit

UNIT = "keepalived"
CONF = "/etc/keepalived/keepalived.conf"
SCRIPT = "/etc/keepalived/check_logstash_input.py"
SCRIPT_USER = "keepalived_script"
GIVE_UP = "/etc/keepalived/give_up_vips.py"
"""What takes the VIPs off a node whose keepalived was killed."""
DROP_IN = "/etc/systemd/system/keepalived.service.d/restart.conf"

PYTHON = {
    7: "/usr/bin/python",
    8: "/usr/libexec/platform-python",
    9: "/usr/bin/python3",
    10: "/usr/bin/python3",
}
"""By Enterprise Linux's major version: the Python that is always there."""

FILE_CHECK = 9
"""The first Enterprise Linux whose keepalived follows a file at once. 2.1.5 (EL 8) can, too, but a real server
that comes with a reload stays down there until its file has changed twice; 1.3.5 (EL 7) can't."""

TRACK_FILE = 8
"""The first Enterprise Linux whose keepalived's instances follow a file."""

# 1.3.5 (EL 7) has no such test. 2.1.5 (EL 8) only names what it does not know, and exits with 0: so any
# word is a failure. 2.2.5 to 2.2.7 (on no EL) kill themselves half-way when script_user is not root.
CONF_CHECK = """\
tested=$new
case $(keepalived --version 2>&1 | sed -n 's/^Keepalived v\\([0-9.]*\\).*/\\1/p') in
1.*) tested= ;;
2.2.[567])
    tested=$work/keepalived.conf
    sed 's/script_user .*/script_user root/' "$new" >"$tested"
    ;;
esac
if [ -n "$tested" ]; then
    status=0
    said=$(keepalived --config-test --use-file "$tested" 2>&1) || status=$?
    [ "$status$said" = 0 ] || { printf 'keepalived refuses it (%s): %s\\n' $status "$said" >&2; exit 1; }
fi"""
"""For a `TextFile`: keepalived's own test of the new keepalived.conf."""


def script_check(el: int) -> str:
    """For a `TextFile`: the new health script starts as the user that keepalived runs it as.

    A script that does not would take its check away, and the real server would stay in the pool for ever.
    """
    return f'runuser -u {SCRIPT_USER} -- {PYTHON[el]} "$new" --help >/dev/null'


def probe(cluster: Cluster, node: Node, el: int) -> str:
    """For a `Unit`: the health script finds each input in this node's Logstash."""
    # Drained or not: it has been restarted, so its own answer counts again.
    undrained = f"rm -f {DRAINED}/{node.address}"
    return f"{undrained} &&\n{PYTHON[el]} {SCRIPT} {node.address} {' '.join(cluster.input_ids)}"


# Where SELinux lets it not watch them, keepalived goes by the verdicts of its start, for ever and without a word.
_WATCHES = """\
systemctl is-active keepalived &&
for pid in $(pgrep -P "$(systemctl show -p MainPID keepalived | cut -d = -f 2)"); do
    cat /proc/$pid/fdinfo/* 2>/dev/null
done | grep -q '^inotify wd:' || { echo 'it does not watch the verdicts: `ausearch -m avc -c keepalived`'; false; }"""


# A reload leaves the kernel's synchronization of connections as it was; nobody would tell it any more who is MASTER.
_NO_SYNC = "for role in master backup; do ipvsadm --stop-daemon $role 2>/dev/null; done"


def unit(cluster: Cluster, el: int) -> Unit:
    """keepalived's service; a reload loses nothing, but 1.3.5 (EL 7) can crash on it."""
    return Unit(
        UNIT,
        probe="systemctl is-active keepalived" if el < FILE_CHECK else _WATCHES,
        verb="restart" if el == 7 else "reload-or-restart",
        then="" if "dr" in cluster.forwardings else _NO_SYNC,
    )
