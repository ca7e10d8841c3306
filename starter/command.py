"""`init.py`: looks at machines, asks for what can't be seen, and writes an inventory to start from."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pyinfra.api import Host
from pyinfra.api.exceptions import PyinfraError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster import ClusterError
from cluster.types import NodeName
from remote import discovery
from remote.discovery import Discovered, Unreachable
from starter.folder import (
    INVENTORY,
    PROJECT,
    StarterFile,
    check_free,
    checked_cluster,
    programs,
    starter_files,
    write,
)
from starter.proposal import attention, common_networks, main_interface, needs_sudo, own_address, propose

console = Console(highlight=False)


def main(arguments: list[str]) -> int:
    """Write the folder that the command line names; the exit status: 0 it is written, 1 it is not."""
    options = _parse(arguments)
    for name in ("pyinfra", "paramiko"):  # what they have to say is in the errors
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    try:
        return _start(options)
    except Unreachable as error:
        lines = error.lines
    except PyinfraError as error:
        lines = [str(error)]
    except (EOFError, KeyboardInterrupt):
        lines = ["interrupted; nothing is written"]
    for line in lines:
        print(f"init: {line}", file=sys.stderr)
    return 1


def _start(options: argparse.Namespace) -> int:
    """Raises `PyinfraError` with nothing written."""
    asks = sys.stdin.isatty() and not options.yes
    folder = options.folder.expanduser().absolute()
    check_free(folder)
    connection = _connection(options)
    given = " ".join(options.hosts) or None
    names = _answer("HOST", "The machines' names, as ssh knows them", given, asks, _check_names)

    with Console(stderr=True).status("looking at the machines"):
        hosts = discovery.connect(names, connection)
        machines = discovery.discover(hosts)
    console.print(_table(machines))
    networks = " or ".join(map(str, common_networks(machines).values()))

    def files(vips: list[str], senders: list[str]) -> list[StarterFile]:
        return starter_files(propose(machines, connection, vips, senders), folder)

    def check_vips(vips: list[str]) -> None:
        checked_cluster(files(vips, senders=vips))  # any senders, until they are known

    def check_senders(senders: list[str]) -> None:
        checked_cluster(files(vips, senders))

    vips = _answer("--vip", f"The virtual IP, a free address in {networks}", options.vip, asks, check_vips)
    question = "Who may send, as addresses and networks"
    senders = _answer("--senders", question, options.senders, asks, check_senders)

    chosen = files(vips, senders)
    lines = attention(checked_cluster(chosen), machines, _conflicts(hosts[0], machines[0], vips))
    for line in lines:
        console.print("[yellow]attention[/]", escape(line), soft_wrap=True)
    if lines and asks and console.input("Write it all the same? (y/N) ").strip().lower() not in ("y", "yes"):
        raise ClusterError("nothing is written")
    _tell(folder, write(folder, chosen))
    return 0


def _connection(options: argparse.Namespace) -> dict[str, str]:
    """pyinfra's connection data from the command line. Paths are whole, as pyinfra would have them begin at the current
    directory."""
    found = {"ssh_user": options.user} if options.user else {}
    if options.ssh_config:
        file = options.ssh_config.expanduser().absolute()
        if not file.is_file():
            raise ClusterError(
                f"--ssh-config: {file} is not a file; name a configuration as ssh_config(5) has it"
            )
        found["ssh_config_file"] = str(file)
    return found


def _answer(
    option: str, question: str, given: str | None, asks: bool, check: Callable[[list[str]], None]
) -> list[str]:
    """What the option gives, or the user answers, who is asked again after a wrong answer; commas or spaces are between
    the values. Raises `ClusterError` where nobody can be asked."""
    while True:
        if given is None and not asks:
            raise ClusterError(f"{option}: is missing; add it, as nobody is asked here")
        text = console.input(f"{question}: ") if given is None else given
        values = text.replace(",", " ").split()
        try:
            check(values)
        except ClusterError as error:
            if not asks:
                raise
            console.print("[red]wrong[/]", escape(str(error)), soft_wrap=True)
            given = None
        else:
            return values


def _check_names(names: list[str]) -> None:
    """Raises `ClusterError`."""
    if len(names) < 2:
        raise ClusterError(f"HOST: {len(names)} given; name two machines or more, as ssh knows them")
    for name in names:
        try:
            TypeAdapter(NodeName).validate_python(name)
        except ValidationError as error:
            raise ClusterError(f"HOST: {error.errors()[0]['ctx']['error']}") from None
        if names.count(name) > 1:
            raise ClusterError(f"HOST: {name} is given twice; each must be different")


def _conflicts(host: Host, machine: Discovered, vips: list[str]) -> dict[str, str]:
    """Whether another machine has one of the VIPs, as far as this one can see."""
    if machine.machine["root"] != "yes":
        return {}
    links = dict.fromkeys(vips, main_interface(machine))
    return discovery.address_conflicts(host, links, needs_sudo([machine]))


def _table(machines: list[Discovered]) -> Table:
    table = Table("host", "system", box=None)
    for heading in ("address", "interface", "sudo", "firewalld", "keepalived", "Logstash"):
        table.add_column(heading, no_wrap=True)
    for found in machines:
        addresses = [str(address) for version in (4, 6) if (address := own_address(found, version))]
        sudo = "yes" if found.machine["root"] == "yes" else "no"
        os = found.machine["os"]
        cells = (
            found.name,
            f"{os.get('NAME', 'unknown')} {os.get('VERSION_ID', '')}",
            "\n".join(addresses) or "none",
            main_interface(found) or "none",
            sudo if needs_sudo([found]) else "root",
            found.machine["firewalld"],
            found.keepalived or "none",
            found.machine["logstash"] or "none",
        )
        table.add_row(*map(escape, cells))
    return table


def _tell(folder: Path, written: list[StarterFile]) -> None:
    """What was written, and what is next."""
    names = ", ".join(file.name for file in written)
    inventory = shlex.quote(str(folder / INVENTORY))
    console.print("[green]written[/]", escape(f"{names} in {folder}"), soft_wrap=True)
    console.print(escape(f"Edit {inventory}. What a deploy would change, in {PROJECT}:"), soft_wrap=True)
    console.print(escape(f"    {programs()}/pyinfra {inventory} deploy.py --dry --diff"), soft_wrap=True)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="init.py",
        description="Look at machines by ssh, and write an inventory of them into a folder of your own. "
        "Nothing is changed on them. At a terminal it asks for what is not given.",
        epilog="Exit status: 0 it is written; 1 it is not.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="where the inventory goes; it is made if missing"
    )
    parser.add_argument(
        "hosts", nargs="*", metavar="HOST", help="the machines, as ssh knows them; two or more"
    )
    parser.add_argument("--vip", metavar="ADDRESS", help="the virtual IP; several with commas")
    parser.add_argument("--senders", metavar="LIST", help="who may send: addresses and networks, with commas")
    parser.add_argument("--user", metavar="NAME", help="who logs in (default: as ssh's configuration says)")
    parser.add_argument("--ssh-config", type=Path, metavar="FILE", help="instead of ~/.ssh/config")
    parser.add_argument("--yes", action="store_true", help="ask nothing: what is missing is an error")
    return parser.parse_args(arguments)
