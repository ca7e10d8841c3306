"""Whether the certificates on the nodes are valid, and for how long. Pure: it reads nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from cluster import Cluster, Input, Node
from cluster.certificates import ApiFiles, earliest_end
from desired import logstash
from verification.finding import Finding, Judged, Observations, row_of, unread
from verification.observe import Observation
from verification.report import Status

NOTICE = 30
"""Days before a certificate's end from which on verify.py warns."""


def certificates(cluster: Cluster, observations: Observations, now: datetime | None = None) -> list[Judged]:
    """A row for each input with TLS, and for the API where it has TLS: how many days the certificates are valid on each node."""
    now = now or datetime.now(UTC)
    rows = [_row(cluster, observations, input, now) for input in cluster.inputs if input.tls]
    if cluster.api_files and cluster.api_files.keystores:
        rows.append(_api_row(cluster, observations, cluster.api_files, now))
    return rows


def _api_row(cluster: Cluster, observations: Observations, files: ApiFiles, now: datetime) -> Judged:
    """Of the API: what is in the keystore is known where the node has the one of the inventory. Otherwise its unit's row says so."""
    api = cluster.api
    assert api

    def judge_node(node: Node, seen: Observation) -> Finding:
        if seen.units is None or logstash.UNIT not in seen.units:
            return unread("the API's certificate", f"openssl pkcs12 -in {logstash.KEYSTORE} -nokeys")
        desired = next(file for file in logstash.files(cluster, node) if file.path == logstash.KEYSTORE)
        if seen.units[logstash.UNIT]["files"].get(logstash.KEYSTORE) != desired.sha256:
            return Finding(Status.OK, "not this one")
        end, what, source = min(
            (earliest_end(files.certificates[node.name]), "the API's certificate", api.keystore),
            (earliest_end(files.ca or ""), "the certificate of the API's CA", api.ca),
            key=lambda found: found[0],
        )
        do = f"put a new one into {source}, and run the deploy again: node after node gets it, and no event is lost"
        return _judged(end, now, what, do)

    return row_of(cluster, observations, "api-tls", judge_node)


def _judged(end: datetime, now: datetime, what: str, do: str) -> Finding:
    """The finding on a certificate that ends then."""
    days = (end - now).days
    if end < now:
        return Finding(Status.WRONG, "expired", f"{what} has expired, on {end:%Y-%m-%d}", do)
    if days < NOTICE:
        return Finding(Status.WARNING, _days(days), f"{what} expires in {_days(days)}, on {end:%Y-%m-%d}", do)
    return Finding(Status.OK, _days(days))


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
            first, worst = end, _judged(end, now, f"a certificate in {path}", do)
        return worst

    return row_of(cluster, observations, "tls", judge_node, input.id)


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"
