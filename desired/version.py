"""The version of this project."""

VERSION = "0.2.0"
"""By semantic versioning; CHANGELOG.md tells what changed. Each deploy notes it on the nodes."""
