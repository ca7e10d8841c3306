"""The inputs."""

from collections.abc import Mapping

from .. import stubs
from .base import Input
from .beats import Beats, ElasticAgent
from .gelf import Gelf
from .generator import Generator
from .http import Http
from .snmptrap import Snmptrap
from .stdin import Stdin
from .syslog import Syslog
from .tcp import Tcp
from .udp import Udp

__all__ = ["INPUTS", "Input"]


class _Stub(Input):
    """Receives nothing."""

    def run(self) -> None:
        self.stopping.wait()


_IMPLEMENTED = (Beats, ElasticAgent, Gelf, Generator, Http, Snmptrap, Stdin, Syslog, Tcp, Udp)
INPUTS: Mapping[str, type[Input]] = {
    **{plugin.NAME: plugin for plugin in _IMPLEMENTED},
    **stubs.make_stubs(_Stub, Input.OPTIONS, stubs.INPUTS),
}
