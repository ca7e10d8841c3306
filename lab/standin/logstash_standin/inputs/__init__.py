"""The inputs."""

from collections.abc import Mapping

from .. import stubs
from .base import Input
from .generator import Generator
from .stdin import Stdin
from .tcp import Tcp
from .udp import Udp

__all__ = ["INPUTS", "Input"]


class _Stub(Input):
    """Receives nothing."""

    def run(self) -> None:
        self.stopping.wait()


INPUTS: Mapping[str, type[Input]] = {
    **{plugin.NAME: plugin for plugin in (Generator, Stdin, Tcp, Udp)},
    **stubs.make_stubs(_Stub, Input.OPTIONS, stubs.INPUTS),
}
