"""The certificates that a machine has, as text."""

from __future__ import annotations

from pyinfra.api import FactBase

from facts.batch import split
from facts.builtins import print_lines

_HEADING = "file "


class Certificates(FactBase[dict[str, str]]):
    """
    The text of the files at `paths` that exist, by path: certificates, which are no secret. Needs root.

    .. code:: python

        {"/etc/logstash/tls/beats.crt": "-----BEGIN CERTIFICATE-----\\n…"}
    """

    default = dict

    def command(self, paths: list[str]) -> str:
        # One shell reads them all, and starts no process.
        return "; ".join(f"echo '{_HEADING}{path}'; {print_lines(path)}" for path in paths)

    def process(self, output: list[str]) -> dict[str, str]:
        return {
            path: "".join(f"{line}\n" for line in lines)
            for path, lines in split(output, _HEADING).items()
            if lines
        }
