"""The version of this project."""

VERSION = "0.3.0"
"""A semantic version; CHANGELOG.md lists the changes. Each deploy writes it on the nodes (`VERSION_FILE`)."""
