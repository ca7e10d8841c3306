"""Run programs, and report a failure in one line."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


class LabError(Exception):
    """An error with its remedy, in one line."""


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
        raise LabError(f"{abbreviate(words)} failed with status {done.returncode}: {last_lines(output)}")
    return output


def abbreviate(words: Sequence[str]) -> str:
    """The first 70 characters of a command."""
    text = " ".join(words)
    return text if len(text) <= 70 else text[:67] + "..."


def last_lines(text: str, count: int = 3) -> str:
    """The last lines that are not empty, joined into one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "no output"
