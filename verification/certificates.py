"""Whether the certificates on the nodes are valid, and for how long. Pure: it reads nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from cluster import Cluster, Input, Node
from cluster.certificates import earliest_end
from desired import logstash
from verification.finding import Finding, Judged, Observations, row_of, unread
from verification.observe import Observation
from verification.report import Status

NOTICE = 30
"""Days before a certificate's end from which on verify.py warns."""


def certificates(cluster: Cluster, observations: Observations, now: datetime | None = None) -> list[Judged]:
    """A row for each input with TLS: how many days its certificates are valid on each node."""
    now = now or datetime.now(UTC)
    return [_row(cluster, observations, input, now) for input in cluster.inputs if input.tls]


def _row(cluster: Cluster, observations: Observations, input: Input, now: datetime) -> Judged:
    assert input.tls
    files = {logstash.certificate_file(input): input.tls.certificate}
    if input.tls.ca:
        files[logstash.ca_file(input)] = input.tls.ca

    def judge_node(_: Node, seen: Observation) -> Finding:
        if seen.certificates is None:
            return unread(
                f"the certificates of {input.id}", f"openssl x509 -enddate -noout -in {next(iter(files))}"
            )
        worst = Finding(Status.OK, "")
        first = None
        for path, source in files.items():
            do = f"put a new one into {source}, and run the deploy again: node after node gets it, and no event is lost"
            text = seen.certificates.get(path)
            try:
                end = earliest_end(text or "")
            except ValueError:
                what = f"{path} {'holds no certificate' if text else 'is missing'}"
                return Finding(Status.WRONG, "none", what, "run the deploy again")
            if first is not None and end >= first:
                continue
            first, days = end, (end - now).days
            if end < now:
                worst = Finding(
                    Status.WRONG, "expired", f"a certificate in {path} has expired, on {end:%Y-%m-%d}", do
                )
            elif days < NOTICE:
                what = f"a certificate in {path} expires in {_days(days)}, on {end:%Y-%m-%d}"
                worst = Finding(Status.WARNING, _days(days), what, do)
            else:
                worst = Finding(Status.OK, _days(days))
        return worst

    return row_of(cluster, observations, "tls", judge_node, input.id)


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"
