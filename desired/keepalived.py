"""keepalived's files, and how they are checked (the recipe's steps 7 and 8)."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable

from cluster import Cluster, Node, VrrpInstance
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
"""The program that releases the VIPs of a node whose keepalived was killed, or is to stop."""
DROP_IN = "/etc/systemd/system/keepalived.service.d/restart.conf"

CRASHES = ("2.3.0", "2.3.1", "2.3.2")
"""The versions of keepalived that crash with FILE_CHECK (acassen/keepalived d3155660, first in 2.3.3)."""
CRASHES_MEND = "crashes with FILE_CHECK; install 2.3.3 or later, or 2.2.8"
"""What to say of them, after their version."""

SPARE_MARK = 1819501665
"""The firewall mark of the virtual server that the deploy tests keepalived with: no packet has it."""
SPARE_SERVER, SPARE_PORT = "127.0.0.1", 9
"""Its only real server, which gets no event."""
SPARE_WEIGHT = 100
"""That one's weight, where the deploy tests that too."""

# 1.3.5 (EL 7) has no such test. 2.1.5 (EL 8) names what it does not know, but exits with 0, so any output is
# a failure. 2.2.5 to 2.2.7 (in no EL) kill themselves during the test when script_user is not root.
CONF_CHECK = f"""\
tested=$new
version=$(keepalived --version 2>&1 | sed -n 's/^Keepalived v\\([0-9.]*\\).*/\\1/p')
case $version in
1.*) tested= ;;
{"|".join(CRASHES)})
    echo "keepalived $version {CRASHES_MEND}" >&2
    exit 1
    ;;
2.2.[567])
    tested=$work/keepalived.conf
    sed 's/script_user .*/script_user root/' "$new" >"$tested"
    ;;
esac
if [ -n "$tested" ]; then
    status=0
    output=$(keepalived --config-test --use-file "$tested" 2>&1) || status=$?
    [ "$status$output" = 0 ] || {{ printf 'keepalived refuses it (%s): %s\\n' $status "$output" >&2; exit 1; }}
fi"""
"""For a `TextFile`: keepalived's own test of the new keepalived.conf."""


def files(cluster: Cluster, node: Node, el: int) -> list[TextFile]:
    """keepalived.conf, and what restarts keepalived when it dies and has another node take its VIPs."""
    link_files = health.link_faults(cluster, node, el)
    track_files = {interface: posixpath.basename(file) for interface, file in link_files.items()}
    maintenance = posixpath.basename(health.MAINTENANCE_FLAG)
    proves_weights = health.proves_weights(cluster, el)
    conf = render(
        "keepalived.conf.j2",
        cluster=cluster,
        node=node,
        el=el,
        # EL 7's SELinux policy does not let keepalived change its user, and 1.3.5 takes a script that it can't start
        # for one that succeeds. It runs nothing but test(1) and a line of the shell.
        script_user="root" if el == 7 else USER,
        file_check=el >= health.FOLLOWS_FILES,
        verdict=health.verdict,
        weighed_inputs=health.weighed_inputs(cluster, el),
        reduction=health.reduction,
        link_files=link_files,
        link_faults=track_files,
        followed=lambda instances: [maintenance, *_followed(cluster, node, instances, track_files)],
        maintenance=maintenance,
        maintenance_flag=health.MAINTENANCE_FLAG,
        tracks_vip_interfaces=el > 7,
        paired_instances=[instance for pair in cluster.vrrp_pairs for instance in pair],
        spare_verdict=health.SPARE_VERDICT,
        spare_reduction=health.SPARE_REDUCTION if proves_weights else None,
        spare_weight=SPARE_WEIGHT if proves_weights else 1,
        spare_mark=SPARE_MARK,
        spare_server=f"{SPARE_SERVER} {SPARE_PORT}",
        adopted=ADOPTED if cluster.existing == "adopt" else None,
    )
    drop_in = render(
        "restart.conf.j2",
        cluster=cluster,
        # Not with the recipe's VRRP 2, where a BACKUP waits for more than 3 s anyway.
        link_faults=health.link_faults(cluster, node, el) if cluster.vrrp == 3 else {},
        health_unit=health.UNIT,
        maintenance_flag=health.MAINTENANCE_FLAG,
        command=f"{PYTHON[el]} {RELEASE_VIPS}",
        vips=_vips(cluster, node, _takeover(cluster)),
    )
    return [
        TextFile(CONF, conf, step=7, mode="600", check=CONF_CHECK, read_by=UNIT),
        TextFile(RELEASE_VIPS, program("release_vips.py"), step=11, mode="755"),
        TextFile(DROP_IN, drop_in, step=11, then="systemctl daemon-reload"),
    ]


def _followed(
    cluster: Cluster, node: Node, instances: Iterable[VrrpInstance], track_files: dict[str, str]
) -> list[str]:
    """The links' track files of instances: those of their VIPs' interfaces, and of the one that leads to the other nodes."""
    interfaces = (cluster.vip_interface(instance.vip, node) for instance in instances)
    return [track_files[each] for each in dict.fromkeys([cluster.interface_of(node), *interfaces])]


def hand_over(cluster: Cluster, node: Node, el: int, command: str, seconds: float) -> str:
    """The command by which a node goes on distributing events until another one has its VIPs, which a command of the shell has
    keepalived give up; for so many seconds at most. `release_vips.py` is its standard input."""
    vips = _vips(cluster, node, seconds + _takeover(cluster))
    return f"{PYTHON[el]} - --run {shlex.quote(command)} {vips}"


