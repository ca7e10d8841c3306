"""Running programs, and saying plainly what is wrong when one fails."""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path


class LabError(Exception):
    """What went wrong and what to do about it, in one line."""


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> str:
    """Run a program to its end and return what it printed.

    ``log`` takes its output instead, for programs that print a lot. Raises LabError with the program's last lines.
    """
    words = [str(word) for word in command]
    with open(log, "ab") if log else nullcontext() as sink:
        try:
            done = subprocess.run(
                words,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink or subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except FileNotFoundError:
            raise LabError(f"{words[0]}: not found; run `make packages`") from None
    output = (log.read_bytes() if log else done.stdout).decode(errors="replace")
    if done.returncode:
        raise LabError(f"{describe(words)} failed with status {done.returncode}: {last_lines(output)}")
    return output


def describe(words: Sequence[str]) -> str:
    """The start of a command, enough to know it again."""
    text = " ".join(words)
    return text if len(text) <= 70 else text[:67] + "..."


def last_lines(text: str, count: int = 3) -> str:
    """The last lines that say something, joined into one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "no output"
