"""The inputs."""

from collections.abc import Mapping

from .base import Input
from .generator import Generator
from .stdin import Stdin
from .tcp import Tcp
from .udp import Udp

__all__ = ["INPUTS", "Input"]

INPUTS: Mapping[str, type[Input]] = {plugin.NAME: plugin for plugin in (Generator, Stdin, Tcp, Udp)}
