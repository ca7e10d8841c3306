"""The lab's command line: ``python -m lab --help``."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.table import Table

from lab.console import console
from lab.lab import Lab, build_artifacts, check_machine
from lab.settings import DEFAULT_RELEASE, MAX_NODES, RELEASES
from lab.shell import LabError

el_option = click.option(
    "--el",
    callback=lambda context, option, text: parse_releases(text),
    default=str(DEFAULT_RELEASE),
    show_default=True,
    help="EL version, 7 to 10. A list such as 7,9 is assigned to the nodes in turn.",
)


@click.group()
def cli() -> None:
    """Run a lab: several machines with real kernels on this one, to try the cluster on.

    LAB_DIR names the lab's folder (default .lab). Each folder is its own lab, and several can run at once.
    """


@cli.command()
@click.option(
    "--nodes",
    type=click.IntRange(2, MAX_NODES),
    default=2,
    show_default=True,
    help="Number of nodes: stash1, stash2, …",
)
@click.option(
    "--logstash-delay",
    type=float,
    default=2.0,
    show_default=True,
    help="Seconds that Logstash takes to start, and to stop.",
)
@el_option
@click.option(
    "--logstash",
    metavar="VERSION|FILE",
    help="Elastic's own Logstash in the stand-in's place: a version, such as 9.3.8, which is fetched, or its RPM file.",
)
def up(nodes: int, logstash_delay: float, el: tuple[int, ...], logstash: str | None) -> None:
    """Build what is missing, boot the guests and wait until they are up."""
    lab = Lab.here()
    try:
        with show_progress() as progress:
            lab.up(nodes, logstash_delay, progress, el, logstash)
    except KeyboardInterrupt:
        lab.down()
        raise LabError("interrupted; the lab has been removed") from None
    print_status(lab)


@cli.command()
@el_option
def build(el: tuple[int, ...]) -> None:
    """Build what guests of these ELs need and is missing, and boot nothing."""
    check_machine(0)
    with show_progress() as progress, build_artifacts(el, progress):
        pass


@cli.command()
def down() -> None:
    """Stop the guests and remove everything that `up` created."""
    Lab.here().down()


@cli.command()
def status() -> None:
    """Show the guests and whether they run."""
    print_status(Lab.here())


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(name: str, command: tuple[str, ...]) -> None:
    """Log in to a guest, or run a command there."""
    sys.exit(subprocess.run((*Lab.here().ssh_command(name), *command), check=False).returncode)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Run a command on this machine, inside the lab's network."""
    network = Lab.here().network
    if not network.exists():
        raise LabError("no lab is running here; run `python -m lab up`")
    sys.exit(subprocess.run((*network.enter_command, *command), check=False).returncode)


@cli.command("power-off")
@click.argument("name")
def power_off(name: str) -> None:
    """Stop a guest at once, as if its power failed."""
    Lab.here().guest(name).power_off()


@cli.command("power-on")
@click.argument("name")
def power_on(name: str) -> None:
    """Boot a guest that is off, from its own disk."""
    with show_progress() as progress:
        Lab.here().power_on(name, progress)


@cli.command()
@click.argument("source")
@click.argument("name")
def clone(source: str, name: str) -> None:
    """Boot NAME from a copy of SOURCE's disk, so that it comes up as SOURCE. Both must be off."""
    with show_progress() as progress:
        Lab.here().clone(source, name, progress)


@cli.command()
@click.argument("name")
def cut(name: str) -> None:
    """Disconnect a guest from the others while its own link stays up."""
    lab = Lab.here()
    lab.network.cut(lab.guest(name).machine)


@cli.command()
@click.argument("name")
def heal(name: str) -> None:
    """Reconnect a guest that was cut off."""
    lab = Lab.here()
    lab.network.heal(lab.guest(name).machine)


@cli.command("console")
@click.argument("name")
def console_log(name: str) -> None:
    """Print the log of a guest's console."""
    click.echo(Lab.here().guest(name).console.read_text(errors="replace"), nl=False)


def parse_releases(text: str) -> tuple[int, ...]:
    """Parse the option `--el`: EL versions, separated by commas. Raises LabError."""
    versions = {str(version): version for version in RELEASES}
    if unknown := [word for word in text.split(",") if word not in versions]:
        raise LabError(f"--el: {', '.join(unknown)}: not supported; choose from {', '.join(versions)}")
    return tuple(versions[word] for word in text.split(","))


def print_status(lab: Lab) -> None:
    """Print one row for each guest, and how to log in. Raises LabError where there is no lab."""
    if not lab.guests:
        raise LabError(f"no lab in {lab.folder}; run `python -m lab up`")
    table = Table("guest", "address", "power", "link", box=None)
    for guest in lab.guests:
        on = guest.running()
        link = "" if not on else "cut" if lab.network.is_cut(guest.machine) else "connected"
        addresses = ", ".join(map(str, (*guest.machine.addresses, *guest.machine.addresses6)))
        table.add_row(guest.name, addresses, "on" if on else "off", link)
    Console().print(table)
    click.echo(f"ssh -F {lab.folder}/ssh_config {lab.guests[0].name}")


@contextmanager
def show_progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done: in a terminal on one line that changes, else on one line for each new step."""
    if console.is_terminal:
        with console.status("") as spinner:
            yield spinner.update
    else:
        printed = set()

        def print_once(text: str) -> None:
            step = text.split("(")[0]
            if step not in printed:
                printed.add(step)
                console.print(step)

        yield print_once


def main() -> None:
    try:
        cli(standalone_mode=True, prog_name="python -m lab")
    except LabError as error:
        console.print(f"lab: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
