"""The plan of a pipeline: its plugins with their options, and the branches they are in."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from .codecs import missing_plugin
from .conditions import Condition
from .errors import ConfigurationError
from .filters import FILTERS, Filter
from .grammar import Tree
from .inputs import INPUTS, Input
from .options import read_options
from .outputs import OUTPUTS, Output
from .plugin import Context, Plugin

P = TypeVar("P", bound=Plugin)


@dataclass(frozen=True)
class Branch:
    """`if … else if … else …`: the condition of each alternative (`None` for `else`) and its steps."""

    alternatives: "Alternatives"


Step = Filter | Output | Branch
Alternatives = list[tuple[Condition | None, list[Step]]]


@dataclass
class Plan:
    """A pipeline's plugins and branches, in the order of its text."""

    inputs: list[Input] = field(default_factory=list)
    filters: list[Step] = field(default_factory=list)
    outputs: list[Step] = field(default_factory=list)


def make_plan(tree: Tree, context: Context) -> Plan:
    """Create every plugin of a tree. Raises `ConfigurationError` or `PluginLoadingError`."""
    count = 0
    ids: set[str] = set()

    def make(section: str, plugins: Mapping[str, type[P]], name: str, options: Tree) -> P:
        nonlocal count
        count += 1
        if name not in plugins:
            raise missing_plugin(section, name)
        plugin = plugins[name]
        logger = context.log.logger(f"logstash.{section}s.{name}")
        values = read_options(
            section,
            name,
            plugin.accepted(context.version),
            options,
            logger,
            allow_unknown=not plugin.IMPLEMENTED,
        )
        # Derived from the text, so that a plugin has the same id in every process.
        id = hashlib.sha256(f"{context.pipeline_id} {section} {name} {count}".encode()).hexdigest()
        made = plugin(values, id, context)
        if made.metrics.id in ids:
            raise ConfigurationError(f"Config has duplicate Ids: \nID: {made.metrics.id}")
        ids.add(made.metrics.id)
        return made

    plan = Plan()
    for section, items in tree:
        if section == "input":
            plan.inputs += [make("input", INPUTS, name, options) for name, options in items]
        elif section == "filter":
            plan.filters += _make_steps(items, lambda name, options: make("filter", FILTERS, name, options))
        else:
            plan.outputs += _make_steps(items, lambda name, options: make("output", OUTPUTS, name, options))
    return plan


def plugins_in(steps: list[Step]) -> Iterator[Filter | Output]:
    """The plugins among steps and in their branches."""
    for step in steps:
        if isinstance(step, Branch):
            for _, inner in step.alternatives:
                yield from plugins_in(inner)
        else:
            yield step


def _make_steps(items: Tree, make_plugin: Callable[[str, Tree], Filter | Output]) -> list[Step]:
    steps: list[Step] = []
    alternatives: Alternatives = []
    for name, body in items:
        match name:
            case "if":
                alternatives = [(body[:-1], _make_steps(body[-1][0], make_plugin))]
                steps.append(Branch(alternatives))
            case "else if":
                alternatives.append((body[:-1], _make_steps(body[-1][0], make_plugin)))
            case "else":
                alternatives.append((None, _make_steps(body, make_plugin)))
            case _:
                steps.append(make_plugin(name, body))
    return steps
