"""What wakes the agent: the process's signals, and pipelines that have ended."""

import os
import select
import signal

WAKE = 0
"""The byte that wakes the agent without a signal. It is the number of no signal."""


class Signals:
    """A pipe into which signals are written, so that one that comes just before a wait is not missed."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)

    def catch(self) -> None:
        """Handle SIGTERM, SIGINT and SIGHUP from now on. Only the main thread may call this."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._write)

    def wake(self) -> None:
        """End a `wait` without a signal. Any thread may call this."""
        os.write(self._write, bytes([WAKE]))

    def wait(self, seconds: float | None) -> bytes:
        """Wait for signals, without a limit for `None`, and return their numbers."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        return os.read(self._read, 64) if ready else b""
