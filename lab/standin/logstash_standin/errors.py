"""Errors that end a start, a reload or a configuration test."""


class ConfigurationError(Exception):
    """A pipeline's text or a plugin's options are wrong."""


class PluginLoadingError(Exception):
    """A pipeline names a plugin that does not exist."""


class SettingsError(Exception):
    """A setting is unknown or its value is wrong."""


class JavaError(Exception):
    """The JVM would refuse to start."""


class UsageError(Exception):
    """The command line is wrong, or it names sources of configuration that exclude each other."""


class ArgumentError(Exception):
    """The API can't be made as the settings say."""
