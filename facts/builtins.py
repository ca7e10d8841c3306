"""What the shell does by itself. On a small machine a process costs more than all that it reads."""

from __future__ import annotations

import shlex


def print_lines(path: str, prefix: str = "") -> str:
    """A shell command that prints the lines of a file, each after `prefix`; nothing where there is no file."""
    quoted = shlex.quote(path)
    return (
        f'if [ -f {quoted} ]; then while IFS= read -r line || [ -n "$line" ]; do '
        f"printf '%s\\n' {shlex.quote(prefix) if prefix else ''}\"$line\"; done <{quoted}; fi"
    )


def print_first_line(path: str, prefix: str) -> str:
    """A shell command that prints `prefix` and the first line of a file, or `prefix` alone where it can't be read.

    Of a number in /proc/sys, dash gets the first digit alone, since it reads byte by byte.
    """
    return f"line=; {{ read -r line <{path}; }} 2>/dev/null; echo {prefix} $line"
