"""The sources of pipelines: `-e` or `-f` (or their settings in logstash.yml), else pipelines.yml."""

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from .environment import substitute
from .errors import ConfigurationError, UsageError
from .log import Log
from .settings import Settings

DEFAULT_INPUT = "input { stdin { type => stdin } }"
DEFAULT_OUTPUT = "output { stdout { codec => rubydebug } }"


@dataclass(frozen=True)
class PipelineSource:
    """A pipeline's text, joined from its files in the order of their names, and its settings.

    A pipeline is reloaded when its source is no longer equal.
    """

    id: str
    text: str
    paths: tuple[str, ...]
    settings: Settings


def check_sources(settings: Settings, log: Log) -> None:
    """Raises `UsageError` where sources exclude each other, or pipelines.yml is not a list of pipelines."""
    if settings.is_set("config.string") and settings.is_set("path.config"):
        raise UsageError("Settings 'path.config' (-f) and 'config.string' (-e) can't be used simultaneously.")
    if settings.is_set("config.string") and settings["config.reload.automatic"]:
        raise UsageError("Configuration reloading can't be used with 'config.string' (-e).")
    if settings.is_set("config.string") or settings.is_set("path.config"):
        log.logger("logstash.config.source.multilocal").warn(
            "Ignoring the 'pipelines.yml' file because modules or command line options are specified"
        )
    else:
        _entries(settings)


def fetch_sources(settings: Settings, log: Log) -> list[PipelineSource]:
    """Read the text of every pipeline, and leave out pipelines without files.

    Raises `UsageError`, `SettingsError` or `ConfigurationError`.
    """
    if settings.is_set("config.string") or settings.is_set("path.config"):
        sources = [_source(settings, log)]
    else:
        sources = [_source(settings.for_pipeline(entry), log) for entry in _entries(settings)]
    found = [source for source in sources if source is not None]
    ids = [source.id for source in found]
    if duplicates := sorted({id for id in ids if ids.count(id) > 1}):
        raise ConfigurationError(f"Found duplicate ids in your source: {', '.join(duplicates)}")
    if not found:
        log.logger("logstash.config.sourceloader").error("No configuration found in the configured sources.")
    return found


def _entries(settings: Settings) -> list[dict[str, Any]]:
    path = Path(settings["path.settings"]) / "pipelines.yml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"Failed to read pipelines yaml file. Location: {path}, Exception: {error}"
        ) from None
    except yaml.YAMLError as error:
        raise UsageError(
            f"Failed to parse contents of pipelines yaml file. Location: {path}, Exception: {error}"
        ) from None
    if not content:
        raise UsageError(f"Pipelines YAML file is empty. Location: {path}")
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        found = "Hash" if isinstance(content, dict) else type(content).__name__
        raise UsageError(
            f'Pipelines YAML file must contain an array of pipeline configs. Found "{found}" in {path}'
        )
    return [substitute(entry) for entry in content]


def _source(settings: Settings, log: Log) -> PipelineSource | None:
    id = settings["pipeline.id"]
    if settings.is_set("config.string"):
        parts = [settings["config.string"]]
        # Logstash adds a missing input or output: it reads from standard input and prints.
        parts += [DEFAULT_INPUT] if "input" not in parts[0] else []
        parts += [DEFAULT_OUTPUT] if "output" not in parts[0] else []
        return PipelineSource(id, "\n".join(parts), (), settings)
    pattern = Path(settings["path.config"]).absolute()
    if pattern.is_dir():
        pattern /= "*"
    logger = log.logger("logstash.config.source.local.configpathloader")
    paths = []
    for path in sorted(glob.glob(str(pattern))):
        if path.endswith("~"):
            logger.warn("NOT reading config file because it is a temp file", config_file=path)
        elif Path(path).is_file():
            paths.append(path)
    if not paths:
        logger.info("No config files found in path", path=str(pattern))
        return None
    try:
        text = "\n".join(Path(path).read_text(encoding="utf-8") for path in paths)
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"The following config files contains non-ascii characters but are not UTF-8 encoded {paths}"
        ) from None
    except OSError as error:
        raise ConfigurationError(str(error)) from None
    return PipelineSource(id, text, tuple(paths), settings)
