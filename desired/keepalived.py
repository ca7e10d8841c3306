"""keepalived's files, and how they are checked (the recipe's steps 7 and 8)."""

from __future__ import annotations

from cluster import Cluster, Node
from desired import health
from desired.health_script import CHECK, PYTHON, USER
from desired.paths import DRAINED
from desired.render import program, render
from desired.textfile import TextFile
from desired.unit import Unit

UNIT = "keepalived"
CONF = "/etc/keepalived/keepalived.conf"
ADOPTED = "/etc/keepalived/adopted.conf"
"""The blocks of a keepalived.conf that others had written, where the inventory adopts them. They are still theirs."""
RELEASE_VIPS = "/etc/keepalived/release_vips.py"
"""The program that removes the VIPs from a node whose keepalived was killed."""
DROP_IN = "/etc/systemd/system/keepalived.service.d/restart.conf"

FILE_CHECK = 9
"""The first Enterprise Linux whose keepalived follows a verdict file at once. 2.1.5 (EL 8) can, too, but a
real server that a reload adds stays down there until its file has changed twice; 1.3.5 (EL 7) can't."""

# 1.3.5 (EL 7) has no such test. 2.1.5 (EL 8) names what it does not know, but exits with 0, so any output is
# a failure. 2.2.5 to 2.2.7 (in no EL) kill themselves during the test when script_user is not root.
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
    output=$(keepalived --config-test --use-file "$tested" 2>&1) || status=$?
    [ "$status$output" = 0 ] || { printf 'keepalived refuses it (%s): %s\\n' $status "$output" >&2; exit 1; }
fi"""
"""For a `TextFile`: keepalived's own test of the new keepalived.conf."""


def files(cluster: Cluster, node: Node, el: int) -> list[TextFile]:
    """keepalived.conf, and what restarts keepalived when it dies and removes the VIPs that it left behind."""
    conf = render(
        "keepalived.conf.j2",
        cluster=cluster,
        node=node,
        script_user=USER,
        file_check=el >= FILE_CHECK,
        verdict=health.verdict,
        slow_aware_inputs=health.slow_aware_inputs(cluster),
        slow_file=health.slow_file,
        link_fault=health.link_fault(el),
        adopted=ADOPTED if cluster.existing == "adopt" else None,
    )
    drop_in = render(
        "restart.conf.j2",
        cluster=cluster,
        command=f"{PYTHON[el]} {RELEASE_VIPS}",
        vips=" ".join(f"{instance.virtual_router_id}={instance.vip}" for instance in cluster.vrrp_instances),
    )
    return [
        TextFile(CONF, conf, step=7, mode="600", check=CONF_CHECK, read_by=UNIT),
        TextFile(RELEASE_VIPS, program("release_vips.py"), step=11, mode="755"),
        TextFile(DROP_IN, drop_in, step=11, then="systemctl daemon-reload"),
    ]


def probe(cluster: Cluster, node: Node, el: int) -> str:
    """The probe of Logstash's `Unit`: the health script finds each input in this node's Logstash."""
    # The health script calls a drained node down, but this one has been restarted: its answer counts again.
    end_drain = f"rm -f {DRAINED}/{node.address}"
    return f"{end_drain} &&\n{PYTHON[el]} {CHECK} {node.address} {' '.join(cluster.input_ids)}"


# Where SELinux does not let it watch the verdict files, keepalived keeps the verdicts of its start, and does
# not say so.
_WATCHES = """\
systemctl is-active keepalived &&
for pid in $(pgrep -P "$(systemctl show -p MainPID keepalived | cut -d = -f 2)"); do
    cat /proc/$pid/fdinfo/* 2>/dev/null
done | grep -q '^inotify wd:' || { echo 'it does not watch the verdicts: `ausearch -m avc -c keepalived`'; false; }"""


# A reload does not end the kernel's synchronization of connections, which no one would switch between MASTER
# and BACKUP any more.
_NO_SYNC = "for role in master backup; do ipvsadm --stop-daemon $role 2>/dev/null; done"


def unit(cluster: Cluster, el: int) -> Unit:
    """keepalived's service. A reload loses no event, but 1.3.5 (EL 7) can crash at it."""
    return Unit(
        UNIT,
        probe="systemctl is-active keepalived" if el < FILE_CHECK else _WATCHES,
        verb="restart" if el == 7 else "reload-or-restart",
        then="" if "dr" in cluster.forwardings else _NO_SYNC,
    )
