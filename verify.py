"""Is the cluster as it is meant? `python verify.py`, or `pyinfra inventory.py verify.py`.

    python verify.py [--inventory FILE] [--json | --watch | --report FILE | --nagios | --prometheus FILE] [--send N [--rate R] [--from HOST]]
    python verify.py [--inventory FILE] [--json] --drift [--diff]
    python verify.py drill [NAME [--on NODE] [--dry | --yes]]

Looks at every node of the inventory's group `nodes` and changes nothing. Exit status 0: all good; 1: wrong, and
it tells what to do; 2: nothing could be looked at. `verification.show.document` describes the JSON.

`--send N` makes the recipe's last test, too: a host of the group `senders` sends N numbered events to each
input at each VIP, and each must arrive on one of the nodes, once.

`--watch` shows it again and again, with rates. `--report` writes one HTML page that needs nothing else. `--nagios` and `--prometheus` are for monitoring; `verification.monitor` describes what they say.

`python verify.py drill` lets something fail on purpose and counts every event; `drills/catalogue.py` says what.

`--drift` tells what a deploy would change, by host and step. Exit status 0: nothing; 1: something; 2: it could
not look at all nodes. `verification.drift.document` describes the JSON.
"""

import sys

if __name__ == "__main__":
    import pyinfra_cli  # noqa: F401  Makes the standard library fit for gevent, before anything else uses it.

    from drills.command import main as drill
    from verification.command import main

    sys.exit(drill(sys.argv[2:]) if sys.argv[1:2] == ["drill"] else main(sys.argv[1:]))

if __name__ == "builtins":  # pyinfra runs it
    from pyinfra import host, state

    from verification.command import step

    step(state, host)
