"""The lab's command line: ``python -m lab --help``."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.table import Table

from lab.lab import Lab, built, check_machine
from lab.settings import DEFAULT_RELEASE, MAX_NODES, RELEASES
from lab.shell import LabError

console = Console(stderr=True)


@click.group()
def cli() -> None:
    """Real machines on one machine, to try the cluster on.

    A lab is a folder, named by LAB_DIR (default .lab). Another folder is another lab; both can run.
    """


@cli.command()
@click.option(
    "--nodes", type=click.IntRange(2, MAX_NODES), default=2, show_default=True, help="stash1, stash2, …"
)
@click.option(
    "--logstash-start-delay", type=float, default=2.0, show_default=True, help="Seconds a Logstash takes."
)
@click.option(
    "--el",
    callback=lambda context, option, text: releases(text),
    default=str(DEFAULT_RELEASE),
    show_default=True,
    help="EL 7 to 10; several, as 7,9, are given to the nodes in turn.",
)
def up(nodes: int, logstash_start_delay: float, el: tuple[int, ...]) -> None:
    """Build what is not built yet, boot the guests and wait until they are up."""
    lab = Lab.here()
    try:
        with progress() as say:
            lab.up(nodes, logstash_start_delay, say, el)
    except KeyboardInterrupt:
        lab.down()
        raise LabError("stopped; the lab is removed") from None
    show(lab)


@cli.command()
def build() -> None:
    """Build what is not built yet, and boot nothing."""
    check_machine(0)
    with progress() as say, built(say):
        pass


@cli.command()
def down() -> None:
    """End the guests and remove all that `up` made."""
    Lab.here().down()


@cli.command()
def status() -> None:
    """Show the guests."""
    show(Lab.here())


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(name: str, command: tuple[str, ...]) -> None:
    """Log in to a guest, or run a command there."""
    sys.exit(subprocess.run((*Lab.here().ssh_command(name), *command), check=False).returncode)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Run a command of this machine inside the lab's network."""
    network = Lab.here().network
    if not network.exists():
        raise LabError("no lab here; run `python -m lab up`")
    sys.exit(subprocess.run((*network.enter, *command), check=False).returncode)


@cli.command("power-off")
@click.argument("name")
def power_off(name: str) -> None:
    """Take the power from a guest, as if its plug were pulled."""
    Lab.here().guest(name).power_off()


@cli.command("power-on")
@click.argument("name")
def power_on(name: str) -> None:
    """Boot a guest that is off, with the disk it had."""
    with progress() as say:
        Lab.here().power_on(name, say)


@cli.command()
@click.argument("source")
@click.argument("name")
def clone(source: str, name: str) -> None:
    """Boot NAME from a copy of SOURCE's disk: it comes up as SOURCE. Both must be off."""
    with progress() as say:
        Lab.here().clone(source, name, say)


@cli.command()
@click.argument("name")
def cut(name: str) -> None:
    """Part a guest's link from the others, silently."""
    lab = Lab.here()
    lab.network.cut(lab.guest(name).machine)


@cli.command()
@click.argument("name")
def heal(name: str) -> None:
    """Join a guest's link again."""
    lab = Lab.here()
    lab.network.heal(lab.guest(name).machine)


@cli.command("console")
@click.argument("name")
def console_log(name: str) -> None:
    """Print what a guest's console has shown."""
    click.echo(Lab.here().guest(name).console.read_text(errors="replace"), nl=False)


def releases(text: str) -> tuple[int, ...]:
    """The option `--el`. Raises LabError."""
    versions = {str(version): version for version in RELEASES}
    if unknown := [word for word in text.split(",") if word not in versions]:
        raise LabError(f"--el: {', '.join(unknown)} can't be played; choose of {', '.join(versions)}")
    return tuple(versions[word] for word in text.split(","))


def show(lab: Lab) -> None:
    """One row a guest, and how to reach them."""
    if not lab.guests:
        raise LabError(f"no lab in {lab.folder}; run `python -m lab up`")
    table = Table("guest", "address", "power", "link", box=None)
    for guest in lab.guests:
        on = guest.running()
        link = "" if not on else "cut" if lab.network.is_cut(guest.machine) else "joined"
        addresses = ", ".join(map(str, (*guest.machine.addresses, *guest.machine.addresses6)))
        table.add_row(guest.name, addresses, "on" if on else "off", link)
    Console().print(table)
    click.echo(f"ssh -F {lab.folder}/ssh_config {lab.guests[0].name}")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that says what is going on; on a log, one line for each new thing."""
    if console.is_terminal:
        with console.status("") as spinner:
            yield spinner.update
    else:
        said = set()

        def say(text: str) -> None:
            heading = text.split("(")[0]
            if heading not in said:
                said.add(heading)
                console.print(heading)

        yield say


def main() -> None:
    try:
        cli(standalone_mode=True, prog_name="python -m lab")
    except LabError as error:
        console.print(f"lab: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
