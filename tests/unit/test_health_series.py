"""The health service's judgement of a real Logstash's answers over time, and of answers of that shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from docs.verdicts import BEGIN, END, PAGE, STORIES, Story, renewed, turns
from tests.series import FOLDER, Replay, Series, Verdicts, load, script

ID = "udp-5514"
PORT = 5514
EARLY = {"up": 0.0, "down": 0.8}
"""Seconds by which a verdict may come earlier: a reload takes the `hash` out of the answer before it closes the port."""
everywhere = pytest.mark.parametrize("own", [True, False], ids=["own", "polls"])


@everywhere
@pytest.mark.parametrize(
    "story", STORIES, ids=lambda story: f"{story.series} {' '.join([*story.inputs][:3])}"
)
def test_the_verdict_follows_what_happens_and_nothing_else(story: Story, own: bool) -> None:
    for found in turns(story, own=own).values():
        assert [turn.state for turn in found] == [change.state for change in story.changes]
        for turn, change in zip(found, story.changes, strict=True):
            within = change.within if own else change.polls_within
            assert change.seconds - EARLY[change.state] <= turn.seconds <= change.seconds + within, (
                turn,
                change,
            )


def test_every_recording_has_a_story() -> None:
    assert {story.series for story in STORIES} == {
        file.name.partition(".")[0] for file in FOLDER.glob("*.gz")
    }


def test_the_page_has_todays_table() -> None:
    text = PAGE.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == renewed(text), "docs/health.md is behind; run `python -m docs.verdicts`"


def pipeline(
    *ids: str, errors: int = 0, out: int = 0, pressure: float = 0.0, **members: Any
) -> dict[str, Any]:
    """A pipeline of an answer, as a recording has it."""
    return {
        "hash": True,
        "events": {"in": out, "out": out, "filtered": out},
        "flow": {"queue_backpressure": {"current": pressure, "lifetime": pressure}},
        "inputs": [[id, "udp", 0, *([{"listener": errors}] if errors else [])] for id in ids],
        **members,
    }


def poll(
    seconds: float, pipelines: dict[str, Any] | None, ports: dict[int, bool], top: str = "green"
) -> dict[str, Any]:
    """A poll; without pipelines, the connection is refused."""
    answer: dict[str, Any] = {"status": None, "why": "refused"} if pipelines is None else {"status": 200}
    udp = {str(port): "silent" if is_open else "refused" for port, is_open in ports.items()}
    return answer | {"t": seconds, "ms": 5, "top": top, "pipelines": pipelines, "udp": udp}


def one_input(*pipelines: dict[str, Any] | None, open_: bool = True, apart: float = 0.5) -> Series:
    """An input at a port that is open whenever Logstash answers, or never closed."""
    polls = [
        poll(number * apart, pipelines, {PORT: open_ and pipelines is not None})
        for number, pipelines in enumerate(pipelines)
    ]
    return Series("made", polls, [])


def states(verdicts: Verdicts, id: str = ID) -> list[str]:
    return [turn.state for turn in verdicts.turns[id]]


def judged(series: Series, *, own: bool = False, up: bool = True, reason: str = "") -> Verdicts:
    return Replay(series, {ID: ("udp", PORT)}, own=own, up=up, reason=reason).run()


LOADING: dict[str, Any] = {"hash": False, "events": None, "flow": {}, "queue": None, "reloads": None}
"""The members of a pipeline that is starting."""


def starting_one_by_one(count: int, at_once: int = 20) -> Series:
    """The start of so many inputs: each poll lists one more, then the pipeline runs, and each binds some more ports."""
    ids, ports = [f"u{number:03}" for number in range(count)], range(20000, 20000 + count)
    closed = dict.fromkeys(ports, False)
    answers: list[tuple[Any, dict[int, bool]]] = [(None, closed)] * 10 + [({}, closed)] * 4
    answers += [({"main": pipeline(*ids[: number + 1], **LOADING)}, closed) for number in range(count)]
    answers += [({"main": pipeline(*ids, hash=False)}, closed)] * 4
    for bound in range(0, count + at_once, at_once):
        opened = {port: number < bound for number, port in enumerate(ports)}
        answers.append(({"main": pipeline(*ids)}, opened))
    answers += answers[-1:] * 6
    return Series("made", [poll(number / 2, *answer) for number, answer in enumerate(answers)], [])


@everywhere
def test_200_inputs_that_start_one_by_one_write_one_line_for_each_poll_that_brings_some_up(own: bool) -> None:
    """They go through five reasons each: 4,446 lines were once counted in one start."""
    series = starting_one_by_one(200)
    inputs = {f"u{number:03}": ("udp", 20000 + number) for number in range(200)}
    verdicts = Replay(series, inputs, own=own, up=False).run()
    assert all(states(verdicts, id) == ["down", "up"] for id in inputs)
    assert len(verdicts.journal) == 10
    assert all(line.endswith(" are up") for line in verdicts.journal)
    assert verdicts.journal[0] == "u000, u001, u002, u003, u004 and 15 more at 192.0.2.11 are up"
    assert verdicts.changes <= len(series.polls) + 1, "one poll writes the file once"


def test_200_inputs_that_go_down_at_once_write_one_line() -> None:
    series = starting_one_by_one(200)
    inputs = {f"u{number:03}": ("udp", 20000 + number) for number in range(200)}
    stopped = [poll(number / 2, None, {port: False for _, port in inputs.values()}) for number in range(4)]
    running = [{**series.polls[-1], "t": number / 2} for number in range(4)]
    polls = [*running, *({**each, "t": 2 + each["t"]} for each in stopped)]
    verdicts = Replay(Series("made", polls, []), inputs, own=False, up=True).run()
    assert verdicts.journal == [
        "u000, u001, u002, u003, u004 and 195 more at 192.0.2.11 are down: the connection to the API is refused"
    ]


def test_the_reason_that_a_start_leaves_behind_is_written_once() -> None:
    """The journal has said that Logstash was stopped; now it runs, without the input."""
    series = one_input({"main": pipeline(ID)}, *[None] * 8, *[{"main": pipeline("other")}] * 60)
    verdicts = judged(series)
    assert verdicts.journal == [
        f"{ID} at 192.0.2.11 is down: connection refused",
        f"{ID} at 192.0.2.11 is down: no such input; there are: other",
    ]


@pytest.mark.parametrize(
    "name", ["blocked-udp-workers-1", "blocked-udp-workers-2", "blocked-one-tcp-connection"]
)
def test_a_new_service_goes_on_with_a_blocked_output(name: str) -> None:
    (story,) = (story for story in STORIES if story.series == name)
    series = load(name)
    late = replace(series, polls=[poll for poll in series.polls if poll["t"] > 30])
    found = Replay(late, story.inputs, own=True, up=False, reason="blocked").run()
    assert [(turn.state, turn.seconds > 108) for (turns,) in [found.turns.values()] for turn in turns if turn.state != "slow"] == [("down", False), ("up", True)]  # fmt: skip


def test_a_queue_that_was_full_of_many_threads_events_is_not_blocked_when_no_more_come() -> None:
    """The pressure of 20 threads falls for 15 s, and is that of one until shortly before the end."""
    pressures = [20.0] * 20 + [20 * (1 - number / 30) for number in range(31)] + [0.0] * 20
    outs = [*range(20), *[20] * 51]
    series = one_input(
        *({"main": pipeline(ID, out=out, pressure=each)} for out, each in zip(outs, pressures, strict=True))
    )
    assert set(states(judged(series))) <= {"up", "slow"}


def test_an_output_that_is_blocked_again_and_again_for_a_short_time_is_not_blocked() -> None:
    series = one_input(*({"main": pipeline(ID, out=number // 16, pressure=0.9993)} for number in range(200)))
    assert set(states(judged(series))) <= {"up", "slow"}


def test_a_blocked_output_is_no_longer_blocked_when_no_thread_waits_any_more() -> None:
    """Its clients have gone, so no event need leave it."""
    blocked, empty = {"main": pipeline(ID, out=7, pressure=0.9993)}, {"main": pipeline(ID, out=7)}
    assert states(judged(one_input(*[blocked] * 30, *[empty] * 5))) == ["up", "slow", "down", "up"]


@pytest.mark.parametrize("earlier", [0, 1, 4])
def test_a_listener_that_has_failed_before_the_first_poll_does_not_count_as_bound(earlier: int) -> None:
    """The last Logstash had counted so many. In this one, the first attempt was before the first poll."""
    counts = [1] * 9 + [2] * 10 + [3] * 10 + [4] * 10
    series = one_input(
        *[{"main": pipeline(ID, errors=earlier)}] * 4,
        *[None] * 4,
        *({"main": pipeline(ID, errors=count)} for count in counts),
    )
    verdicts = judged(series)
    assert states(verdicts) == ["up", "down"]
    assert f"{ID} at 192.0.2.11 is down: can't bind its port: another program has it" in verdicts.journal


def test_a_listener_that_failed_once_counts_as_bound_when_it_fails_no_more() -> None:
    series = one_input(None, *[{"main": pipeline(ID, errors=1)}] * 20)
    first, second = judged(series, up=False).turns[ID]
    assert (first.state, second.state) == ("down", "up")
    assert 7 <= second.seconds <= 8.6


def test_a_listener_that_had_failed_long_ago_is_bound_while_nothing_says_otherwise() -> None:
    verdicts = judged(one_input(*[{"main": pipeline(ID, errors=4)}] * 20))
    assert (states(verdicts), verdicts.changes, verdicts.journal) == (["up"], 0, [])


def test_a_new_logstash_whose_listener_fails_is_known_though_no_poll_saw_the_restart() -> None:
    series = one_input(*[{"main": pipeline(ID, errors=4)}] * 4, *[{"main": pipeline(ID, errors=1)}] * 8)
    assert states(judged(series)) == ["up", "down"]


@pytest.mark.parametrize("gone", [{}, {"main": pipeline(**LOADING)}, {"other": pipeline("b")}])
def test_a_pipeline_that_is_out_of_the_answer_for_a_moment_is_not_down_while_its_port_is_open(
    gone: Any,
) -> None:
    there = {"main": pipeline(ID)}
    assert states(judged(one_input(*[there] * 4, *[gone] * 1, *[there] * 4), own=True)) == ["up"]
    assert states(judged(one_input(*[there] * 4, *[gone] * 9), own=True)) == ["up", "down"]
    unknown = judged(one_input(*[there] * 4, *[gone] * 1, *[there] * 9), own=False)
    assert states(unknown)[:2] == ["up", "down"], (
        "a firewall may drop the probes: then nobody vouches for the port"
    )


def test_a_pipeline_that_has_ended_does_not_hide_the_one_that_has_the_input_now() -> None:
    """A removed pipeline is listed with its inputs for a second, and without them for a minute."""
    ended = {"a-removed": pipeline(ID, hash=False), "main": pipeline(ID)}
    ghost = {"a-removed": pipeline(**LOADING), "main": pipeline(ID)}
    series = one_input(*[{"main": pipeline(ID)}] * 2, *[ended] * 3, *[ghost] * 3)
    assert states(judged(series)) == ["up"]
    assert states(judged(series, own=True)) == ["up"]


@pytest.mark.parametrize("top", ["unknown", "yellow", "red"])
def test_what_concerns_another_pipeline_or_a_blocked_minute_takes_no_input_out(top: str) -> None:
    """`unknown` while another pipeline could not be made, `red` after it crashed, `yellow` after a minute's blockage."""
    pipelines = {"main": pipeline(ID), "other": pipeline(**LOADING)}
    series = Series("made", [poll(number / 2, pipelines, {PORT: True}, top) for number in range(8)], [])
    assert states(judged(series)) == ["up"]


