"""Running programs, and saying plainly what is wrong when one fails."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


class LabError(Exception):
    """What went wrong and what to do about it, in one line."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program to its end and return what it printed. Raises LabError with the program's last lines."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"{words[0]}: not found; run `make packages`") from None
    output = done.stdout.decode(errors="replace")
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
