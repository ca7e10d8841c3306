"""Three nodes for all drills, one after the other, and how the loss of one is counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drills.result import Loss, count
from drills.run import HEAL, RATE
from lab.lab import Lab
from tests.lab.conftest import ALL_ADDRESSES, ROOT, VIP, Cluster
from tests.until import until

NODES = tuple(ALL_ADDRESSES)


def tell(name: str, loss: Loss) -> None:
    """What docs/drills.md tells of a drill."""
    print(
        f"| {name} | {loss.sent} | {loss.lost} | {loss.span:.0f} ms | {loss.gap:.0f} ms | {loss.duplicated} twice |"
    )


class Three(Cluster):
    """Three nodes of Enterprise Linux 8 to 10, and their inventory."""

    @property
    def file(self) -> Path:
        return self.lab.folder / "three.py"

    @property
    def holder(self) -> str:
        """The one node that holds the VIP, by verify.py."""
        (holder,) = self.verify("--inventory", str(self.file))["vips"][VIP]["holders"]
        return str(holder)

    def is_whole(self) -> bool:
        return self.whole(self.file)

    @contextmanager
    def drilled(self, mark: str, most: int | None = None) -> Iterator[None]:
        """Whole before; a stream of events meanwhile, of which the loss is told, and no more than `most`; whole again
        afterwards."""
        until(self.is_whole, 60, "the cluster whole before the drill")
        with self.stream(mark, rate=RATE) as sent:
            yield
            until(self.is_whole, HEAL, "the cluster whole again")
        arrived = self.arrived(mark, sent[0], NODES)
        loss = count(sent[0], RATE, {name: [number + 1 for number in arrived[name]] for name in NODES})
        tell(mark, loss)
        assert loss.lost <= (sent[0] / 2 if most is None else most)


@pytest.fixture(scope="package")
def three() -> Iterator[Three]:
    """A lab of its own."""
    lab = Lab(ROOT / ".lab-test")
    lab.down()
    try:
        lab.up(nodes=3, el=(9, 10, 8), logstash_delay=2.0, progress=lambda text: None)
        cluster = Three(lab)
        cluster.inventory("three", nodes=ALL_ADDRESSES, vrrp=3)
        done = cluster.deploy("-y", inventory=cluster.file)
        assert done.returncode == 0, done.stdout + done.stderr
        yield cluster
    finally:
        lab.down()
