"""Settings: the versions that have them, the values they accept, and where their values come from."""

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from .environment import substitute
from .errors import SettingsError, UsageError
from .log import LEVELS
from .version import HOME, Version

FIRST, LAST = (6, 0), (99, 0)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f'Setting "{name}" must be a String. Received: {value} ({type(value).__name__})')
    return value


def _secret(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f'Setting "{name}" must be a String')
    if not value:
        raise SettingsError(f'Setting "{name}" must not be empty')
    return value


def _flag(name: str, value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise SettingsError(f'Setting "{name}" could not coerce {value} into a boolean')


def _number(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise SettingsError(f"Failed to coerce value to Integer. Received {value} (String)") from None


def _count(name: str, value: Any) -> int:
    number = _number(name, value)
    if number <= 0:
        raise SettingsError(f"Number must be bigger than 0. Received: {number}")
    return number


def _ports(name: str, value: Any) -> range:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(value))
    if match is None:
        raise SettingsError(f"Could not coerce {value} into a port range")
    first = int(match[1])
    last = int(match[2] or first)
    if not 1 <= first <= last <= 65535:
        raise SettingsError(
            f'Invalid value "{name}: {first}..{last}", valid options are within the range of 1-65535'
        )
    return range(first, last + 1)


def _bytes(name: str, value: Any) -> int:
    units = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgtp]b?|b)", str(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if match is None:
        raise SettingsError(f"Could not coerce '{value}' into a bytes value")
    return int(float(match[1]) * units[match[2].removesuffix("b")])


def _existing_file(name: str, value: Any) -> str:
    if not Path(str(value)).exists():
        raise SettingsError(f'File "{value}" must exist but was not found.')
    return str(value)


def _duration(name: str, value: Any) -> float:
    units = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
    match = re.fullmatch(rf"(\d+)({'|'.join(units)})", str(value))
    if match is None:
        raise SettingsError(f"invalid time unit: {value!r}")
    return int(match[1]) * units[match[2]]


