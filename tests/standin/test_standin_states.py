"""The stand-in passes through the states that a real Logstash was recorded in, in the same order and shape."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest

from lab.standin.logstash_standin import health
from lab.standin.logstash_standin.agent import Agent, ManagedPipeline
from lab.standin.logstash_standin.version import Version
from tests.series import load
from tests.standin.standin_process import ADDRESS, MakeStandin, Standin, free_port, refused
from tests.until import until

RELOADING = {"config.reload.automatic": True, "config.reload.interval": "200ms"}
GONE = "not listed"


def shape(pipeline: dict[str, Any] | None, inputs: int) -> Any:
    """A pipeline of the statistics, in the members of a recording, without its numbers; it has so many inputs."""
    if pipeline is None:
        return GONE
    listed = len(pipeline["inputs"])
    return (
        "hash" if pipeline["hash"] else "no hash",
        "events" if pipeline["events"] else "events null",
        "flow" if pipeline["flow"] else "flow {}",
        "all inputs" if listed == inputs else "some inputs" if listed else "no inputs",
        "unused" if any(out is None for _, _, out, *_ in pipeline["inputs"]) else "counted",
        "queue null"
        if pipeline["queue"] is None
        else f"events_count {pipeline['queue']['events_count'] is not None}",
        "reloads null" if pipeline["reloads"] is None else "reloads",
    )


def as_recorded(pipeline: dict[str, Any]) -> dict[str, Any]:
    """A pipeline of an answer, with the members that a recording has of it."""
    queue = pipeline["queue"]
    return {
        "hash": "hash" in pipeline,
        "events": pipeline["events"],
        "flow": pipeline["flow"],
        "inputs": [
            [plugin["id"], plugin["name"], (plugin.get("events") or {}).get("out")]
            for plugin in pipeline["plugins"]["inputs"]
        ],
        "queue": queue if queue is None else {"events_count": queue.get("events_count")},
        "reloads": pipeline["reloads"],
    }


def changes(values: list[Any]) -> list[Any]:
    """The values without those that are like the one before."""
    return [value for value, _ in itertools.groupby(values)]


def is_part(part: list[Any], whole: list[Any]) -> bool:
    """Whether all of the part is in the whole, in this order."""
    rest = iter(whole)
    return all(value in rest for value in part)


def recorded(name: str, id: str, inputs: int) -> tuple[list[Any], list[Any]]:
    """The shapes of a pipeline in a recording, and its states in the health report."""
    answers = [poll for poll in load(name).polls if poll["status"] == 200]
    shapes = [shape(poll["pipelines"].get(id), inputs) for poll in answers]
    reports = [poll["health"]["pipelines"].get(id, [None, GONE])[1] for poll in answers if poll["health"]]
    return changes(shapes), changes(reports)


SERIES = {
    "start-3-inputs": ("main", 3),
    "start-50-inputs": ("main", 50),
    "sigterm": ("main", 3),
    "sigterm-50-inputs": ("main", 50),
    "reload-good": ("p2", 1),
    "reload-good-after-bad": ("p2", 1),
    "crash-only-pipeline": ("main", 2),
    "removed-pipeline": ("idle", 1),
}
"""The pipeline of each recording that changes, and the number of its inputs."""
KNOWN = {shape for name, (id, inputs) in SERIES.items() for shape in recorded(name, id, inputs)[0]}
"""All shapes that a pipeline of a real Logstash was seen in."""
SOME = {"all inputs": "some inputs", "some inputs": "some inputs", "no inputs": "no inputs"}
"""The real one lists inputs one by one, which a recording of few inputs can miss."""


@contextmanager
def watching(standin: Standin, id: str, inputs: int) -> Iterator[tuple[list[Any], list[Any]]]:
    """What a recording of this stand-in would have: the shapes of a pipeline, and its states in the health report."""
    shapes: list[Any] = []
    reports: list[Any] = []
    over = Event()

    def watch(path: str, take: Callable[[Any], None]) -> None:
        while not over.wait(0.01):  # no state is so short, and what is watched gets most of the time
            status, body = standin.get(path)
            if status == 200:
                take(body)

    def take_stats(body: Any) -> None:
        pipeline = body["pipelines"].get(id)
        shapes.append(shape(pipeline and as_recorded(pipeline), inputs))

    def take_report(body: Any) -> None:
        report = body["indicators"]["pipelines"]["indicators"].get(id)
        reports.append(report["details"]["status"]["state"] if report else GONE)

    threads = [
        Thread(target=watch, args=("/_node/stats/pipelines", take_stats)),
        Thread(target=watch, args=("/_health_report", take_report)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield shapes, reports
    finally:
        over.set()
        for thread in threads:
            thread.join()


def assert_passed(name: str, seen: tuple[list[Any], list[Any]]) -> None:
    """The stand-in was in all states of the recording, in their order, and in no shape that the real one never had."""
    shapes, reports = recorded(name, *SERIES[name])
    assert is_part(shapes, changes(seen[0])), f"{changes(seen[0])} instead of {shapes}"
    assert is_part(reports, changes(seen[1])), f"{changes(seen[1])} instead of {reports}"
    known = {
        GONE,
        *(
            (*each[:3], some, *each[4:])
            for each in KNOWN
            if each != GONE
            for some in (each[3], SOME[each[3]])
        ),
    }
    assert set(seen[0]) <= known, set(seen[0]) - known


def three_inputs(standin: Standin) -> str:
    """The recipe's pipeline with a third input."""
    return standin.pipeline_text().replace("input {", 'input { generator { id => "g" count => 1 }', 1)


