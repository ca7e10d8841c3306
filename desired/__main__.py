"""Renders what a deploy would put on each node, without a host: `python -m desired --inventory FILE --to DIR`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

from cluster import ClusterError
from cluster.errors import shorten
from desired.requirements import SUPPORTED
from desired.tree import TreeFile, tree
from desired.version import VERSION
from remote.inventory import load_clusters

DEFAULT_EL = 9
LIST = ".rendered"
"""The tree's own list of its files, by which a later run knows that it may replace them."""


def main(arguments: list[str]) -> int:
    """Render as the command line says; the exit status: 0 it is written, 1 it is not."""
    options = _parse(arguments)
    try:
        _, _, clusters = load_clusters(options.inventory)
        files = {
            name: file for cluster in clusters.values() for name, file in tree(cluster, options.el).items()
        }
        replace(options.to, files)
    except PyinfraError as error:
        print(f"desired: {error}", file=sys.stderr)
        return 1
    for name, cluster in clusters.items():
        for warning in cluster.warnings:
            print(f"desired: warning: {f'{name}: ' if len(clusters) > 1 else ''}{warning}", file=sys.stderr)
    nodes = ", ".join(node for cluster in clusters.values() for node in cluster.node_names)
    print(
        f"{len(files)} files in {options.to}: what a deploy puts on {nodes} with Enterprise Linux {options.el}"
    )
    return 0


def replace(folder: Path, files: Mapping[str, TreeFile]) -> None:
    """Make the folder hold these files and no others. Raises `ClusterError`, and leaves it as it is, where it holds
    anything that no earlier run wrote there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in _earlier(folder):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        # The list comes first, so that a run which is interrupted can be followed by another one.
        listing = TreeFile("".join(f"{name}\n" for name in sorted([LIST, *files])))
        for name, file in {LIST: listing, **files}.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content.encode())
            target.chmod(file.mode)
    except OSError as error:
        raise ClusterError(
            f"--to: {shorten(str(error.filename or folder))} can't be written ({error.strerror}); "
            "name a new folder in a folder of yours"
        ) from None


def _earlier(folder: Path) -> list[Path]:
    """What is in the folder, all of it an earlier run's. Raises `ClusterError`, `OSError`."""
    listing = folder / LIST
    files = [folder / line for line in listing.read_text().splitlines()] if listing.is_file() else []
    ours = {*files, *(parent for file in files for parent in file.parents)}
    for path in sorted(folder.rglob("*")):
        if path not in ours:
            raise ClusterError(
                f"--to: {shorten(str(path))} is not from an earlier run of this program, which would delete it; "
                "name an empty or a new folder"
            )
    return list(folder.iterdir())


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m desired",
        description="Write what a deploy would put on each node into a folder, for reviews: DIR/NODE/etc/… with the "
        "files' modes, and in DIR/NODE the lists firewalld.rules, firewalld.ipsets, units, sysctl, modules and packages. "
        "No host is needed. Secrets are masked, and the same inventory gives the same bytes.",
        epilog="Exit status: 0 it is written; 1 the inventory or the folder is wrong.",
    )
    parser.add_argument("--inventory", required=True, metavar="FILE", help="the inventory of the cluster")
    parser.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="a new or empty folder, or an earlier run's"
    )
    parser.add_argument(
        "--el",
        type=int,
        choices=SUPPORTED,
        default=DEFAULT_EL,
        help=f"the nodes' Enterprise Linux (default: {DEFAULT_EL})",
    )
    parser.add_argument("--version", action="version", version=f"logstash-ha {VERSION}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
