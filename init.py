"""Writes an inventory to start from into a folder of your own: `python init.py ~/logs stash1 stash2`.

    python init.py DIR [HOST…] [--vip ADDRESS] [--senders LIST] [--user NAME] [--ssh-config FILE] [--yes]

Looks at the machines by ssh, changes nothing there, and asks for what it can't see: the virtual IP and who may send.
An inventory that is there already is never overwritten. Exit status 0: it is written; 1: it is not.
"""

import sys

if __name__ == "__main__":
    import remote.green  # noqa: F401  before anything else uses the standard library
    from starter.command import main

    sys.exit(main(sys.argv[1:]))