def test_a_start(make_standin: MakeStandin) -> None:
    standin = make_standin(START_DELAY=20)
    standin.configure(three_inputs(standin))
    with watching(standin, "main", 3) as seen:
        standin.launch()
        until(lambda: seen[0] and "hash" in seen[0][-1] and seen[1][-1] == "RUNNING", 60)
    assert_passed("start-3-inputs", seen)


def test_a_reload_that_is_good(make_standin: MakeStandin) -> None:
    standin = make_standin(STOP_DELAY=20)
    standin.configure(standin.pipeline_text("udp"))
    standin.start()
    with watching(standin, "main", 1) as seen:
        until(lambda: seen[0] and seen[1])
        standin.configure(standin.pipeline_text("udp") + "# changed\n")
        standin.signal(signal.SIGHUP)
        until(
            lambda: standin.main_stats()["reloads"]["successes"] == 1 and "hash" in standin.main_stats(), 20
        )
        until(lambda: changes(seen[0])[-1][0] == "hash" and len(changes(seen[0])) > 1)
    for name in ("reload-good", "reload-good-after-bad"):
        assert_passed(name, seen)


def test_a_reload_that_is_asked_for_during_another_one_follows_it(make_standin: MakeStandin) -> None:
    standin = make_standin(STOP_DELAY=8)
    standin.start()
    for text in ("# changed\n", "# changed again\n"):
        standin.configure(standin.pipeline_text() + text)
        standin.signal(signal.SIGHUP)
        until(lambda: refused(standin.udp))
    until(lambda: standin.main_stats()["reloads"]["successes"] == 2, 20)


def test_a_pipeline_that_crashes_and_is_reloaded(make_standin: MakeStandin) -> None:
    standin = make_standin(STOP_DELAY=20)
    standin.settings |= RELOADING
    standin.write_settings()
    standin.start()
    with watching(standin, "main", 2) as seen:
        until(lambda: seen[0] and seen[1])
        standin.send(b"crash")
        until(lambda: standin.get("/")[1]["status"] == "red")
        assert "hash" in standin.main_stats(), "it stays for some seconds"
        assert refused(standin.udp)
        until(lambda: "hash" not in standin.main_stats())
        standin.configure(standin.pipeline_text() + "# changed\n")
        until(lambda: standin.get("/")[1]["status"] == "green", 20)
        until(lambda: "hash" in seen[0][-1])
    assert_passed("crash-only-pipeline", seen)


def test_a_pipeline_that_is_removed(make_standin: MakeStandin) -> None:
    standin = make_standin(STOP_DELAY=20)
    standin.settings |= RELOADING
    standin.write_settings()
    pipelines = standin.folder / "pipelines.yml"
    main = pipelines.read_text()
    pipelines.write_text(
        f"{main}- pipeline.id: idle\n  config.string: 'input {{ udp {{ host => \"{ADDRESS}\" port => {free_port()} }} }}'\n"
    )
    standin.start()
    with watching(standin, "idle", 1) as seen:
        until(lambda: "hash" in seen[0][-1] if seen[0] else False)
        pipelines.write_text(main)
        until(lambda: seen[0][-1][3] == "no inputs" and seen[1][-1] == GONE, 20)
        assert standin.get("/")[1]["status"] == "green"
    assert_passed("removed-pipeline", seen)


