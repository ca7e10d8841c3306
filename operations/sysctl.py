"""Kernel settings, in force now and after a reboot."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, state
from pyinfra.api import StringCommand, operation

from facts.sysctl import CONF, Sysctl

FILE = "/etc/sysctl.d/90-logstash-ha.conf"

SETTINGS = {"net.ipv4.ip_forward": "1", "net.ipv4.ip_nonlocal_bind": "1"}
"""The recipe's step 6: the director is a router, and may use the VIP before it holds it."""


@operation()
def effective(settings: dict[str, str], file: str) -> Generator[StringCommand]:
    """These settings in the running kernel, read from `file`, and no line in /etc/sysctl.conf against them.

    The DISA STIG puts `net.ipv4.ip_forward = 0` there, which would win at the next boot: such a line
    becomes a comment (the recipe's step 6).
    """
    present = host.get_fact(Sysctl, keys=list(settings))
    against = [key for key, value in settings.items() if present["conf"].get(key, value) != value]
    if state.config.DIFF:
        for key in against:
            host.log(f"Will make {CONF}'s line {key} = {present['conf'][key]} a comment")
    for key in against:
        pattern = key.replace(".", r"\.")
        yield StringCommand(f"sed -i 's/^[[:space:]]*{pattern}[[:space:]]*=/# &/' {CONF}")
    if any(present["runtime"].get(key) != value for key, value in settings.items()):
        yield StringCommand(f"sysctl -q -p {file}")
    elif not against:
        host.noop(f"{', '.join(settings)}: in force")
