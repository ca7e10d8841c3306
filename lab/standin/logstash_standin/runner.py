"""The command line: from `bin/logstash` and its settings to an exit status."""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from . import knobs as lab
from .agent import BOOT, Agent
from .answers import Answers
from .api import Api
from .errors import ConfigurationError, JavaError, SettingsError, UsageError
from .knobs import Knobs
from .log import Log
from .metrics import PipelineMetrics
from .pipeline import Pipeline
from .process import heap, uptime
from .ruby import class_name
from .settings import PLAYED, Settings, exists, from_file
from .signals import Signals
from .sources import check, fetch
from .version import Version, played

STANDIN = "this is the lab's stand-in for Logstash, not Logstash"


class _FatalError(Exception):
    """Ends the process with status 1 after one line in the log."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: Sequence[str]) -> int:
    """Run `bin/logstash` with these arguments; its exit status."""
    version = played()
    if arguments and arguments[0] in ("-V", "--version"):
        print(f"logstash {version}")
        print(STANDIN, file=sys.stderr)
        return 0
    # With Python's 5 ms the udp listener would wait for its turn while the kernel drops what it can't hold.
    sys.setswitchinterval(0.0005)
    log = Log()
    try:
        heap()
        status = _run(version, _settings(version, arguments), log)
    except JavaError as error:
        print(f"{error}\nError: Could not create the Java Virtual Machine.", file=sys.stderr)
        return 1
    except UsageError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        status = 1
    except SettingsError as error:
        print(f"Your settings are invalid. Reason: {error}", file=sys.stderr)
        status = 1
    except _FatalError as error:
        log.logger("logstash.runner").fatal(str(error))
        status = 1
    except OSError as error:
        kind = class_name(error).removeprefix("Errno::")
        log.logger("org.logstash.Logstash").fatal(
            f"Logstash stopped processing because of an error: ({kind}) {error.strerror or error}"
        )
        return 1
    if status == 1:
        log.logger("org.logstash.Logstash").fatal(
            "Logstash stopped processing because of an error: (SystemExit) exit"
        )
    return status


def _settings(version: Version, arguments: Sequence[str]) -> Settings:
    """Settings of the command line over those of logstash.yml. Raises `UsageError` or `SettingsError`."""
    given = vars(_parser(version).parse_args(arguments))
    folder = given["path.settings"] or os.environ.get("LS_SETTINGS_DIR") or PLAYED["path.settings"].default
    try:
        content = from_file(Path(folder))
    except FileNotFoundError:
        print(
            "WARNING: Could not find logstash.yml which is typically located in $LS_HOME/config or"
            " /etc/logstash. You can specify the path using --path.settings. Continuing using the defaults",
            file=sys.stderr,
        )
        content = {}
    except (OSError, ConfigurationError) as error:
        raise UsageError(
            f'Failed to load settings file from "path.settings". Aborting... path.setting={folder},'
            f" exception={class_name(error)}, message=>{error}"
        ) from None
    given_here = {name: value for name, value in given.items() if value is not None}
    return Settings(version, content | {"path.settings": folder} | given_here)


def _parser(version: Version) -> argparse.ArgumentParser:
    parser = _Parser(prog="logstash", description=STANDIN, allow_abbrev=False, argument_default=None)
    for name, setting in PLAYED.items():
        if setting.flags and exists(name, version):
            switch: dict[str, Any] = {"action": "store_const", "const": True}
            is_switch = setting.default is False
            parser.add_argument(*setting.flags, dest=name, **(switch if is_switch else {"metavar": "VALUE"}))
    return parser


def check_superuser(settings: Settings, uid: int) -> None:
    """Raises `_FatalError` where root may not run Logstash: from 9.0, unless `allow_superuser` is true."""
    if uid == 0 and not settings.superuser:
        raise _FatalError(
            "An unexpected error occurred! {:error=>#<RuntimeError: Logstash cannot be run as superuser.>,"
            " :backtrace=>[]}"
        )


def _run(version: Version, settings: Settings, log: Log) -> int:
    settings.validate()
    knobs = lab.read()
    log.level = settings["log.level"]
    runner = log.logger("logstash.runner")
    try:
        log.open(Path(settings["path.logs"]))
        print(
            f"Sending Logstash logs to {settings['path.logs']} which is now configured via log4j2.properties"
        )
    except OSError as error:  # log4j complains too, and goes on
        print(f"ERROR Unable to write to {settings['path.logs']}: {error.strerror}", file=sys.stderr)
    check_superuser(settings, os.geteuid())
    runner.info(
        "Starting Logstash", **{"logstash.version": str(version), "jruby.version": f"none: {STANDIN}"}
    )
    for alias in settings.aliases():
        log.logger("deprecation.logstash.settings").warn(
            f"The setting `{alias}` is a deprecated alias for `api.{alias}` and will be removed in a future"
            f" release of Logstash. Please use `api.{alias}` instead"
        )
    for name in settings.unplayed():
        runner.warn("The stand-in does not play this setting", setting=name)
    data = _data(Path(settings["path.data"]))
    check(settings, log)
    if settings["config.test_and_exit"]:
        return _test(settings, knobs, log)
    with _lock(data / ".lock"):
        return _serve(settings, knobs, log)


def _data(path: Path) -> Path:
    """The data folder with what the real one makes in it. Raises `SettingsError`."""
    try:
        for folder in (path, path / "queue", path / "dead_letter_queue"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise SettingsError(f'Path "{path}" must be a writable directory. It is not writable.') from None
    if not os.access(path, os.W_OK):
        raise SettingsError(f'Path "{path}" must be a writable directory. It is not writable.')
    return path


def _lock(path: Path) -> IO[str]:
    """Hold the data folder while this file is open. Raises `_FatalError` where another process does."""
    file = path.open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise _FatalError(
            "Logstash could not be started because there is already another instance using the configured"
            " data directory.  If you wish to run multiple instances, you must change the"
            ' "path.data" setting.'
        ) from None
    return file


def _test(settings: Settings, knobs: Knobs, log: Log) -> int:
    runner = log.logger("logstash.runner")
    try:
        for source in fetch(settings, log):
            Pipeline(source, PipelineMetrics(), knobs, log).discard()
    except (ConfigurationError, SettingsError) as error:
        raise _FatalError(f"The given configuration is invalid. Reason: {error}") from None
    print("Configuration OK", flush=True)
    runner.info("Using config.test_and_exit mode. Config Validation Result: OK. Exiting Logstash")
    return 0


def _serve(settings: Settings, knobs: Knobs, log: Log) -> int:
    signals = Signals()
    signals.catch()
    agent = Agent(settings, knobs, log, signals)
    agent.pause(BOOT * knobs.start_delay - uptime())
    if agent.terminating:
        return 128 + signal.SIGTERM  # what the JVM does before Logstash minds signals
    agent.prepare()
    if settings.api("enabled"):
        host, ports = settings.api("http.host"), settings.api("http.port")
        option = "--api.http.port" if settings.version >= (7, 16) else "--http.port"
        try:
            api = Api(host, ports, option, log)
        except OSError as error:
            if error.strerror and "Logstash tried" in error.strerror:
                raise
            raise OSError(error.errno, f'{error.strerror} - bind(2) for "{host}" port {ports[0]}') from None
        agent.http_address = f"{host}:{api.port}"
        api.serve(Answers(agent))
    agent.pause(knobs.start_delay - uptime())
    status = 0 if agent.terminating else agent.run()
    log.logger("logstash.runner").info("Logstash shut down.")
    return status
