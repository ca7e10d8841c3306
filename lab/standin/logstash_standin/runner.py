"""The command line: it runs `bin/logstash` with its settings and returns the exit status."""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from .agent import SHARE_BEFORE_API, SHARE_BEFORE_PIPELINES, Agent
from .api import Api, Security
from .delays import Delays, read_delays
from .errors import ArgumentError, ConfigurationError, JavaError, SettingsError, UsageError
from .log import Log
from .metrics import PipelineMetrics
from .pipeline import Pipeline
from .process import heap, uptime
from .responses import Responses
from .ruby import class_name
from .settings import IMPLEMENTED, Settings, read_file, setting_exists
from .signals import Signals
from .sources import check_sources, fetch_sources
from .version import Version, simulated_version

NOTICE = "this is the lab's stand-in for Logstash, not Logstash"


class _FatalError(Exception):
    """Ends the process with status 1, after one line in the log."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: Sequence[str]) -> int:
    """Run `bin/logstash` with these arguments and return its exit status."""
    version = simulated_version()
    if arguments and arguments[0] in ("-V", "--version"):
        print(f"logstash {version}")
        print(NOTICE, file=sys.stderr)
        return 0
    # With Python's default of 5 ms the udp listener would wait so long that the kernel's buffer overflows.
    sys.setswitchinterval(0.0005)
    log = Log()
    try:
        heap()
        status = _run(version, _load_settings(version, arguments), log)
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


def _load_settings(version: Version, arguments: Sequence[str]) -> Settings:
    """The settings of logstash.yml and the command line. Raises `UsageError` or `SettingsError`."""
    options = vars(_parser(version).parse_args(arguments))
    folder = (
        options["path.settings"] or os.environ.get("LS_SETTINGS_DIR") or IMPLEMENTED["path.settings"].default
    )
    try:
        content = read_file(Path(folder))
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
    options_given = {name: value for name, value in options.items() if value is not None}
    return Settings(version, content | {"path.settings": folder} | options_given)


def _parser(version: Version) -> argparse.ArgumentParser:
    parser = _Parser(prog="logstash", description=NOTICE, allow_abbrev=False, argument_default=None)
    for name, setting in IMPLEMENTED.items():
        if setting.flags and setting_exists(name, version):
            switch: dict[str, Any] = {"action": "store_const", "const": True}
            is_switch = setting.default is False
            parser.add_argument(*setting.flags, dest=name, **(switch if is_switch else {"metavar": "VALUE"}))
    return parser


def check_superuser(settings: Settings, uid: int) -> None:
    """Refuse to run as root from 9.0 on, unless `allow_superuser` is true. Raises `_FatalError`."""
    if uid == 0 and not settings.superuser_allowed:
        raise _FatalError(
            "An unexpected error occurred! {:error=>#<RuntimeError: Logstash cannot be run as superuser.>,"
            " :backtrace=>[]}"
        )


def _run(version: Version, settings: Settings, log: Log) -> int:
    settings.validate()
    delays = read_delays()
    log.level = settings["log.level"]
    runner = log.logger("logstash.runner")
    try:
        log.open(Path(settings["path.logs"]))
        print(
            f"Sending Logstash logs to {settings['path.logs']} which is now configured via log4j2.properties"
        )
    except OSError as error:  # log4j prints an error, too, and continues
        print(f"ERROR Unable to write to {settings['path.logs']}: {error.strerror}", file=sys.stderr)
    check_superuser(settings, os.geteuid())
    runner.info("Starting Logstash", **{"logstash.version": str(version), "jruby.version": f"none: {NOTICE}"})
    for alias in settings.aliases_in_use():
        log.logger("deprecation.logstash.settings").warn(
            f"The setting `{alias}` is a deprecated alias for `api.{alias}` and will be removed in a future"
            f" release of Logstash. Please use `api.{alias}` instead"
        )
    for name in settings.without_effect():
        runner.warn("The stand-in does not implement this setting", setting=name)
    data = Path(settings["path.data"])
    _create_data_folders(data)
    check_sources(settings, log)
    if settings["config.test_and_exit"]:
        return _test_configuration(settings, delays, log)
    with _lock(data / ".lock"):
        return _run_agent(settings, delays, log)


def _create_data_folders(path: Path) -> None:
    """Create the data folder and the real one's folders in it. Raises `SettingsError`."""
    try:
        for folder in (path, path / "queue", path / "dead_letter_queue"):
            folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise SettingsError(f'Path "{path}" must be a writable directory. It is not writable.')


def _lock(path: Path) -> IO[str]:
    """Lock the data folder while the returned file is open. Raises `_FatalError` if it is locked."""
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


def _test_configuration(settings: Settings, delays: Delays, log: Log) -> int:
    runner = log.logger("logstash.runner")
    try:
        for source in fetch_sources(settings, log):
            Pipeline(source, PipelineMetrics(), delays, log).discard()
    except (ConfigurationError, SettingsError) as error:
        raise _FatalError(f"The given configuration is invalid. Reason: {error}") from None
    print("Configuration OK", flush=True)
    runner.info("Using config.test_and_exit mode. Config Validation Result: OK. Exiting Logstash")
    return 0


def _run_agent(settings: Settings, delays: Delays, log: Log) -> int:
    signals = Signals()
    signals.catch()
    agent = Agent(settings, delays, log, signals)
    agent.pause(SHARE_BEFORE_API * delays.start - uptime())
    if agent.terminating:
        return 128 + signal.SIGTERM  # the JVM's status before Logstash handles signals
    agent.prepare()
    if settings.api_setting("enabled"):
        host, ports = settings.api_setting("http.host"), settings.api_setting("http.port")
        option = "--api.http.port" if settings.version >= (7, 16) else "--http.port"
        try:
            api = Api(host, ports, option, Security(settings), log)
        except ArgumentError as error:
            raise _FatalError(
                f"An unexpected error occurred! {{:error=>#<ArgumentError: {error}>, :backtrace=>[]}}"
            ) from None
        except OSError as error:
            if error.strerror and "Logstash tried" in error.strerror:
                raise
            raise OSError(error.errno, f'{error.strerror} - bind(2) for "{host}" port {ports[0]}') from None
        agent.http_address = f"{host}:{api.port}"
        api.serve(Responses(agent))
    agent.pause(SHARE_BEFORE_PIPELINES * delays.start - uptime())
    status = 0 if agent.terminating else agent.run()
    log.logger("logstash.runner").info("Logstash shut down.")
    return status
