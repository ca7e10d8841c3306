"""The steps of a sender's way: one thing is wrong, and that step is named."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster import Cluster
from facts.ipvs import socket_name
from tests.unit.clusters import make_cluster
from tests.unit.observations import all_well, fail_check, hold
from tests.unit.test_why_rules import ruleset
from verification.report import Status
from verification.why.command import _show, document
from verification.why.steps import ways
from verification.why.trace import Counters, Frames, PipelineCounts, SocketState, Trace
from verification.why.way import STEPS, Seen, SentEvents, Way

SENDER, VIP = ip_address("10.77.0.101"), ip_address("10.77.0.10")
MACS = {"stash1": "52:54:00:4d:00:0b", "stash2": "52:54:00:4d:00:0c"}
DEVICE = "52:54:00:4d:00:65"
ADDRESSES = {"stash1": ip_address("10.77.0.11"), "stash2": ip_address("10.77.0.12")}


def counters(events: int) -> Counters:
    """After so many events on each of two nodes."""
    key = "UDP", "10.77.0.10:5514"
    return Counters(
        packets={key: 2 * events},
        forwarded={(*key, f"{address}:5514"): events for address in ADDRESSES.values()},
        sockets={("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 0, 3)]},
        inputs={"udp-5514": events},
        pipelines={"main": PipelineCounts(events, events, ())},
    )


def frames(incoming: bool, address: Any, count: int, port: int = 5514) -> Frames:
    return Frames(incoming, "eth0", DEVICE, "52:54:00:4d:00:0c", "UDP", address, port, count)


def trace(name: str) -> Trace:
    """Stash2 is the MASTER, and half of 40 events go to each node."""
    to_vip = [frames(True, VIP, 40), frames(False, ADDRESSES["stash1"], 20)]
    return Trace(
        frames=to_vip if name == "stash2" else [frames(True, ADDRESSES["stash1"], 20)],
        missed=0,
        answers={str(VIP): [MACS["stash2"]] if name == "stash1" else []},
        macs={"eth0": MACS[name]},
        errors={},
        before=counters(100),
        after=counters(120),
        route="10.77.0.101 dev eth0 src 10.77.0.11 uid 0 cache",
        rp_filter={"all": 0, "eth0": 1},
        rules=[],
    )


def all_well_seen(cluster: Cluster) -> Seen:
    return Seen(cluster, SENDER, all_well(cluster), {name: trace(name) for name in MACS}, 10)


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return all_well_seen(make_cluster(tmp_path))


def only(found: list[Way]) -> Way:
    (way,) = found
    return way


def statuses(way: Way) -> dict[str, Status]:
    return {step.name: step.status for step in way.steps}


def test_no_step_is_wrong_where_all_is_well(seen: Seen) -> None:
    way = only(ways(seen, None))
    assert way.broken is None
    assert statuses(way) == dict.fromkeys(STEPS, Status.OK)


Change = Callable[[Seen], object]


def after(seen: Seen, **values: Any) -> None:
    """On both nodes, other counters afterwards."""
    for each in seen.traces.values():
        for name, value in values.items():
            setattr(each.after, name, copy.deepcopy(value))


def nothing_came(seen: Seen) -> None:
    for each in seen.traces.values():
        each.frames.clear()


def came_to(name: str, address: Any, port: int = 5514) -> Change:
    def change(seen: Seen) -> None:
        nothing_came(seen)
        seen.traces[name].frames.append(frames(True, address, 33, port))

    return change


def drop_frames(name: str, incoming: bool) -> Change:
    def change(seen: Seen) -> None:
        found = seen.traces[name].frames
        found[:] = [each for each in found if each.incoming is not incoming or each.address == VIP]

    return change


def rules(name: str, *texts: str) -> Change:
    return lambda seen: setattr(seen.traces[name], "rules", ruleset(*texts))


def reply(name: str, *macs: str) -> Change:
    return lambda seen: seen.traces[name].answers.update({str(VIP): list(macs)})


def together(*changes: Change) -> Change:
    def change(seen: Seen) -> None:
        for each in changes:
            each(seen)

    return change


def remove_virtual_server(seen: Seen) -> None:
    observed = seen.observations["stash2"].virtual_servers
    assert observed
    observed.pop(0)


def down(seen: Seen) -> None:
    for observed in seen.observations.values():
        for address in ADDRESSES.values():
            fail_check(str(address))(observed.health)


QUEUED = {("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 4096, 3)]}
DROPPED = {("UDP", 5514): [SocketState(ip_address("0.0.0.0"), 9999, 7)]}
HELD = {"main": PipelineCounts(120, 100, ("file",))}


@pytest.mark.parametrize(
    ("change", "step", "says", "do"),
    [
        (
            rules("stash2", "ip saddr 10.77.0.101 drop # handle 7"),
            "firewall",
            "stash2: a rule of others in nftables' table inet theirs, chain mine: ip saddr 10.77.0.101 drop",
            "on stash2: `nft delete rule inet theirs mine handle 7`",
        ),
        (
            rules("stash1", "ip daddr 10.77.0.11 udp dport 5514 drop # handle 7"),
            "firewall",
            "stash1: ",
            "on stash1: ",
        ),
        (
            lambda seen: hold(seen.observations, "10.77.0.10"),
            "vip",
            "no node holds 10.77.0.10",
            "start keepalived",
        ),
        (
            lambda seen: hold(seen.observations, "10.77.0.10", "stash1", "stash2"),
            "vip",
            "stash1 and stash2 all hold 10.77.0.10",
            "let VRRP",
        ),
        (
            reply("stash1", MACS["stash2"], "00:11:22:33:44:55"),
            "mac",
            "00:11:22:33:44:55 answers for 10.77.0.10, too",
            "find that machine by its MAC address",
        ),
        (
            reply("stash2", MACS["stash1"]),
            "mac",
            f"{MACS['stash1']} (stash1) answers",
            "on stash1: `ip addr`",
        ),
        (reply("stash1"), "mac", "nobody answers ARP for 10.77.0.10, as stash1 asks", "arp_ignore"),
        (
            lambda seen: setattr(seen.traces["stash1"], "route", "RTNETLINK answers: Network is unreachable"),
            "route",
            "stash1 has no route to 10.77.0.101, so its packets are dropped (rp_filter)",
            "on stash1: add a route to 10.77.0.101 through eth0",
        ),
        (
            lambda seen: setattr(
                seen.traces["stash2"], "route", "10.77.0.101 via 192.0.2.1 dev eth1 src 192.0.2.9"
            ),
            "route",
            "stash2's route to 10.77.0.101 leads through eth1, but its packets come in at eth0",
            "or set `net.ipv4.conf.eth0.rp_filter` to 2",
        ),
        (nothing_came, "master", "none came to stash2 within 10 s", "is the device on"),
        (
            came_to("stash1", VIP),
            "master",
            "33 for 10.77.0.10:5514 came to stash1, which does not hold the VIP",
            "`arping -c 3 -A -I eth0 10.77.0.10`",
        ),
        (
            came_to("stash2", VIP, 514),
            "master",
            "none came for UDP 10.77.0.10:5514, but 33 for UDP 10.77.0.10:514 came to stash2",
            "let the device send to UDP 10.77.0.10:5514",
        ),
        (
            came_to("stash1", ADDRESSES["stash1"]),
            "master",
            "but 33 for UDP 10.77.0.11:5514 came to stash1",
            "let the device",
        ),
        (
            remove_virtual_server,
            "ipvs",
            "stash2: IPVS has no virtual server UDP 10.77.0.10:5514",
            "`systemctl restart keepalived`",
        ),
        (
            lambda seen: after(seen, packets={("UDP", "10.77.0.10:5514"): 203}),
            "ipvs",
            "40 came in at stash2, and IPVS counted 3: something in the kernel drops them before",
            "`nft list ruleset`",
        ),
        (
            together(
                lambda seen: after(seen, packets={("UDP", "10.77.0.10:5514"): 200}),
                lambda seen: after(seen, filtered=40),
            ),
            "ipvs",
            "the reverse-path filter dropped 40",
            "`ip route get 10.77.0.101`",
        ),
        (
            drop_frames("stash1", incoming=True),
            "real_server",
            "20 left stash2 for stash1, and 0 came there",
            'forwarding="snat"',
        ),
        (
            together(drop_frames("stash2", incoming=False), drop_frames("stash1", incoming=True)),
            "real_server",
            "IPVS on stash2 gave 20 to stash1, and none of the sender's left it",
            "on stash2: a rule in a chain of OUTPUT or POSTROUTING",
        ),
        (
            together(lambda seen: after(seen, sockets={}), down),
            "socket",
            "nothing listens at UDP 10.77.0.11:5514 on stash1",
            "on stash1, where udp-5514 is down: connection refused: stopped?: look into",
        ),
        (
            together(lambda seen: after(seen, sockets=DROPPED, inputs=None, pipelines={}), down),
            "socket",
            "stash1 dropped 4 events at UDP 10.77.0.11:5514, whose buffer is full",
            "on stash1, where udp-5514 is down: connection refused: stopped?: look into",
        ),
        (
            together(lambda seen: after(seen, sockets=QUEUED, inputs=None, pipelines={}), down),
            "socket",
            "4096 bytes wait at UDP 10.77.0.11:5514 on stash1, and nothing takes them",
            "/var/log/logstash/logstash-plain.log",
        ),
        (
            lambda seen: after(seen, inputs={"udp-5514": 100}),
            "socket",
            "stash1's kernel drops them between its interface and Logstash's socket",
            "`ip xfrm policy`",
        ),
        (
            together(lambda seen: after(seen, inputs={"udp-5514": 100}), down),
            "input",
            "udp-5514 on stash1 has made none",
            "on stash1, where udp-5514 is down: connection refused: stopped?: look into",
        ),
        (
            lambda seen: after(seen, pipelines=HELD),
            "output",
            "20 events are held up in the pipeline of stash1, in its output file",
            "get its output's destination back",
        ),
        (
            lambda seen: after(seen, pipelines=HELD, inputs={"udp-5514": 100}, sockets=DROPPED),
            "output",
            "20 events are held up in the pipeline of stash1, in its output file",
            "get its output's destination back",
        ),
    ],
)
def test_the_step_that_is_wrong_is_named_with_its_mend(
    seen: Seen, change: Change, step: str, says: str, do: str
) -> None:
    change(seen)
    way = only(ways(seen, None))
    assert way.broken
    assert way.broken.name == step
    assert says in way.broken.seen
    assert do in way.broken.do


def test_a_sender_that_is_in_no_list_is_named_before_what_follows(seen: Seen) -> None:
    way = only(ways(replace(seen, sender=ip_address("10.77.0.102")), None))
    assert way.broken
    assert (way.broken.name, way.broken.seen) == ("senders", "10.77.0.102 is not in `senders`")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"vip": {"address": "10.77.0.10", "senders": ["10.77.0.7"]}},
            "is not in `senders` of the VIP 10.77.0.10",
        ),
        (
            {"inputs": [{"id": "udp-5514", "port": 5514, "senders": ["10.77.0.7"]}]},
            "is not in `senders` of the input udp-5514",
        ),
    ],
)
def test_the_list_that_counts_is_named(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    way = only(ways(all_well_seen(make_cluster(tmp_path, **settings)), None))
    assert way.broken
    assert words in way.broken.seen
    assert words.removeprefix("is not in ") in way.broken.do


def test_a_route_is_not_needed_where_nothing_is_filtered_or_answered(seen: Seen) -> None:
    for each in seen.traces.values():
        each.route, each.rp_filter = "RTNETLINK answers: Network is unreachable", {"all": 0, "eth0": 0}
    assert statuses(only(ways(seen, None)))["route"] is Status.OK


def test_what_waits_for_a_later_step_follows_from_it(seen: Seen) -> None:
    after(seen, pipelines=HELD, inputs={"udp-5514": 100}, sockets=DROPPED)
    follows = {step.name for step in only(ways(seen, None)).steps if step.follows}
    assert follows == {"socket", "input"}


def test_events_on_their_way_through_a_pipeline_are_not_held_up(seen: Seen) -> None:
    after(seen, pipelines={"main": PipelineCounts(125, 118, ("file",))})
    assert only(ways(seen, None)).broken is None


@pytest.mark.parametrize(("came", "wrong"), [(19, False), (20, True)])
def test_a_node_that_got_none_of_many_is_wrong_and_of_few_is_chance(
    seen: Seen, came: int, wrong: bool
) -> None:
    """Senders take turns, and other devices send, too."""
    seen.traces["stash2"].frames[:] = [frames(True, VIP, came)]
    seen.traces["stash1"].frames.clear()
    assert statuses(only(ways(seen, None)))["real_server"] is (Status.WRONG if wrong else Status.OK)


def test_steps_after_one_that_nothing_came_to_are_not_looked_at(seen: Seen) -> None:
    nothing_came(seen)
    found = statuses(only(ways(seen, None)))
    assert {name for name, status in found.items() if status is Status.UNKNOWN} == {
        *("ipvs", "real_server", "socket", "input", "output")
    }


def test_a_node_that_could_not_be_traced_is_not_looked_at(seen: Seen) -> None:
    del seen.traces["stash1"]
    found = statuses(only(ways(seen, None)))
    assert found["real_server"] is found["firewall"] is Status.UNKNOWN
    assert Status.WRONG not in found.values()


def test_events_that_were_sent_are_counted_where_they_were_written(seen: Seen) -> None:
    whole = only(ways(replace(seen, sent={0: SentEvents(40, {"stash1": 20, "stash2": 20})}), None))
    assert whole.steps[-1].seen == "all 40 that were sent: stash1 20, stash2 20"
    lost = only(ways(replace(seen, sent={0: SentEvents(40, {"stash1": 20, "stash2": 13})}), None))
    assert lost.broken
    assert lost.broken.seen.startswith("7 of 40 that were sent are not in the output's file")


def test_of_several_inputs_the_one_is_shown_that_it_sends_to(tmp_path: Path) -> None:
    inputs = [{"id": "udp-5514", "port": 5514}, {"id": "other", "port": 5600}]
    seen = all_well_seen(make_cluster(tmp_path, inputs=inputs))
    assert [way.input for way in ways(seen, None)] == ["udp-5514"]
    assert [way.input for way in ways(seen, "other")] == ["other"]
    nothing_came(seen)
    assert [way.input for way in ways(seen, None)] == ["udp-5514", "other"]


def test_tcp_is_judged_by_the_states_of_its_connections(tmp_path: Path) -> None:
    seen = all_well_seen(make_cluster(tmp_path, inputs=[{"id": "tcp-5514", "port": 5514, "protocol": "tcp"}]))
    for name, each in seen.traces.items():
        each.frames[:] = [replace(found, protocol="TCP") for found in each.frames if found.address == VIP]
        for moment in (each.before, each.after):
            moment.packets = {("TCP", "10.77.0.10:5514"): 7 if moment is each.before else 60}
            moment.sockets = {("TCP", 5514): [SocketState(ADDRESSES[name], 0, 0)]}
            moment.inputs = {"tcp-5514": 5 if moment is each.before else 9}
    seen.traces["stash2"].after.connections = ["ESTABLISHED"]
    assert only(ways(seen, None)).broken is None
    seen.traces["stash2"].after.connections = ["SYN_RECV"]
    broken = only(ways(seen, None)).broken
    assert broken
    assert (broken.name, broken.seen) == ("real_server", "no real server answers its connections")


def test_it_is_shown_and_written_as_json(seen: Seen) -> None:
    nothing_came(seen)
    found = ways(seen, None)
    console = Console(file=io.StringIO(), width=200, highlight=False)
    _show(console, str(SENDER), found)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "IT BREAKS HERE: its packets come to the MASTER" in text
    assert "-> is the device on" in text
    assert text.count("not looked at") == 5
    read = json.loads(json.dumps(document(str(SENDER), found)))
    assert (read["version"], read["ok"], read["ways"][0]["broken"]) == (1, False, "master")
    assert [step["step"] for step in read["ways"][0]["steps"]] == list(STEPS)
    assert socket_name(VIP, 5514) in read["ways"][0]["do"]
