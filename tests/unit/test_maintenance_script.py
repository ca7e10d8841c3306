"""EL 7's way into maintenance, a script that keepalived runs, under a real keepalived in a network namespace."""

import contextlib
from pathlib import Path

from desired import keepalived
from desired.files import desired_files
from tests.unit.clusters import make_cluster
from tests.unit.test_interface_anew import SLOW, Network, Node
from tests.until import until

TEST = """\
#!/bin/sh
[ ! -e {folder}/busy ] || sleep 2.5
echo >>{folder}/ended
"""
"""The program that the script runs: it finds no flag, and takes its time where the machine is busy."""


def test_a_machine_that_is_busy_for_a_moment_keeps_its_vip(tmp_path: Path) -> None:
    """keepalived counts a script that has not ended within its interval as one that has failed, unless told otherwise."""
    program = tmp_path / "test"
    program.write_text(TEST.format(folder=tmp_path))
    program.chmod(0o755)
    with contextlib.ExitStack() as stack:
        networks: list[Network] = []
        for number in (0, 1):
            networks.append(Network(number, "bridge", networks[0] if networks else None))
            stack.callback(networks[-1].keeper.wait, SLOW)
            stack.callback(networks[-1].keeper.kill)
        desired = make_cluster(tmp_path, interface=networks[1].interface, vrrp=2)
        conf = desired_files(desired, desired.nodes[0], 7)[keepalived.CONF].content
        conf = conf.partition("\nvirtual_server ")[0]
        assert '"/usr/bin/test ! -s ' in conf
        conf = conf.replace("/usr/bin/test", str(program))
        # In a folder that others can write to, keepalived runs nothing.
        conf = conf.replace("    enable_script_security\n", "")
        node = Node(networks[1], tmp_path / "node", conf)
        stack.callback(node.stop)
        node.start()
        until(node.network.has_vip, SLOW, node.log)
        (tmp_path / "busy").touch()
        ended = tmp_path / "ended"
        before = len(ended.read_text())
        until(lambda: len(ended.read_text()) > before + 2 or "FAULT" in node.log(), SLOW, node.log)
        assert "FAULT" not in node.log(), node.log()
        assert node.network.has_vip()
