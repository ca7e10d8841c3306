"""The persisted queue: what it keeps when the process is killed or stopped, and that it needs room on the disk."""

import os
import signal

import pytest

from tests.standin.standin_process import MakeStandin, Standin, unread
from tests.until import until


@pytest.fixture
def blocked(make_standin: MakeStandin, request: pytest.FixtureRequest) -> Standin:
    """With 1500 events that wait for an output, which is blocked; in a persisted queue, unless a test says otherwise."""
    standin = make_standin()
    kind = getattr(request, "param", "persisted")
    standin.settings |= {"queue.type": kind, "queue.max_bytes": "256mb"}
    standin.write_settings()
    os.mkfifo(standin.output)  # opening it for writing blocks until there is a reader
    standin.start()
    for start in range(0, 1500, 50):
        standin.send(*(b"event %d" % number for number in range(start, start + 50)))
        until(lambda: not unread(standin.udp))
    until(lambda: kind == "memory" or standin.main_stats()["queue"]["events_count"] == 1500)
    return standin


EVENTS = [f"event {number}" for number in range(1500)]


def test_a_killed_process_finds_all_events_again(blocked: Standin) -> None:
    assert blocked.main_stats()["queue"]["queue_size_in_bytes"] > 1500 * 10
    assert blocked.main_stats()["flow"]["queue_backpressure"]["lifetime"] < 1  # nobody waits for room
    blocked.signal(signal.SIGKILL)
    blocked.wait()
    blocked.output.unlink()
    blocked.start()
    found = blocked.events(1500)  # in any order: two threads put them into the queue
    assert sorted(event["message"] for event in found) == sorted(EVENTS)
    until(lambda: blocked.main_stats()["queue"]["events_count"] == 0)
    blocked.signal(signal.SIGKILL)  # what is done does not come again
    blocked.wait()
    blocked.start().send(b"later")
    assert [event["message"] for event in blocked.events(1501)[1500:]] == ["later"]


@pytest.mark.parametrize("blocked", ["memory"], indirect=True)
def test_a_killed_process_has_lost_all_that_was_in_memory(blocked: Standin) -> None:
    blocked.signal(signal.SIGKILL)
    blocked.wait()
    blocked.output.unlink()
    blocked.start().send(b"later")
    assert [event["message"] for event in blocked.events(1)] == ["later"]


def test_a_stopped_process_keeps_what_its_batch_has_not_taken(blocked: Standin) -> None:
    blocked.signal(signal.SIGTERM)
    with blocked.output.open() as reader:
        written = reader.read()
    assert blocked.wait() == 0
    assert written.count("\n") < 1500
    blocked.output.unlink()
    blocked.start()
    assert len(
        {event["message"] for event in blocked.events(1500 - written.count("\n"))}
    ) == 1500 - written.count("\n")


def test_a_pipeline_does_not_start_without_room_for_all_of_its_queue(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.settings |= {"queue.type": "persisted", "queue.max_bytes": "1024tb"}
    standin.write_settings()
    standin.launch()
    until(lambda: "more bytes for persisted queue on top of its current usage of 0 bytes" in standin.log())
    assert standin.wait() == 1
