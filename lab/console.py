"""Where the lab shows what it does: standard error."""

from rich.console import Console

console = Console(stderr=True)
