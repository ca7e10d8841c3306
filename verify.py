"""Is the cluster as it should be? `python verify.py`, or `pyinfra inventory.py verify.py`.

    python verify.py [--inventory FILE] [--cluster NAME]
                     [--json | --watch | --report FILE | --nagios | --prometheus FILE]
                     [--send N [--rate R] [--from HOST]]
    python verify.py [--inventory FILE] [--cluster NAME] [--json] --drift [--diff]
    python verify.py why ADDRESS [INPUT] [--cluster NAME] [--seconds S] [--json]
    python verify.py why [ADDRESS [INPUT]] --send [--from HOST] [--cluster NAME] [--seconds S] [--json]
    python verify.py capacity [INPUT] [--cluster NAME] [--most RATE] [--seconds S] [--from HOST]
                     [--yes [--json]]
    python verify.py drill [NAME [--cluster NAME] [--on NODE] [--dry | --yes]]
    python verify.py --version

Looks at every node of the inventory's clusters, or of one, and changes nothing. Exit status 0: all is good;
1: something is wrong, and it says what to do; 2: nothing could be looked at. `verification.show.document`
describes the JSON.

`--send N` also makes the recipe's last test: a host of the group `senders` sends N numbered events to each
input at each VIP, and each event must arrive on one of the nodes, once.

`--watch` shows the report again and again, with rates. `--report` writes it as one HTML page that needs
nothing else. `--nagios` and `--prometheus` are for monitoring; `verification.monitor` describes their output.

`python verify.py why` follows one sender's events from step to step, and names the step that is wrong.

`python verify.py capacity` sends faster and faster until the first event is lost, and says where that was.

`python verify.py drill` lets something fail on purpose and counts every event; `drills/catalogue.py` lists
what can fail.

`--drift` lists what a deploy would change, by host and step. Exit status 0: nothing; 1: something; 2: not all
nodes could be looked at. `verification.drift.document` describes the JSON.
"""

import sys
from importlib import import_module

import remote.green  # noqa: F401  before anything else uses the standard library

# isort: split
from pyinfra import host, state
from pyinfra.context import ctx_host

from verification.command import main, verify_host

SUBCOMMANDS = {
    "capacity": "verification.capacity.command",
    "drill": "drills.command",
    "why": "verification.why.command",
}

if ctx_host.isset():  # pyinfra runs this file for a host
    verify_host(state, host)
elif __name__ == "__main__":
    name = next(iter(sys.argv[1:]), "")
    if name in SUBCOMMANDS:
        sys.exit(import_module(SUBCOMMANDS[name]).main(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
