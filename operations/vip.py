"""The VIP on every node's loopback interface, for direct routing."""

from __future__ import annotations

from operations.services import Unit

UNIT = "logstash-ha-vip"
FILE = f"/etc/systemd/system/{UNIT}.service"


def unit() -> Unit:
    """The service that puts the VIP there; stopped first when it changes, so that it takes the old one away."""
    return Unit(UNIT, probe=f"systemctl is-active {UNIT}", stop_first=True)
