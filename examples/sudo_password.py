"""Machines where sudo asks for a password, which a file gives that only you can read.

Without `_sudo_password` you are asked once, for all machines, where there is a terminal. A node whose password is another one has it
in a `connection` of its own. The password goes to sudo over standard input, and is in no list of processes, log or file there.
"""

from pathlib import Path

from cluster import define

password = Path(__file__).with_name("sudo_password")  # one line; `chmod 600`, and not in your repository

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    connection={"ssh_user": "admin", "_sudo": True, "_sudo_password": password.read_text().strip()},
)
