"""Which of the other nodes' health services a node's own one hears."""

from __future__ import annotations

from pyinfra.api import FactBase

from facts.builtins import print_lines


def parse_peers(output: list[str]) -> dict[str, bool]:
    """Lines `ADDRESS heard` or `ADDRESS silent`: by address, whether it is heard."""
    words = [line.split() for line in output]
    return {line[0]: line[1] == "heard" for line in words if len(line) == 2}


class HeardPeers(FactBase[dict[str, bool]]):
    """
    By the address of each other node, whether the health service there is heard; empty where no service has run.

    .. code:: python

        {"192.0.2.12": True, "192.0.2.13": False}
    """

    default = dict

    def command(self, path: str) -> str:
        return print_lines(path)

    def process(self, output: list[str]) -> dict[str, bool]:
        return parse_peers(output)
