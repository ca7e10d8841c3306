"""The clusters that the unit tests speak of."""

import re
import shutil
from pathlib import Path
from typing import Any

from cluster import Cluster
from remote.inventory import load_clusters
from tests.certificates import Authority
from tests.packages import Signer

PASSWORD = "hunter22"
API_PASSWORD = "Logst4sh-API"
KEYSTORE_PASSWORD = "Keyst0re-API"
EXAMPLES = Path(__file__).parents[2] / "examples"


def make_cluster(folder: Path, count: int = 2, **settings: Any) -> Cluster:
    """A cluster of that many nodes, of which 10.77.0.11 is the first one's address.

    `settings` are those of the inventory. With VRRP 2 its password is in `folder`.
    """
    secret = folder / "auth_pass"
    secret.write_text(PASSWORD)
    return Cluster.model_validate(
        {
            "nodes": [{"name": f"stash{n}", "address": f"10.77.0.{10 + n}"} for n in range(1, count + 1)],
            "network": "10.77.0.0/24",
            "interface": "eth0",
            "vip": "10.77.0.10",
            "inputs": [{"id": "udp-5514", "port": 5514}],
            "senders": ["10.77.0.101"],
            "logstash": 8,
            "auth_pass_file": secret if settings.get("vrrp") == 2 else None,
            **settings,
        }
    )


def write_api(folder: Path, *addresses: str, login: bool = True, keystore: bool = True) -> dict[str, str]:
    """The files of a secured API for the nodes with these addresses: the setting `api` that names them."""
    lines = ["USERNAME=monitor", f"PASSWORD={API_PASSWORD}"] if login else []
    lines += [f"KEYSTORE_PASSWORD={KEYSTORE_PASSWORD}"] if keystore else []
    (folder / "api.secrets").write_text("".join(f"{line}\n" for line in lines))
    setting = {"secrets": str(folder / "api.secrets")}
    if not keystore:
        return setting
    authority = Authority(folder)
    authority.ca_file.rename(folder / "api-ca.pem")
    path = authority.keystore("api", KEYSTORE_PASSWORD, *addresses)
    return {**setting, "keystore": str(path), "ca": str(folder / "api-ca.pem")}


def example(name: str, folder: Path) -> Cluster:
    """The only cluster of `examples/NAME.py`, as `example_clusters` has it."""
    (cluster,) = example_clusters(name, folder).values()
    return cluster


def example_clusters(name: str, folder: Path) -> dict[str, Cluster]:
    """The clusters of `examples/NAME.py`, read as the deploy reads them, from a copy in `folder` with the secrets that it names."""
    copy = shutil.copytree(EXAMPLES, folder / "examples")
    (copy / "auth_pass").write_text(PASSWORD)
    (copy / "sudo_password").write_text(f"{PASSWORD}\n")
    (copy / "logstash.env").write_text('# Elasticsearch\nES_PASSWORD=a "b" $c `d` \\e\n')
    write_api(copy, "192.0.2.11", "192.0.2.12")
    text = (copy / f"{name}.py").read_text()
    if "tls" in text:
        authority = Authority(copy)
        authority.issue("logs", "logs.example.com", "192.0.2.10")
        authority.issue("verify", "verify.example.com")
    if keys := re.search(r'signing_keys="(.*)"', text):
        _sign_as_in(copy, copy / f"{name}.py", keys[1])
    _, _, clusters = load_clusters(str(copy / f"{name}.py"))
    return clusters


def _sign_as_in(folder: Path, inventory: Path, keys: str) -> None:
    """The keys, packages, certificates and logins that an example of closed networks names; the keys are others than Elastic's."""
    for name in ("satellite", "rpms"):
        (folder / name).mkdir()
    Authority(folder / "satellite").issue("client", "stash.example.com")
    (folder / "satellite/secrets").write_text(f"PROXY_USERNAME=stash\nPROXY_PASSWORD={PASSWORD}\n")
    signer = Signer(folder)
    shutil.copy(signer.file, folder / keys)
    signer.rpm(folder / "rpms", version="8.19.3")
    signer.rpm(folder / "rpms", "keepalived", "2.2.8")
    text = re.sub(r"    key_fingerprints=\[.*?\],\n", "", inventory.read_text(), flags=re.DOTALL)
    inventory.write_text(
        text.replace("    signing_keys", f"    key_fingerprints='{signer.fingerprint}',\n    signing_keys")
    )
