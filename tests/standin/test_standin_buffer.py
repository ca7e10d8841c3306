"""The queue in memory between a pipeline's threads."""

import threading
import time

import pytest

from lab.standin.logstash_standin.buffer import Buffer
from tests.until import until


def test_two_that_wait_for_room_do_not_wake_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """They did so for ever, and took all of a processor as long as an output was blocked."""
    buffer: Buffer[int] = Buffer(1)
    waits: list[object] = []
    condition = buffer._changed
    wait = condition.wait

    def counted(timeout: float | None = None) -> bool:
        waits.append(timeout)
        return wait(timeout)

    monkeypatch.setattr(condition, "wait", counted)
    buffer.put([0])
    threads = [threading.Thread(target=buffer.put, args=([number],)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    until(lambda: len(waits) >= 2)
    time.sleep(0.1)  # in which they would wake each other hundreds of times
    assert len(waits) < 10
    taken = [item for _ in range(3) for item in buffer.take(1)]
    for thread in threads:
        thread.join(30)
    assert (taken[0], sorted(taken)) == (0, [0, 1, 2])