def _takeover(cluster: Cluster) -> float:
    """Seconds that another node may take until it has announced twice that it has a VIP, once that is given up."""
    return 4 * cluster.advert_int + 1


def _vips(cluster: Cluster, node: Node, seconds: float) -> str:
    """What `release_vips.py` is told of the VIPs: their usual interface, how long another node may take, and each of them."""
    released = (_released(cluster, node, instance) for instance in cluster.vrrp_instances)
    return " ".join([cluster.interface_of(node), f"{seconds:g}", *released])


def _released(cluster: Cluster, node: Node, instance: VrrpInstance) -> str:
    """A VIP for `release_vips.py`: with its prefix and its interface where these are not the usual ones."""
    interface, prefix = cluster.vip_interface(instance.vip, node), cluster.vip_prefix(instance.vip)
    usual = (cluster.interface_of(node), instance.vip.max_prefixlen)
    place = "" if (interface, prefix) == usual else f"/{prefix}@{interface}"
    return f"{instance.virtual_router_id}={instance.vip}{place}"


def probe(cluster: Cluster, node: Node, el: int) -> str:
    """The probe of Logstash's `Unit`: the health script finds each input in this node's Logstash."""
    # The health script calls a drained node down, but this one has been restarted: its answer counts again.
    end_drain = f"rm -f {DRAINED}/{node.address}"
    return f"{end_drain} &&\n{own_check(cluster, node, el)}"


def own_check(cluster: Cluster, node: Node, el: int) -> str:
    """The command by which a node finds each input in its own Logstash, also where it is in maintenance."""
    return f"{PYTHON[el]} {CHECK} --also-in-maintenance {node.address} {' '.join(cluster.input_ids)}"


# keepalived can be up and not follow the verdicts, without a message: where SELinux does not let it watch the files, or
# EL 7's keepalived can't start its checks, which then count as passed. So the deploy sees it follow one that no events
# depend on. The bound of the unit allows several tries.
_FOLLOWS = f"""\
state=$(systemctl is-active keepalived) || {{ echo "it is $state"; false; }} &&
within_5_s() {{ # until the spare real server is in its pool ($1: 1) or out of it (0), with the weight $3 if it is given
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
        [ "$(ipvsadm --list --numeric --fwmark-service {SPARE_MARK} 2>&1 | grep -c ' {SPARE_SERVER}:{SPARE_PORT} '"${{3:+ *Masq *$3 }}")" != $1 ] || return 0
        sleep 0.2
    done
    echo "it does not follow the verdicts of the health service: a spare one $2; see \\`ausearch -m avc -c keepalived\\`"
    false
}} &&
: >{health.SPARE_VERDICT} && within_5_s 1 'is up, and its real server is not in the pool' &&
echo 1 >{health.SPARE_VERDICT} && {{
    within_5_s 0 'is down, and its real server stays in the pool'
    followed=$?
    : >{health.SPARE_VERDICT}
    [ $followed = 0 ]
}} && within_5_s 1 'is up again, and its real server is not in the pool'"""

_REDUCED = 40
# Where the weight comes from the exit status of a check, SELinux could let that see that the verdict is empty, but not let it
# read the other file.
_FOLLOWS_WEIGHT = f"""\
{_FOLLOWS} && echo {_REDUCED} >{health.SPARE_REDUCTION} && {{
    within_5_s 1 'is slow, and its real server keeps its weight' {SPARE_WEIGHT - _REDUCED}
    followed=$?
    echo 0 >{health.SPARE_REDUCTION}
    [ $followed = 0 ]
}} && within_5_s 1 'is no longer slow, and its real server does not get its weight back' {SPARE_WEIGHT} &&
: >{health.SPARE_REDUCTION}"""


# A reload does not end the kernel's synchronization of connections, which no one would switch between MASTER
# and BACKUP any more.
_NO_SYNC = "for role in master backup; do ipvsadm --stop-daemon $role 2>/dev/null; done"


OLD_ENOUGH = 5
"""Seconds: older than this must each of keepalived's processes be for a reload."""
# The one that runs may have started with a `vrrp_startup_delay`, which an earlier version of this project set to 3 s, or
# others. Within that time a reload leaves 2.2.8 deaf to adverts until it is restarted. `desired.reload` waits for the same.
_RELOADABLE = f"""\
shown=$(systemctl show --property SubState --property MainPID keepalived)
case $shown in
*SubState=start | *SubState=start[!-]* | *SubState=reload*) false ;;
*SubState=running*)
    pid=${{shown#*MainPID=}}
    pid=${{pid%%[!0-9]*}} young=
    for age in $(ps -o etimes= -p "$pid" --ppid "$pid"); do
        [ "$age" -ge {OLD_ENOUGH} ] || young=yes
    done
    [ -z "$young" ]
    ;;
esac"""


def unit(cluster: Cluster, el: int) -> Unit:
    """keepalived's service. A reload loses no event, but 1.3.5 (EL 7) can crash at it."""
    return Unit(
        UNIT,
        probe=_FOLLOWS_WEIGHT if health.proves_weights(cluster, el) else _FOLLOWS,
        verb="restart" if el == 7 else "reload-or-restart",
        reloadable="true" if el == 7 else _RELOADABLE,
        then="" if "dr" in cluster.forwardings else _NO_SYNC,
    )