RUNS = {
    "hash": "1",
    "events": {"in": 1, "out": 1},
    "flow": {"queue_backpressure": {"current": 0.1, "lifetime": 0.1}},
    "plugins": {"inputs": [{"id": "other"}, {"id": ID, "events": {"out": 1}, "errors": {"listener": 2}}]},
}


def without(value: Any, path: tuple[str | int, ...]) -> Any:
    """The value with null at this path."""
    if not path:
        return None
    copy = value.copy()
    copy[path[0]] = without(value[path[0]], path[1:])
    return copy


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (("pipelines",), "no_pipeline"),
        (("pipelines", "main"), "no_such_input"),
        (("pipelines", "main", "hash"), "not_running"),
        (("pipelines", "main", "events"), None),
        (("pipelines", "main", "events", "out"), None),
        (("pipelines", "main", "flow"), None),
        (("pipelines", "main", "flow", "queue_backpressure"), None),
        (("pipelines", "main", "flow", "queue_backpressure", "current"), None),
        (("pipelines", "main", "plugins"), "no_such_input"),
        (("pipelines", "main", "plugins", "inputs"), "no_such_input"),
        (("pipelines", "main", "plugins", "inputs", 0), None),
        (("pipelines", "main", "plugins", "inputs", 1), "no_such_input"),
        (("pipelines", "main", "plugins", "inputs", 1, "id"), "no_such_input"),
        (("pipelines", "main", "plugins", "inputs", 1, "events"), None),
        (("pipelines", "main", "plugins", "inputs", 1, "errors"), None),
        (("pipelines", "main", "plugins", "inputs", 1, "errors", "listener"), None),
    ],
)
def test_any_member_of_an_answer_may_be_null(path: tuple[str | int, ...], reason: str | None) -> None:
    stats = without({"version": "8.19.18", "pipelines": {"main": RUNS}}, path)
    try:
        found = script.find_inputs(stats, [ID])[ID]
    except script.Down as down:
        found = down
    assert getattr(found, "reason", None) == reason


def test_an_input_that_logstash_7_3_does_not_list_may_be_in_another_pipeline() -> None:
    for version, message in (
        ("7.3.1", "in the one pipeline that Logstash 7.3 lists"),
        ("7.4.0", "there are: other"),
    ):
        stats = {
            "version": version,
            "pipelines": {"b": {"hash": "1", "plugins": {"inputs": [{"id": "other"}]}}},
        }
        down = script.find_inputs(stats, [ID])[ID]
        assert down.reason == "no_such_input"
        assert message in down.message
