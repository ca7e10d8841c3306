"""Errors that end a start, a reload or a configuration test."""


class ConfigurationError(Exception):
    """A pipeline's text or a plugin's options are wrong."""


class PluginLoadingError(Exception):
    """A pipeline names a plugin that is not there."""


class SettingsError(Exception):
    """A setting is unknown or its value is wrong."""


class JavaError(Exception):
    """There would be no JVM."""


class UsageError(Exception):
    """The command line is wrong, or the sources of configuration exclude each other."""
