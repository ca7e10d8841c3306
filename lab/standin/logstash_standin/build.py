"""From a pipeline's tree to its plugins: which exist, with which options, in which branches."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from .codecs import missing
from .conditions import Condition
from .errors import ConfigurationError
from .filters import FILTERS, Filter
from .grammar import Tree
from .inputs import INPUTS, Input
from .options import read
from .outputs import OUTPUTS, Output
from .plugin import Context, Plugin

P = TypeVar("P", bound=Plugin)


@dataclass(frozen=True)
class Branch:
    """`if … else if … else …`: each alternative's condition (none for `else`) and what it holds."""

    alternatives: "Alternatives"


Step = Filter | Output | Branch
Alternatives = list[tuple[Condition | None, list[Step]]]


@dataclass
class Plan:
    """A pipeline's plugins, in the order of its text."""

    inputs: list[Input] = field(default_factory=list)
    filters: list[Step] = field(default_factory=list)
    outputs: list[Step] = field(default_factory=list)


def plan(tree: Tree, context: Context) -> Plan:
    """Make every plugin of a tree. Raises `ConfigurationError` or `PluginLoadingError`."""
    count = 0
    ids: set[str] = set()

    def make(section: str, plugins: Mapping[str, type[P]], name: str, options: Tree) -> P:
        nonlocal count
        count += 1
        if name not in plugins:
            raise missing(section, name)
        plugin = plugins[name]
        logger = context.log.logger(f"logstash.{section}s.{name}")
        values = read(section, name, plugin.OPTIONS, options, logger, loose=not plugin.PLAYED)
        # The same text gives a plugin the same id, in every process.
        id = hashlib.sha256(f"{context.pipeline_id} {section} {name} {count}".encode()).hexdigest()
        made = plugin(values, id, context)
        if made.metrics.id in ids:
            raise ConfigurationError(f"Config has duplicate Ids: \nID: {made.metrics.id}")
        ids.add(made.metrics.id)
        return made

    result = Plan()
    for section, items in tree:
        if section == "input":
            result.inputs += [make("input", INPUTS, name, options) for name, options in items]
        elif section == "filter":
            result.filters += _steps(items, lambda name, options: make("filter", FILTERS, name, options))
        else:
            result.outputs += _steps(items, lambda name, options: make("output", OUTPUTS, name, options))
    return result


def leaves(steps: list[Step]) -> Iterator[Filter | Output]:
    """The plugins in steps, whatever branch they are in."""
    for step in steps:
        if isinstance(step, Branch):
            for _, inner in step.alternatives:
                yield from leaves(inner)
        else:
            yield step


def _steps(items: Tree, leaf: Callable[[str, Tree], Filter | Output]) -> list[Step]:
    found: list[Step] = []
    alternatives: Alternatives = []
    for name, body in items:
        match name:
            case "if":
                alternatives = [(body[:-1], _steps(body[-1][0], leaf))]
                found.append(Branch(alternatives))
            case "else if":
                alternatives.append((body[:-1], _steps(body[-1][0], leaf)))
            case "else":
                alternatives.append((None, _steps(body, leaf)))
            case _:
                found.append(leaf(name, body))
    return found
