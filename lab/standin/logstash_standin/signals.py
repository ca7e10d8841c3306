"""What wakes the agent: signals of the process, and word from a pipeline's threads."""

import os
import select
import signal

PIPELINE_ENDED = 0
"""Word from a thread, beside the signals' numbers."""


class Signals:
    """A pipe that signals are written to, so that none is missed just before the wait for it begins."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)

    def catch(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP from now on; in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._write)

    def tell(self) -> None:
        """From any thread: a pipeline has ended."""
        os.write(self._write, bytes([PIPELINE_ENDED]))

    def wait(self, seconds: float | None) -> bytes:
        """The numbers of the signals that came, waiting so long for the first; without end for `None`."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        return os.read(self._read, 64) if ready else b""