def test_sigterm(make_standin: MakeStandin) -> None:
    standin = make_standin(STOP_DELAY=8)
    standin.configure(three_inputs(standin))
    standin.start()
    with watching(standin, "main", 3) as seen:
        until(lambda: seen[0] and seen[1])
        standin.signal(signal.SIGTERM)
        assert standin.wait() == 0
    assert_passed("sigterm", seen)
    assert is_part(recorded("sigterm-50-inputs", "main", 50)[0], changes(seen[0])), "it ends as an empty one"


def test_a_blocked_output_turns_the_status_yellow_and_the_pressure_dithers_at_the_number_of_threads(
    make_standin: MakeStandin,
) -> None:
    standin = make_standin(BLOCKED=2)
    standin.configure(standin.pipeline_text("udp", udp="workers => 1"))
    os.mkfifo(standin.output)
    standin.start()
    until(lambda: not refused(standin.udp))
    pressures: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def pressure() -> float:
            sender.sendto(b"event", (ADDRESS, standin.udp))
            pressures.append(standin.main_stats()["flow"]["queue_backpressure"].get("current", 0.0))
            return pressures[-1]

        until(
            lambda: [sender.sendto(b"event", (ADDRESS, standin.udp)) for _ in range(50)] and pressure() > 0.1,
            30,
        )
        assert standin.main_stats()["events"]["out"] == 0
        report = until(
            lambda: [body for body in [standin.get("/_health_report")[1]] if body["status"] == "yellow"]
        )[0]
        until(lambda: pressure() > 0.95, 30)
        assert all(pressure() <= 1.01 for _ in range(50))
    (diagnosis,) = report["indicators"]["pipelines"]["indicators"]["main"]["diagnosis"]
    assert diagnosis["id"] == "logstash:health:pipeline:flow:worker_utilization:diagnosis:1m-blocked"
    assert report["indicators"]["pipelines"]["indicators"]["main"]["details"]["status"] == {
        "state": "RUNNING"
    }
    with standin.output.open() as reader:
        standin.signal(signal.SIGTERM)
        reader.read()


def test_the_status_is_unknown_while_a_pipeline_can_not_be_made(make_standin: MakeStandin) -> None:
    standin = make_standin()
    with (standin.folder / "pipelines.yml").open("a") as file:
        file.write("- pipeline.id: wrong\n  config.string: 'input { nosuch { } }'\n")
    standin.launch()
    until(lambda: "hash" in (standin.get()[1] or {"pipelines": {}})["pipelines"].get("main", {}))
    assert standin.get()[1]["status"] == "unknown"


@pytest.mark.parametrize(("version", "listed"), [("7.2.1", 2), ("7.3.0", 1), ("7.3.1", 1), ("7.4.0", 2)])
def test_7_3_lists_one_pipeline_alone(make_standin: MakeStandin, version: str, listed: int) -> None:
    standin = make_standin(version)
    standin.environment["PATH"] = f"{java(standin)}:{standin.environment['PATH']}"
    with (standin.folder / "pipelines.yml").open("a") as file:
        file.write("- pipeline.id: other\n  config.string: 'input { stdin { } } output { null { } }'\n")
    standin.start()
    assert len(standin.get("/_node/stats/pipelines")[1]["pipelines"]) == listed
    assert len(standin.get("/_node/pipelines")[1]["pipelines"]) == 2


def java(standin: Standin) -> str:
    """A folder with a `java`, which a version before 7.10 needs."""
    folder = standin.folder / "bin"
    folder.mkdir()
    (folder / "java").symlink_to("/bin/true")
    return str(folder)


def test_a_report_agrees_with_itself_where_an_output_blocks_while_it_is_made() -> None:
    class Blocks:
        """It is blocked from the second look on."""

        looks = 0
        flows: ClassVar = {"worker_utilization": Mock(rates=dict)}

        @property
        def blocked(self) -> bool:
            self.looks += 1
            return self.looks > 1

    managed = Mock(state="RUNNING", pipeline=Blocks())
    report = health.report(Mock(version=Version(8, 19, 18), managed={"main": managed}))
    group = report["indicators"]["pipelines"]
    assert {report["status"], group["status"], group["indicators"]["main"]["status"]} == {"green"}


def test_an_answer_is_not_changed_by_a_pipeline_that_is_removed_meanwhile() -> None:
    """The API's thread may be in the midst of it."""
    agent = object.__new__(Agent)
    answering = ManagedPipeline(start_attempted=True)
    agent.managed, agent.ghosts = {"main": answering}, {}
    agent._leave_ghost("main")
    assert (agent.managed, agent.ghosts["main"].listed_inputs, answering.listed_inputs) == ({}, 0, None)
