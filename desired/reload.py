"""A reload of keepalived where its interface was made anew (step 8).

The health service, which finds that out, has no right to do it. It asks by a file, at which systemd starts a program.
"""

from __future__ import annotations

from desired.health import RELOAD, RELOAD_FOLDER
from desired.health import UNIT as HEALTH
from desired.health_script import PYTHON
from desired.render import program, render
from desired.textfile import TextFile

UNIT = "logstash-ha-reload"
PATH_FILE = f"/etc/systemd/system/{UNIT}.path"
"""The unit that waits for the file; it starts and stops with the health service."""
SERVICE_FILE = f"/etc/systemd/system/{UNIT}.service"
PROGRAM = "/etc/keepalived/logstash_ha_reload.py"


def verb(el: int) -> str:
    """systemctl's verb that makes a keepalived that runs use its interface as it is now: 1.3.5 (EL 7) can crash at a
    reload."""
    return "try-restart" if el == 7 else "try-reload-or-restart"


def files(el: int) -> list[TextFile]:
    """The two units, and the program."""
    command = f"{PYTHON[el]} {PROGRAM} {verb(el)} {RELOAD}"
    return [
        TextFile(
            PROGRAM,
            program("logstash_ha_reload.py"),
            step=8,
            mode="755",
            check=f'{PYTHON[el]} "$new" --help >/dev/null',
            read_by=HEALTH,
        ),
        TextFile(
            PATH_FILE, render("reload.path.j2", folder=RELOAD_FOLDER, health=HEALTH), step=8, read_by=HEALTH
        ),
        TextFile(SERVICE_FILE, render("reload.service.j2", command=command), step=8, read_by=HEALTH),
    ]
