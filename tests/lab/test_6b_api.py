"""Logstash's API gets TLS and a login on a running cluster, and gives them back: no event is lost, and no secret is told."""

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from tests.certificates import Authority
from tests.lab.conftest import ADDRESSES, NODES, Cluster
from tests.lab.processes import sampled
from tests.until import until


def api(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The setting `api`, with its files in this folder, and what is secret in them: the last one as a line of the key."""
    password, opening = (f"Aa1{secrets.token_hex(12)}" for _ in range(2))
    keystore = Authority(folder).keystore("api", opening, *ADDRESSES.values())
    (folder / "api.secrets").write_text(
        f"USERNAME=monitor\nPASSWORD={password}\nKEYSTORE_PASSWORD={opening}\n"
    )
    key = load_pkcs12(keystore.read_bytes(), opening.encode()).key
    assert key
    lines = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().splitlines()
    setting = {"secrets": "api.secrets", "keystore": "api.p12", "ca": "ca.pem"}
    return {name: str(folder / file) for name, file in setting.items()}, [password, opening, lines[1]]


def holding(cluster: Cluster, name: str, texts: list[str]) -> dict[str, str]:
    """The files of a node that hold any of these texts, with their modes."""
    patterns = "\n".join(texts)
    found = cluster.get(
        name,
        "cat >/run/patterns.$$; "
        "grep -rlsFf /run/patterns.$$ --exclude=patterns.* --devices=skip /etc /home /root /run /tmp /var | "
        "xargs -r stat -c '%n %a'; rm -f /run/patterns.$$",
        patterns + "\n",
    )
    return dict(line.rsplit(" ", 1) for line in found.splitlines())


def written_since(start: Path, *folders: Path) -> Iterator[str]:
    """The texts of this machine's files in these folders that are newer than `start`, with their paths before them."""
    found = subprocess.run(
        ["find", *folders, "-newer", start, "-type", "f", "-size", "-1024k"],
        capture_output=True,
        text=True,
        check=False,
    )
    for path in found.stdout.splitlines():
        with suppress(OSError):  # it has gone
            yield f"{path}\n{Path(path).read_text(errors='replace')}"


def test_an_api_gets_tls_and_a_login_and_gives_them_back(cluster: Cluster, tmp_path: Path) -> None:
    setting, hidden = api(tmp_path)
    start = tmp_path / "start"
    start.touch()
    secured = cluster.inventory("secured", api=setting)
    said: list[str] = []

    def run(*command: str) -> None:
        done = cluster.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout + done.stderr)

    with sampled(cluster) as seen:
        said.append(cluster.plan(secured)[1])
        for mark, inventory in (("secured", secured), ("plain", Path("inventory.py"))):
            with cluster.stream(mark, rate=100) as sent:
                done = cluster.deploy("-y", "-vvv", "--diff", inventory=inventory)
            said.append(done.stdout + done.stderr)
            assert done.returncode == 0, said[-1]
            assert cluster.lost(mark, sent[0]) == []
            if inventory != secured:
                assert cluster.plan()[0] == {}
                until(cluster.whole, 30, "the cluster whole")
                continue
            for name in NODES:
                address = ADDRESSES[name]
                ask = f"curl --silent --cacert /dev/stdin --max-time 5 {{}} --output /dev/null --write-out '%{{{{http_code}}}}' {{}}://{address}:9600/"
                ca = Path(setting["ca"]).read_text()
                assert cluster.on(name, ask.format("", "http"), ca).stdout == "000"
                assert cluster.on(name, ask.format("", "https"), ca).stdout == "401"
                assert cluster.on(name, ask.format(f"--user monitor:{'x' * 9}", "https"), ca).stdout == "401"
                held = holding(cluster, name, hidden)
                assert "/etc/logstash/logstash-ha.env" in held
                assert set(held.values()) <= {"400", "600"}, held
            run(sys.executable, "verify.py", "--json", "--send", "4", "--inventory", str(secured))
            run(sys.executable, "verify.py", "--drift", "--diff", "--json", "--inventory", str(secured))
            run(sys.executable, "-m", "desired", "--inventory", str(secured), "--to", str(tmp_path / "tree"))
    for name in NODES:
        assert holding(cluster, name, hidden) == {}, name
        said.append(cluster.get(name, "journalctl --no-pager --since -15min"))
    assert len(seen) == 1 + len(NODES)
    assert all("keepalived" in text for text in seen[1:])
    for text in (*seen, *said, *written_since(start, Path(tempfile.gettempdir()), cluster.lab.folder)):
        for each in hidden:
            assert each not in text, text[: text.index(each)][-300:]