def _choice(*choices: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise SettingsError(f'Invalid value "{name}: {value}". Options are: {list(choices)}')
        return str(value)

    return check


@dataclass(frozen=True)
class Setting:
    """A setting that the stand-in implements, the versions that have it, and its command-line flags."""

    coerce: Callable[[str, Any], Any]
    default: Any = None
    since: tuple[int, int] = FIRST
    until: tuple[int, int] = LAST
    flags: tuple[str, ...] = ()


IMPLEMENTED: Mapping[str, Setting] = {
    "allow_superuser": Setting(_flag, since=(8, 3)),
    "api.auth.basic.password": Setting(_secret, since=(7, 16)),
    "api.auth.basic.username": Setting(_text, since=(7, 16)),
    "api.auth.type": Setting(_choice("none", "basic"), "none", since=(7, 16)),
    "api.enabled": Setting(_flag, True, since=(7, 16), flags=("--api.enabled",)),
    "api.http.host": Setting(_text, "127.0.0.1", since=(7, 16), flags=("--api.http.host",)),
    "api.http.port": Setting(_ports, range(9600, 9701), since=(7, 16), flags=("--api.http.port",)),
    "api.ssl.enabled": Setting(_flag, False, since=(7, 16)),
    "api.ssl.keystore.password": Setting(_secret, since=(7, 16)),
    "api.ssl.keystore.path": Setting(_existing_file, since=(7, 16)),
    "config.reload.automatic": Setting(_flag, False, flags=("-r", "--config.reload.automatic")),
    "config.reload.interval": Setting(_duration, 3.0, flags=("--config.reload.interval",)),
    "config.support_escapes": Setting(_flag, False, flags=("--config.support_escapes",)),
    "config.string": Setting(_text, flags=("-e", "--config.string")),
    "config.test_and_exit": Setting(_flag, False, flags=("-t", "--config.test_and_exit")),
    "http.enabled": Setting(_flag, True, since=(7, 8), until=(9, 0), flags=("--http.enabled",)),
    "http.host": Setting(_text, "127.0.0.1", until=(9, 0), flags=("--http.host",)),
    "http.port": Setting(_ports, range(9600, 9701), until=(9, 0), flags=("--http.port",)),
    "log.level": Setting(_choice(*LEVELS), "info", flags=("--log.level",)),
    "node.name": Setting(_text, socket.gethostname(), flags=("-n", "--node.name")),
    "path.config": Setting(_text, flags=("-f", "--path.config")),
    "path.data": Setting(_text, str(HOME / "data"), flags=("--path.data",)),
    "path.logs": Setting(_text, str(HOME / "logs"), flags=("-l", "--path.logs")),
    "path.settings": Setting(_text, str(HOME / "config"), flags=("--path.settings",)),
    "pipeline.batch.delay": Setting(_number, 50, flags=("-u", "--pipeline.batch.delay")),
    "pipeline.batch.size": Setting(_count, 125, flags=("-b", "--pipeline.batch.size")),
    "pipeline.ecs_compatibility": Setting(
        _choice("disabled", "v1", "v8"), since=(7, 10), flags=("--pipeline.ecs_compatibility",)
    ),
    "pipeline.id": Setting(_text, "main", flags=("--pipeline.id",)),
    "pipeline.workers": Setting(_count, os.cpu_count(), flags=("-w", "--pipeline.workers")),
    "queue.max_bytes": Setting(_bytes, 2**30),
    "queue.type": Setting(_choice("memory", "persisted"), "memory"),
}

PIPELINE_SETTINGS = (
    "config.reload.automatic",
    "config.reload.interval",
    "config.string",
    "config.support_escapes",
    "path.config",
    "pipeline.batch.delay",
    "pipeline.batch.size",
    "pipeline.ecs_compatibility",
    "pipeline.id",
    "pipeline.workers",
    "queue.max_bytes",
    "queue.type",
)
"""The implemented settings that an entry of pipelines.yml may set."""

_ALIASES = ("http.enabled", "http.host", "http.port")
"""From 7.16 to 8.x, `NAME` is a deprecated alias of `api.NAME`."""

_WITHOUT_EFFECT_SINCE: Mapping[tuple[int, int], str] = {
    (6, 0): """config.debug dead_letter_queue.enable dead_letter_queue.max_bytes help
        interactive log.format metric.collect path.dead_letter_queue path.plugins path.queue
        pipeline.reloadable pipeline.system pipeline.unsafe_shutdown queue.checkpoint.acks
        queue.checkpoint.interval queue.checkpoint.writes queue.drain queue.max_events
        queue.page_capacity slowlog.threshold.debug slowlog.threshold.info
        slowlog.threshold.trace slowlog.threshold.warn version""",
    (6, 2): "keystore.classname keystore.file",
    (6, 6): "queue.checkpoint.retry",
    (7, 2): "pipeline.plugin_classloaders",
    (7, 5): "pipeline.separate_logs",
    (7, 7): "monitoring.cluster_uuid pipeline.ordered",
    (7, 10): "dead_letter_queue.flush_interval",
    (7, 15): "enable-local-plugin-development",
    (7, 16): "api.environment",
    (8, 3): """api.auth.basic.password_policy.include.digit api.auth.basic.password_policy.include.lower
        api.auth.basic.password_policy.include.symbol api.auth.basic.password_policy.include.upper
        api.auth.basic.password_policy.length.minimum api.auth.basic.password_policy.mode
        config.field_reference.escape_style dead_letter_queue.storage_policy""",
    (8, 4): "dead_letter_queue.retain.age",
    (8, 10): "api.ssl.supported_protocols",
    (8, 14): "log.format.json.fix_duplicate_message_fields pipeline.buffer.type",
    (9, 2): "pipeline.batch.metrics.sampling_mode queue.compression",
}
"""Settings that the stand-in accepts but does not implement, by the first version that has them."""
_WITHOUT_EFFECT_UNTIL: Mapping[tuple[int, int], str] = {
    (7, 0): "pipeline.output.workers",
    (8, 0): "config.field_reference.parser pipeline.java_execution",
    (9, 0): "cloud.auth cloud.id event_api.tags.illegal http.environment modules modules_setup",
}
"""Such settings by the first version that no longer has them."""


def setting_exists(name: str, version: Version) -> bool:
    """Whether Logstash has the setting in this version."""
    if setting := IMPLEMENTED.get(name):
        return setting.since <= version[:2] < setting.until
    return (
        name.startswith("xpack.")
        or any(
            since <= version[:2] and name in names.split() for since, names in _WITHOUT_EFFECT_SINCE.items()
        )
        or any(
            version[:2] < until and name in names.split() for until, names in _WITHOUT_EFFECT_UNTIL.items()
        )
    )


class Settings:
    """The settings of a process, or of one of its pipelines."""

    def __init__(self, version: Version, given: Mapping[str, Any]) -> None:
        self.version = version
        self._given = {name: value for name, value in given.items() if value is not None}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._given == other._given

    def __getitem__(self, name: str) -> Any:
        """The value of an implemented setting, coerced. Raises `SettingsError`."""
        if name in self._given:
            return IMPLEMENTED[name].coerce(name, self._given[name])
        return IMPLEMENTED[name].default

    def is_set(self, name: str) -> bool:
        """Whether the command line or a file sets it."""
        return name in self._given

    def validate(self) -> None:
        """Raises `SettingsError` with the real message for the first name or value that is wrong."""
        for name in self._given:
            if not setting_exists(name, self.version):
                raise SettingsError(
                    f"Setting \"{name}\" doesn't exist. Please check if you haven't made a typo."
                )
            if name in IMPLEMENTED:
                _ = self[name]
        for alias in self.aliases_in_use():
            if self.is_set(f"api.{alias}"):
                raise SettingsError(
                    f"Both `api.{alias}` and its deprecated alias `{alias}` have been set."
                    f" Please only set `api.{alias}`"
                )

    def aliases_in_use(self) -> list[str]:
        """The settings that are given by their deprecated names."""
        return [name for name in _ALIASES if self.is_set(name) and self.version >= (7, 16)]

    def without_effect(self) -> list[str]:
        """The settings that are given but not implemented."""
        return [name for name in self._given if name not in IMPLEMENTED]

    def api_setting(self, name: str) -> Any:
        """The API's `enabled`, `http.host` or `http.port`, set by its current or its deprecated name."""
        old = name if name.startswith("http.") else f"http.{name}"
        new = f"api.{name}"
        return self[new] if self.is_set(new) or not self.is_set(old) else self[old]

    @property
    def ecs(self) -> bool:
        """Whether plugins write fields of the Elastic Common Schema: by default from 8.0 on."""
        mode = self["pipeline.ecs_compatibility"] or ("v8" if self.version >= (8, 0) else "disabled")
        return bool(mode != "disabled")

    @property
    def superuser_allowed(self) -> bool:
        """Whether root may run Logstash: by default before 9.0."""
        allowed = self["allow_superuser"]
        return self.version < (9, 0) if allowed is None else bool(allowed)

    def for_pipeline(self, entry: Mapping[str, Any]) -> "Settings":
        """These settings, overridden by an entry of pipelines.yml. Raises `SettingsError`."""
        for name in entry:
            if name not in PIPELINE_SETTINGS and (
                name in IMPLEMENTED or not setting_exists(name, self.version)
            ):
                raise SettingsError(
                    f'Only pipeline related settings are expected. Received "{name}".'
                    f" Allowed settings: {list(PIPELINE_SETTINGS)}"
                )
        merged = Settings(self.version, {**self._given, **entry})
        merged.validate()
        return merged


def read_file(folder: Path) -> dict[str, Any]:
    """Read `logstash.yml` in a folder. Nested keys are joined by dots, and `${NAME}` is replaced.

    Raises `OSError` when it cannot be read, `UsageError` when it is not a YAML mapping.
    """
    path = folder / "logstash.yml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UsageError(
            f'Failed to parse YAML file "{path}". Please confirm if the YAML structure is valid (e.g. look'
            f" for incorrect usage of whitespace or indentation). Aborting... parser_error=>{error}"
        ) from None
    if not isinstance(content, dict):
        raise UsageError(
            f'Failed to load settings file from "path.settings". Aborting... path.setting={folder},'
            " exception=NoMethodError, message=>not a mapping"
        )
    return {name: substitute(value) for name, value in _flatten(content).items()}


def _flatten(content: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
